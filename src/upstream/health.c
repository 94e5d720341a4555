/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/health.c - who is checked when, and what the answers make of a server.
 *
 * A check is one of the list `health:` for one server.  It is due on a grid of its own: each first
 * probe has another phase of the interval (health_phase_us), so that ten thousand checks are a
 * steady trickle and stay one, whatever each probe takes.  A reload leaves the grid alone.  At most
 * PROBES_MAX probes run at a time, the others wait in a queue.
 *
 * A server is down when one of its checks says so.  One that joined a group at work is asked at
 * once and gets nothing until each of its checks has passed.
 *
 * Lifetime  a check ends with its server's place in the set; when a probe is under way, that is
 *           cancelled, and its fiber frees the check.
 */
#include "upstream/health.h"

#include "observe/log.h"
#include "runtime/fiber.h"
#include "upstream/health_state.h"
#include "upstream/probe.h"

#include <stdlib.h>

enum {
    PROBES_MAX = 256,
    FIRST_US = 5000000, /* within which each server is asked for the first time */
    SOON_US = 250000,   /* the same for newcomers, which get nothing before */
    MILLION = 1000000,
};

struct check {
    struct list                 of_server; /* in server.checks */
    struct list                 of_upstream; /* in checks.all */
    struct list                 turn;      /* in `turns`, when due and not begun */
    struct server              *server;    /* a reference */
    const struct health_config *config;
    struct config              *owner;     /* it lives in here; a reference */
    size_t                      index;     /* in the list `health:` */
    uint32_t                    number;    /* of all checks ever */
    unsigned                    round;     /* of checks, in which it was still wanted */
    struct health_state         state;
    struct timer                timer;
    uint64_t                    grid_us;   /* when it is due, but for jitter */
    struct fiber               *probe;     /* under way; NULL */
    bool                        heard;     /* it was answered, be it with nothing to learn from */
    bool                        ended;     /* the probe's fiber frees it */
    /* An agent's: */
    int                         wish;      /* enum server_state, -1: none */
    unsigned                    granted;   /* enum server_fault that are there for it alone */
    bool                        shared;    /* it has reported a share */
};

/* Those of one upstream. */
struct checks {
    struct list all;
    unsigned    round;
};

/* Of the control thread. */
static struct list turns = {&turns, &turns};
static unsigned probing;
static uint32_t numbers;

/* ----------------------------------------------------------------- what it means for the server */

static const unsigned held_out = SERVER_IS_DRAINING | SERVER_IS_IN_MAINTENANCE |
                                 SERVER_IS_UNPROVED | SERVER_IS_DOWN | SERVER_IS_EJECTED |
                                 SERVER_IS_LEAVING;

static bool
is_usable(const struct server *s)
{
    return !(atomic_load(&s->faults) & held_out);
}

/* After something changed that was done while it was usable, or not.  True: now it is. */
static bool
note_standing(struct server *s, bool was_usable)
{
    if (is_usable(s) == was_usable)
        return false;
    s->since_us = loop_now_us();
    return !was_usable;
}

/* From all of its checks. */
static void
settle(struct server *s)
{
    bool down = false, proved = true;

    list_each (link, &s->checks) {
        const struct check *c = list_entry(link, struct check, of_server);

        down = down || c->state.down;
        proved = proved && c->heard && !c->state.down;
    }
    server_set_fault(s, SERVER_IS_DOWN, down);
    if (proved)
        server_set_fault(s, SERVER_IS_UNPROVED, false);
}

/* Workers read it at any time (health_why): byte by byte then, and a mixture of two sentences is
 * the worst that they can see. */
static void
set_why(struct server *s, const char *why)
{
    bool ended = false;

    for (size_t i = 0; i < sizeof(s->why); i++) {
        ended = ended || !why[i] || i == sizeof(s->why) - 1;
        __atomic_store_n(&s->why[i], ended ? '\0' : why[i], __ATOMIC_RELAXED);
    }
}

struct slice
health_why(const struct server *s, char out[HEALTH_WHY_BYTES])
{
    size_t n = 0;

    while (n < HEALTH_WHY_BYTES && (out[n] = __atomic_load_n(&s->why[n], __ATOMIC_RELAXED)))
        n++;
    return slice_of(out, n);
}

static void
tell(const struct check *c, unsigned before)
{
    const struct server *s = c->server;
    const char *probe = probe_kinds[c->config->kind]->name;
    unsigned now = atomic_load(&s->faults);

    if (!(before & SERVER_IS_DOWN) && now & SERVER_IS_DOWN)
        log_warning("server is down upstream=%.*s server=%.*s probe=%s why=\"%s\"",
                    SLICE_ARG(s->upstream->name), SLICE_ARG(s->text), probe, s->why);
    if (before & (SERVER_IS_DOWN | SERVER_IS_UNPROVED) &&
        !(now & (SERVER_IS_DOWN | SERVER_IS_UNPROVED)))
        log_info("server is up upstream=%.*s server=%.*s probe=%s", SLICE_ARG(s->upstream->name),
                 SLICE_ARG(s->text), probe);
}

