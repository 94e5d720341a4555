/* SPDX-License-Identifier: Apache-2.0 */
#include "base/address.h"
#include "base/check.h"
#include "base/test.h"

#include <arpa/inet.h>

static char text[ADDRESS_TEXT_MAX];

static struct slice
written(const char *s)
{
    union address a;

    if (!address_parse(slice_str(s), &a))
        return SLICE("refused");
    return slice_of(text, address_write(&a, text));
}

static struct slice
written_ip(const char *s)
{
    union address a;

    if (!address_parse_ip(slice_str(s), 443, &a))
        return SLICE("refused");
    return slice_of(text, address_write_ip(&a, text));
}

static union address
ip(const char *s)
{
    union address a;

    CHECK(address_parse_ip(slice_str(s), 0, &a));
    return a;
}

TEST(an_address_is_written_as_it_was_read)
{
    EXPECT_STR(written("10.0.0.1:80"), "10.0.0.1:80");
    EXPECT_STR(written("[::1]:65535"), "[::1]:65535");
    EXPECT_STR(written("[2001:db8::1]:1"), "[2001:db8::1]:1");
    EXPECT_STR(written("unix:/run/x.sock"), "unix:/run/x.sock");
    EXPECT_STR(written("unix:@abstract"), "unix:@abstract");
}

TEST(no_host_or_a_star_means_all_addresses)
{
    EXPECT_STR(written(":80"), "[::]:80");
    EXPECT_STR(written("*:80"), "[::]:80");
}

TEST(what_is_not_numeric_or_has_no_port_is_no_address)
{
    static const char *const bad[] = {
        "",         "10.0.0.1",  "10.0.0.1:",     "10.0.0.1:0", "10.0.0.1:65536", "10.0.0.1:080000",
        "app:80",   "::1:80",    "[10.0.0.1]:80", "[::1]",      "10.0.0.1:+8",    "010.0.0.1:80",
        "1.2.3:80", "[::1]x:80", "[]:80",         "unix:",      "unix:relative",  "unix:/",
        ":",        "*",         "[::1%lo]:80",   "[::1]:80 ",  " :80",
    };

    for (size_t i = 0; i < countof(bad); i++)
        EXPECT_STR(written(bad[i]), "refused");
}

TEST(an_ip_has_no_port)
{
    EXPECT_STR(written_ip("255.255.255.255"), "255.255.255.255");
    EXPECT_STR(written_ip("0.0.0.0"), "0.0.0.0");
    EXPECT_STR(written_ip("2001:DB8:0:0::0001"), "2001:db8::1");
    EXPECT_STR(written_ip("[2001:db8::1]"), "2001:db8::1");
    EXPECT_STR(written_ip("10.0.0.1:80"), "refused");
    EXPECT_STR(written_ip("[10.0.0.1]"), "refused");
    EXPECT_STR(written_ip("10.0.0.256"), "refused");
    EXPECT_STR(written_ip(""), "refused");
    EXPECT_STR(written_ip("1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb"), "refused");
}

TEST(a_zero_byte_hides_nothing)
{
    union address a;

    EXPECT(!address_parse_ip(slice_of("10.0.0.1\0.9", 11), 0, &a));
    EXPECT(!address_parse(slice_of("unix:/a\0b", 9), &a));
}

TEST(the_longest_texts_fit)
{
    char path[5 + 107 + 1] = "unix:/";
    union address a;

    memset(path + 6, 'x', 106);
    EXPECT_EQ(strlen(path), 112);
    EXPECT_STR(written(path), path);
    EXPECT(address_parse(slice_str(path), &a));
    EXPECT_EQ(address_length(&a), sizeof(struct sockaddr_un));
    EXPECT_STR(written("[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535"),
               "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535");
}

TEST(a_path_that_is_too_long_is_refused)
{
    char path[5 + 108 + 1] = "unix:/";

    memset(path + 6, 'x', 107);
    EXPECT_STR(written(path), "refused");
}

TEST(lengths_are_what_bind_wants)
{
    union address a;

    a = ip("10.0.0.1");
    EXPECT_EQ(address_length(&a), sizeof(struct sockaddr_in));
    a = ip("::1");
    EXPECT_EQ(address_length(&a), sizeof(struct sockaddr_in6));
    EXPECT(address_parse(SLICE("unix:/a"), &a));
    EXPECT_EQ(address_length(&a), offsetof(struct sockaddr_un, sun_path) + 3);
    EXPECT(address_parse(SLICE("unix:@a"), &a));
    EXPECT_EQ(address_length(&a), offsetof(struct sockaddr_un, sun_path) + 2);
    memset(&a, 0, sizeof(a));
    EXPECT_EQ(address_length(&a), 0);
    a.any.sa_family = AF_UNIX;
    EXPECT_EQ(address_length(&a), offsetof(struct sockaddr_un, sun_path));
}

TEST(an_unnamed_unix_peer_is_just_unix)
{
    union address a = {.any.sa_family = AF_UNIX};

    EXPECT_STR(slice_of(text, address_write_ip(&a, text)), "unix:");
    EXPECT_STR(slice_of(text, address_write(&a, text)), "unix:");
    EXPECT_EQ(address_port(&a), 0);
}

