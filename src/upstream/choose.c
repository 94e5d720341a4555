/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/choose.c - which server takes an exchange, and the same question answered for people.
 *
 * The client's cookie comes first, then the upstream's policy: among usable servers; among usable
 * ones that are full, where it will wait in line; among doubtful ones, because trying beats
 * refusing; and among those whose checks fail only in panic.
 */
#include "upstream/relay.h"

#include "exchange/trace.h"
#include "upstream/locality.h"

enum { SILENT_MAX = 4, NOTED_MAX = 16 };

/* A stable hash, so that several proxies agree on who serves a key. */
static uint64_t
affinity_of(const struct upstream_config *config, struct exchange *x)
{
    const struct balance_config *balance = upstream_balance(config);
    struct slice key;

    if (!balance || !balance->by)
        return 0;
    key = expr_text(balance->by, x);
    return key.n ? hash_stable(key) | 1 : 0;
}

void
relay_plan_choice(struct relay_plan *plan)
{
    const struct upstream_config *config = plan->to->config;

    plan->affinity = affinity_of(config, plan->x);
    plan->region = config->locality ? locality_region(config->locality, plan->x) : LB_NO_REGION;
    if (!config->sticky)
        return;
    plan->stick = sticky_read(config->sticky, config->name, plan->x,
                              clock_wall_us() / 1000000, &plan->seen);
    sticky_strip(config->sticky, config->name, plan->x);
}

static bool
was_tried(const struct relay_plan *plan, const struct server *s)
{
    for (size_t i = 0; i < plan->n_tried; i++)
        if (plan->tried[i] == s)
            return true;
    return false;
}

/* The server of the client's cookie: also one that is draining, which finishes its sessions. */
static struct server *
stuck_to(const struct relay_plan *plan, const struct server_set *set)
{
    const unsigned bearable = SERVER_IS_DRAINING;

    if (!plan->stick)
        return NULL;
    for (size_t i = 0; i < set->lb.n; i++) {
        struct server *s = set->entries[i].server;

        if (s->sticky_id == plan->seen.id)
            return (atomic_load(&s->faults) & ~bearable) || was_tried(plan, s) ? NULL : s;
    }
    return NULL;
}

/* Further and further down, until somebody is found. */
static size_t
pick(struct server_set *set, const struct upstream_config *config, struct lb_ask *ask)
{
    bool panic = config->panic && server_set_health(set) < config->panic;
    size_t i;

    ask->least = panic ? LB_DOWN : LB_USABLE;
    for (;;) {
        ask->full_too = false;
        i = lb_pick(set->policy, ask);
        if (i != LB_NONE)
            return i;
        ask->full_too = true;
        i = lb_pick(set->policy, ask);
        if (i != LB_NONE || ask->least != LB_USABLE)
            return i;
        ask->least = LB_DOUBTED;
    }
}

static struct lb_ask
ask_of(const struct relay_plan *plan, const bool *tried)
{
    const struct balance_config *balance = upstream_balance(plan->to->config);

    return (struct lb_ask){
        .affinity = plan->affinity,
        .entropy = dice_next(&loop_self()->dice),
        .now_us = loop_now_us(),
        .tried = tried,
        .worker = loop_self()->number,
        .region = plan->region,
        .reuse = balance && balance->lb.reuse,
    };
}

/* Flags for those that were tried; NULL with *failed: out of memory. */
static bool *
flags_of(const struct relay_plan *plan, const struct server_set *set, bool *failed)
{
    bool *flags;

    *failed = false;
    if (plan->n_tried == 0)
        return NULL;
    flags = arena_alloc(&plan->x->arena, set->lb.n + 1);
    *failed = !flags;
    for (size_t i = 0; flags && i < set->lb.n; i++)
        flags[i] = was_tried(plan, set->entries[i].server);
    return flags;
}

static struct server *
balance(const struct relay_plan *plan, struct server_set *set)
{
    bool failed;
    bool *flags = flags_of(plan, set, &failed);
    struct server *s = NULL;

    if (failed)
        return NULL;
    for (int i = 0; i < SILENT_MAX; i++) {
        struct lb_ask ask = ask_of(plan, flags);
        size_t at = pick(set, plan->to->config, &ask);

        if (at == LB_NONE)
            return NULL;
        s = set->entries[at].server;
        if (ask.least != LB_USABLE || !server_is_silent(s))
            break;
        /* It takes connections but has stopped answering: somebody else should try. */
        server_rest(s);
    }
    return s;
}

