/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http/h2_priority.c - the Priority field, a dictionary (RFC 8941 3.2) of which `u` and `i` mean
 * something; other members and all parameters are for others.
 */
#include "http/h2_priority.h"

static const struct h2_priority usual = {.urgency = 3};

/* Where the member that `rest` begins with ends; SLICE_NOT_FOUND: a string or list has no end. */
static size_t
end_of_member(struct slice rest)
{
    bool quoted = false, listed = false;
    size_t i;

    for (i = 0; i < rest.n; i++) {
        char c = rest.at[i];

        if (quoted && c == '\\')
            i++;
        else if (c == '"')
            quoted = !quoted;
        else if (!quoted && (c == '(' || c == ')'))
            listed = c == '(';
        else if (!quoted && !listed && c == ',')
            return i;
    }
    return quoted || listed || i > rest.n ? SLICE_NOT_FOUND : rest.n;
}

static bool
read_urgency(struct slice value, struct h2_priority *p)
{
    if (value.n != 1 || value.at[0] < '0' || value.at[0] > '7')
        return false;
    p->urgency = (uint8_t) (value.at[0] - '0');
    return true;
}

static bool
read_incremental(struct slice value, struct h2_priority *p)
{
    bool yes = !slice_is_present(value) || slice_eq(value, SLICE("?1"));

    p->incremental = yes;
    return yes || slice_eq(value, SLICE("?0"));
}

/* `key`, `key=value`, either with `;parameters`. */
static bool
read_member(struct slice member, struct h2_priority *p)
{
    struct slice value, key;

    member = slice_trim(member);
    value = slice_trim(slice_cut(&member, ';'));
    key = slice_cut(&value, '=');
    if (key.n == 0)
        return false;
    if (slice_eq(key, SLICE("u")))
        return read_urgency(value, p);
    return !slice_eq(key, SLICE("i")) || read_incremental(value, p);
}

bool
h2_priority_parse(struct slice field, struct h2_priority *p)
{
    struct h2_priority found = usual;
    struct slice rest = field;

    *p = usual;
    for (;;) {
        size_t end = end_of_member(rest);

        if (end == SLICE_NOT_FOUND || !read_member(slice_first(rest, end), &found))
            return false;
        if (end == rest.n)
            break;
        rest = slice_from(rest, end + 1);
    }
    *p = found;
    return true;
}
