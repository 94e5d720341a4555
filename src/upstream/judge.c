/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/judge.c - a timer on the control thread that looks at an upstream's passive health once
 * a second, and at once when a worker calls.
 */
#include "upstream/judge.h"

#include "observe/log.h"
#include "upstream/probe.h"

#include <stdlib.h>

enum { LOOK_US = 1000000, REPORT_US = 30000000 };

struct judge {
    struct timer     timer;
    struct upstream *upstream;
};

static void
tell(const struct upstream *u, struct server *s, bool ejected)
{
    if (ejected)
        log_warning("server is ejected for its failures upstream=%.*s server=%.*s",
                    SLICE_ARG(u->name), SLICE_ARG(s->text));
    else
        log_info("server is let in again upstream=%.*s server=%.*s", SLICE_ARG(u->name),
                 SLICE_ARG(s->text));
}

/* What the judgement was becomes a fault, or ends one. */
static void
execute(struct upstream *u, struct server_set *set)
{
    for (size_t i = 0; i < set->lb.n; i++) {
        struct server *s = set->entries[i].server;
        bool was = atomic_load(&s->faults) & SERVER_IS_EJECTED, is = s->passive.until_us != 0;

        if (was == is)
            continue;
        server_set_fault(s, SERVER_IS_EJECTED, is);
        if (!is)
            server_begin_ramp(s, u->config->slow_start_us);
        s->since_us = loop_now_us();
        tell(u, s, is);
    }
}

static void
look(struct upstream *u, bool periodic)
{
    struct server_set *set = atomic_load(&u->set);
    struct passive **group;

    if (!set || set->lb.n == 0 || !u->config)
        return;
    group = calloc(set->lb.n, sizeof(struct passive *));
    if (!group)
        return;
    for (size_t i = 0; i < set->lb.n; i++)
        group[i] = &set->entries[i].server->passive;
    if (passive_judge(group, set->lb.n, &u->config->passive, loop_now_us(), periodic))
        execute(u, set);
    free(group);
}

static bool
has_agent(const struct upstream_config *config)
{
    const struct health_config *check = config->health.at;

    for (size_t i = 0; i < config->health.n; i++)
        if (probe_kinds[check[i].kind] == &probe_agent)
            return true;
    return false;
}

/* What servers said of their load in their answers counts for a while; an agent's word until its
 * next. */
static void
forget_reports(struct upstream *u)
{
    struct server_set *set = atomic_load(&u->set);
    uint64_t older_us = u->config->load == LOAD_IGNORE ? 0 : REPORT_US;

    for (size_t i = 0; set && !has_agent(u->config) && i < set->lb.n; i++)
        server_forget_report(set->entries[i].server, older_us);
}

static void
on_second(struct timer *t)
{
    struct judge *j = container_of(t, struct judge, timer);

    look(j->upstream, true);
    forget_reports(j->upstream);
    timer_set(&loop_self()->timers, t, loop_now_us() + LOOK_US);
}

static void
on_call(void *arg)
{
    struct upstream *u = arg;

    look(u, false);
    upstream_drop(u);
}

void
judge_call(struct upstream *u)
{
    upstream_keep(u);
    if (!upstream_tell(on_call, u))
        upstream_drop(u); /* the next second will do */
}

void
judge_follow(struct upstream *u)
{
    forget_reports(u);
    if (u->judge)
        return;
    u->judge = calloc(1, sizeof(*u->judge));
    if (!u->judge)
        return; /* consecutive failures are seen without it */
    u->judge->upstream = u;
    u->judge->timer.fire = on_second;
    timer_set(&loop_self()->timers, &u->judge->timer, loop_now_us() + LOOK_US);
}

void
judge_stop(struct upstream *u)
{
    struct judge *j = take(&u->judge);
    struct server_set *set = atomic_load(&u->set);

    if (!j)
        return;
    timer_clear(&loop_self()->timers, &j->timer);
    free(j);
    for (size_t i = 0; set && i < set->lb.n; i++) {
        set->entries[i].server->passive.until_us = 0;
        server_set_fault(set->entries[i].server, SERVER_IS_EJECTED, false);
    }
}
