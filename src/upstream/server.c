/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/server.c - servers, what speaks against them, and what share of the work they get.
 *
 * Checks, real traffic, operators and workers each have flags of their own in server.faults; from
 * all of them follows one standing, which is all that balancing looks at.
 */
#include "upstream/server.h"

#include "base/map.h"
#include "runtime/fiber.h"

#include <stdlib.h>

enum {
    REST_US = 1000000,
    RAMP_STEPS = 20,
    RAMP_STEP_MIN_US = 50000,
    SILENT_LEAST = 3,         /* fewer waiting exchanges may just be slow ones */
    SILENT_MIN_US = 100000,
    SILENT_TIMES = 20,        /* what an answer takes on average */
};

unsigned upstream_workers = 1;
_Atomic uint64_t server_standings;

const char *const server_states[] = {"ready", "draining", "maintenance", NULL};

/* ------------------------------------------------------------------ birth and death */

static struct server_block *
block_new(size_t n)
{
    size_t size = sizeof(struct server_block) + n * sizeof(struct lb_target);
    struct server_block *b = aligned_alloc(64, (size + 63) / 64 * 64);

    if (b)
        memset(b, 0, size);
    return b;
}

static void
block_release(struct server_block *b)
{
    if (atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) == 1)
        free(b);
}

static struct server *
server_new(struct upstream *u, const union address *address, struct server_block *block, size_t i)
{
    char text[ADDRESS_TEXT_MAX];
    size_t n = address_write(address, text);
    struct server *s = calloc(1, sizeof(*s) + upstream_workers * sizeof(s->pools[0]) + n);
    char *copy;

    if (!s)
        return NULL;
    copy = (char *) &s->pools[upstream_workers];
    memcpy(copy, text, n);
    s->text = slice_of(copy, n);
    s->address = *address;
    s->upstream = u;
    upstream_keep(u);
    s->refs = 1;
    s->key = hash_stable(s->text);
    s->block = block;
    s->target = &block->targets[i];
    s->target->standing = LB_USABLE;
    s->target->share = s->ramp_share = s->reported_share = LB_SHARE_FULL;
    s->since_us = loop_now_us();
    pthread_mutex_init(&s->line.lock, NULL);
    list_init(&s->line.waiting);
    list_init(&s->checks);
    for (unsigned w = 0; w < upstream_workers; w++) {
        list_init(&s->pools[w].idle);
        list_init(&s->pools[w].shared);
        list_init(&s->pools[w].waiting);
    }
    atomic_fetch_add_explicit(&block->refs, 1, memory_order_relaxed);
    return s;
}

bool
servers_new(struct upstream *u, const union address *addresses, size_t n, struct server **out)
{
    struct server_block *block = block_new(n);
    size_t made = 0;

    if (!block)
        return false;
    block->refs = 1;
    while (made < n) {
        out[made] = server_new(u, &addresses[made], block, made);
        if (!out[made])
            break;
        made++;
    }
    for (size_t i = 0; made < n && i < made; i++)
        server_release(out[i]);
    block_release(block);
    return made == n;
}

void
server_set_name(struct server *s, struct slice name)
{
    char *old = atomic_load(&s->name), *copy = NULL;

    if (name.n == 0 ? !old : old && slice_eq(name, slice_str(old)))
        return;
    if (name.n) {
        copy = strndup(name.at, name.n);
        if (!copy)
            return;
    }
    old = atomic_exchange(&s->name, copy);
    if (old)
        workers_retire(free, old);
}

void
server_hold(struct server *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
}

