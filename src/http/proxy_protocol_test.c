/* SPDX-License-Identifier: Apache-2.0 */
#include "http/proxy_protocol.h"

#include "base/check.h"
#include "base/test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/un.h>

#define V2 "\r\n\r\n\0\r\nQUIT\n"

static struct proxy_header header;
static size_t used;

static enum h1_result
parse(struct slice bytes)
{
    char *copy = malloc(bytes.n ? bytes.n : 1);
    enum h1_result result;

    memcpy(copy, bytes.at, bytes.n);
    result = proxy_header_parse(slice_of(copy, bytes.n), &header, &used);
    free(copy);
    return result;
}

/* Every shorter piece asks for more, the whole is there; what follows is not touched. */
static bool
is_whole(struct slice bytes)
{
    char more[PROXY_HEADER_MAX + 8];

    for (size_t n = 0; n < bytes.n; n++)
        if (parse(slice_first(bytes, n)) != H1_MORE)
            return false;
    memcpy(more, bytes.at, bytes.n);
    memcpy(more + bytes.n, "GET / HT", 8);
    if (parse(slice_of(more, bytes.n + 8)) != H1_DONE || used != bytes.n)
        return false;
    return proxy_header_parse(bytes, &header, &used) == H1_DONE && used == bytes.n;
}

static bool
is_ipv4(const struct sockaddr_storage *address, const char *want, uint16_t port)
{
    struct sockaddr_in in;
    char text[INET_ADDRSTRLEN];

    memcpy(&in, address, sizeof(in));
    return in.sin_family == AF_INET && ntohs(in.sin_port) == port &&
           strcmp(inet_ntop(AF_INET, &in.sin_addr, text, sizeof(text)), want) == 0;
}

static bool
is_ipv6(const struct sockaddr_storage *address, const char *want, uint16_t port)
{
    struct sockaddr_in6 in6;
    char text[INET6_ADDRSTRLEN];

    memcpy(&in6, address, sizeof(in6));
    return in6.sin6_family == AF_INET6 && ntohs(in6.sin6_port) == port &&
           strcmp(inet_ntop(AF_INET6, &in6.sin6_addr, text, sizeof(text)), want) == 0;
}

TEST(version_1_with_ipv4)
{
    EXPECT(is_whole(SLICE("PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n")));
    EXPECT(!header.local);
    EXPECT(is_ipv4(&header.source, "192.0.2.1", 56324));
    EXPECT(is_ipv4(&header.destination, "198.51.100.7", 443));
    EXPECT(!slice_is_present(header.authority) && !slice_is_present(header.alpn));
}

TEST(version_1_with_ipv6)
{
    EXPECT(is_whole(SLICE("PROXY TCP6 2001:db8::1 ::1 0 65535\r\n")));
    EXPECT(is_ipv6(&header.source, "2001:db8::1", 0));
    EXPECT(is_ipv6(&header.destination, "::1", 65535));
    EXPECT(is_whole(SLICE("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
                          "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n")));
}

TEST(version_1_unknown)
{
    EXPECT(is_whole(SLICE("PROXY UNKNOWN\r\n")));
    EXPECT(header.local);
    EXPECT_EQ(header.source.ss_family, AF_UNSPEC);
    EXPECT(is_whole(SLICE("PROXY UNKNOWN ffff:f...f:ffff whatever 65535 65535\r\n")));
    EXPECT(header.local);
}

TEST(version_1_refused)
{
    static const char *const bad[] = {
        "GET / HTTP/1.1\r\n",
        "PROXYTCP4 1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXX",
        "proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY \r\n",
        "PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY tcp4 1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY TCP4\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 \r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n",
        "PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n",
        "PROXY TCP4 1.2.3.04 1.2.3.4 1 2\r\n",
        "PROXY TCP4 ::1 ::1 1 2\r\n",
        "PROXY TCP6 1.2.3.4 ::1 1 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 -1 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n",
        "PROXY UNKNOWN\n",
        "PROXY UNKNOWNX\r\n",
        "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ::1 1 2\r\n",
        "PROXY UNKNOWN 0123456789012345678901234567890123456789012345678901234567890123456789"
        "01234567890123456789012\r\n",
    };

    for (size_t i = 0; i < countof(bad); i++)
        EXPECT_EQ(parse(slice_str(bad[i])), H1_BAD);
    EXPECT_EQ(used, 0);
    EXPECT_EQ(parse(slice_of("PROXY TCP4 1.2.3\0 1.2.3.4 1 2\r\n", 32)), H1_BAD);
}

