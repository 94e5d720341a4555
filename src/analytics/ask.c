/* SPDX-License-Identifier: Apache-2.0 */
/*
 * analytics/ask.c - which minutes, hours and days answer a question.
 *
 * The longest rows that fit into what is asked for are taken, one after the other; where there is
 * none, shorter ones.  What is asked for is rounded outwards to what is still known: minutes of
 * today, hours of the last days, days of before.
 */
#include "analytics/ask.h"

#include "analytics/blob.h"
#include "analytics/tell.h"
#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
    ROWS_MAX = 16384,
    ATTEMPTS = 3,
    PATIENCE_S = 5,
    PAUSE_MS = 20,      /* until a minute that is being written is there */
    POINTS_WANTED = 200,
    HOUR_S = 3600,
    LATEST_S = INT32_MAX, /* years are bounded, so that no sum overflows */
};

/* A stretch of time, and the rows in it. */
struct span {
    int64_t             from_s, to_s, step_s; /* step 0: one stretch */
    bool                with_lists;
    struct history_row *rows;
    size_t              n;
    size_t              at;        /* the next row */
    int64_t             covered_s; /* until here rows were taken */
    struct history_row  last;
};

static int64_t
now_s(void)
{
    return (int64_t) (clock_wall_us() / 1000000);
}

static int64_t
down_to(int64_t at_s, int64_t length_s)
{
    return at_s - at_s % length_s;
}

static int64_t
up_to(int64_t at_s, int64_t length_s)
{
    return down_to(at_s + length_s - 1, length_s);
}

/* The shortest rows that there still are of that time. */
static int64_t
grain_at(int64_t at_s, int64_t now, bool with_lists)
{
    for (unsigned kind = 0; kind < HISTORY_KINDS; kind++) {
        const struct history_grain *g = &history_grains[kind];
        int64_t kept_s = with_lists ? g->lists_s : g->tally_s;

        if (kept_s == 0 || at_s >= now - kept_s)
            return g->length_s;
    }
    return history_grains[HISTORY_DAY].length_s;
}

static bool
check_times(const struct question *q, int64_t now, struct span *s, char why[200])
{
    s->to_s = q->to_s ? q->to_s : now + 1;
    s->from_s = q->from_s ? q->from_s : s->to_s - HOUR_S;
    if (s->from_s < 0 || s->to_s > LATEST_S || s->from_s >= s->to_s) {
        snprintf(why, 200, "`from` must be before `to`, both in seconds since 1970");
        return false;
    }
    return true;
}

/* ------------------------------------------------------------------ rows */

static bool
find_rows(struct keeper *k, struct span *s, char why[200])
{
    if (!s->rows)
        s->rows = malloc(ROWS_MAX * sizeof(*s->rows));
    if (!s->rows) {
        snprintf(why, 200, "out of memory");
        return false;
    }
    s->n = history_rows(k->history, s->from_s, s->to_s, s->with_lists, s->rows, ROWS_MAX);
    s->at = 0;
    s->covered_s = s->from_s;
    s->last = (struct history_row){.start_s = -1};
    return true;
}

/* Which step a moment belongs to. */
static int64_t
step_of(const struct span *s, int64_t at_s)
{
    return s->step_s ? (at_s - s->from_s) / s->step_s : 0;
}

/* The next row that tells what no other has told.  NULL: that was all. */
static const struct history_row *
next_row(struct span *s)
{
    while (s->at < s->n) {
        const struct history_row *r = &s->rows[s->at++];
        int64_t end_s = r->start_s + history_grains[r->kind].length_s;

        /* Another part of the same. */
        if (r->start_s == s->last.start_s && r->kind == s->last.kind)
            return r;
        if (r->start_s < s->covered_s || end_s > s->to_s ||
            step_of(s, r->start_s) != step_of(s, end_s - 1))
            continue;
        s->covered_s = end_s;
        s->last = *r;
        return r;
    }
    return NULL;
}

static bool
merge_row(struct keeper *k, const struct history_row *row, const struct question *q,
          bool with_lists)
{
    struct text tally, lists;
    bool good;

    text_init(&tally, blob_tally_max());
    text_init(&lists, blob_lists_max(8 * (size_t) ANALYTICS_TOP_MAX));
    good = history_read(k->history, *row, &tally, with_lists ? &lists : NULL);
    if (good && (!blob_merge_tally(text_slice(&tally), &k->scratch->tally) ||
                 (with_lists && !blob_merge_lists(text_slice(&lists), q->what, k->scratch))))
        history_damaged(k->history);
    text_free(&tally);
    text_free(&lists);
    return good;
}

/* ------------------------------------------------------------------ consistency */

static uint64_t
read_turn(struct keeper *k)
{
    uint64_t turn;

    pthread_mutex_lock(&k->lock);
    turn = k->turn;
    pthread_mutex_unlock(&k->lock);
    return turn;
}

/* The keeper may be merging an hour, on a disk that is slow. */
static bool
lock_scratch(struct keeper *k, char why[200])
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_S;
    if (pthread_mutex_timedlock(&k->merging, &until) == 0)
        return true;
    snprintf(why, 200, "analytics are busy; try again later");
    return false;
}

/* A minute that moved from memory to the history while the question was being answered is in
 * neither: answer again. */
static bool
is_whole(struct keeper *k, uint64_t turn, unsigned attempt)
{
    const struct timespec pause = {.tv_nsec = PAUSE_MS * 1000000L};

    if (attempt + 1 == ATTEMPTS || (turn % 2 == 0 && read_turn(k) == turn))
        return true;
    nanosleep(&pause, NULL);
    return false;
}

