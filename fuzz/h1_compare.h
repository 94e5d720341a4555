/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz/h1_compare.h - two readings of the same bytes must agree. */
#ifndef FUZZ_H1_COMPARE_H
#define FUZZ_H1_COMPARE_H

#include "base/check.h"
#include "http/h1.h"

#include <stdlib.h>

/* What a parse gave; slices are copies' own, so they are compared by content. */
struct reading {
    enum h1_result result;
    enum h1_fault  fault;
    size_t         used;
    struct h1_head head;
};

/* Present or absent alike, and the same bytes. */
static inline void
check_same_slice(struct slice a, struct slice b)
{
    CHECK(slice_is_present(a) == slice_is_present(b));
    CHECK(slice_eq(a, b));
}

static inline void
check_same_fields(const struct fields *a, const struct fields *b)
{
    CHECK(a->n == b->n && a->present == b->present && a->n <= a->max);
    for (size_t i = 0; i < a->n; i++) {
        CHECK(a->at[i].id == b->at[i].id);
        check_same_slice(a->at[i].name, b->at[i].name);
        check_same_slice(a->at[i].value, b->at[i].value);
    }
}

static inline void
check_same_head(const struct h1_head *a, const struct h1_head *b)
{
    CHECK(a->method == b->method && a->status == b->status && a->minor == b->minor);
    CHECK(a->framing == b->framing && a->length == b->length);
    CHECK(a->keep_alive == b->keep_alive && a->expect_continue == b->expect_continue);
    check_same_slice(a->method_token, b->method_token);
    check_same_slice(a->target, b->target);
    check_same_slice(a->host, b->host);
    check_same_slice(a->reason, b->reason);
    check_same_slice(a->upgrade, b->upgrade);
    check_same_fields(&a->fields, &b->fields);
}

/* What message.h promises of every field that passed the parser. */
static inline void
check_fields_are_clean(const struct fields *f)
{
    for (size_t i = 0; i < f->n; i++) {
        CHECK(is_token(f->at[i].name));
        CHECK(is_field_value(f->at[i].value));
        CHECK(slice_eq(slice_trim(f->at[i].value), f->at[i].value));
        CHECK(field_id_from(f->at[i].name) == f->at[i].id);
    }
}

static inline void
check_head_is_clean(const struct h1_head *head, size_t used, size_t limit)
{
    bool has_length = fields_has(&head->fields, FIELD_CONTENT_LENGTH);
    bool has_coding = fields_has(&head->fields, FIELD_TRANSFER_ENCODING);

    CHECK(used > 0 && used <= limit && head->minor <= 1);
    CHECK(!(has_length && has_coding));
    CHECK(head->framing != H1_LENGTH || has_length);
    CHECK(head->framing != H1_CHUNKED || (has_coding && head->minor == 1));
    CHECK(head->length == 0 || head->framing == H1_LENGTH);
    check_fields_are_clean(&head->fields);
}

/* A copy to size in memory of its own, so that a read past the end is seen. */
static inline struct slice
exact_copy(struct slice s)
{
    char *p = malloc(s.n ? s.n : 1);

    CHECK(p);
    if (s.n)
        memcpy(p, s.at, s.n);
    return slice_of(p, s.n);
}

#endif
