/* SPDX-License-Identifier: Apache-2.0 */
#include "http/cache_tags.h"

#include "base/test.h"
#include "base/text.h"
#include "http/testing_cache.h"

static char memory[8192];
static struct text found;

static bool
collect(void *enough, struct slice tag)
{
    text_put(&found, tag);
    text_byte(&found, '|');
    return !enough || found.n < *(size_t *) enough;
}

static void
start(void)
{
    text_fixed(&found, memory, sizeof(memory));
}

TEST(tags_of_both_fields)
{
    size_t n;

    start();
    n = cache_tags_each(cache_test_fields("Cache-Tag: a b, c ,,d\nSurrogate-Key: x  y,z\n"
                                          "cache-tag: e"),
                        collect, NULL);
    EXPECT_EQ(n, 6);
    EXPECT_STR(text_slice(&found), "a b|c|d|e|x|y,z|");
}

TEST(who_has_enough_gets_no_more)
{
    size_t enough = 3;

    start();
    EXPECT_EQ(cache_tags_each(cache_test_fields("Cache-Tag: a,b,c,d\nSurrogate-Key: x"), collect,
                              &enough),
              2);
    EXPECT_STR(text_slice(&found), "a|b|");
    start();
    EXPECT_EQ(cache_groups_each(cache_test_fields("Cache-Groups: \"a\", \"b\", \"c\""), collect,
                                &enough),
              2);
}

TEST(tags_are_bounded)
{
    static char line[8000];
    size_t n = (size_t) snprintf(line, sizeof(line), "Cache-Tag: ");

    memset(line + n, 'x', CACHE_TAG_BYTES_MAX + 1);
    n += CACHE_TAG_BYTES_MAX + 1;
    for (unsigned i = 0; i < CACHE_TAGS_MAX + 10; i++)
        n += (size_t) snprintf(line + n, sizeof(line) - n, ",%u", i);
    start();
    EXPECT_EQ(cache_tags_each(cache_test_fields(line), collect, NULL), CACHE_TAGS_MAX);
    EXPECT(slice_starts(text_slice(&found), SLICE("0|1|")));
}

TEST(groups_are_lists_of_strings)
{
    start();
    EXPECT_EQ(cache_groups_each(cache_test_fields("Cache-Groups: \"a, b\" ,\"c\";x=1\n"
                                                  "Cache-Groups: \"d\\\"\""),
                                collect, NULL),
              3);
    EXPECT_STR(text_slice(&found), "a, b|c|d\\\"|");
    start();
    EXPECT_EQ(cache_groups_invalid_each(cache_test_fields("Cache-Group-Invalidation: \"a\""),
                                        collect, NULL),
              1);
    EXPECT_STR(text_slice(&found), "a|");
}

TEST(what_is_no_list_of_strings_has_no_groups)
{
    static const char *const bad[] = {"\"a\", b", "\"a\" \"b\"", "\"a\",", "\"a", "(\"a\")",
                                      "\"a\"\nCache-Groups: 1"};
    char text[80];

    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        snprintf(text, sizeof(text), "Cache-Groups: %s", bad[i]);
        start();
        EXPECT_EQ(cache_groups_each(cache_test_fields(text), collect, NULL), 0);
        EXPECT_EQ(found.n, 0);
    }
}