/* ------------------------------------------------------------------ lists */

static void
write_answer(struct keeper *k, const struct question *q, const struct span *s, struct text *out)
{
    text_printf(out, "{\"from\":%lld,\"to\":%lld,\"totals\":", (long long) s->from_s,
                (long long) s->to_s);
    tell_totals(&k->scratch->tally, out);
    for (unsigned d = 0; d < DIMENSIONS; d++) {
        if (q->what != DIMENSIONS && q->what != d)
            continue;
        text_printf(out, ",\"%s\":", dimensions[d].name);
        tell_list(k->scratch, d, q->top, out);
    }
    text_literal(out, "}\n");
}

static bool
merge_lists(struct keeper *k, const struct question *q, struct span *s, char why[200])
{
    const struct history_row *row;

    if (!find_rows(k, s, why))
        return false;
    period_clear(k->scratch);
    while ((row = next_row(s)))
        (void) merge_row(k, row, q, true);
    pthread_mutex_lock(&k->lock);
    if (k->minute_s >= s->from_s && k->minute_s < s->to_s)
        period_merge(k->scratch, k->live);
    pthread_mutex_unlock(&k->lock);
    return true;
}

bool
ask_lists(struct keeper *k, const struct question *q, struct text *out, char why[200])
{
    int64_t now = now_s();
    struct span s = {.with_lists = true};
    bool good;

    if (!check_times(q, now, &s, why))
        return false;
    s.from_s = down_to(s.from_s, grain_at(s.from_s, now, true));
    s.to_s = up_to(s.to_s, grain_at(s.to_s, now, true));
    if (!lock_scratch(k, why))
        return false;
    for (unsigned attempt = 0; attempt < ATTEMPTS; attempt++) {
        uint64_t turn = read_turn(k);

        good = merge_lists(k, q, &s, why);
        if (!good || is_whole(k, turn, attempt))
            break;
    }
    if (good)
        write_answer(k, q, &s, out);
    pthread_mutex_unlock(&k->merging);
    free(s.rows);
    return good;
}

/* ------------------------------------------------------------------ series */

static int64_t
choose_step(int64_t length_s, int64_t grain_s)
{
    static const int64_t steps[] = {60, 300, 900, HOUR_S, 6 * HOUR_S};

    for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++)
        if (steps[i] >= grain_s && length_s / steps[i] <= POINTS_WANTED)
            return steps[i];
    return history_grains[HISTORY_DAY].length_s;
}

static bool
check_steps(const struct question *q, int64_t now, struct span *s, char why[200])
{
    int64_t grain_s = grain_at(s->from_s, now, false);

    s->step_s = q->step_s ? q->step_s : choose_step(s->to_s - s->from_s, grain_s);
    if (s->step_s < 60 || s->step_s > LATEST_S) {
        snprintf(why, 200, "`step` must be at least 60 seconds");
        return false;
    }
    s->step_s = up_to(s->step_s, grain_s);
    s->from_s = down_to(s->from_s, s->step_s);
    s->to_s = up_to(s->to_s, s->step_s);
    if ((s->to_s - s->from_s) / s->step_s > ANALYTICS_POINTS_MAX) {
        snprintf(why, 200, "more than %d points; a longer `step` gives fewer",
                 ANALYTICS_POINTS_MAX);
        return false;
    }
    return true;
}

/* Points up to that of `step`, which begins empty. */
static void
advance(struct keeper *k, const struct span *s, int64_t *step, int64_t to, struct text *out)
{
    for (; *step < to; ++*step) {
        if (*step > 0)
            text_byte(out, ',');
        tell_point(&k->scratch->tally, s->from_s + *step * s->step_s, out);
        tally_clear(&k->scratch->tally);
    }
}

static bool
write_points(struct keeper *k, const struct question *q, struct span *s, struct text *out,
             char why[200])
{
    const struct history_row *row;
    int64_t step = 0;

    if (!find_rows(k, s, why))
        return false;
    text_printf(out, "{\"from\":%lld,\"to\":%lld,\"step\":%lld,\"points\":[",
                (long long) s->from_s, (long long) s->to_s, (long long) s->step_s);
    tally_clear(&k->scratch->tally);
    while ((row = next_row(s))) {
        advance(k, s, &step, step_of(s, row->start_s), out);
        (void) merge_row(k, row, q, false);
    }
    pthread_mutex_lock(&k->lock);
    if (k->minute_s >= s->from_s && k->minute_s < s->to_s) {
        advance(k, s, &step, step_of(s, k->minute_s), out);
        tally_merge(&k->scratch->tally, &k->live->tally);
    }
    pthread_mutex_unlock(&k->lock);
    advance(k, s, &step, (s->to_s - s->from_s) / s->step_s, out);
    text_literal(out, "]}\n");
    return true;
}

bool
ask_series(struct keeper *k, const struct question *q, struct text *out, char why[200])
{
    int64_t now = now_s();
    size_t begun = out->n;
    struct span s = {0};
    bool good;

    if (!check_times(q, now, &s, why) || !check_steps(q, now, &s, why) || !lock_scratch(k, why))
        return false;
    for (unsigned attempt = 0; attempt < ATTEMPTS; attempt++) {
        uint64_t turn = read_turn(k);

        out->n = begun;
        good = write_points(k, q, &s, out, why);
        if (!good || is_whole(k, turn, attempt))
            break;
    }
    pthread_mutex_unlock(&k->merging);
    free(s.rows);
    return good;
}
