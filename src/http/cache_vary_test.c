/* SPDX-License-Identifier: Apache-2.0 */
#include "http/cache_vary.h"

#include "base/test.h"
#include "http/testing_cache.h"

static char memory[1024];
static struct text t;

static enum cache_vary
names(const char *response)
{
    text_fixed(&t, memory, CACHE_VARY_NAMES_BYTES);
    return cache_vary_names(cache_test_fields(response), &t);
}

static struct slice
key(const char *wanted, const char *request)
{
    static char keys[8][512];
    static unsigned next;

    text_fixed(&t, keys[next++ % 8], sizeof(keys[0]));
    cache_vary_key(slice_str(wanted), cache_test_fields(request), &t);
    return text_slice(&t);
}

static bool
same(const char *wanted, const char *a, const char *b)
{
    return slice_eq(key(wanted, a), key(wanted, b));
}

TEST(names_in_one_order)
{
    EXPECT_EQ(names("A: b"), CACHE_VARY_NONE);
    EXPECT_EQ(names("Vary: "), CACHE_VARY_NONE);
    EXPECT_EQ(names("Vary: Foo, accept\nVary: , ACCEPT , Bar"), CACHE_VARY_NAMED);
    EXPECT_STR(text_slice(&t), "accept,bar,foo");
}

TEST(stars_and_nonsense)
{
    EXPECT_EQ(names("Vary: *"), CACHE_VARY_STAR);
    EXPECT_EQ(names("Vary: Foo, *"), CACHE_VARY_STAR);
    EXPECT_EQ(names("Vary:\nVary: ,*"), CACHE_VARY_STAR);
    EXPECT_EQ(names("Vary: a b"), CACHE_VARY_STAR);
    EXPECT_EQ(names("Vary: \"a\""), CACHE_VARY_STAR);
}

TEST(too_many_names_are_a_star)
{
    char line[2000] = "Vary: aa";

    for (char c = 'b'; c < 'b' + CACHE_VARY_NAMES_MAX - 1; c++)
        snprintf(line + strlen(line), 8, ",a%c", c);
    EXPECT_EQ(names(line), CACHE_VARY_NAMED);
    strcat(line, ",zz");
    EXPECT_EQ(names(line), CACHE_VARY_STAR);
    memset(line + 6, 'x', 700);
    line[706] = '\0';
    EXPECT_EQ(names(line), CACHE_VARY_STAR);
}

TEST(values_make_the_key)
{
    EXPECT_STR(key("bar,foo", "Foo: 1\nBar: a b"), "bar:a b,\nfoo:1,\n");
    EXPECT_STR(key("bar,foo", "foo:"), "bar\nfoo:\n");
    EXPECT(!same("foo", "Foo: 1", "Foo: 2"));
    EXPECT(!same("foo", "Foo:", ""));
    EXPECT(same("foo", "Foo: 1, 2", "Foo: 1\nfoo:  2 "));
    EXPECT(!same("foo", "Foo: \"1, 2\"", "Foo: \"1,2\""));
    EXPECT(!same("foo", "Foo: a", "Foo: A"));
}

TEST(values_cannot_pose_as_others)
{
    EXPECT(!same("a,b", "a: 1\nb: 2", "a: 1,b:2"));
    EXPECT(!same("user-agent", "User-Agent: a, b", "User-Agent: a,b"));
}

TEST(marks_cannot_be_written_by_clients)
{
    EXPECT(!same("accept-encoding", "Accept-Encoding: =identity", "Accept-Encoding: identity;q=0"));
    EXPECT(!same("accept-encoding", "Accept-Encoding: !identity", "Accept-Encoding: identity;q=0"));
    EXPECT(!same("accept-language", "Accept-Language: en>de", "Accept-Language: en, de;q=0.5"));
    EXPECT(!same("accept-language", "Accept-Language: ?en>de", "Accept-Language: en>de"));
}

TEST(codings_that_are_taken)
{
    EXPECT_STR(key("accept-encoding", "Accept-Encoding: gzip, deflate, br;q=0.9, zstd"),
               "accept-encoding:br,deflate,gzip,zstd,\n");
    EXPECT(
        same("accept-encoding", "Accept-Encoding: GZIP,br", "Accept-Encoding: br;q=0.1, x-gzip"));
    EXPECT(same("accept-encoding", "Accept-Encoding: gzip, br;q=0", "Accept-Encoding: gzip"));
    EXPECT(
        same("accept-encoding", "Accept-Encoding: identity, gzip", "Accept-Encoding: gzip, gzip"));
    EXPECT(
        !same("accept-encoding", "Accept-Encoding: gzip", "Accept-Encoding: gzip, identity;q=0"));
    EXPECT(!same("accept-encoding", "Accept-Encoding: gzip, *", "Accept-Encoding: gzip"));
    EXPECT(!same("accept-encoding", "Accept-Encoding: *, br;q=0", "Accept-Encoding: *"));
    EXPECT(!same("accept-encoding", "Accept-Encoding:", "A: b"));
    EXPECT(!same("accept-encoding", "Accept-Encoding: gzip;level=1", "Accept-Encoding: gzip"));
    EXPECT(!same("accept-encoding", "Accept-Encoding: gzip;q=7", "Accept-Encoding: gzip"));
    EXPECT(!same("accept-encoding", "Accept-Encoding: gzip;q=0.0001", "Accept-Encoding: gzip"));
}

TEST(languages_by_preference)
{
    EXPECT_STR(key("accept-language", "Accept-Language: de, EN-gb;q=0.5, fr;q=0, *;q=0.1"),
               "accept-language:de>en-gb>*>=fr\n");
    EXPECT(same("accept-language", "Accept-Language: en, de", "Accept-Language:  dE ,   En"));
    EXPECT(same("accept-language", "Accept-Language: en, de;q=0.8",
                "Accept-Language: de;q=0.7\nAccept-Language: en;q=0.9"));
    EXPECT(!same("accept-language", "Accept-Language: en, de;q=0.8", "Accept-Language: en, de"));
    EXPECT(!same("accept-language", "Accept-Language: en;x, de", "Accept-Language: en, de"));
}

TEST(cookies_are_joined_as_http_2_splits_them)
{
    EXPECT(same("cookie", "Cookie: a=b; c=d", "Cookie: a=b\nCookie: c=d"));
    EXPECT(!same("cookie", "Cookie: a=b, c", "Cookie: a=b,c"));
}

TEST(a_key_that_does_not_fit_says_so)
{
    char small[8];

    text_fixed(&t, small, sizeof(small));
    cache_vary_key(SLICE("accept-encoding"), cache_test_fields("Accept-Encoding: gzip"), &t);
    EXPECT(t.full);
}
