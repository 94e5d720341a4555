/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http/authority.c - host[:port] of a Host field or a target (RFC 3986 3.2).
 *
 * Userinfo is refused: no client sends it in requests, and "trusted.example@evil.example" is
 * written to be misread.  So are empty labels, which name the same host to some parsers and another
 * to others.
 */
#include "http/chars.h"
#include "http/uri.h"

#include <arpa/inet.h>

/* The parts as they came; port is absent when there is no colon. */
struct split {
    struct slice host;
    struct slice port;
    bool         ipv6;
};

static bool
is_ipv6(struct slice s)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr address;

    if (s.n == 0 || s.n >= sizeof(text))
        return false;
    memcpy(text, s.at, s.n);
    text[s.n] = '\0';
    return memchr(text, '\0', s.n) == NULL && inet_pton(AF_INET6, text, &address) == 1;
}

/* Labels of host characters, none of them empty; one trailing dot is the root and may be. */
static bool
is_reg_name(struct slice s)
{
    bool dot = true, empty = false;

    for (size_t i = 0; i < s.n; i++) {
        bool is_dot = s.at[i] == '.';

        if (!char_is(s.at[i], CHAR_HOST))
            return false;
        empty |= dot & is_dot;
        dot = is_dot;
    }
    return s.n > 0 && !empty;
}

static bool
split_ipv6(struct slice text, struct split *parts)
{
    size_t end = slice_find(text, ']');

    if (end == SLICE_NOT_FOUND)
        return false;
    parts->ipv6 = true;
    parts->host = slice_of(text.at + 1, end - 1);
    text = slice_of(text.at + end + 1, text.n - end - 1);
    if (text.n && text.at[0] != ':')
        return false;
    if (text.n)
        parts->port = slice_of(text.at + 1, text.n - 1);
    return is_ipv6(parts->host);
}

static bool
split_name(struct slice text, struct split *parts)
{
    struct slice rest = text;

    parts->host = slice_cut(&rest, ':');
    parts->port = rest;
    return is_reg_name(parts->host);
}

/* "host:" is the same as "host" (RFC 3986 6.2.3); port 0 cannot be connected to. */
static bool
read_port(struct slice digits, uint16_t *port)
{
    uint64_t value = 0;

    *port = 0;
    if (digits.n == 0)
        return true;
    if (!slice_to_u64(digits, UINT16_MAX, &value) || value == 0)
        return false;
    *port = (uint16_t) value;
    return true;
}

static bool
split(struct slice text, struct split *parts, uint16_t *port)
{
    *parts = (struct split){.ipv6 = false};
    if (text.n == 0)
        return false;
    if (text.at[0] == '[' ? !split_ipv6(text, parts) : !split_name(text, parts))
        return false;
    return read_port(parts->port, port);
}

bool
authority_is_valid(struct slice text)
{
    struct split parts;
    uint16_t port;

    return split(text, &parts, &port);
}

bool
authority_has_port(struct slice text)
{
    struct split parts;
    uint16_t port;

    return split(text, &parts, &port) && port != 0;
}

/* The same slice when nothing is upper-case; at is NULL when out of memory. */
static struct slice
lower(struct slice s, struct arena *arena)
{
    size_t i = 0;
    char *copy;

    while (i < s.n && ascii_lower(s.at[i]) == s.at[i])
        i++;
    if (i == s.n)
        return s;
    copy = arena_alloc(arena, s.n);
    for (i = 0; copy && i < s.n; i++)
        copy[i] = ascii_lower(s.at[i]);
    return slice_of(copy, s.n);
}

enum err
authority_parse(struct slice text, struct arena *arena, struct authority *a)
{
    struct split parts;

    if (!split(text, &parts, &a->port))
        return ERR_MALFORMED;
    a->ipv6 = parts.ipv6;
    if (slice_ends(parts.host, SLICE(".")))
        parts.host.n--;
    a->host = lower(parts.host, arena);
    return slice_is_present(a->host) ? OK : ERR_NO_MEMORY;
}
