/* SPDX-License-Identifier: Apache-2.0 */
/* http/range.c - RFC 9110 14: what ranges a request means, and how parts are labelled. */
#include "http/range.h"

/* ------------------------------------------------------------------ Range (14.1.2) */

/* What one range-spec says. */
enum spec { SPEC_BAD, SPEC_BEYOND, SPEC_FINE };

/* Digits only.  What does not fit is as good as endless: no representation is longer. */
static bool
parse_position(struct slice s, uint64_t *value)
{
    for (size_t i = 0; i < s.n; i++)
        if (!ascii_is_digit(s.at[i]))
            return false;
    if (!slice_to_u64(s, UINT64_MAX, value))
        *value = UINT64_MAX;
    return s.n > 0;
}

/* "-500": the last bytes. */
static enum spec
parse_suffix(struct slice digits, uint64_t length, struct range *out)
{
    uint64_t n;

    if (!parse_position(digits, &n))
        return SPEC_BAD;
    if (n == 0)
        return SPEC_BEYOND;
    if (length == 0)
        return SPEC_BAD; /* all of nothing, for which Content-Range has no words */
    out->length = n < length ? n : length;
    out->offset = length - out->length;
    return SPEC_FINE;
}

/* "0-499", "500-" or "-500". */
static enum spec
parse_spec(struct slice spec, uint64_t length, struct range *out)
{
    struct slice to = spec, from = slice_cut(&to, '-');
    uint64_t first, last = UINT64_MAX;

    if (!slice_is_present(to))
        return SPEC_BAD;
    if (from.n == 0)
        return parse_suffix(to, length, out);
    if (!parse_position(from, &first) || (to.n && !parse_position(to, &last)) || last < first)
        return SPEC_BAD;
    if (first >= length)
        return SPEC_BEYOND;
    if (last >= length)
        last = length - 1;
    *out = (struct range){first, last - first + 1};
    return SPEC_FINE;
}

static uint64_t
end_of(const struct range *r)
{
    return r->offset + r->length;
}

/* Behind the others, or joined with the last when little or nothing lies between.  False when it is
 * one too many, or begins before the last. */
static bool
add_range(struct range_set *set, const struct range *r, unsigned *overlaps)
{
    struct range *last = set->n ? &set->at[set->n - 1] : NULL;

    if (last && r->offset < last->offset)
        return false;
    if (last && r->offset < end_of(last) && ++*overlaps > RANGE_OVERLAPS_MAX)
        return false;
    if (last && r->offset <= end_of(last) + RANGE_GAP_BYTES) {
        if (end_of(r) > end_of(last))
            last->length = end_of(r) - last->offset;
        return true;
    }
    if (set->n == RANGE_PARTS_MAX)
        return false;
    set->at[set->n++] = *r;
    return true;
}

enum range_verdict
range_parse(struct slice value, uint64_t length, struct range_set *set)
{
    enum { SPECS_MAX = 4 * RANGE_PARTS_MAX };
    struct slice rest = value, unit = slice_cut(&rest, '='), spec;
    unsigned specs = 0, overlaps = 0;
    struct range r;

    set->n = 0;
    if (!slice_is_present(rest) || !slice_eq_nocase(unit, SLICE("bytes")))
        return RANGE_WHOLE;
    while (slice_next_element(&rest, &spec)) {
        enum spec said = parse_spec(spec, length, &r);

        if (said == SPEC_BAD || ++specs > SPECS_MAX)
            return RANGE_WHOLE;
        if (said == SPEC_FINE && !add_range(set, &r, &overlaps))
            return RANGE_WHOLE;
    }
    if (specs == 0)
        return RANGE_WHOLE;
    return set->n ? RANGE_PARTS : RANGE_UNSATISFIABLE;
}

/* ------------------------------------------------------------------ Content-Range (14.4) */

static bool
parse_exact(struct slice digits, uint64_t *value)
{
    return slice_to_u64(digits, INT64_MAX, value);
}

bool
range_content_parse(struct slice value, struct range_content *out)
{
    struct slice length = value, unit = slice_cut(&length, ' '), to, from;
    uint64_t first, last;

    *out = (struct range_content){0};
    if (!slice_is_present(length) || !slice_eq_nocase(unit, SLICE("bytes")))
        return false;
    to = slice_cut(&length, '/');
    if (!slice_is_present(length))
        return false;
    out->has_length = !slice_eq(length, SLICE("*"));
    if (out->has_length && !parse_exact(length, &out->length))
        return false;
    if (slice_eq(to, SLICE("*")))
        return out->has_length;
    from = slice_cut(&to, '-');
    if (!slice_is_present(to) || !parse_exact(from, &first) || !parse_exact(to, &last))
        return false;
    if (last < first || (out->has_length && last >= out->length))
        return false;
    out->range = (struct range){first, last - first + 1};
    return true;
}

void
range_content_write(struct text *out, const struct range *r, uint64_t length)
{
    text_literal(out, "bytes ");
    if (r) {
        text_u64(out, r->offset);
        text_byte(out, '-');
        text_u64(out, end_of(r) - 1);
    } else {
        text_byte(out, '*');
    }
    text_byte(out, '/');
    text_u64(out, length);
}

/* ------------------------------------------------------------------ multipart/byteranges (14.6) */

void
range_part_head(struct text *out, struct slice boundary, bool first, struct slice type,
                const struct range *r, uint64_t length)
{
    text_put(out, first ? SLICE("--") : SLICE("\r\n--"));
    text_put(out, boundary);
    if (type.n) {
        text_literal(out, "\r\nContent-Type: ");
        text_put(out, type);
    }
    text_literal(out, "\r\nContent-Range: ");
    range_content_write(out, r, length);
    text_literal(out, "\r\n\r\n");
}

void
range_parts_end(struct text *out, struct slice boundary)
{
    text_literal(out, "\r\n--");
    text_put(out, boundary);
    text_literal(out, "--\r\n");
}
