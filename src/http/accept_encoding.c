/* SPDX-License-Identifier: Apache-2.0 */
/* http/accept_encoding.c - see accept_encoding.h. */
#include "http/accept_encoding.h"

#include "http/accept.h"

static struct slice
canonical(struct slice coding)
{
    return slice_eq_nocase(coding, SLICE("x-gzip")) ? SLICE("gzip") : coding;
}

static void
add(struct accept_encoding *a, struct slice element)
{
    struct slice coding = slice_trim(slice_cut(&element, ';'));
    unsigned q;

    if (!is_token(coding) || !accept_weight(element, &q))
        return;
    if (slice_eq(coding, SLICE("*"))) {
        a->others = q;
        a->has_others = true;
    } else if (a->n < ACCEPT_ENCODING_MAX) {
        a->at[a->n].coding = canonical(coding);
        a->at[a->n++].q = q;
    }
}

void
accept_encoding_parse(struct accept_encoding *a, const struct fields *f)
{
    const struct field *each = NULL;

    *a = (struct accept_encoding){0};
    if (!fields_has(f, FIELD_ACCEPT_ENCODING))
        return;
    while ((each = fields_next(f, each, SLICE("Accept-Encoding")))) {
        struct slice rest = each->value, element;

        while (slice_next_element(&rest, &element))
            add(a, element);
    }
}

unsigned
accept_encoding_q(const struct accept_encoding *a, struct slice coding)
{
    coding = canonical(coding);
    for (unsigned i = 0; i < a->n; i++)
        if (slice_eq_nocase(a->at[i].coding, coding))
            return a->at[i].q;
    if (a->has_others)
        return a->others;
    return slice_eq_nocase(coding, SLICE("identity")) ? ACCEPT_BEST : 0;
}

struct slice
content_encoding_last(struct slice *codings)
{
    while (slice_is_present(*codings)) {
        struct slice last = *codings;
        size_t comma = last.n;

        while (comma > 0 && last.at[comma - 1] != ',')
            comma--;
        last = slice_trim(slice_from(last, comma));
        *codings = comma ? slice_first(*codings, comma - 1) : (struct slice){NULL, 0};
        if (last.n && !slice_eq_nocase(last, SLICE("identity")))
            return canonical(last);
    }
    return (struct slice){NULL, 0};
}
