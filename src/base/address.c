/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/address.c - socket addresses and networks as text and as bytes.
 *
 * Only numeric forms are read here: a name is somebody else's business (it may wait).  Text is
 * refused rather than guessed at: "::1:80" could be read in two ways, so it is neither.
 *
 * A network holds IPv4 in the v4-mapped form of IPv6 (RFC 4291 2.5.5.2), so that one comparison of
 * bits serves both.  The Unix "network" has a count of bits that no other has.
 */
#include "base/address.h"

#include "base/check.h"
#include "base/text.h"

#include <arpa/inet.h>

static const uint8_t mapped_prefix[12] = {[10] = 0xff, [11] = 0xff};

#define MAPPED_BITS 96u

static bool
is_mapped(const struct in6_addr *a)
{
    return memcmp(a->s6_addr, mapped_prefix, sizeof(mapped_prefix)) == 0;
}

socklen_t
address_length(const union address *a)
{
    size_t path = offsetof(struct sockaddr_un, sun_path);

    switch (a->any.sa_family) {
    case AF_INET:
        return sizeof(a->v4);
    case AF_INET6:
        return sizeof(a->v6);
    case AF_UNIX:
        if (a->un.sun_path[0]) /* a path, with its zero byte */
            return (socklen_t) (path + strnlen(a->un.sun_path, sizeof(a->un.sun_path) - 1) + 1);
        if (a->un.sun_path[1]) /* an abstract name, which has none */
            return (socklen_t) (path + 1 + strnlen(a->un.sun_path + 1, sizeof(a->un.sun_path) - 1));
        return (socklen_t) path;
    }
    return 0;
}

/* ------------------------------------------------------------------ reading */

/* inet_pton() wants a zero byte at the end, and would stop at one inside. */
static bool
to_number(int family, struct slice s, void *out)
{
    char text[INET6_ADDRSTRLEN];

    if (s.n == 0 || s.n >= sizeof(text) || slice_find(s, '\0') != SLICE_NOT_FOUND)
        return false;
    memcpy(text, s.at, s.n);
    text[s.n] = '\0';
    return inet_pton(family, text, out) == 1;
}

static bool
is_bracketed(struct slice s)
{
    return s.n >= 2 && s.at[0] == '[' && s.at[s.n - 1] == ']';
}

bool
address_parse_ip(struct slice s, uint16_t port, union address *a)
{
    bool bracketed = is_bracketed(s);

    memset(a, 0, sizeof(*a));
    if (!bracketed && to_number(AF_INET, s, &a->v4.sin_addr)) {
        a->v4.sin_family = AF_INET;
        a->v4.sin_port = htons(port);
        return true;
    }
    memset(a, 0, sizeof(*a));
    if (to_number(AF_INET6, bracketed ? slice_of(s.at + 1, s.n - 2) : s, &a->v6.sin6_addr)) {
        a->v6.sin6_family = AF_INET6;
        a->v6.sin6_port = htons(port);
        return true;
    }
    return false;
}

/* "/path", or "@name" of Linux's abstract namespace. */
static bool
parse_unix(struct slice s, union address *a)
{
    memset(a, 0, sizeof(*a));
    if (s.n < 2 || s.n >= sizeof(a->un.sun_path) || (s.at[0] != '/' && s.at[0] != '@') ||
        slice_find(s, '\0') != SLICE_NOT_FOUND)
        return false;
    a->un.sun_family = AF_UNIX;
    memcpy(a->un.sun_path, s.at, s.n);
    if (s.at[0] == '@')
        a->un.sun_path[0] = '\0';
    return true;
}

static bool
parse_port(struct slice s, uint16_t *port)
{
    uint64_t value;

    if (s.n > 5 || !slice_to_u64(s, UINT16_MAX, &value) || value == 0)
        return false;
    *port = (uint16_t) value;
    return true;
}

/* Host and port of "host:port"; the host may be empty, or an IPv6 address in brackets. */
static bool
split_port(struct slice s, struct slice *host, uint16_t *port)
{
    size_t at = s.n;

    while (at > 0 && s.at[at - 1] != ':')
        at--;
    if (at == 0)
        return false;
    *host = slice_of(s.at, at - 1);
    return parse_port(slice_from(s, at), port);
}

