/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http/proxy_protocol.c - whom a proxy in front of us speaks for, in text (1) or binary (2).
 *
 * The header comes from a trusted peer, yet is parsed as strictly as anything: what it says becomes
 * the client's address in every rule and log.
 */
#include "http/proxy_protocol.h"

#include "base/check.h"
#include "base/text.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

enum {
    V1_MAX = 107,
    V2_FIXED = 16, /* signature, version and command, family, length */
    TLV_ALPN = 0x01,
    TLV_AUTHORITY = 0x02,
    TLV_CRC32C = 0x03,
};

/* Family and transport in one byte of version 2. */
enum {
    V2_UNSPEC = 0x00,
    V2_TCP4 = 0x11,
    V2_UDP4 = 0x12,
    V2_TCP6 = 0x21,
    V2_UDP6 = 0x22,
    V2_UNIX_STREAM = 0x31,
    V2_UNIX_DATAGRAM = 0x32,
};

static const struct slice v2_signature = SLICE_INIT("\r\n\r\n\0\r\nQUIT\n");

/* ------------------------------------------------------------------ addresses */

static void
set_ipv4(struct sockaddr_storage *to, const char *address, uint16_t port_net)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = port_net};

    memcpy(&in.sin_addr, address, sizeof(in.sin_addr));
    memset(to, 0, sizeof(*to));
    memcpy(to, &in, sizeof(in));
}

static void
set_ipv6(struct sockaddr_storage *to, const char *address, uint16_t port_net)
{
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = port_net};

    memcpy(&in6.sin6_addr, address, sizeof(in6.sin6_addr));
    memset(to, 0, sizeof(*to));
    memcpy(to, &in6, sizeof(in6));
}

static void
set_unix(struct sockaddr_storage *to, const char *path)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};

    memcpy(un.sun_path, path, sizeof(un.sun_path));
    memset(to, 0, sizeof(*to));
    memcpy(to, &un, sizeof(un));
}

static uint16_t
load_16(const char *p)
{
    uint16_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}

/* ------------------------------------------------------------------ version 1 */

static bool
parse_v1_address(struct slice text, int family, struct slice port_text,
                 struct sockaddr_storage *to)
{
    char zero_ended[INET6_ADDRSTRLEN], address[16];
    uint64_t port;

    if (text.n == 0 || text.n >= sizeof(zero_ended) || slice_find(text, '\0') != SLICE_NOT_FOUND)
        return false;
    memcpy(zero_ended, text.at, text.n);
    zero_ended[text.n] = '\0';
    if (inet_pton(family, zero_ended, address) != 1)
        return false;
    if (!slice_to_u64(port_text, UINT16_MAX, &port) || (port_text.n > 1 && port_text.at[0] == '0'))
        return false;
    if (family == AF_INET)
        set_ipv4(to, address, htons((uint16_t) port));
    else
        set_ipv6(to, address, htons((uint16_t) port));
    return true;
}

/* line: what stands between "PROXY " and the CRLF. */
static bool
parse_v1_line(struct slice line, struct proxy_header *h)
{
    struct slice protocol = slice_cut(&line, ' '), source, destination, source_port;
    int family;

    if (slice_eq(protocol, SLICE("UNKNOWN")))
        return h->local = true;
    if (slice_eq(protocol, SLICE("TCP4")))
        family = AF_INET;
    else if (slice_eq(protocol, SLICE("TCP6")))
        family = AF_INET6;
    else
        return false;
    source = slice_cut(&line, ' ');
    destination = slice_cut(&line, ' ');
    source_port = slice_cut(&line, ' ');
    return parse_v1_address(source, family, source_port, &h->source) &&
           parse_v1_address(destination, family, line, &h->destination);
}

static enum h1_result
parse_v1(struct slice bytes, struct proxy_header *h, size_t *used)
{
    struct slice window = slice_first(bytes, V1_MAX);
    size_t lf = slice_find(window, '\n'), prefix = SLICE("PROXY ").n;

    if (lf == SLICE_NOT_FOUND)
        return bytes.n < V1_MAX ? H1_MORE : H1_BAD;
    if (lf < prefix || window.at[lf - 1] != '\r')
        return H1_BAD;
    if (!parse_v1_line(slice_of(window.at + prefix, lf - 1 - prefix), h))
        return H1_BAD;
    *used = lf + 1;
    return H1_DONE;
}

