/* SPDX-License-Identifier: Apache-2.0 */
/* acme/names.c - comparing names. */
#include "acme/names.h"

bool
acme_name_is_host(struct slice name)
{
    for (size_t i = 0; i < name.n; i++) {
        char c = name.at[i], before = i ? name.at[i - 1] : '.';

        if (c == '.' ? before == '.' || i + 1 == name.n
                     : !ascii_is_alpha(c) && !ascii_is_digit(c) && c != '-')
            return false;
    }
    return name.n > 0 && name.n <= ACME_NAME_LONGEST;
}

bool
acme_name_is_wildcard(struct slice name)
{
    return slice_starts(name, SLICE("*."));
}

struct slice
acme_name_wildcard_over(struct slice name, char out[ACME_NAME_LONGEST + 2])
{
    size_t dot = slice_find(name, '.');

    if (acme_name_is_wildcard(name) || dot == SLICE_NOT_FOUND || name.n > ACME_NAME_LONGEST)
        return SLICE("");
    out[0] = '*';
    memcpy(out + 1, name.at + dot, name.n - dot);
    return slice_of(out, name.n - dot + 1);
}

static bool
matches(struct slice pattern, struct slice name)
{
    if (acme_name_is_wildcard(pattern))
        return slice_ends(name, slice_from(pattern, 1)) && name.n >= pattern.n;
    return slice_eq(pattern, name);
}

bool
acme_name_is_allowed(const struct option_list *patterns, struct slice name)
{
    const struct slice *pattern = patterns->at;

    for (size_t i = 0; i < patterns->n; i++)
        if (matches(pattern[i], name))
            return true;
    return false;
}