bool
address_parse(struct slice s, union address *a)
{
    struct slice host;
    uint16_t port;

    if (slice_starts(s, SLICE("unix:")))
        return parse_unix(slice_from(s, 5), a);
    if (!split_port(s, &host, &port))
        return false;
    if (host.n == 0 || slice_eq(host, SLICE("*")))
        host = SLICE("[::]");
    if (slice_find(host, ':') != SLICE_NOT_FOUND && !is_bracketed(host))
        return false;
    return address_parse_ip(host, port, a);
}

static bool
is_host_name(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!ascii_is_alpha(s.at[i]) && !ascii_is_digit(s.at[i]) && !strchr("-._", s.at[i]))
            return false;
    return s.n > 0 && s.n <= 255 && slice_find(s, '\0') == SLICE_NOT_FOUND;
}

bool
address_split(struct slice s, uint16_t default_port, struct slice *host, uint16_t *port)
{
    struct in6_addr ignored;

    *host = s;
    *port = default_port;
    if (slice_find(s, ':') != SLICE_NOT_FOUND && !is_bracketed(s) && !split_port(s, host, port))
        return false;
    if (is_bracketed(*host)) {
        *host = slice_of(host->at + 1, host->n - 2);
        return *port != 0 && to_number(AF_INET6, *host, &ignored);
    }
    return *port != 0 && is_host_name(*host);
}

/* ------------------------------------------------------------------ asking */

uint16_t
address_port(const union address *a)
{
    if (a->any.sa_family == AF_INET)
        return ntohs(a->v4.sin_port);
    if (a->any.sa_family == AF_INET6)
        return ntohs(a->v6.sin6_port);
    return 0;
}

static bool
same_host(const union address *a, const union address *b)
{
    if (a->any.sa_family != b->any.sa_family)
        return false;
    switch (a->any.sa_family) {
    case AF_INET:
        return a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr;
    case AF_INET6:
        return memcmp(&a->v6.sin6_addr, &b->v6.sin6_addr, sizeof(struct in6_addr)) == 0 &&
               a->v6.sin6_scope_id == b->v6.sin6_scope_id;
    case AF_UNIX:
        return address_length(a) == address_length(b) && memcmp(a, b, address_length(a)) == 0;
    }
    return true;
}

bool
address_eq(const union address *a, const union address *b)
{
    return same_host(a, b) && address_port(a) == address_port(b);
}

bool
address_is_loopback(const union address *a)
{
    union address one = *a;

    address_unmap(&one);
    return one.any.sa_family == AF_UNIX ||
           (one.any.sa_family == AF_INET && ntohl(one.v4.sin_addr.s_addr) >> 24 == 127) ||
           (one.any.sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&one.v6.sin6_addr));
}

bool
address_same_ip(const union address *a, const union address *b)
{
    union address one = *a, two = *b;

    address_unmap(&one);
    address_unmap(&two);
    return same_host(&one, &two);
}

void
address_unmap(union address *a)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};

    if (a->any.sa_family != AF_INET6 || !is_mapped(&a->v6.sin6_addr))
        return;
    v4.sin_port = a->v6.sin6_port;
    memcpy(&v4.sin_addr, a->v6.sin6_addr.s6_addr + sizeof(mapped_prefix), 4);
    memset(a, 0, sizeof(*a));
    a->v4 = v4;
}

/* ------------------------------------------------------------------ writing */

/* By hand, because the access log and X-Forwarded-For need it for every request. */
static size_t
write_v4(const uint8_t *bytes, char *out)
{
    size_t n = 0;

    for (int i = 0; i < 4; i++) {
        if (i)
            out[n++] = '.';
        n += text_format_u64(out + n, bytes[i]);
    }
    return n;
}

static size_t
write_v6(const struct in6_addr *bytes, char *out)
{
    char text[INET6_ADDRSTRLEN];
    size_t n;

    CHECK(inet_ntop(AF_INET6, bytes, text, sizeof(text)));
    n = strlen(text);
    memcpy(out, text, n);
    return n;
}

