/* SPDX-License-Identifier: Apache-2.0 */
/* Targets, authorities and queries: tables of what goes in and what comes out. */
#include "http/uri.h"

#include "base/check.h"
#include "base/test.h"

static _Alignas(16) char memory[8192];
static struct arena arena;
static struct target target;
static struct authority authority;

static enum err
parse(const char *raw)
{
    arena_init(&arena, memory, sizeof(memory), 0);
    return target_parse(slice_str(raw), false, false, &arena, &target);
}

TEST(paths_become_normal)
{
    static const struct {
        const char *raw, *normal;
    } table[] = {
        {"/", "/"},
        {"/a/b.html", "/a/b.html"},
        {"/a/", "/a/"},
        {"//", "/"},
        {"///a//b///", "/a/b/"},
        {"/.", "/"},
        {"/./", "/"},
        {"/./a", "/a"},
        {"/a/.", "/a/"},
        {"/a/./b", "/a/b"},
        {"/a/..", "/"},
        {"/a/../", "/"},
        {"/a/../b", "/b"},
        {"/a/b/..", "/a/"},
        {"/a/b/../..", "/"},
        {"/a/b/../../c", "/c"},
        {"/a//../b", "/b"},
        {"/a/%2e%2E/b", "/b"},
        {"/a/%2e/b", "/a/b"},
        {"/a/.%2e/b/.", "/b/"},
        {"/.well-known/x", "/.well-known/x"},
        {"/...", "/..."},
        {"/..a/.b/c..", "/..a/.b/c.."},
        {"/%61%7E%2D%5f%30", "/a~-_0"},
        {"/%2f%2F", "/%2F%2F"},
        {"/a%2F..%2fb", "/a%2F..%2Fb"},
        {"/%3f%23%25", "/%3F%23%25"},
        {"/%2541", "/%2541"},
        {"/%c3%a9", "/%C3%A9"},
        {"/\xC3\xA9", "/%C3%A9"},
        {"/a\"<>^`{|}", "/a%22%3C%3E%5E%60%7B%7C%7D"},
        {"/%5c", "/%5C"},
        {"/%20+", "/%20+"},
        {"/!$&'()*+,;=:@[]~-._", "/!$&'()*+,;=:@[]~-._"},
        {"/%21", "/%21"},
        {"/a;b/..;/c", "/a;b/..;/c"},
        {"/a/%2e%2e%2f", "/a/..%2F"},
    };

    for (size_t i = 0; i < countof(table); i++) {
        EXPECT_EQ(parse(table[i].raw), OK);
        EXPECT_STR(target.path, table[i].normal);
        EXPECT_STR(target.raw_path, table[i].raw);
        /* Once normal, always normal, and in place. */
        EXPECT_EQ(parse(table[i].normal), OK);
        EXPECT_STR(target.path, table[i].normal);
        EXPECT(target.path.at == target.raw_path.at);
    }
}

TEST(a_path_that_was_normal_is_not_copied)
{
    static const char *const paths[] = {"/", "/a/b", "/.well-known", "/%C3%A9%20", "/a%2Fb"};

    for (size_t i = 0; i < countof(paths); i++) {
        EXPECT_EQ(parse(paths[i]), OK);
        EXPECT(target.path.at == target.raw.at && target.raw_path.at == target.raw.at);
    }
}

TEST(paths_that_are_refused)
{
    static const char *const bad[] = {
        "",         "a",       "*",         "..",       "/..",       "/../a",   "/a/../..",
        "/%2e%2e",  "/./..",   "//..",      "/a\\b",    "/a b",      "/a\tb",   "/a\x7F",
        "/a\x01",   "/a#b",    "/#",        "/%",       "/%2",       "/%g0",    "/%0g",
        "/%00",     "/a%00b",  "/% 20",     "/a%2",     "/a/../../", "#",       "?a",
        "/a\r\nX:", "/%-1",
    };

    for (size_t i = 0; i < countof(bad); i++)
        EXPECT_EQ(parse(bad[i]), ERR_MALFORMED);
    arena_init(&arena, memory, sizeof(memory), 0);
    EXPECT_EQ(target_parse(slice_of("/a\0b", 4), false, false, &arena, &target), ERR_MALFORMED);
    EXPECT_EQ(target_parse((struct slice){NULL, 0}, false, false, &arena, &target), ERR_MALFORMED);
}

TEST(queries_stay_as_they_came)
{
    EXPECT_EQ(parse("/a?b=../%zz&c=\"<\\>\xFF?/"), OK);
    EXPECT_STR(target.path, "/a");
    EXPECT_STR(target.query, "b=../%zz&c=\"<\\>\xFF?/");
    EXPECT_EQ(parse("/a?"), OK);
    EXPECT(slice_is_present(target.query) && target.query.n == 0);
    EXPECT_EQ(parse("/a"), OK);
    EXPECT(!slice_is_present(target.query));
    EXPECT_EQ(parse("/a?b#c"), ERR_MALFORMED);
    EXPECT_EQ(parse("/a?b c"), ERR_MALFORMED);
    EXPECT_EQ(parse("/a?b\x01"), ERR_MALFORMED);
    EXPECT_EQ(parse("/a?b\x7F"), ERR_MALFORMED);
}

