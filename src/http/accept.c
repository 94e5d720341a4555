/* SPDX-License-Identifier: Apache-2.0 */
/* http/accept.c - see accept.h. */
#include "http/accept.h"

#include "base/check.h"

/* ------------------------------------------------------------------ weights */

/* qvalue = ( "0" [ "." 0*3DIGIT ] ) / ( "1" [ "." 0*3("0") ] )  (RFC 9110 12.4.2) */
static bool
parse_q(struct slice s, unsigned *q)
{
    unsigned scale = 100;

    if (s.n == 0 || s.n > 5 || (s.at[0] != '0' && s.at[0] != '1') || (s.n > 1 && s.at[1] != '.'))
        return false;
    *q = s.at[0] == '1' ? ACCEPT_BEST : 0;
    for (size_t i = 2; i < s.n; i++, scale /= 10) {
        if (!ascii_is_digit(s.at[i]))
            return false;
        *q += (unsigned) (s.at[i] - '0') * scale;
    }
    return *q <= ACCEPT_BEST;
}

bool
accept_weight(struct slice parameters, unsigned *q)
{
    *q = ACCEPT_BEST;
    while (slice_is_present(parameters)) {
        struct slice value = slice_cut(&parameters, ';');
        struct slice name;

        if (!slice_is_present(slice_trim(value)) || slice_find(value, '=') == SLICE_NOT_FOUND)
            continue;
        name = slice_cut(&value, '=');
        if (slice_eq_nocase(slice_trim(name), SLICE("q")))
            return parse_q(slice_trim(value), q);
    }
    return true;
}

/* ------------------------------------------------------------------ media ranges */

/* RFC 9512 2.1: names that YAML had before it was registered. */
static struct slice
canonical(struct slice range)
{
    static const char *const deprecated[] = {"application/x-yaml", "text/yaml", "text/x-yaml"};

    for (size_t i = 0; i < countof(deprecated); i++)
        if (slice_eq_nocase(range, slice_str(deprecated[i])))
            return SLICE("application/yaml");
    return range;
}

/* How closely a range describes a type; 0: it does not. */
static unsigned
closeness(struct slice range, struct slice type)
{
    if (slice_eq_nocase(range, type))
        return 3;
    if (slice_eq(range, SLICE("*/*")))
        return 1;
    return slice_ends(range, SLICE("/*")) &&
                   slice_starts_nocase(type, slice_first(range, range.n - 1))
               ? 2
               : 0;
}

unsigned
accept_q(const struct fields *f, struct slice type)
{
    unsigned closest = 0, best = 0;

    if (!fields_has(f, FIELD_ACCEPT))
        return ACCEPT_BEST;
    for (const struct field *each = NULL; (each = fields_next(f, each, SLICE("Accept")));) {
        struct slice rest = each->value, element;

        while (slice_next_element(&rest, &element)) {
            struct slice range = canonical(slice_trim(slice_cut(&element, ';')));
            unsigned close = closeness(range, type), q;

            if (close == 0 || close < closest || !accept_weight(element, &q))
                continue;
            best = close > closest || q > best ? q : best;
            closest = close;
        }
    }
    return best;
}