static size_t
write_unix(const struct sockaddr_un *un, char *out)
{
    bool abstract = un->sun_path[0] == '\0' && un->sun_path[1] != '\0';
    size_t n = strnlen(un->sun_path + abstract, sizeof(un->sun_path) - abstract);

    memcpy(out, "unix:@", 6);
    memcpy(out + 5 + abstract, un->sun_path + abstract, n);
    return 5 + abstract + n;
}

size_t
address_write_ip(const union address *a, char *out)
{
    switch (a->any.sa_family) {
    case AF_INET:
        return write_v4((const uint8_t *) &a->v4.sin_addr, out);
    case AF_INET6:
        return write_v6(&a->v6.sin6_addr, out);
    case AF_UNIX:
        return write_unix(&a->un, out);
    }
    memcpy(out, "unknown", 7); /* RFC 7239 6.2 */
    return 7;
}

size_t
address_write(const union address *a, char *out)
{
    size_t n = 0;

    if (a->any.sa_family != AF_INET && a->any.sa_family != AF_INET6)
        return address_write_ip(a, out);
    if (a->any.sa_family == AF_INET6)
        out[n++] = '[';
    n += address_write_ip(a, out + n);
    if (a->any.sa_family == AF_INET6)
        out[n++] = ']';
    out[n++] = ':';
    return n + text_format_u64(out + n, address_port(a));
}

/* ------------------------------------------------------------------ networks */

/* The 16 bytes of an IP address in the mapped form; false for another family. */
static bool
mapped_bytes(const union address *a, uint8_t *bytes)
{
    if (a->any.sa_family == AF_INET6) {
        memcpy(bytes, a->v6.sin6_addr.s6_addr, 16);
        return true;
    }
    memcpy(bytes, mapped_prefix, sizeof(mapped_prefix));
    memcpy(bytes + sizeof(mapped_prefix), &a->v4.sin_addr, 4);
    return a->any.sa_family == AF_INET;
}

/* The bits of a byte that belong to the network, given how many bits of it do. */
static uint8_t
mask_of(unsigned bits)
{
    return (uint8_t) (bits >= 8 ? 0xffu : 0xff00u >> bits);
}

static bool
has_bits_behind(const struct network *n)
{
    for (unsigned i = 0; i < 16; i++) {
        unsigned before = i * 8 < n->bits ? n->bits - i * 8 : 0;

        if (n->bytes[i] & (uint8_t) ~mask_of(before))
            return true;
    }
    return false;
}

bool
network_parse(struct slice s, struct network *n)
{
    struct slice length = s;
    struct slice ip = slice_cut(&length, '/');
    union address a;
    uint64_t bits, extra;

    memset(n, 0, sizeof(*n));
    if (slice_eq(s, SLICE("unix"))) {
        n->bits = NETWORK_UNIX;
        return true;
    }
    if (is_bracketed(ip) || !address_parse_ip(ip, 0, &a))
        return false;
    mapped_bytes(&a, n->bytes);
    extra = a.any.sa_family == AF_INET ? MAPPED_BITS : 0;
    bits = 128 - extra;
    if (slice_is_present(length) && (length.n > 3 || !slice_to_u64(length, bits, &bits)))
        return false;
    n->bits = (uint8_t) (bits + extra);
    return !has_bits_behind(n);
}

bool
network_has(const struct network *n, const union address *a)
{
    uint8_t bytes[16];
    unsigned whole = n->bits / 8;

    if (n->bits == NETWORK_UNIX)
        return a->any.sa_family == AF_UNIX;
    if (!mapped_bytes(a, bytes))
        return false;
    /* ::/0 spans the mapped addresses too, but whoever writes it means IPv6. */
    if (n->bits < MAPPED_BITS && memcmp(bytes, mapped_prefix, sizeof(mapped_prefix)) == 0)
        return false;
    if (memcmp(bytes, n->bytes, whole) != 0)
        return false;
    return n->bits % 8 == 0 || ((bytes[whole] ^ n->bytes[whole]) & mask_of(n->bits % 8)) == 0;
}