TEST(absolute_forms)
{
    EXPECT_EQ(parse("http://Example.com:80/a/../b?q"), OK);
    EXPECT_STR(target.scheme, "http");
    EXPECT_STR(target.authority, "Example.com:80");
    EXPECT_STR(target.raw_path, "/a/../b");
    EXPECT_STR(target.path, "/b");
    EXPECT_STR(target.query, "q");
    EXPECT_EQ(parse("HTTPS://[::1]"), OK);
    EXPECT_STR(target.scheme, "HTTPS");
    EXPECT_STR(target.authority, "[::1]");
    EXPECT_STR(target.raw_path, "/");
    EXPECT_STR(target.path, "/");
    EXPECT(!slice_is_present(target.query));
    EXPECT_EQ(parse("http://a?q"), OK);
    EXPECT_STR(target.path, "/");
    EXPECT_STR(target.query, "q");
}

TEST(absolute_forms_that_are_refused)
{
    static const char *const bad[] = {
        "http://",   "http:///a",     "http://u@a/",  "http://u:p@a/", "ftp://a/",   "http:/a",
        "http:a",    "http://a:b/",   "http://a\\b/", "http://a#f",    "http://a/#", "http://a:0/",
        "http://[a", "http://a/../b", "ws://a/",      "//a/../..",     "http://?q",  "http://a%2e/",
    };

    for (size_t i = 0; i < countof(bad); i++)
        EXPECT_EQ(parse(bad[i]), ERR_MALFORMED);
}

TEST(connect_takes_an_authority_and_nothing_else)
{
    arena_init(&arena, memory, sizeof(memory), 0);
    EXPECT_EQ(target_parse(SLICE("a.com:443"), true, false, &arena, &target), OK);
    EXPECT_STR(target.authority, "a.com:443");
    EXPECT(!slice_is_present(target.path) && !slice_is_present(target.scheme));
    EXPECT_EQ(target_parse(SLICE("[::1]:443"), true, false, &arena, &target), OK);
    EXPECT_EQ(target_parse(SLICE("a.com"), true, false, &arena, &target), ERR_MALFORMED);
    EXPECT_EQ(target_parse(SLICE("a.com:"), true, false, &arena, &target), ERR_MALFORMED);
    EXPECT_EQ(target_parse(SLICE("/"), true, false, &arena, &target), ERR_MALFORMED);
    EXPECT_EQ(target_parse(SLICE("http://a:80"), true, false, &arena, &target), ERR_MALFORMED);
    EXPECT_EQ(target_parse(SLICE("a:80/"), true, false, &arena, &target), ERR_MALFORMED);
}

TEST(options_also_takes_an_asterisk)
{
    arena_init(&arena, memory, sizeof(memory), 0);
    EXPECT_EQ(target_parse(SLICE("*"), false, true, &arena, &target), OK);
    EXPECT_STR(target.raw_path, "*");
    EXPECT_STR(target.path, "*");
    EXPECT_EQ(target_parse(SLICE("/x"), false, true, &arena, &target), OK);
    EXPECT_EQ(target_parse(SLICE("**"), false, true, &arena, &target), ERR_MALFORMED);
}

TEST(a_path_that_does_not_fit_the_arena)
{
    struct arena none;

    arena_init(&none, NULL, 0, 0);
    EXPECT_EQ(target_parse(SLICE("/a/../b"), false, false, &none, &target), ERR_NO_MEMORY);
    EXPECT_EQ(target_parse(SLICE("/a/b"), false, false, &none, &target), OK);
}

/* ------------------------------------------------------------------ authorities */

static enum err
parse_authority(const char *text)
{
    struct slice s = slice_str(text);
    enum err e;

    arena_init(&arena, memory, sizeof(memory), 0);
    e = authority_parse(s, &arena, &authority);
    return authority_is_valid(s) == (e == OK) ? e : ERR_IO;
}

TEST(authorities)
{
    static const struct {
        const char *text, *host;
        uint16_t    port;
        bool        ipv6;
    } table[] = {
        {"example.com", "example.com", 0, false},
        {"EXAMPLE.Com.:8080", "example.com", 8080, false},
        {"example.com:", "example.com", 0, false},
        {"localhost:65535", "localhost", 65535, false},
        {"127.0.0.1:80", "127.0.0.1", 80, false},
        {"a_b-c.d~e", "a_b-c.d~e", 0, false},
        {"xn--bcher-kva.example", "xn--bcher-kva.example", 0, false},
        {"[::1]", "::1", 0, true},
        {"[2001:DB8::A]:443", "2001:db8::a", 443, true},
        {"[::ffff:192.0.2.1]:0080", "::ffff:192.0.2.1", 80, true},
    };

    for (size_t i = 0; i < countof(table); i++) {
        EXPECT_EQ(parse_authority(table[i].text), OK);
        EXPECT_STR(authority.host, table[i].host);
        EXPECT_EQ(authority.port, table[i].port);
        EXPECT_EQ(authority.ipv6, table[i].ipv6);
    }
}