/* ------------------------------------------------------------------ what an agent wants */

static void
grant(struct check *c, enum server_fault fault, bool wanted)
{
    if (wanted && !(atomic_load(&c->server->faults) & fault)) {
        server_set_fault(c->server, fault, true);
        c->granted |= fault;
    } else if (!wanted && c->granted & fault) {
        server_set_fault(c->server, fault, false);
        c->granted &= ~(unsigned) fault;
    }
}

/* Sets what it wants, and takes back only what was set for it. */
static void
grant_wish(struct check *c)
{
    grant(c, SERVER_IS_DRAINING, c->wish == SERVER_DRAINING);
    grant(c, SERVER_IS_IN_MAINTENANCE, c->wish == SERVER_MAINTENANCE);
}

static void
take_wish(struct check *c, const struct probe_answer *answer)
{
    if (answer->share >= 0) {
        c->shared = true;
        server_report_share(c->server, (uint16_t) ((uint32_t) answer->share * LB_SHARE_FULL / 100));
    }
    if (answer->state < 0)
        return;
    if (answer->state != (c->wish < 0 ? SERVER_READY : c->wish))
        log_info("server wants to be %s upstream=%.*s server=%.*s", server_states[answer->state],
                 SLICE_ARG(c->server->upstream->name), SLICE_ARG(c->server->text));
    c->wish = answer->state;
    grant_wish(c);
}

/* The operator's wishes were set anew: an agent's are on top of them. */
static void
renew_wish(struct check *c)
{
    c->granted = 0;
    if (c->wish >= 0)
        grant_wish(c);
}

static void
forget_wish(struct check *c)
{
    c->wish = -1;
    grant_wish(c);
    if (c->shared)
        server_report_share(c->server, LB_SHARE_FULL);
}

/* ------------------------------------------------------------------ a probe */

static void
check_free(struct check *c)
{
    server_release(c->server);
    config_free(c->owner);
    free(c);
}

static void
schedule(struct check *c)
{
    uint64_t now_us = loop_now_us(), every_us = c->config->every_us;
    uint64_t most_us = every_us / MILLION * c->config->jitter +
                       every_us % MILLION * c->config->jitter / MILLION;

    if (c->grid_us <= now_us)
        c->grid_us += ((now_us - c->grid_us) / every_us + 1) * every_us;
    timer_set(&loop_self()->timers, &c->timer,
              c->grid_us + (most_us ? dice_next(&loop_self()->dice) % most_us : 0));
}

static void
take_answer(struct check *c, const struct probe_answer *answer)
{
    struct server *s = c->server;
    unsigned before = atomic_load(&s->faults);
    bool was_usable = is_usable(s);

    c->heard = true;
    take_wish(c, answer);
    if (!answer->undecided)
        health_note(&c->state, (unsigned) c->config->rise, (unsigned) c->config->fall,
                    answer->passed);
    settle(s);
    if (!answer->passed)
        set_why(s, answer->why);
    else if (is_usable(s))
        set_why(s, "");
    tell(c, before);
    if (note_standing(s, was_usable) && s->upstream->config)
        server_begin_ramp(s, s->upstream->config->slow_start_us);
}

static void begin(struct check *c);

static void
run_probe(void *arg)
{
    struct check *c = arg;
    struct probe_answer answer = {.share = -1, .state = -1, .undecided = true};
    const struct health_config *config = c->config;
    struct config *owner = config_hold(c->owner); /* a reload may replace that of the check */

    if (!c->ended)
        probe_kinds[config->kind]->run(config, c->server, loop_now_us() + config->timeout_us,
                                       &answer);
    config_free(owner);
    c->probe = NULL;
    if (c->ended) {
        check_free(c);
    } else {
        take_answer(c, &answer);
        schedule(c);
    }
    probing--;
    if (!list_is_empty(&turns))
        begin(list_entry(list_pop(&turns), struct check, turn));
}

static void
begin(struct check *c)
{
    c->probe = fiber_start("probe", run_probe, c);
    if (c->probe)
        probing++;
    else
        schedule(c); /* out of memory: the next time will do */
}

static void
on_due(struct timer *t)
{
    struct check *c = container_of(t, struct check, timer);

    if (probing < PROBES_MAX)
        begin(c);
    else
        list_append(&turns, &c->turn);
}

/* ------------------------------------------------------------------ which there are */

