/* SPDX-License-Identifier: Apache-2.0 */
#include "middleware/address_set.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/test.h"

#include <stdio.h>

static struct arena arena;
static struct address_set set;

static bool
compile(const char *const *texts, size_t n)
{
    struct network networks[16];

    CHECK(n <= countof(networks));
    for (size_t i = 0; i < n; i++)
        if (!network_parse(slice_str(texts[i]), &networks[i]))
            return false;
    arena_free(&arena);
    arena_init(&arena, NULL, 0, 1 << 20);
    return address_set_compile(&set, networks, n, &arena);
}

#define COMPILE(...)                                                                              \
    compile((const char *[]){__VA_ARGS__}, countof(((const char *[]){__VA_ARGS__})))

static bool
has(const char *ip)
{
    union address a;

    CHECK(address_parse_ip(slice_str(ip), 80, &a));
    return address_set_has(&set, &a);
}

TEST(an_empty_set_has_nobody)
{
    union address peer = {.un = {.sun_family = AF_UNIX}};

    EXPECT(address_set_compile(&set, NULL, 0, NULL));
    EXPECT(!has("10.0.0.1"));
    EXPECT(!has("::1"));
    EXPECT(!address_set_has(&set, &peer));
}

TEST(networks_begin_and_end_where_they_should)
{
    EXPECT(COMPILE("10.0.0.0/8", "192.0.2.7", "0.0.0.0/31", "255.255.255.254/31"));
    EXPECT(has("10.0.0.0"));
    EXPECT(has("10.255.255.255"));
    EXPECT(!has("9.255.255.255"));
    EXPECT(!has("11.0.0.0"));
    EXPECT(has("192.0.2.7"));
    EXPECT(!has("192.0.2.6"));
    EXPECT(!has("192.0.2.8"));
    EXPECT(has("0.0.0.1"));
    EXPECT(has("255.255.255.255"));
    arena_free(&arena);
}

TEST(ipv6_networks_too)
{
    EXPECT(COMPILE("2001:db8::/32", "::1", "fe80::/10"));
    EXPECT(has("2001:db8::"));
    EXPECT(has("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"));
    EXPECT(!has("2001:db7:ffff:ffff:ffff:ffff:ffff:ffff"));
    EXPECT(!has("2001:db9::"));
    EXPECT(has("::1"));
    EXPECT(!has("::2"));
    EXPECT(has("febf::1"));
    EXPECT(!has("fec0::1"));
    EXPECT(!has("10.0.0.1"));
    arena_free(&arena);
}

TEST(mapped_addresses_are_ipv4)
{
    EXPECT(COMPILE("10.0.0.0/8"));
    EXPECT(has("::ffff:10.1.2.3"));
    EXPECT(!has("::ffff:11.1.2.3"));
    EXPECT(!has("::10.1.2.3"));
    EXPECT(COMPILE("::ffff:10.0.0.0/104"));
    EXPECT(has("10.1.2.3"));
    EXPECT(has("::ffff:10.1.2.3"));
    arena_free(&arena);
}

TEST(all_of_ipv6_is_not_all_of_ipv4)
{
    EXPECT(COMPILE("::/0"));
    EXPECT(has("2001:db8::1"));
    EXPECT(has("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"));
    EXPECT(!has("10.0.0.1"));
    EXPECT(!has("::ffff:10.0.0.1"));
    EXPECT(COMPILE("0.0.0.0/0"));
    EXPECT(has("10.0.0.1"));
    EXPECT(has("::ffff:10.0.0.1"));
    EXPECT(!has("2001:db8::1"));
    arena_free(&arena);
}

TEST(networks_that_overlap_or_touch_become_one)
{
    EXPECT(COMPILE("10.0.1.0/24", "10.0.0.0/24", "10.0.0.128/25", "10.0.2.0/24", "10.0.4.0/24",
                   "2001:db8::/33", "2001:db8:8000::/33"));
    EXPECT_EQ(set.n4, 2);
    EXPECT_EQ(set.n6, 1);
    EXPECT(has("10.0.2.255"));
    EXPECT(!has("10.0.3.0"));
    EXPECT(has("10.0.4.0"));
    EXPECT(COMPILE("0.0.0.0/0", "255.255.255.255", "0.0.0.0"));
    EXPECT_EQ(set.n4, 1);
    arena_free(&arena);
}

TEST(unix_peers_are_in_when_they_are_named)
{
    union address peer = {.un = {.sun_family = AF_UNIX}};

    EXPECT(COMPILE("unix", "10.0.0.1"));
    EXPECT(address_set_has(&set, &peer));
    EXPECT(COMPILE("0.0.0.0/0", "::/0"));
    EXPECT(!address_set_has(&set, &peer));
    arena_free(&arena);
}

/* Against the plain answer, over networks and addresses drawn at random. */
TEST(it_agrees_with_asking_every_network)
{
    enum { NETWORKS = 300, QUESTIONS = 5000 };
    static struct network networks[NETWORKS];
    struct dice dice;

    dice_init(&dice, 7);
    for (size_t i = 0; i < NETWORKS; i++) {
        uint64_t r = dice_next(&dice);
        char text[64];
        struct slice s;
        unsigned bits = 12 + (unsigned) (r >> 60), shift = 32 - bits;
        uint32_t base = (uint32_t) r >> shift << shift;

        snprintf(text, sizeof text, "%u.%u.%u.%u/%u", base >> 24, base >> 16 & 255, base >> 8 & 255,
                 base & 255, bits);
        s = slice_str(text);
        EXPECT(network_parse(s, &networks[i]));
    }
    arena_init(&arena, NULL, 0, 1 << 20);
    EXPECT(address_set_compile(&set, networks, NETWORKS, &arena));
    for (size_t i = 0; i < QUESTIONS; i++) {
        union address a = {
            .v4 = {.sin_family = AF_INET, .sin_addr = {(uint32_t) dice_next(&dice)}}};
        bool want = false;

        for (size_t k = 0; k < NETWORKS; k++)
            want |= network_has(&networks[k], &a);
        EXPECT_EQ(address_set_has(&set, &a), want);
    }
    arena_free(&arena);
}
