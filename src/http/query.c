/* SPDX-License-Identifier: Apache-2.0 */
/* http/query.c - percent-encoding undone, and one parameter of a query. */
#include "http/chars.h"
#include "http/uri.h"

enum err
percent_decode(struct slice raw, bool plus_is_space, char *out, size_t *n)
{
    char *end = out;

    for (size_t i = 0; i < raw.n; i++) {
        if (raw.at[i] == '%') {
            int byte = percent_byte(slice_of(raw.at + i, raw.n - i));

            if (byte < 0)
                return ERR_MALFORMED;
            *end++ = (char) byte;
            i += 2;
        } else {
            *end++ = plus_is_space && raw.at[i] == '+' ? ' ' : raw.at[i];
        }
    }
    *n = (size_t) (end - out);
    return OK;
}

/* Compares without decoding into memory first: a query may be long, and most names do not match. */
static bool
decodes_to(struct slice raw, struct slice name)
{
    size_t i = 0, at = 0;

    for (; i < raw.n && at < name.n; i++, at++) {
        int byte = (unsigned char) raw.at[i];

        if (byte == '+')
            byte = ' ';
        if (byte == '%') {
            byte = percent_byte(slice_of(raw.at + i, raw.n - i));
            i += 2;
        }
        if (byte != (unsigned char) name.at[at])
            return false;
    }
    return i == raw.n && at == name.n;
}

static struct slice
decoded(struct slice raw, struct arena *arena)
{
    struct slice absent = {NULL, 0};
    size_t n;
    char *out;

    if (slice_find(raw, '%') == SLICE_NOT_FOUND && slice_find(raw, '+') == SLICE_NOT_FOUND)
        return raw;
    out = arena_alloc(arena, raw.n);
    if (!out || percent_decode(raw, true, out, &n) != OK)
        return absent;
    return slice_of(out, n);
}

struct slice
query_value(struct slice query, struct slice name, struct arena *arena)
{
    while (slice_is_present(query)) {
        struct slice value = slice_cut(&query, '&');
        struct slice key = slice_cut(&value, '=');

        if (key.n == 0 || !decodes_to(key, name))
            continue;
        /* "name" without '=': present and empty. */
        return slice_is_present(value) ? decoded(value, arena) : slice_of(key.at + key.n, 0);
    }
    return (struct slice){NULL, 0};
}
