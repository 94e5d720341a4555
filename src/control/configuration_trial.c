/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control/configuration_trial.c - a change that is served, but not kept before somebody says so.
 *
 * A fiber looks twice a second: has it been confirmed or aborted, does the guard still hold, is the
 * time over?  With --confirm the end of the time means back; with a guard alone it means kept.
 * Because nothing is kept meanwhile, a process that dies comes back with what was before.
 */
#include "control/admin.h"
#include "control/change.h"
#include "control/events.h"
#include "control/traffic.h"
#include "observe/log.h"
#include "runtime/fiber.h"

#include <stdio.h>

enum { LOOK_US = 500000, END_US = 10000, GUARD_US = 60000000, MEMORY_MAX = 64 * 1024 };

enum decision { UNDECIDED, CONFIRMED, ABORTED };

static struct {
    struct trial         seen; /* what others may look at */
    struct documents     before;
    struct guard         guard;
    struct guard_samples *samples;
    struct arena         arena; /* of guard, who and comment */
    struct slice         who, comment;
    enum revision_cause  cause;
    uint64_t             until_us;
    bool                 must_confirm;
    enum decision        decision;
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

/* Who waits for the end sees it when everything is done. */
static void
end(enum trial_state how)
{
    if (how == TRIAL_REVERTED) {
        log_warning("admin: the change of %s was taken back: %s", trial.seen.who, trial.seen.why);
        (void) change_serve_again(trial.before.now);
        change_swap(&trial.before);
    } else {
        trial.seen.revision = change_keep(trial.cause, trial.who, trial.comment);
        if (!trial.seen.revision)
            snprintf(trial.seen.why, sizeof(trial.seen.why),
                     "it is served, but could not be kept: %.*s", SLICE_ARG(revisions_fault()));
        log_info("admin: the change of %s is kept revision=%lld", trial.seen.who,
                 (long long) trial.seen.revision);
    }
    (void) audit_add(&(struct audit_entry){
        .at_s = clock_wall_us() / 1000000,
        .who = trial.who,
        .from = SLICE("-"),
        .action = SLICE("trial"),
        .target = slice_str(trial.seen.guard),
        .outcome = how == TRIAL_KEPT ? SLICE("kept") : slice_str(trial.seen.why),
    });
    change_drop(&trial.before);
    guard_samples_free(take(&trial.samples));
    trial.seen.state = how;
    events_changed("trial", trial.who);
    arena_free(&trial.arena);
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

static void
watch(void *arg)
{
    enum trial_state now;

    (void) arg;
    while ((now = decide()) == TRIAL_RUNNING)
        (void) fiber_sleep_until(loop_now_us() + (trial.guard.n ? LOOK_US : LOOK_US / 10));
    configuration_lock();
    end(now);
    configuration_unlock();
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
}

void
trial_begin(const struct configuration_change *c, struct documents *d, struct app *a,
            struct configuration_result *r)
{
    trial.samples = c->guard.n ? guard_samples_new() : NULL;
    if ((c->guard.n && !trial.samples) || !change_serve(a, r)) {
        if (r->outcome == CONFIGURATION_DONE)
            change_fail(r, CONFIGURATION_FAILED, "out of memory");
        guard_samples_free(take(&trial.samples));
        return;
    }
    change_swap(d);
    trial.before = *d;
    *d = (struct documents){NULL, NULL};
    remember(c);
    events_changed("trial", c->who);
    if (!fiber_start("trial", watch, NULL)) {
        copy(trial.seen.why, sizeof(trial.seen.why), SLICE("nobody could watch it"));
        end(TRIAL_REVERTED);
        change_fail(r, CONFIGURATION_FAILED, "out of memory");
    }
}

/* ------------------------------------------------------------------ from outside */

bool
configuration_confirm(void)
{
    if (trial.seen.state != TRIAL_RUNNING || trial.decision != UNDECIDED)
        return false;
    trial.decision = CONFIRMED;
    while (trial.seen.state == TRIAL_RUNNING)
        change_wait(END_US);
    return trial.seen.state == TRIAL_KEPT;
}

bool
configuration_abort(struct slice who)
{
    if (trial.seen.state != TRIAL_RUNNING || trial.decision != UNDECIDED)
        return false;
    trial.decision = ABORTED;
    snprintf(trial.seen.why, sizeof(trial.seen.why), "aborted by %.*s", SLICE_ARG(who));
    while (trial.seen.state == TRIAL_RUNNING)
        change_wait(END_US);
    return true;
}