/* ------------------------------------------------------------------ version 2 */

/* CRC-32C (RFC 3720 B.4), four bits at a time: one header a connection is worth no larger table. */
static uint32_t
crc32c(uint32_t crc, struct slice s)
{
    static const uint32_t table[16] = {
        0x00000000, 0x105EC76F, 0x20BD8EDE, 0x30E349B1, 0x417B1DBC, 0x5125DAD3,
        0x61C69362, 0x7198540D, 0x82F63B78, 0x92A8FC17, 0xA24BB5A6, 0xB21572C9,
        0xC38D26C4, 0xD3D3E1AB, 0xE330A81A, 0xF36E6F75,
    };

    for (size_t i = 0; i < s.n; i++) {
        crc ^= (unsigned char) s.at[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return crc;
}

/* The checksum covers the whole header, its own four bytes counted as zero. */
static bool
is_checksum_right(struct slice header, struct slice value)
{
    size_t before = (size_t) (value.at - header.at);
    uint32_t crc = UINT32_MAX, got;

    if (value.n != 4)
        return false;
    crc = crc32c(crc, slice_first(header, before));
    crc = crc32c(crc, slice_of("\0\0\0\0", 4));
    crc = ~crc32c(crc, slice_from(header, before + 4));
    memcpy(&got, value.at, sizeof(got));
    return ntohl(got) == crc;
}

static bool
parse_tlvs(struct slice header, struct slice rest, struct proxy_header *h)
{
    while (rest.n) {
        struct slice value;
        size_t n;

        if (rest.n < 3 || (n = ntohs(load_16(rest.at + 1))) > rest.n - 3)
            return false;
        value = slice_of(rest.at + 3, n);
        switch (rest.at[0]) {
        case TLV_ALPN: h->alpn = value; break;
        case TLV_AUTHORITY: h->authority = value; break;
        case TLV_CRC32C:
            if (!is_checksum_right(header, value))
                return false;
            break;
        default: break;
        }
        rest = slice_from(rest, 3 + n);
    }
    return true;
}

/* How many bytes the addresses of a family take; SIZE_MAX for one that does not exist. */
static size_t
v2_addresses_size(unsigned char family)
{
    switch (family) {
    case V2_UNSPEC: return 0;
    case V2_TCP4:
    case V2_UDP4: return 12;
    case V2_TCP6:
    case V2_UDP6: return 36;
    case V2_UNIX_STREAM:
    case V2_UNIX_DATAGRAM: return 216;
    default: return SIZE_MAX;
    }
}

static void
read_v2_addresses(const char *p, size_t size, struct proxy_header *h)
{
    switch (size) {
    case 12:
        set_ipv4(&h->source, p, load_16(p + 8));
        set_ipv4(&h->destination, p + 4, load_16(p + 10));
        break;
    case 36:
        set_ipv6(&h->source, p, load_16(p + 32));
        set_ipv6(&h->destination, p + 16, load_16(p + 34));
        break;
    case 216:
        set_unix(&h->source, p);
        set_unix(&h->destination, p + 108);
        break;
    default: h->local = true; break;
    }
}

/* LOCAL: a probe of the proxy itself, whatever else the header holds is to be ignored.  A family
 * that nobody defined is refused rather than ignored: its addresses would be taken for TLVs. */
static enum h1_result
parse_v2(struct slice bytes, struct proxy_header *h, size_t *used)
{
    struct slice header, rest;
    size_t size, n;

    if (bytes.n > 12 && (unsigned char) bytes.at[12] != 0x20 &&
        (unsigned char) bytes.at[12] != 0x21)
        return H1_BAD;
    if (bytes.n < V2_FIXED)
        return H1_MORE;
    n = V2_FIXED + (size_t) ntohs(load_16(bytes.at + 14));
    if (n > PROXY_HEADER_MAX)
        return H1_BAD;
    if (bytes.n < n)
        return H1_MORE;
    *used = n;
    header = slice_first(bytes, n);
    if (bytes.at[12] == 0x20) {
        h->local = true;
        return H1_DONE;
    }
    rest = slice_from(header, V2_FIXED);
    size = v2_addresses_size((unsigned char) bytes.at[13]);
    if (size > rest.n)
        return H1_BAD;
    read_v2_addresses(rest.at, size, h);
    return parse_tlvs(header, slice_from(rest, size), h) ? H1_DONE : H1_BAD;
}

/* ------------------------------------------------------------------ the door */

/* Does s begin with what, as far as it goes? */
static bool
may_start(struct slice s, struct slice what)
{
    return slice_starts(what, slice_first(s, what.n));
}

enum h1_result
proxy_header_parse(struct slice bytes, struct proxy_header *h, size_t *used)
{
    enum h1_result result = H1_BAD;

    *h = (struct proxy_header){.local = false};
    *used = 0;
    if (bytes.n == 0)
        return H1_MORE;
    if (may_start(bytes, SLICE("PROXY ")))
        result = parse_v1(bytes, h, used);
    else if (may_start(bytes, v2_signature))
        result = parse_v2(bytes, h, used);
    if (result != H1_DONE)
        *used = 0;
    return result;
}

/* ------------------------------------------------------------------ writing */

/* AF_INET or AF_INET6 when both addresses are of it, else AF_UNSPEC. */
static int
common_family(const struct sockaddr *source, const struct sockaddr *destination)
{
    if (!source || !destination || source->sa_family != destination->sa_family)
        return AF_UNSPEC;
    return source->sa_family == AF_INET || source->sa_family == AF_INET6 ? source->sa_family
                                                                        : AF_UNSPEC;
}

/* The address in network order (4 or 16 bytes) into address; the port, in network order too. */
static uint16_t
address_of(const struct sockaddr *from, char *address)
{
    struct sockaddr_in in;
    struct sockaddr_in6 in6;

    if (from->sa_family == AF_INET) {
        memcpy(&in, from, sizeof(in));
        memcpy(address, &in.sin_addr, sizeof(in.sin_addr));
        return in.sin_port;
    }
    memcpy(&in6, from, sizeof(in6));
    memcpy(address, &in6.sin6_addr, sizeof(in6.sin6_addr));
    return in6.sin6_port;
}

static size_t
write_v1(char *out, int family, const struct sockaddr *source, const struct sockaddr *destination)
{
    char address[16], from[INET6_ADDRSTRLEN], to[INET6_ADDRSTRLEN];
    uint16_t from_port, to_port;
    struct text t;

    text_fixed(&t, out, PROXY_HEADER_MAX);
    if (family == AF_UNSPEC) {
        text_literal(&t, "PROXY UNKNOWN\r\n");
        return t.n;
    }
    from_port = ntohs(address_of(source, address));
    CHECK(inet_ntop(family, address, from, sizeof(from)));
    to_port = ntohs(address_of(destination, address));
    CHECK(inet_ntop(family, address, to, sizeof(to)));
    text_printf(&t, "PROXY TCP%c %s %s %u %u\r\n", family == AF_INET ? '4' : '6', from, to,
                from_port, to_port);
    CHECK(!t.full && t.n <= V1_MAX);
    return t.n;
}

static size_t
write_v2(char *out, int family, const struct sockaddr *source, const struct sockaddr *destination)
{
    size_t each = family == AF_INET ? 4 : 16;
    uint16_t n = 0, port;

    memcpy(out, v2_signature.at, v2_signature.n);
    out[12] = family == AF_UNSPEC ? 0x20 : 0x21;
    out[13] = family == AF_UNSPEC ? V2_UNSPEC : family == AF_INET ? V2_TCP4 : V2_TCP6;
    if (family != AF_UNSPEC) {
        n = (uint16_t) (2 * each + 4);
        port = address_of(source, out + V2_FIXED);
        memcpy(out + V2_FIXED + 2 * each, &port, sizeof(port));
        port = address_of(destination, out + V2_FIXED + each);
        memcpy(out + V2_FIXED + 2 * each + 2, &port, sizeof(port));
    }
    out[14] = (char) (n >> 8);
    out[15] = (char) n;
    return V2_FIXED + (size_t) n;
}

size_t
proxy_header_write(char *out, int version, const struct sockaddr *source,
                   const struct sockaddr *destination)
{
    int family = common_family(source, destination);

    CHECK(version == 1 || version == 2);
    return version == 1 ? write_v1(out, family, source, destination)
                        : write_v2(out, family, source, destination);
}
