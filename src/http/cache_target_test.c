/* SPDX-License-Identifier: Apache-2.0 */
#include "http/cache_target.h"

#include "base/test.h"

static struct arena arena;

static struct target
parsed(const char *raw)
{
    struct target t = {0};

    arena_free(&arena);
    arena_init(&arena, NULL, 0, 1u << 20);
    if (target_parse(slice_str(raw), false, false, &arena, &t) != OK)
        t.path = slice_of(NULL, 0);
    return t;
}

static enum cache_refusal
judge(const char *raw, unsigned status, const char *type)
{
    struct target t = parsed(raw);

    return cache_target_refuses(&t, status, slice_str(type));
}

TEST(what_ends_like_a_file_and_is_one)
{
    EXPECT_EQ(judge("/a/style.css", 200, "text/css"), CACHE_MAY_STORE);
    EXPECT_EQ(judge("/a/logo.svg?v=1", 200, "image/svg+xml"), CACHE_MAY_STORE);
    EXPECT_EQ(judge("/app.js", 200, NULL), CACHE_MAY_STORE);
    EXPECT_EQ(judge("/", 200, "text/html"), CACHE_MAY_STORE);
    EXPECT_EQ(judge("/page.html", 200, "text/html"), CACHE_MAY_STORE);
    EXPECT_EQ(judge("/account?x=.css", 200, "text/html"), CACHE_MAY_STORE);
    EXPECT_EQ(judge("/css", 200, "text/html"), CACHE_MAY_STORE);
}

TEST(documents_under_the_name_of_a_file)
{
    EXPECT_EQ(judge("/account/x.css", 200, "text/html; charset=utf-8"), CACHE_REFUSED_TYPE);
    EXPECT_EQ(judge("/account/x.JS", 200, "Application/JSON"), CACHE_REFUSED_TYPE);
    EXPECT_EQ(judge("/x.png", 200, "application/problem+json"), CACHE_REFUSED_TYPE);
    EXPECT_EQ(judge("/x.%63ss", 200, "text/html"), CACHE_REFUSED_TYPE);
    EXPECT_EQ(judge("/missing.css", 404, "text/html"), CACHE_MAY_STORE);
}

TEST(separators_that_not_everybody_sees)
{
    static const char *const bad[] = {
        "/account;x.css", "/account%3Bx.css", "/account%2fx.css", "/account%5Cx.css",
        "/account%3Fx.css", "/account%23x.css", "/account%0Ax.css", "/account%252Fx.css",
        "/account/%2e%2e%2Fx.css", "/a;b/x.js",
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        EXPECT_EQ(judge(bad[i], 200, "text/css"), CACHE_REFUSED_PATH);
    EXPECT_EQ(judge("/@scope%2Fname", 200, "text/html"), CACHE_MAY_STORE);
    EXPECT_EQ(judge("/a;b", 200, "text/html"), CACHE_MAY_STORE);
    EXPECT_EQ(judge("/a%20b.css", 200, "text/css"), CACHE_MAY_STORE);
}

static const struct cache_origin origin = {SLICE_INIT("https"), SLICE_INIT("example.com"), 0};

static struct slice
resolved(const char *reference)
{
    struct target base = parsed("/shop/cart?id=1");

    return cache_target_resolve(&origin, &base, slice_str(reference), &arena);
}

TEST(references_of_the_same_origin)
{
    EXPECT_STR(resolved("/x"), "/x");
    EXPECT_STR(resolved("items"), "/shop/items");
    EXPECT_STR(resolved("./items?b=2#top"), "/shop/items?b=2");
    EXPECT_STR(resolved("../x/../y"), "/y");
    EXPECT_STR(resolved("?id=2"), "/shop/cart?id=2");
    EXPECT_STR(resolved(""), "/shop/cart?id=1");
    EXPECT_STR(resolved("#here"), "/shop/cart?id=1");
    EXPECT_STR(resolved(" /%7Ea/%2fb "), "/~a/%2Fb");
    EXPECT_STR(resolved("https://example.com"), "/");
    EXPECT_STR(resolved("HTTPS://EXAMPLE.com:443/a?b"), "/a?b");
    EXPECT_STR(resolved("https://example.com?b"), "/?b");
    EXPECT_STR(resolved("//example.com/a"), "/a");
    EXPECT_STR(resolved("a/b:c"), "/shop/a/b:c");
}

TEST(references_to_others)
{
    EXPECT(!slice_is_present(resolved("http://example.com/a")));
    EXPECT(!slice_is_present(resolved("http://example.com:443/a")));
    EXPECT(!slice_is_present(resolved("https://example.com:8443/a")));
    EXPECT(!slice_is_present(resolved("https://example.org/a")));
    EXPECT(!slice_is_present(resolved("//example.org/a")));
    EXPECT(!slice_is_present(resolved("mailto:a@example.com")));
    EXPECT(!slice_is_present(resolved("https://me@example.com/a")));
    EXPECT(!slice_is_present(resolved("../../../a")));
    EXPECT(!slice_is_present(resolved("/%zz")));
    EXPECT(!slice_is_present(resolved("https://")));
}
