/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control/configuration_trial.c - a change that is served, but not kept before somebody says so.
 *
 * A fiber looks twice a second: has it been confirmed or aborted, does the guard still hold, is the
 * time over?  With --confirm the end of the time means back; with a guard alone it means kept.
 * Because nothing is kept meanwhile, a process that dies comes back with what was before.
 *
 * What was before stays ready all the time, its logs open and its secrets read.  Should it not be
 * possible to serve it all the same, that is said, and tried again until something else is served.
 */
#include "control/admin.h"
#include "control/change.h"
#include "control/events.h"
#include "control/room.h"
#include "control/traffic.h"
#include "observe/log.h"
#include "runtime/fiber.h"

#include <stdio.h>

enum {
    LOOK_US = 500000,
    END_US = 10000,
    AGAIN_US = 2000000, /* after what could not be done */
    GUARD_US = 60000000,
    MEMORY_MAX = 64 * 1024,
};

enum decision { UNDECIDED, CONFIRMED, ABORTED };

static struct {
    struct trial         seen; /* what others may look at */
    struct documents     before;
    struct app          *spare; /* the same, ready to be served; NULL: has been tried */
    struct guard         guard;
    struct guard_samples *samples;
    struct arena         arena; /* of guard, who and comment */
    struct slice         who, comment;
    enum revision_cause  cause;
    uint64_t             until_us;
    bool                 must_confirm;
    enum decision        decision;
    unsigned             number; /* of trials, this one counted */
} trial;

const struct trial *
configuration_trial(void)
{
    return &trial.seen;
}

static void
copy(char *to, size_t room, struct slice from)
{
    snprintf(to, room, "%.*s", SLICE_ARG(from));
}

/* ------------------------------------------------------------------ its end */

static void
free_all(void)
{
    if (trial.spare)
        control_host()->drop(take(&trial.spare));
    change_drop(&trial.before);
    guard_samples_free(take(&trial.samples));
    arena_free(&trial.arena);
}

/* Who waits for the end sees it when everything is done. */
static void
tell(enum trial_state how)
{
    (void) audit_add(&(struct audit_entry){
        .at_s = clock_wall_us() / 1000000,
        .who = trial.who,
        .from = SLICE("-"),
        .action = SLICE("trial"),
        .target = slice_str(trial.seen.guard),
        .outcome = how == TRIAL_KEPT ? SLICE("kept") : slice_str(trial.seen.why),
    });
    trial.seen.state = how;
    events_changed("trial", trial.who);
}

/* False: it goes on. */
static bool
keep(void)
{
    trial.seen.revision = change_keep(trial.cause, trial.who, trial.comment);
    if (!trial.seen.revision) {
        snprintf(trial.seen.why, sizeof(trial.seen.why),
                 "it could not be kept, so it is still on trial: %.*s",
                 SLICE_ARG(revisions_fault()));
        log_error("admin: the change of %s: %s", trial.seen.who, trial.seen.why);
        trial.decision = UNDECIDED;
        return false;
    }
    log_info("admin: the change of %s is kept revision=%lld", trial.seen.who,
             (long long) trial.seen.revision);
    tell(TRIAL_KEPT);
    free_all();
    return true;
}

/* False: it could not be done, and is tried again. */
static bool
go_back(void)
{
    char why[CHANGE_WHY], cause[sizeof(trial.seen.why)];

    if (!change_serve_again(take(&trial.spare), trial.before.now, why)) {
        if (trial.seen.state == TRIAL_FAILED)
            return false;
        copy(cause, sizeof(cause), slice_str(trial.seen.why));
        snprintf(trial.seen.why, sizeof(trial.seen.why),
                 "%.140s; but the configuration before cannot be served: %.100s", cause, why);
        tell(TRIAL_FAILED);
        return false;
    }
    change_swap(&trial.before);
    log_warning("admin: the change of %s was taken back: %s", trial.seen.who, trial.seen.why);
    tell(TRIAL_REVERTED);
    free_all();
    return true;
}

/* With the lock of the configuration. */
static bool
end(enum trial_state how)
{
    return how == TRIAL_KEPT ? keep() : go_back();
}

void
trial_forget(void)
{
    if (trial.seen.state != TRIAL_FAILED || !trial.before.now)
        return;
    log_info("admin: the configuration before the trial of %s is wanted no more", trial.seen.who);
    free_all();
}

struct slice
configuration_fault(void)
{
    return trial.seen.state == TRIAL_FAILED && trial.before.now ? slice_str(trial.seen.why)
                                                                : (struct slice){NULL, 0};
}

static enum trial_state
decide(void)
{
    switch (trial.decision) {
    case CONFIRMED: return TRIAL_KEPT;
    case ABORTED: return TRIAL_REVERTED;
    case UNDECIDED: break;
    }
    if (trial.guard.n) {
        (void) traffic_look();
        trial.seen.verdict = guard_judge(&trial.guard, guard_samples_read, trial.samples,
                                         trial.seen.why);
        if (trial.seen.verdict == GUARD_BROKEN)
            return TRIAL_REVERTED;
    }
    if (loop_now_us() < trial.until_us)
        return TRIAL_RUNNING;
    if (!trial.must_confirm)
        return TRIAL_KEPT;
    copy(trial.seen.why, sizeof(trial.seen.why), SLICE("nobody confirmed it in time"));
    return TRIAL_REVERTED;
}

