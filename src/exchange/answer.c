/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exchange/answer.c - from a whole representation to 200, 206, 304, 412 or 416.
 *
 * The body that the edge pulls stands in front of the representation's sources: it opens one after
 * the other, puts the heads of multipart/byteranges between them, sees to it that the promised
 * length is kept, and releases the representation at the end.
 */
#include "exchange/answer.h"

#include "base/check.h"
#include "http/range.h"

/* What only an answer of several parts needs. */
struct answer_parts {
    struct range_set set;
    struct slice     labels[RANGE_PARTS_MAX + 1]; /* before each part, and behind the last */
    size_t           next;                        /* label that comes next */
};

struct answer_body {
    struct body            body;
    struct exchange       *x;
    struct representation *r;
    struct body           *source; /* of the part that is being sent; NULL between parts */
    uint64_t               left;   /* of that part */
    struct answer_parts   *parts;  /* NULL: there is one only */
};

/* ------------------------------------------------------------------ the body */

static enum err
part_next(struct answer_body *a, struct slice *chunk)
{
    enum err e = body_next(a->source, chunk);

    if (e == ERR_END && a->left) {
        e = ERR_IO;
        exchange_fault(a->x, REASON_INTERNAL, e, "the representation ends %llu bytes early",
                       (unsigned long long) a->left);
    }
    if (e != OK)
        return e;
    CHECK(chunk->n <= a->left);
    a->left -= chunk->n;
    return OK;
}

static enum err
whole_next(struct body *b, struct slice *chunk)
{
    struct answer_body *a = container_of(b, struct answer_body, body);
    enum err e = a->left ? part_next(a, chunk) : ERR_END;

    b->ready = a->source->ready;
    b->lasting = a->source->lasting;
    b->given = a->source->given;
    b->ended = a->left == 0;
    return e;
}

/* The label that comes next, and the source of what it stands before. */
static enum err
begin_part(struct answer_body *a, struct slice *chunk)
{
    struct answer_parts *p = a->parts;
    const struct range *range = &p->set.at[p->next];

    a->body.ended = p->next == p->set.n;
    if (p->next > p->set.n)
        return ERR_END;
    *chunk = p->labels[p->next++];
    if (a->body.ended)
        return OK;
    a->source = a->r->ops->open(a->r, a->x, range->offset, range->length);
    a->left = range->length;
    return a->source ? OK : ERR_IO;
}

static enum err
parts_next(struct body *b, struct slice *chunk)
{
    struct answer_body *a = container_of(b, struct answer_body, body);
    enum err e;

    if (a->source && a->left == 0)
        body_close(take(&a->source));
    e = a->source ? part_next(a, chunk) : begin_part(a, chunk);
    b->ready = a->source ? a->source->ready : true;
    return e;
}

static void
answer_close(struct body *b)
{
    struct answer_body *a = container_of(b, struct answer_body, body);
    struct representation *r = take(&a->r);

    body_close(take(&a->source));
    r->ops->release(r);
}

static const struct body_ops whole_ops = {.next = whole_next, .close = answer_close};
static const struct body_ops parts_ops = {.next = parts_next, .close = answer_close};

/* ------------------------------------------------------------------ answers with a body */

static void
refuse_unopened(struct exchange *x, struct representation *r)
{
    r->ops->release(r);
    if (x->fault.reason == REASON_NONE)
        exchange_refuse(x, 503, REASON_OUT_OF_MEMORY, "the representation cannot be opened");
    else
        exchange_refuse(x, 503, x->fault.reason, NULL);
}

static bool
put_field(struct exchange *x, enum field_id id, struct slice value)
{
    return slice_is_present(value) && fields_set(&x->response.fields, id, value);
}

static struct slice
number(struct exchange *x, uint64_t value)
{
    enum { DIGITS_MAX = 20 };
    char *digits = arena_alloc(&x->arena, DIGITS_MAX);

    return slice_of(digits, digits ? text_format_u64(digits, value) : 0);
}

/* One stretch, from a source that is opened at once: here a failure can still be said. */
static void
send_stretch(struct exchange *x, struct representation *r, struct range range)
{
    struct answer_body *a = arena_new(&x->arena, struct answer_body);

    if (a)
        a->source = r->ops->open(r, x, range.offset, range.length);
    if (!a || !a->source) {
        refuse_unopened(x, r);
        return;
    }
    a->body = (struct body){.ops = &whole_ops,
                            .length = (int64_t) range.length,
                            .ready = a->source->ready,
                            .lasting = a->source->lasting,
                            .given = a->source->given};
    a->x = x;
    a->r = r;
    a->left = range.length;
    x->response.body = &a->body;
}

static void
send_whole(struct exchange *x, struct representation *r)
{
    if (x->request.method == METHOD_HEAD || r->length == 0) {
        r->ops->release(r);
        if (x->request.method == METHOD_HEAD)
            put_field(x, FIELD_CONTENT_LENGTH, number(x, r->length));
        return;
    }
    send_stretch(x, r, (struct range){0, r->length});
}

/* ------------------------------------------------------------------ answers with parts */

static struct slice
content_range(struct exchange *x, const struct range *range, uint64_t length)
{
    char memory[80];
    struct text value;

    text_fixed(&value, memory, sizeof(memory));
    range_content_write(&value, range, length);
    return arena_copy(&x->arena, text_slice(&value));
}

static void
send_part(struct exchange *x, struct representation *r, struct range range)
{
    struct slice value = content_range(x, &range, r->length);

    x->response.status = 206;
    if (put_field(x, FIELD_CONTENT_RANGE, value))
        send_stretch(x, r, range);
    else
        refuse_unopened(x, r);
}