void
server_release(struct server *s)
{
    if (atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (unsigned w = 0; w < upstream_workers; w++)
        tls_session_clear(&s->pools[w].session);
    free(s->name);
    pthread_mutex_destroy(&s->line.lock);
    block_release(s->block);
    upstream_drop(s->upstream);
    free(s);
}

/* ------------------------------------------------------------------ what speaks against it */

static enum lb_standing
standing_of(unsigned faults)
{
    if (faults & (SERVER_IS_DRAINING | SERVER_IS_IN_MAINTENANCE | SERVER_IS_UNPROVED |
                  SERVER_IS_LEAVING))
        return LB_OUT;
    if (faults & SERVER_IS_DOWN)
        return LB_DOWN;
    return faults ? LB_DOUBTED : LB_USABLE;
}

bool
server_set_fault(struct server *s, enum server_fault fault, bool on)
{
    unsigned was = on ? atomic_fetch_or(&s->faults, (uint8_t) fault)
                      : atomic_fetch_and(&s->faults, (uint8_t) ~fault);
    unsigned is = on ? was | fault : was & ~(unsigned) fault;

    if (is == was)
        return false;
    /* Others may set theirs at the same time: whoever comes last has seen them all. */
    do {
        is = atomic_load(&s->faults);
        atomic_store(&s->target->standing, (uint8_t) standing_of(is));
    } while (atomic_load(&s->faults) != is);
    atomic_fetch_add(&server_standings, 1);
    return standing_of(was) != standing_of(is);
}

const char *
server_fault_words(unsigned faults)
{
    static const struct {
        unsigned    fault;
        const char *words;
    } all[] = {
        {SERVER_IS_LEAVING, "leaving"},
        {SERVER_IS_IN_MAINTENANCE, "maintenance"},
        {SERVER_IS_DRAINING, "draining"},
        {SERVER_IS_DOWN, "down"},
        {SERVER_IS_UNPROVED, "not checked yet"},
        {SERVER_IS_EJECTED, "ejected"},
        {SERVER_IS_RESTING, "resting"},
    };

    for (size_t i = 0; i < countof(all); i++)
        if (faults & all[i].fault)
            return all[i].words;
    return "up";
}

/* ------------------------------------------------------------------ resting */

struct rest {
    struct timer   timer;
    struct server *server;
    struct list    link;
};

/* Of this worker. */
static __thread struct list rests;

static void
rest_over(struct timer *t)
{
    struct rest *r = container_of(t, struct rest, timer);

    list_remove(&r->link);
    server_set_fault(r->server, SERVER_IS_RESTING, false);
    server_release(r->server);
    free(r);
}

void
server_rests_end(void)
{
    while (rests.next && !list_is_empty(&rests)) {
        struct rest *r = list_entry(rests.next, struct rest, link);

        timer_clear(&loop_self()->timers, &r->timer);
        rest_over(&r->timer);
    }
}

void
server_rest(struct server *s)
{
    struct rest *r;

    if (atomic_load(&s->faults) & SERVER_IS_RESTING)
        return;
    r = calloc(1, sizeof(*r));
    if (!r)
        return;
    server_set_fault(s, SERVER_IS_RESTING, true);
    server_hold(s);
    r->server = s;
    r->timer.fire = rest_over;
    if (!rests.next)
        list_init(&rests);
    list_push(&rests, &r->link);
    timer_set(&loop_self()->timers, &r->timer, loop_now_us() + REST_US);
}

/* ------------------------------------------------------------------ exchanges on it */

void
server_begin(struct server *s)
{
    server_hold(s);
    atomic_fetch_add_explicit(&s->exchanges, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&s->target->inflight, 1, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&s->unanswered, 1, memory_order_relaxed) == 0)
        atomic_store_explicit(&s->silent_since_us, loop_now_us(), memory_order_relaxed);
}

void
server_answered(struct server *s)
{
    bool last = atomic_fetch_sub_explicit(&s->unanswered, 1, memory_order_relaxed) == 1;

    atomic_store_explicit(&s->silent_since_us, last ? 0 : loop_now_us(), memory_order_relaxed);
}

void
server_end(struct server *s)
{
    atomic_fetch_sub_explicit(&s->target->inflight, 1, memory_order_relaxed);
    server_release(s);
}

bool
server_is_silent(const struct server *s)
{
    uint64_t since_us = atomic_load_explicit(&s->silent_since_us, memory_order_relaxed);
    uint64_t usual_us = atomic_load_explicit(&s->target->average_us, memory_order_relaxed);
    uint64_t patience_us = usual_us * SILENT_TIMES;

    if (!since_us || !usual_us ||
        atomic_load_explicit(&s->unanswered, memory_order_relaxed) < SILENT_LEAST)
        return false;
    if (patience_us < SILENT_MIN_US)
        patience_us = SILENT_MIN_US;
    return loop_now_us() > since_us + patience_us;
}

/* ------------------------------------------------------------------ its share */

static void
apply_share(struct server *s)
{
    uint32_t ramp = atomic_load(&s->ramp_share), reported = atomic_load(&s->reported_share);

    atomic_store(&s->target->share, (uint16_t) (ramp * reported / LB_SHARE_FULL));
}

static void
ramp_on(struct timer *t)
{
    struct server *s = container_of(t, struct server, ramp);
    uint64_t gone_us = loop_now_us() - s->ramp_from_us, step_us = s->ramp_us / RAMP_STEPS;

    if (gone_us >= s->ramp_us) {
        server_end_ramp(s);
        return;
    }
    atomic_store(&s->ramp_share, (uint16_t) (1 + gone_us * (LB_SHARE_FULL - 1) / s->ramp_us));
    apply_share(s);
    timer_set(&loop_self()->timers, t,
              loop_now_us() + (step_us < RAMP_STEP_MIN_US ? RAMP_STEP_MIN_US : step_us));
}

void
server_begin_ramp(struct server *s, uint64_t slow_start_us)
{
    if (!slow_start_us)
        return;
    if (!s->ramp_us)
        server_hold(s);
    s->ramp.fire = ramp_on;
    s->ramp_from_us = loop_now_us();
    s->ramp_us = slow_start_us;
    ramp_on(&s->ramp);
}

void
server_end_ramp(struct server *s)
{
    if (!s->ramp_us)
        return;
    s->ramp_us = 0;
    timer_clear(&loop_self()->timers, &s->ramp);
    atomic_store(&s->ramp_share, LB_SHARE_FULL);
    apply_share(s);
    server_release(s);
}

void
server_report_share(struct server *s, uint16_t share)
{
    atomic_store(&s->reported_share, share ? share : 1);
    atomic_store_explicit(&s->reported_us, loop_now_us(), memory_order_relaxed);
    apply_share(s);
}

void
server_forget_report(struct server *s, uint64_t older_us)
{
    if (atomic_load(&s->reported_share) == LB_SHARE_FULL ||
        loop_now_us() - atomic_load_explicit(&s->reported_us, memory_order_relaxed) < older_us)
        return;
    atomic_store(&s->reported_share, LB_SHARE_FULL);
    apply_share(s);
}