TEST(version_2_with_ipv4)
{
    EXPECT(is_whole(SLICE(V2 "\x21\x11\x00\x0C\xC0\x00\x02\x01\xC6\x33\x64\x07\xDC\x04\x01\xBB")));
    EXPECT(!header.local);
    EXPECT(is_ipv4(&header.source, "192.0.2.1", 56324));
    EXPECT(is_ipv4(&header.destination, "198.51.100.7", 443));
    /* Over UDP it is the same. */
    EXPECT(is_whole(SLICE(V2 "\x21\x12\x00\x0C\xC0\x00\x02\x01\xC6\x33\x64\x07\xDC\x04\x01\xBB")));
    EXPECT(is_ipv4(&header.source, "192.0.2.1", 56324));
}

TEST(version_2_with_ipv6_and_tlvs)
{
    EXPECT(is_whole(SLICE(V2 "\x21\x21\x00\x38"
                             "\x20\x01\x0D\xB8\0\0\0\0\0\0\0\0\0\0\0\x01"
                             "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01"
                             "\x00\x50\x1F\x90"
                             "\x01\x00\x02h2"
                             "\x04\x00\x01\0"
                             "\x02\x00\x05" "a.com"
                             "\xEE\x00\x00")));
    EXPECT(is_ipv6(&header.source, "2001:db8::1", 80));
    EXPECT(is_ipv6(&header.destination, "::1", 8080));
    EXPECT_STR(header.alpn, "h2");
    EXPECT_STR(header.authority, "a.com");
}

TEST(version_2_with_unix_addresses)
{
    char bytes[16 + 216] = V2 "\x21\x31\x00\xD8";
    struct sockaddr_un un;

    memcpy(bytes + 16, "/run/a", 6);
    memcpy(bytes + 16 + 108, "/run/b", 6);
    EXPECT(is_whole(slice_of(bytes, sizeof(bytes))));
    EXPECT(!header.local);
    memcpy(&un, &header.source, sizeof(un));
    EXPECT_EQ(un.sun_family, AF_UNIX);
    EXPECT_STR(slice_str(un.sun_path), "/run/a");
    memcpy(&un, &header.destination, sizeof(un));
    EXPECT_STR(slice_str(un.sun_path), "/run/b");
}

TEST(version_2_local_and_unspecified)
{
    EXPECT(is_whole(SLICE(V2 "\x20\x00\x00\x00")));
    EXPECT(header.local);
    EXPECT(is_whole(SLICE(V2 "\x20\x77\x00\x03???")));
    EXPECT(header.local);
    EXPECT(is_whole(SLICE(V2 "\x21\x00\x00\x08\x02\x00\x05" "a.com")));
    EXPECT(header.local);
    EXPECT_STR(header.authority, "a.com");
}

TEST(version_2_refused)
{
    EXPECT_EQ(parse(SLICE("\r\n\r\n\0\r\nQUIX")), H1_BAD);
    EXPECT_EQ(parse(SLICE(V2 "\x11")), H1_BAD);
    EXPECT_EQ(parse(SLICE(V2 "\x31\x11\x00\x0C")), H1_BAD);
    EXPECT_EQ(parse(SLICE(V2 "\x22\x11\x00\x0C")), H1_BAD);
    /* Too long to accept, known before it has arrived. */
    EXPECT_EQ(parse(SLICE(V2 "\x21\x11\x02\x09")), H1_BAD);
    EXPECT_EQ(parse(SLICE(V2 "\x21\x11\x02\x08")), H1_MORE);
    EXPECT_EQ(parse(SLICE(V2 "\x20\x00\xFF\xFF")), H1_BAD);
    /* An unknown family, addresses cut off, TLVs cut off. */
    EXPECT_EQ(parse(SLICE(V2 "\x21\x41\x00\x00")), H1_BAD);
    EXPECT_EQ(parse(SLICE(V2 "\x21\x11\x00\x0B\xC0\x00\x02\x01\xC6\x33\x64\x07\xDC\x04\x01")),
              H1_BAD);
    EXPECT_EQ(parse(SLICE(V2 "\x21\x00\x00\x02\x02\x00")), H1_BAD);
    EXPECT_EQ(parse(SLICE(V2 "\x21\x00\x00\x04\x02\x00\x02x")), H1_BAD);
}