/* The first probe comes early when the interval is long, and at once for newcomers. */
static void
schedule_first(struct check *c)
{
    bool waits = atomic_load(&c->server->faults) & SERVER_IS_UNPROVED;
    uint64_t every_us = c->config->every_us, within_us = waits ? SOON_US : FIRST_US;

    if (within_us > every_us)
        within_us = every_us;
    c->grid_us = loop_now_us() + health_phase_us(c->number, every_us);
    timer_set(&loop_self()->timers, &c->timer,
              loop_now_us() + health_phase_us(c->number, within_us));
}

/* The server was at work without it: it takes all of `fall` to end that. */
static bool
is_trusted(const struct server *s)
{
    return s->upstream->served && !(atomic_load(&s->faults) & SERVER_IS_UNPROVED);
}

static struct check *
check_new(struct upstream *u, struct server *s, size_t index)
{
    struct check *c = calloc(1, sizeof(*c));

    if (!c)
        return NULL;
    server_hold(s);
    *c = (struct check){
        .server = s,
        .config = (const struct health_config *) u->config->health.at + index,
        .owner = config_hold(u->owner),
        .index = index,
        .number = numbers++,
        .timer.fire = on_due,
        .state.proved = is_trusted(s),
        .heard = is_trusted(s),
        .wish = -1,
    };
    list_init(&c->turn);
    list_append(&s->checks, &c->of_server);
    list_append(&u->checks->all, &c->of_upstream);
    schedule_first(c);
    return c;
}

/* What the server is from now on is the caller's to settle. */
static void
check_end(struct check *c)
{
    forget_wish(c);
    list_remove(&c->of_server);
    list_remove(&c->of_upstream);
    list_remove(&c->turn);
    timer_clear(&loop_self()->timers, &c->timer);
    c->ended = true;
    if (c->probe)
        fiber_cancel(c->probe, ERR_CANCELLED);
    else
        check_free(c);
}

/* The same question, maybe with other options: its state stays. */
static void
check_renew(struct check *c, struct upstream *u)
{
    const struct health_config *old = c->config;
    struct config *owner = c->owner;

    c->config = (const struct health_config *) u->config->health.at + c->index;
    c->owner = config_hold(u->owner);
    if (c->config->every_us != old->every_us && timer_is_set(&c->timer))
        schedule_first(c);
    config_free(owner);
    renew_wish(c);
}

static struct check *
find(const struct server *s, const struct upstream *u, size_t index)
{
    const struct health_config *wanted = u->config->health.at;

    list_each (link, &s->checks) {
        struct check *c = list_entry(link, struct check, of_server);

        if (c->index == index && c->config->kind == wanted[index].kind)
            return c;
    }
    return NULL;
}

/* All checks that the configuration wants of a server; false when out of memory. */
static bool
follow_server(struct upstream *u, struct server *s)
{
    for (size_t i = 0; i < u->config->health.n; i++) {
        struct check *c = find(s, u, i);

        if (c)
            check_renew(c, u);
        else
            c = check_new(u, s, i);
        if (!c)
            return false;
        c->round = u->checks->round;
    }
    return true;
}

/* Checks came or went. */
static void
settle_anew(struct server *s)
{
    bool was_usable = is_usable(s);

    settle(s);
    note_standing(s, was_usable);
}

static void
end_and_settle(struct check *c)
{
    struct server *s = c->server;

    server_hold(s);
    check_end(c);
    settle_anew(s);
    server_release(s);
}

static void
end_unwanted(struct upstream *u)
{
    list_each (link, &u->checks->all) {
        struct check *c = list_entry(link, struct check, of_upstream);

        if (c->round != u->checks->round)
            end_and_settle(c);
    }
}

static bool
checks_exist(struct upstream *u)
{
    if (u->checks)
        return true;
    u->checks = calloc(1, sizeof(*u->checks));
    if (!u->checks)
        return false;
    list_init(&u->checks->all);
    return true;
}

void
health_follow(struct upstream *u)
{
    struct server_set *set = atomic_load(&u->set);
    bool complete;

    if (!set || !u->config || !u->config->health.n) {
        health_stop(u);
        return;
    }
    complete = checks_exist(u);
    if (complete)
        u->checks->round++;
    for (size_t i = 0; complete && i < set->lb.n; i++)
        complete = follow_server(u, set->entries[i].server);
    if (complete)
        end_unwanted(u);
    else
        log_error("out of memory: not all servers are checked upstream=%.*s", SLICE_ARG(u->name));
    for (size_t i = 0; i < set->lb.n; i++)
        settle_anew(set->entries[i].server);
}

void
health_stop(struct upstream *u)
{
    struct checks *checks = take(&u->checks);

    if (!checks)
        return;
    list_each (link, &checks->all)
        end_and_settle(list_entry(link, struct check, of_upstream));
    free(checks);
}