/* What stands around the parts, and the length of all of it; 0 when out of memory. */
static uint64_t
label_parts(struct exchange *x, struct answer_parts *p, struct slice boundary, uint64_t length)
{
    enum { LABEL_MAX = 64 * 1024 };
    struct slice type = fields_value(&x->response.fields, FIELD_CONTENT_TYPE);
    uint64_t all = 0;
    struct text label;

    text_init(&label, LABEL_MAX);
    for (size_t i = 0; i <= p->set.n; i++) {
        label.n = 0;
        if (i < p->set.n)
            range_part_head(&label, boundary, i == 0, type, &p->set.at[i], length);
        else
            range_parts_end(&label, boundary);
        p->labels[i] = arena_copy(&x->arena, text_slice(&label));
        if (label.full || !slice_is_present(p->labels[i])) {
            all = 0;
            break;
        }
        all += label.n + (i < p->set.n ? p->set.at[i].length : 0);
    }
    text_free(&label);
    return all;
}

/* The boundary is drawn by lot, so that what is in the file cannot hold it on purpose. */
static void
send_parts(struct exchange *x, struct representation *r, const struct range_set *set)
{
    struct answer_body *a = arena_new(&x->arena, struct answer_body);
    struct answer_parts *p = arena_new(&x->arena, struct answer_parts);
    struct slice boundary = arena_printf(&x->arena, "%016llx%016llx",
                                         (unsigned long long) random_u64(),
                                         (unsigned long long) random_u64());
    struct slice type =
        arena_printf(&x->arena, "multipart/byteranges; boundary=%.*s", SLICE_ARG(boundary));
    uint64_t length = 0;

    if (a && p && boundary.n) {
        p->set = *set;
        length = label_parts(x, p, boundary, r->length);
    }
    if (length == 0 || !put_field(x, FIELD_CONTENT_TYPE, type)) {
        refuse_unopened(x, r);
        return;
    }
    x->response.status = 206;
    *a = (struct answer_body){
        .body = {.ops = &parts_ops, .length = (int64_t) length, .ready = true},
        .x = x,
        .r = r,
        .parts = p,
    };
    x->response.body = &a->body;
}

static void
send_unsatisfiable(struct exchange *x, struct representation *r)
{
    uint64_t length = r->length;

    r->ops->release(r);
    exchange_refuse(x, 416, REASON_RANGE, "the representation has %llu bytes",
                    (unsigned long long) length);
    put_field(x, FIELD_CONTENT_RANGE, content_range(x, NULL, length));
    put_field(x, FIELD_ACCEPT_RANGES, SLICE("bytes"));
}

static void
send_ranges(struct exchange *x, struct representation *r)
{
    struct range_set set;

    switch (range_parse(fields_value(&x->request.fields, FIELD_RANGE), r->length, &set)) {
    case RANGE_WHOLE: send_whole(x, r); return;
    case RANGE_UNSATISFIABLE: send_unsatisfiable(x, r); return;
    case RANGE_PARTS: break;
    }
    x->response.variants = NULL; /* they are of the whole */
    if (set.n == 1)
        send_part(x, r, set.at[0]);
    else
        send_parts(x, r, &set);
}

/* ------------------------------------------------------------------ answers without a body */

/* What describes the content stays away: the client's copy has that already, and what it is to
 * learn anew stands in the other fields (RFC 9110 15.4.5). */
static void
send_not_modified(struct exchange *x, struct representation *r)
{
    static const enum field_id of_content[] = {FIELD_CONTENT_TYPE, FIELD_CONTENT_ENCODING,
                                               FIELD_CONTENT_LANGUAGE};

    r->ops->release(r);
    x->response.status = 304;
    x->response.reason = (struct slice){NULL, 0};
    x->response.variants = NULL;
    for (size_t i = 0; i < countof(of_content); i++)
        fields_remove(&x->response.fields, of_content[i]);
}

static void
send_failed(struct exchange *x, struct representation *r)
{
    r->ops->release(r);
    exchange_refuse(x, 412, REASON_PRECONDITION, NULL);
}

/* ------------------------------------------------------------------ which of them */

static int64_t
wall_s(void)
{
    return (int64_t) (clock_wall_us() / 1000000);
}

static enum condition
check_conditions(const struct exchange *x, const struct representation *r)
{
    if (!condition_is_there(&x->request.fields))
        return CONDITION_HOLDS;
    return condition_check(&x->request.fields, x->request.method, &r->validators, wall_s());
}

/* Only GET has ranges (RFC 9110 14.2). */
static bool
asks_for_ranges(const struct exchange *x, const struct representation *r)
{
    return x->request.method == METHOD_GET && fields_has(&x->request.fields, FIELD_RANGE) &&
           condition_range_counts(&x->request.fields, &r->validators, wall_s());
}

bool
exchange_answer_compares(const struct exchange *x)
{
    return condition_is_there(&x->request.fields) || fields_has(&x->request.fields, FIELD_RANGE);
}

void
exchange_answer(struct exchange *x, struct representation *r)
{
    CHECK(x->response.body == NULL && r->length <= INT64_MAX);
    if (x->response.status != 200) {
        send_whole(x, r);
        return;
    }
    switch (check_conditions(x, r)) {
    case CONDITION_FAILED: send_failed(x, r); return;
    case CONDITION_NOT_MODIFIED: send_not_modified(x, r); return;
    case CONDITION_HOLDS: break;
    }
    fields_set(&x->response.fields, FIELD_ACCEPT_RANGES, SLICE("bytes"));
    if (asks_for_ranges(x, r))
        send_ranges(x, r);
    else
        send_whole(x, r);
}