TEST(host_and_port_are_split)
{
    struct slice host;
    uint16_t port;

    EXPECT(address_split(SLICE("app.internal:8080"), 0, &host, &port));
    EXPECT_STR(host, "app.internal");
    EXPECT_EQ(port, 8080);
    EXPECT(address_split(SLICE("app_1"), 80, &host, &port));
    EXPECT_STR(host, "app_1");
    EXPECT_EQ(port, 80);
    EXPECT(address_split(SLICE("[::1]:81"), 80, &host, &port));
    EXPECT_STR(host, "::1");
    EXPECT_EQ(port, 81);
    EXPECT(address_split(SLICE("[::1]"), 80, &host, &port));
    EXPECT_STR(host, "::1");
    EXPECT_EQ(port, 80);
    EXPECT(address_split(SLICE("10.0.0.1"), 80, &host, &port));
    EXPECT_STR(host, "10.0.0.1");
}

TEST(malformed_hosts_are_not_split)
{
    static const char *const bad[] = {"",        ":80", "a:",    "a:b",        "a:0",  "a:65536",
                                      "::1",     "a:1:2", "[::1", "[app]:80",  "a b",  "a/b:80",
                                      "[]:80",   "u@h", "a:80/", "[10.0.0.1]", "\xc3\xbc"};
    struct slice host;
    uint16_t port;

    for (size_t i = 0; i < countof(bad); i++)
        EXPECT(!address_split(slice_str(bad[i]), 80, &host, &port));
    EXPECT(!address_split(SLICE("app"), 0, &host, &port));
    EXPECT(!address_split(SLICE("[::1]"), 0, &host, &port));
}

TEST(equal_means_address_and_port)
{
    union address a, b;

    EXPECT(address_parse(SLICE("10.0.0.1:80"), &a));
    EXPECT(address_parse(SLICE("10.0.0.1:81"), &b));
    EXPECT(address_eq(&a, &a));
    EXPECT(!address_eq(&a, &b));
    EXPECT(address_same_ip(&a, &b));
    EXPECT(address_parse(SLICE("[::ffff:10.0.0.1]:80"), &b));
    EXPECT(!address_eq(&a, &b));
    EXPECT(address_same_ip(&a, &b));
    EXPECT(address_parse(SLICE("unix:/a"), &a));
    EXPECT(address_parse(SLICE("unix:/b"), &b));
    EXPECT(address_eq(&a, &a));
    EXPECT(!address_eq(&a, &b));
    EXPECT(!address_same_ip(&a, &b));
}

TEST(a_mapped_address_becomes_ipv4)
{
    union address a;

    EXPECT(address_parse(SLICE("[::ffff:192.0.2.7]:99"), &a));
    address_unmap(&a);
    EXPECT_STR(slice_of(text, address_write(&a, text)), "192.0.2.7:99");
    EXPECT(address_parse(SLICE("[2001:db8::1]:99"), &a));
    address_unmap(&a);
    EXPECT_EQ(a.any.sa_family, AF_INET6);
}

static bool
has(const char *network, const char *address)
{
    struct network n;
    union address a = ip(address);

    CHECK(network_parse(slice_str(network), &n));
    return network_has(&n, &a);
}

TEST(a_network_has_its_addresses)
{
    EXPECT(has("10.0.0.0/8", "10.255.0.1"));
    EXPECT(!has("10.0.0.0/8", "11.0.0.0"));
    EXPECT(has("10.0.0.0/8", "::ffff:10.0.0.1"));
    EXPECT(has("192.0.2.128/25", "192.0.2.255"));
    EXPECT(!has("192.0.2.128/25", "192.0.2.127"));
    EXPECT(has("192.0.2.1", "192.0.2.1"));
    EXPECT(!has("192.0.2.1", "192.0.2.2"));
    EXPECT(has("0.0.0.0/0", "203.0.113.9"));
    EXPECT(!has("0.0.0.0/0", "2001:db8::1"));
    EXPECT(has("2001:db8::/33", "2001:db8:7fff::1"));
    EXPECT(!has("2001:db8::/33", "2001:db8:8000::1"));
    EXPECT(has("::1", "::1"));
    EXPECT(has("::/0", "2001:db8::1"));
    EXPECT(!has("::/0", "203.0.113.9"));
    EXPECT(has("::ffff:10.0.0.0/104", "10.1.2.3"));
}

TEST(unix_is_a_network_of_its_own)
{
    struct network n;
    union address a;

    EXPECT(network_parse(SLICE("unix"), &n));
    EXPECT(address_parse(SLICE("unix:/a"), &a));
    EXPECT(network_has(&n, &a));
    a = ip("10.0.0.1");
    EXPECT(!network_has(&n, &a));
    EXPECT(network_parse(SLICE("0.0.0.0/0"), &n));
    EXPECT(address_parse(SLICE("unix:/a"), &a));
    EXPECT(!network_has(&n, &a));
}

TEST(what_is_no_network_is_refused)
{
    static const char *const bad[] = {"",          "10.0.0.0/", "10.0.0.0/33", "10.0.0.1/8",
                                      "::/129",    "::1/127",   "10.0.0/8",    "example.com",
                                      "[::]/0",    "10.0.0.0/8/8", "10.0.0.0/-1", "unix:/a",
                                      "10.0.0.0/0008"};
    struct network n;

    for (size_t i = 0; i < countof(bad); i++)
        EXPECT(!network_parse(slice_str(bad[i]), &n));
}
