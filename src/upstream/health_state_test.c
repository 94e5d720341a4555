/* SPDX-License-Identifier: Apache-2.0 */
/* upstream/health_state_test.c - answers in a row, written as text: `+` passes, `-` fails. */
#include "upstream/health_state.h"

#include "base/test.h"

#include <stdlib.h>

enum { RISE = 2, FALL = 3 };

/* What becomes of the server, a letter for each answer: U and D when it goes up or down, else
 * `.` */
static struct slice
replay(struct health_state *s, unsigned rise, unsigned fall, const char *answers)
{
    static char out[512];
    size_t n = 0;

    for (const char *a = answers; *a && n < sizeof(out); a++) {
        switch (health_note(s, rise, fall, *a == '+')) {
        case HEALTH_SAME: out[n++] = '.'; break;
        case HEALTH_WENT_UP: out[n++] = 'U'; break;
        case HEALTH_WENT_DOWN: out[n++] = 'D'; break;
        }
    }
    return slice_of(out, n);
}

TEST(falls_and_rises_after_so_many_in_a_row)
{
    struct health_state s = {0};

    EXPECT_STR(replay(&s, RISE, FALL, "+--+---++"), "......D.U");
    EXPECT_STR(replay(&s, RISE, FALL, "--+--+---"), "........D");
    EXPECT_STR(replay(&s, RISE, FALL, "+-+-++"), ".....U");
}

TEST(the_first_answer_decides)
{
    struct health_state dead = {0}, late = {0};

    EXPECT_STR(replay(&dead, RISE, FALL, "-"), "D");
    EXPECT(!dead.proved);
    EXPECT_STR(replay(&late, RISE, FALL, "---+"), "D..U");
    EXPECT(late.proved);
    /* From then on it has the ordinary rights. */
    EXPECT_STR(replay(&late, RISE, FALL, "--+---+"), ".....D.");
}

TEST(one_of_each_is_possible)
{
    struct health_state s = {0};

    EXPECT_STR(replay(&s, 1, 1, "+-+-"), ".DUD");
}

TEST(who_flaps_needs_more_passes)
{
    struct health_state s = {0};

    /* Five changes are forgiven; with the sixth, patience doubles. */
    EXPECT_STR(replay(&s, 1, 1, "+-+-+-"), ".DUDUD");
    EXPECT_EQ(health_passes_needed(&s, 1), 1);
    EXPECT_STR(replay(&s, 1, 1, "+-"), "UD");
    EXPECT_EQ(health_passes_needed(&s, 1), 2);
    EXPECT_STR(replay(&s, 1, 1, "+-+-++"), ".....U");
}

TEST(patience_has_an_end)
{
    struct health_state s = {.proved = true};
    unsigned most = 0;

    for (int i = 0; i < 1000; i++) {
        health_note(&s, 1, 1, s.down);
        if (health_passes_needed(&s, 1) > most)
            most = health_passes_needed(&s, 1);
    }
    EXPECT(most >= 2 && most <= HEALTH_PATIENCE_MAX);
}

TEST(patience_is_forgotten_in_quiet_times)
{
    struct health_state s = {0};

    replay(&s, 1, 1, "+-+-+-+-");
    EXPECT_EQ(health_passes_needed(&s, 1), 2);
    replay(&s, 1, 1, "++++++++++++");
    EXPECT_EQ(health_passes_needed(&s, 1), 1);
}

TEST(going_down_never_takes_longer)
{
    struct health_state s = {0};

    replay(&s, 1, 1, "+-+-+-+-++");
    EXPECT(!s.down);
    EXPECT_STR(replay(&s, 1, 1, "-"), "D");
}

TEST(slow_changes_are_no_flapping)
{
    struct health_state s = {.proved = true};

    for (int i = 0; i < 20; i++) {
        replay(&s, RISE, FALL, "---");
        replay(&s, RISE, FALL, "++++++++++");
    }
    EXPECT_EQ(s.changes, 40);
    EXPECT_EQ(health_passes_needed(&s, RISE), RISE);
}

static int
by_size(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

/* The widest stretch of the interval without a check, as a multiple of the even one. */
static double
widest_gap(size_t n, uint64_t every_us, uint32_t first)
{
    uint64_t *at = calloc(n + 1, sizeof(*at)), widest = 0;

    for (size_t i = 0; i < n; i++)
        at[i] = health_phase_us(first + (uint32_t) i, every_us);
    qsort(at, n, sizeof(*at), by_size);
    at[n] = at[0] + every_us;
    for (size_t i = 0; i < n; i++)
        if (at[i + 1] - at[i] > widest)
            widest = at[i + 1] - at[i];
    free(at);
    return (double) widest * (double) n / (double) every_us;
}

TEST(first_probes_lie_evenly_in_the_interval)
{
    static const size_t counts[] = {2, 3, 10, 300, 1000, 10000};

    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        EXPECT(widest_gap(counts[i], 5000000, 0) < 2);
        EXPECT(widest_gap(counts[i], 5000000, 123456) < 2);
    }
}

TEST(a_phase_lies_within_the_interval)
{
    uint64_t day_us = 86400000000u;
    uint64_t latest_us = 0;

    EXPECT_EQ(health_phase_us(0, day_us), 0);
    for (uint32_t i = 0; i < 10000; i++) {
        uint64_t phase_us = health_phase_us(i, day_us);

        EXPECT(phase_us < day_us);
        if (phase_us > latest_us)
            latest_us = phase_us;
    }
    EXPECT(latest_us > day_us / 100 * 99);
}