TEST(authorities_that_are_refused)
{
    static const char *const bad[] = {
        "",        ":80",     ".",      "..",         "a..b",   ".a",     "a.com..", "a b",
        "a/b",     "a?b",     "a#b",    "u@a",        "a,b",    "a%41",   "a\xC3",   "a:b",
        "a:80:80", "a:-1",    "a:+1",   "a:65536",    "a:0",    "a: 80",  "::1",     "[::1",
        "[]",      "[a]",     "[::1]x", "[::1]:x",    "[::1%25eth0]", "[v1.x]", "]", "a[::1]",
        "[::1]]",  "a\\b",    "a\"b",   "[1.2.3.4]",  "[[::1]]",      "a\tb",   "a:99999999999",
    };

    for (size_t i = 0; i < countof(bad); i++)
        EXPECT_EQ(parse_authority(bad[i]), ERR_MALFORMED);
    EXPECT(!authority_is_valid(slice_of("a\0b", 3)));
    EXPECT(!authority_is_valid(slice_of("[::1\0]", 6)));
    EXPECT(!authority_is_valid((struct slice){NULL, 0}));
}

TEST(a_host_in_lower_case_is_not_copied)
{
    struct slice text = SLICE("example.com:80");
    struct arena none;

    arena_init(&none, NULL, 0, 0);
    EXPECT_EQ(authority_parse(text, &none, &authority), OK);
    EXPECT(authority.host.at == text.at);
    EXPECT_EQ(authority_parse(SLICE("Example.com"), &none, &authority), ERR_NO_MEMORY);
}

/* ------------------------------------------------------------------ decoding and queries */

TEST(percent_encodings_are_undone)
{
    char out[64];
    size_t n;

    EXPECT_EQ(percent_decode(SLICE("a%20b+c%2Bd%C3%a9%00"), false, out, &n), OK);
    EXPECT_EQ(n, 10);
    EXPECT(memcmp(out, "a b+c+d\xC3\xA9\0", 10) == 0);
    EXPECT_EQ(percent_decode(SLICE("a+b%2B"), true, out, &n), OK);
    EXPECT_STR(slice_of(out, n), "a b+");
    EXPECT_EQ(percent_decode(SLICE(""), true, out, &n), OK);
    EXPECT_EQ(n, 0);
    EXPECT_EQ(percent_decode(SLICE("%"), false, out, &n), ERR_MALFORMED);
    EXPECT_EQ(percent_decode(SLICE("%4"), false, out, &n), ERR_MALFORMED);
    EXPECT_EQ(percent_decode(SLICE("%4g"), false, out, &n), ERR_MALFORMED);
    EXPECT_EQ(percent_decode(SLICE("%%41"), false, out, &n), ERR_MALFORMED);
}

TEST(query_parameters)
{
    static const struct {
        const char *query, *name, *value; /* value NULL: absent */
    } table[] = {
        {"a=1&b=2", "a", "1"},
        {"a=1&b=2", "b", "2"},
        {"a=1&b=2", "c", NULL},
        {"a=1&a=2", "a", "1"},
        {"aa=1&a=2", "a", "2"},
        {"a&b=", "a", ""},
        {"a&b=", "b", ""},
        {"", "a", NULL},
        {"a=b=c", "a", "b=c"},
        {"a=b%20c+d", "a", "b c d"},
        {"%61%2b=x", "a+", "x"},
        {"a+b=x", "a b", "x"},
        {"a%=x&a=y", "a", "y"},
        {"a=%zz&a=y", "a", NULL},
        {"a=%4", "a", NULL},
        {"=x&a=y", "a", "y"},
        {"=x", "", NULL},
        {"&&a=y&&", "a", "y"},
        {"A=x&a=y", "a", "y"},
        {"a;b=1", "b", NULL},
        {"ab=1", "a", NULL},
        {"a=1", "ab", NULL},
        {"a%", "a", NULL},
        {"a%2", "a%2", NULL},
    };

    for (size_t i = 0; i < countof(table); i++) {
        struct slice value;

        arena_init(&arena, memory, sizeof(memory), 0);
        value = query_value(slice_str(table[i].query), slice_str(table[i].name), &arena);
        EXPECT_EQ(slice_is_present(value), table[i].value != NULL);
        if (table[i].value)
            EXPECT_STR(value, table[i].value);
    }
    EXPECT(!slice_is_present(query_value((struct slice){NULL, 0}, SLICE("a"), &arena)));
}

TEST(a_query_value_that_needs_no_decoding_is_not_copied)
{
    struct slice query = SLICE("a=plain&b=x%20y");
    struct arena none;

    arena_init(&none, NULL, 0, 0);
    EXPECT(query_value(query, SLICE("a"), &none).at == query.at + 2);
    EXPECT(!slice_is_present(query_value(query, SLICE("b"), &none)));
}