/* The checksum was computed with Python, bit by bit from the polynomial 0x82F63B78. */
TEST(version_2_checksum)
{
    char bytes[] = V2 "\x21\x11\x00\x13\x7F\x00\x00\x01\x7F\x00\x00\x01\x04\xD2\x1F\x90"
                      "\x03\x00\x04@@@@";
    size_t n = sizeof(bytes) - 1;

    memcpy(bytes + n - 4, "\x05\xAD\x67\x99", 4);
    EXPECT(is_whole(slice_of(bytes, n)));
    EXPECT(is_ipv4(&header.source, "127.0.0.1", 1234));
    bytes[19] ^= 1;
    EXPECT_EQ(parse(slice_of(bytes, n)), H1_BAD);
    bytes[19] ^= 1;
    bytes[n - 1] ^= 1;
    EXPECT_EQ(parse(slice_of(bytes, n)), H1_BAD);
    EXPECT_EQ(parse(SLICE(V2 "\x21\x00\x00\x05\x03\x00\x02xx")), H1_BAD);
}

TEST(nothing_yet)
{
    EXPECT_EQ(proxy_header_parse((struct slice){NULL, 0}, &header, &used), H1_MORE);
}

/* ------------------------------------------------------------------ writing */

static struct sockaddr_storage
address_of(int family, const char *text, uint16_t port)
{
    struct sockaddr_storage storage;
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

    memset(&storage, 0, sizeof(storage));
    storage.ss_family = (sa_family_t) family;
    if (family == AF_INET && inet_pton(AF_INET, text, &in.sin_addr) == 1)
        memcpy(&storage, &in, sizeof(in));
    if (family == AF_INET6 && inet_pton(AF_INET6, text, &in6.sin6_addr) == 1)
        memcpy(&storage, &in6, sizeof(in6));
    return storage;
}

static struct slice
write(int version, struct sockaddr_storage source, struct sockaddr_storage destination)
{
    static char out[PROXY_HEADER_MAX];

    return slice_of(out, proxy_header_write(out, version, (const struct sockaddr *) &source,
                                            (const struct sockaddr *) &destination));
}

TEST(what_is_written_in_text)
{
    EXPECT_STR(
        write(1, address_of(AF_INET, "192.0.2.1", 1), address_of(AF_INET, "10.0.0.1", 65535)),
        "PROXY TCP4 192.0.2.1 10.0.0.1 1 65535\r\n");
    EXPECT_STR(write(1, address_of(AF_INET6, "::1", 80), address_of(AF_INET6, "2001:db8::2", 443)),
               "PROXY TCP6 ::1 2001:db8::2 80 443\r\n");
    EXPECT_STR(write(1, address_of(AF_UNIX, "", 0), address_of(AF_UNIX, "", 0)),
               "PROXY UNKNOWN\r\n");
    EXPECT_STR(write(1, address_of(AF_INET, "1.2.3.4", 1), address_of(AF_INET6, "::1", 2)),
               "PROXY UNKNOWN\r\n");
}

TEST(what_is_written_is_read)
{
    for (int version = 1; version <= 2; version++) {
        EXPECT(is_whole(write(version, address_of(AF_INET, "192.0.2.1", 1234),
                              address_of(AF_INET, "198.51.100.7", 443))));
        EXPECT(!header.local && is_ipv4(&header.source, "192.0.2.1", 1234) &&
               is_ipv4(&header.destination, "198.51.100.7", 443));
        EXPECT(is_whole(write(version, address_of(AF_INET6, "2001:db8::1", 1234),
                              address_of(AF_INET6, "::1", 443))));
        EXPECT(!header.local && is_ipv6(&header.source, "2001:db8::1", 1234) &&
               is_ipv6(&header.destination, "::1", 443));
        EXPECT(is_whole(write(version, address_of(AF_UNIX, "", 0), address_of(AF_UNIX, "", 0))));
        EXPECT(header.local);
    }
}

TEST(no_addresses_are_written_as_unknown)
{
    char out[PROXY_HEADER_MAX];

    EXPECT_STR(slice_of(out, proxy_header_write(out, 1, NULL, NULL)), "PROXY UNKNOWN\r\n");
    EXPECT_EQ(proxy_header_write(out, 2, NULL, NULL), 16);
    EXPECT_EQ(out[12], 0x20);
}