/* Another trial has begun since, or what was before this one is wanted no more. */
static bool
is_over(unsigned number)
{
    return trial.number != number || !trial.before.now;
}

static void
watch(void *arg)
{
    unsigned number = trial.number;

    (void) arg;
    while (!is_over(number)) {
        enum trial_state now = trial.seen.state == TRIAL_FAILED ? TRIAL_REVERTED : decide();
        bool done;

        if (now == TRIAL_RUNNING) {
            (void) fiber_sleep_until(loop_now_us() + (trial.guard.n ? LOOK_US : LOOK_US / 10));
            continue;
        }
        configuration_lock();
        done = is_over(number) || end(now);
        configuration_unlock();
        if (!done)
            change_wait(AGAIN_US);
    }
}

/* ------------------------------------------------------------------ its beginning */

bool
trial_understands(const struct configuration_change *c, struct configuration_result *r)
{
    struct arena arena;
    struct guard guard;
    char why[200];
    bool good;

    if (!c->guard.n)
        return true;
    arena_init(&arena, NULL, 0, MEMORY_MAX);
    good = guard_parse(c->guard, &arena, &guard, why) ||
           change_fail(r, CONFIGURATION_BAD, "guard: %s", why);
    arena_free(&arena);
    return good;
}

static void
remember(const struct configuration_change *c)
{
    uint64_t length_us = c->confirm_us ? c->confirm_us : GUARD_US;
    char why[200];

    trial.seen = (struct trial){.state = TRIAL_RUNNING, .verdict = GUARD_TOO_EARLY};
    copy(trial.seen.guard, sizeof(trial.seen.guard), c->guard);
    copy(trial.seen.who, sizeof(trial.seen.who), c->who);
    trial.seen.until_s = (int64_t) ((uint64_t) clock_wall_us() + length_us) / 1000000;
    arena_init(&trial.arena, NULL, 0, MEMORY_MAX);
    trial.guard = (struct guard){0};
    if (c->guard.n)
        (void) guard_parse(c->guard, &trial.arena, &trial.guard, why);
    trial.who = arena_copy(&trial.arena, c->who);
    trial.comment = arena_copy(&trial.arena, c->comment);
    trial.cause = c->cause;
    trial.until_us = loop_now_us() + length_us;
    trial.must_confirm = c->confirm_us != 0;
    trial.decision = UNDECIDED;
    trial.number++;
}

void
trial_begin(const struct configuration_change *c, struct documents *d, struct app *a,
            struct configuration_result *r)
{
    struct guard_samples *samples = c->guard.n ? guard_samples_new() : NULL;
    struct app *spare = NULL;

    if (c->guard.n && !samples)
        change_fail(r, CONFIGURATION_FAILED, "out of memory");
    else
        spare = change_spare(r);
    if (!spare)
        control_host()->drop(a);
    if (!spare || !change_serve(a, r)) {
        if (spare)
            control_host()->drop(spare);
        guard_samples_free(samples);
        return;
    }
    trial_forget();
    change_swap(d);
    trial.before = *d;
    trial.spare = spare;
    trial.samples = samples;
    *d = (struct documents){NULL, NULL};
    remember(c);
    events_changed("trial", c->who);
    if (!fiber_start("trial", watch, NULL)) {
        copy(trial.seen.why, sizeof(trial.seen.why), SLICE("nobody could watch it"));
        (void) go_back();
        change_fail(r, CONFIGURATION_FAILED, "out of memory");
    }
}

/* ------------------------------------------------------------------ from outside */

static bool
decided(enum decision decision)
{
    if (trial.seen.state != TRIAL_RUNNING || trial.decision != UNDECIDED)
        return false;
    trial.decision = decision;
    return true;
}

enum trial_answer
configuration_confirm(void)
{
    if (!decided(CONFIRMED))
        return TRIAL_NOT_THERE;
    while (trial.seen.state == TRIAL_RUNNING && trial.decision == CONFIRMED)
        change_wait(END_US);
    return trial.seen.state == TRIAL_KEPT      ? TRIAL_DONE
           : trial.seen.state == TRIAL_RUNNING ? TRIAL_UNDONE
                                               : TRIAL_NOT_THERE;
}

enum trial_answer
configuration_abort(struct slice who)
{
    if (!decided(ABORTED))
        return TRIAL_NOT_THERE;
    snprintf(trial.seen.why, sizeof(trial.seen.why), "aborted by %.*s", SLICE_ARG(who));
    while (trial.seen.state == TRIAL_RUNNING)
        change_wait(END_US);
    return trial.seen.state == TRIAL_FAILED ? TRIAL_UNDONE : TRIAL_DONE;
}
