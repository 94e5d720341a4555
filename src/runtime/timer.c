/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runtime/timer.c - six wheels of 64 slots: 65 ms, 4 s, 4 min, 5 h, 12 days, 2 years.
 *
 * A timer hangs in the wheel whose slot width fits its distance.  When the slot of a coarser wheel
 * comes up, its timers are spread over the finer ones.
 */
#include "runtime/timer.h"

#include <string.h>

enum { SLOT_BITS = 6 };

void
timers_init(struct timers *w, uint64_t now_us)
{
    memset(w, 0, sizeof(*w));
    w->now_tick = now_us >> TIMER_TICK_SHIFT;
    for (int l = 0; l < TIMER_LEVELS; l++)
        for (int s = 0; s < TIMER_SLOTS; s++)
            list_init(&w->slots[l][s]);
}

static void
hang(struct timers *w, struct timer *t)
{
    uint64_t differ = t->tick ^ w->now_tick;
    unsigned level = differ ? (63u - (unsigned) __builtin_clzll(differ)) / SLOT_BITS : 0;
    unsigned slot;

    if (level >= TIMER_LEVELS) {
        level = TIMER_LEVELS - 1;
        /* Farther than the wheels reach: the last slot before the current one; it is hung again
         * then. */
        slot = ((w->now_tick >> (level * SLOT_BITS)) - 1) & (TIMER_SLOTS - 1);
    } else {
        slot = (t->tick >> (level * SLOT_BITS)) & (TIMER_SLOTS - 1);
    }
    t->level = (uint8_t) level;
    t->slot = (uint8_t) slot;
    list_append(&w->slots[level][slot], &t->link);
    w->used[level] |= (uint64_t) 1 << slot;
}

static void
unhang(struct timers *w, struct timer *t)
{
    list_remove(&t->link);
    if (list_is_empty(&w->slots[t->level][t->slot]))
        w->used[t->level] &= ~((uint64_t) 1 << t->slot);
}

void
timer_set(struct timers *w, struct timer *t, uint64_t at_us)
{
    uint64_t tick = (at_us >> TIMER_TICK_SHIFT) + 1;

    if (timer_is_set(t)) {
        if (t->tick == tick)
            return;
        unhang(w, t);
    } else {
        w->count++;
    }
    /* A tick that has passed fires with the next one. */
    t->tick = tick > w->now_tick ? tick : w->now_tick + 1;
    hang(w, t);
}

void
timer_clear(struct timers *w, struct timer *t)
{
    if (!timer_is_set(t))
        return;
    unhang(w, t);
    t->link.next = NULL;
    w->count--;
}

/* Spreads the slot of a coarser wheel that now begins. */
static void
cascade(struct timers *w, unsigned level)
{
    unsigned slot = (w->now_tick >> (level * SLOT_BITS)) & (TIMER_SLOTS - 1);
    struct list moved, *l;

    list_init(&moved);
    list_splice(&moved, &w->slots[level][slot]);
    w->used[level] &= ~((uint64_t) 1 << slot);
    while ((l = list_pop(&moved)))
        hang(w, list_entry(l, struct timer, link));
}

static void
fire_slot(struct timers *w, unsigned slot)
{
    struct list *l;

    while (!list_is_empty(&w->slots[0][slot])) {
        struct timer *t;

        l = w->slots[0][slot].next;
        t = list_entry(l, struct timer, link);
        timer_clear(w, t);
        t->fire(t);
    }
}

/* The next tick after now_tick at which a wheel has something to do, not past `until`. */
static uint64_t
next_tick(const struct timers *w, uint64_t until)
{
    uint64_t best = until;

    for (unsigned level = 0; level < TIMER_LEVELS; level++) {
        uint64_t now = w->now_tick >> (level * SLOT_BITS);
        unsigned at = now & (TIMER_SLOTS - 1);
        uint64_t turned, tick;

        if (!w->used[level])
            continue;
        /* Bit 0 becomes the slot after the current one. */
        turned = w->used[level] >> ((at + 1) & 63) | w->used[level]
                                                         << ((64 - ((at + 1) & 63)) & 63);
        tick = (now + 1 + (uint64_t) __builtin_ctzll(turned)) << (level * SLOT_BITS);
        if (tick < best)
            best = tick;
    }
    return best;
}

void
timers_run(struct timers *w, uint64_t now_us)
{
    uint64_t until = now_us >> TIMER_TICK_SHIFT;

    while (w->now_tick < until) {
        if (w->count == 0) {
            w->now_tick = until;
            return;
        }
        w->now_tick = next_tick(w, until);
        for (unsigned level = TIMER_LEVELS - 1; level > 0; level--)
            if ((w->now_tick & (((uint64_t) 1 << (level * SLOT_BITS)) - 1)) == 0)
                cascade(w, level);
        fire_slot(w, w->now_tick & (TIMER_SLOTS - 1));
    }
}

uint64_t
timers_next_us(const struct timers *w)
{
    if (w->count == 0)
        return TIMER_NEVER;
    return next_tick(w, UINT64_MAX >> TIMER_TICK_SHIFT) << TIMER_TICK_SHIFT;
}
