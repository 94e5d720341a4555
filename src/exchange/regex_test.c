/* SPDX-License-Identifier: Apache-2.0 */
#include "base/check.h"
#include "base/clock.h"
#include "base/test.h"
#include "exchange/expr.h"

#include <pthread.h>
#include <stdlib.h>

static struct regex *
made(const char *pattern)
{
    char error[120];
    size_t offset;
    struct regex *r = regex_compile(slice_str(pattern), error, sizeof(error), &offset);

    CHECK(r != NULL);
    return r;
}

static bool
matched(const char *pattern, struct slice subject)
{
    struct regex *r = made(pattern);
    bool yes = regex_matches(r, subject);

    regex_free(r);
    return yes;
}

/* Compares, so that nobody has to keep the arena. */
static bool
replaced(const char *pattern, const char *subject, const char *replacement, const char *want)
{
    struct regex *r = made(pattern);
    struct arena arena;
    struct slice got;
    bool same;

    arena_init(&arena, NULL, 0, 64 * 1024);
    got = regex_replace(r, slice_str(subject), slice_str(replacement), &arena);
    same = want ? slice_is_present(got) && slice_eq(got, slice_str(want)) : !slice_is_present(got);
    arena_free(&arena);
    regex_free(r);
    return same;
}

TEST(patterns_match_bytes)
{
    EXPECT(matched("^/u/[0-9]+$", SLICE("/u/42")));
    EXPECT(!matched("^/u/[0-9]+$", SLICE("/u/x")));
    EXPECT(matched("b", SLICE("abc")));
    EXPECT(matched("^$", SLICE("")));
    EXPECT(matched("", (struct slice){NULL, 0}));
    EXPECT(matched("\\xff.\\x00", slice_of("\xff\x80\0", 3)));
    EXPECT(matched("(?i)^json$", SLICE("JSON")));
}

TEST(a_dollar_is_the_very_end)
{
    EXPECT(!matched("^a$", SLICE("a\n")));
}

TEST(the_source_is_kept)
{
    struct regex *r = made("a+b");

    EXPECT_STR(regex_source(r), "a+b");
    regex_free(r);
    regex_free(NULL);
}

TEST(a_bad_pattern_is_explained_with_its_place)
{
    char error[120];
    size_t offset;

    EXPECT(regex_compile(SLICE("a(b"), error, sizeof(error), &offset) == NULL);
    EXPECT_EQ(offset, 3);
    EXPECT(strstr(error, "parenthesis") != NULL);
    EXPECT(regex_compile(SLICE("(*UTF)a"), error, sizeof(error), &offset) == NULL);
    EXPECT(regex_compile(SLICE("a\\Cb"), error, sizeof(error), &offset) == NULL);
}

TEST(replacements_refer_to_groups)
{
    EXPECT(replaced("^/old/(.*)$", "/old/a/b", "/new/$1", "/new/a/b"));
    EXPECT(
        replaced("(?<year>[0-9]{4})-([0-9]{2})", "on 2026-11-20", "$2.${year}", "on 11.2026-20"));
    EXPECT(replaced("b", "abcb", "[$0]", "a[b]cb"));
    EXPECT(replaced("b", "abc", "$$1 $ ${", "a$1 $ ${c"));
    EXPECT(replaced("(a)|(b)", "b", "<$1$2$9${none}${2}>", "<bb>"));
    EXPECT(replaced("a", "a", "", ""));
    EXPECT(replaced("^", "x", "y", "yx"));
    EXPECT(replaced("x", "abc", "y", NULL));
}

TEST(an_empty_result_is_present_even_from_a_fresh_arena)
{
    EXPECT(replaced("^.*$", "", "", ""));
}

TEST(more_groups_than_are_kept_still_match)
{
    char pattern[80 * 3 + 1];

    for (size_t i = 0; i < 80; i++)
        memcpy(pattern + 3 * i, "(a)", 3);
    pattern[sizeof(pattern) - 1] = '\0';
    EXPECT(matched(pattern, SLICE("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                                  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")));
}

TEST(an_explosive_pattern_gives_up)
{
    uint64_t before = clock_monotonic_us();

    EXPECT(
        !matched("^(([a-z])+.)+[A-Z]([a-z])+$", SLICE("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                                                      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")));
    EXPECT(clock_monotonic_us() - before < 2000000);
}

TEST(a_long_subject_needs_no_stack)
{
    enum { LONG = 200000 };
    char *subject = malloc(LONG);

    CHECK(subject != NULL);
    memset(subject, 'a', LONG);
    (void) matched("^(a|b)*$", slice_of(subject, LONG));
    EXPECT(matched("^a*$", slice_of(subject, LONG)));
    free(subject);
}

static void *
match_elsewhere(void *yes)
{
    *(bool *) yes = matched("^a+$", SLICE("aaa"));
    return NULL;
}

TEST(every_thread_has_its_own_match_data)
{
    pthread_t thread;
    bool yes = false;

    CHECK(pthread_create(&thread, NULL, match_elsewhere, &yes) == 0);
    EXPECT(matched("^b+$", SLICE("bbb")));
    CHECK(pthread_join(thread, NULL) == 0);
    EXPECT(yes);
}
