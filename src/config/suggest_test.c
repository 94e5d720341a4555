/* SPDX-License-Identifier: Apache-2.0 */
#include "base/check.h"
#include "base/test.h"
#include "config/option.h"

static struct arena arena;

static struct slice
suggested(const char *given)
{
    static const struct slice names[] = {SLICE_INIT("health"), SLICE_INIT("host"), SLICE_INIT("to"),
                                         SLICE_INIT("rate_limit"), SLICE_INIT("least_connections")};
    const char *s;

    arena_reset(&arena);
    s = config_suggest(&arena, slice_str(given), names, countof(names));
    return s ? slice_str(s) : SLICE("nothing");
}

TEST(slips_of_the_hand_are_seen_through)
{
    arena_init(&arena, NULL, 0, 1 << 16);
    EXPECT_STR(suggested("helath"), "did you mean `health`?");
    EXPECT_STR(suggested("heath"), "did you mean `health`?");
    EXPECT_STR(suggested("healthh"), "did you mean `health`?");
    EXPECT_STR(suggested("hezlth"), "did you mean `health`?");
    EXPECT_STR(suggested("Host"), "did you mean `host`?");
    EXPECT_STR(suggested("hsot"), "did you mean `host`?");
    EXPECT_STR(suggested("rate-limit"), "did you mean `rate_limit`?");
    EXPECT_STR(suggested("least_conections"), "did you mean `least_connections`?");
    EXPECT_STR(suggested("too"), "did you mean `to`?");
    arena_free(&arena);
}

TEST(what_is_far_away_is_not_suggested)
{
    char long_name[5000];

    arena_init(&arena, NULL, 0, 1 << 16);
    EXPECT_STR(suggested(""), "nothing");
    EXPECT_STR(suggested("x"), "nothing");
    EXPECT_STR(suggested("ot"), "nothing");
    EXPECT_STR(suggested("heavy"), "nothing");
    EXPECT_STR(suggested("timeout"), "nothing");
    memset(long_name, 'a', sizeof(long_name) - 1);
    long_name[sizeof(long_name) - 1] = '\0';
    EXPECT_STR(suggested(long_name), "nothing");
    arena_free(&arena);
}