/* Who was considered, and what spoke against those that were not taken. */
static void
note_choice(const struct relay_plan *plan, const struct server_set *set,
            const struct server *winner, bool stuck)
{
    const struct upstream_config *config = plan->to->config;
    struct exchange *x = plan->x;

    for (size_t i = 0; i < set->lb.n && i < NOTED_MAX; i++) {
        const struct server *s = set->entries[i].server;
        uint32_t limit = atomic_load(&s->target->limit);
        unsigned faults = atomic_load(&s->faults);

        if (s == winner)
            continue;
        if (was_tried(plan, s))
            exchange_note(x, NULL, "server", "%.*s left out: tried already", SLICE_ARG(s->text));
        else if (faults)
            exchange_note(x, NULL, "server", "%.*s left out: %s", SLICE_ARG(s->text),
                          server_fault_words(faults));
        else if (limit && atomic_load(&s->target->inflight) >= limit)
            exchange_note(x, NULL, "server", "%.*s is full", SLICE_ARG(s->text));
    }
    if (!winner)
        exchange_note_object(x, config, "server", "none of the %zu of upstream %.*s can be taken",
                             set->lb.n, SLICE_ARG(config->name));
    else
        exchange_note_object(x, config, "server", "%.*s chosen of %zu of upstream %.*s%s%s",
                             SLICE_ARG(winner->text), set->lb.n, SLICE_ARG(config->name),
                             stuck ? ": the client's cookie names it" : " by ",
                             stuck                    ? ""
                             : config->balance.object ? config->balance.object->name
                                                      : "round_robin");
}

struct server *
relay_choose(struct relay_plan *plan)
{
    struct server_set *set = atomic_load_explicit(&plan->to->upstream->set, memory_order_acquire);
    struct server *stuck, *s;

    if (!set || plan->n_tried == ATTEMPTS_MAX)
        return NULL;
    stuck = stuck_to(plan, set);
    s = stuck ? stuck : balance(plan, set);
    if (unlikely(plan->x->trace != NULL))
        note_choice(plan, set, s, stuck != NULL);
    if (!s)
        return NULL;
    server_hold(s);
    plan->tried[plan->n_tried++] = s;
    return s;
}

/* ------------------------------------------------------------------ explain */

static void
explain_server(const struct server_entry *e, const struct server_set *set, size_t i,
               const struct server *winner, struct text *out)
{
    const struct server *s = e->server;
    unsigned faults = atomic_load(&s->faults);
    uint32_t limit = atomic_load(&s->target->limit), inflight = atomic_load(&s->target->inflight);

    text_printf(out, "  %s %.*s, weight %u", s == winner ? "->" : "  ", SLICE_ARG(s->text),
                set->lb.weights[i]);
    if (e->place.tier)
        text_printf(out, ", tier %u", e->place.tier);
    if (faults)
        text_printf(out, ", left out: %s", server_fault_words(faults));
    else if (limit && inflight >= limit)
        text_literal(out, ", full: would wait in line");
    if (e->stale)
        text_literal(out, ", from an earlier answer: its name does not resolve now");
    text_byte(out, '\n');
}

void
upstream_explain(struct upstream *u, const struct upstream_config *config, struct exchange *x,
                 struct text *out)
{
    const struct upstream_terminal to = {u, config};
    struct server_set *set = atomic_load(&u->set);
    struct server *winner = NULL;

    text_printf(out, "upstream %.*s, balance %s\n", SLICE_ARG(config->name),
                config->balance.object ? config->balance.object->name : "round_robin");
    if (x && set) {
        struct relay_plan plan = {.x = x, .to = &to};

        relay_plan_choice(&plan);
        if (plan.affinity)
            text_printf(out, "  key %.*s\n",
                        SLICE_ARG(expr_text(upstream_balance(config)->by, x)));
        if (plan.region != LB_NO_REGION)
            text_printf(out, "  the client is in region %.*s\n",
                        SLICE_ARG(((const struct region_config *)
                                       config->locality->regions.at)[plan.region].name));
        winner = stuck_to(&plan, set);
        if (winner)
            text_literal(out, "  the client's cookie names the server\n");
        else
            winner = balance(&plan, set);
    }
    for (size_t i = 0; set && i < set->lb.n; i++)
        explain_server(&set->entries[i], set, i, winner, out);
    if (x && !winner)
        text_literal(out, "  no server can be taken: 503\n");
    if (set && set->unresolved)
        text_literal(out, "  some names are not resolved\n");
}
