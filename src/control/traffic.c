/* SPDX-License-Identifier: Apache-2.0 */
/* control/traffic.c - a ring of looks, and the two stretches of time that a guard compares. */
#include "control/traffic.h"

#include "runtime/loop.h"

#include <stdlib.h>

enum { LOOKS = 128, ROUTES_MAX = GUARD_CONDITIONS_MAX };

struct ring {
    struct traffic_look looks[LOOKS];
    size_t              n; /* so far */
    uint64_t            began_us;
};

static struct ring ring;

const struct traffic_look *
traffic_look(void)
{
    struct traffic_look *l = &ring.looks[ring.n % LOOKS];

    if (!account_look((struct slice){NULL, 0}, &l->sample))
        memset(&l->sample, 0, sizeof(l->sample));
    l->at_us = clock_monotonic_us();
    if (!ring.n++)
        ring.began_us = l->at_us;
    return l;
}

/* The latest that was there at that time, or the oldest there is. */
static const struct traffic_look *
look_at(const struct ring *r, uint64_t then_us)
{
    static const struct traffic_look none;
    size_t first = r->n > LOOKS ? r->n - LOOKS : 0;

    for (size_t i = r->n; i > first; i--)
        if (r->looks[(i - 1) % LOOKS].at_us <= then_us)
            return &r->looks[(i - 1) % LOOKS];
    return r->n ? &r->looks[first % LOOKS] : &none;
}

const struct traffic_look *
traffic_ago(uint64_t ago_us)
{
    return look_at(&ring, clock_monotonic_us() - ago_us);
}

/* ------------------------------------------------------------------ for guards */

struct route_start {
    char                  name[64];
    struct account_sample at;
};

struct guard_samples {
    struct ring         before; /* the looks of a trial would overwrite it */
    struct traffic_look start;
    struct route_start  routes[ROUTES_MAX]; /* those that were asked for */
    size_t              n;
};

struct guard_samples *
guard_samples_new(void)
{
    struct guard_samples *g = calloc(1, sizeof(*g));

    if (g) {
        g->start = *traffic_look();
        g->before = ring;
    }
    return g;
}

void
guard_samples_free(struct guard_samples *g)
{
    free(g);
}

static void
between(const struct account_sample *from, const struct account_sample *to,
        struct guard_sample *out)
{
    static const struct account_sample nothing;

    if (!from)
        from = &nothing;
    out->requests = to->requests - from->requests;
    out->errors = to->failed - from->failed;
    out->client_errors = to->statuses[4] - from->statuses[4];
    out->durations = to->durations;
    histogram_since(&out->durations, &from->durations);
}

/* The state of a route when it was first asked for: with the trial's first look. */
static const struct route_start *
start_of(struct guard_samples *g, struct slice route)
{
    struct route_start *r;

    for (size_t i = 0; i < g->n; i++)
        if (slice_eq(slice_str(g->routes[i].name), route))
            return &g->routes[i];
    if (g->n == ROUTES_MAX || route.n >= sizeof(g->routes[0].name))
        return NULL;
    r = &g->routes[g->n];
    memcpy(r->name, route.at, route.n);
    r->name[route.n] = '\0';
    if (!account_look(route, &r->at))
        return NULL;
    g->n++;
    return r;
}

static bool
read_route(struct guard_samples *g, struct slice route, bool before, struct guard_sample *out)
{
    const struct route_start *start = start_of(g, route);
    struct account_sample now;

    if (!start || !account_look(route, &now))
        return false;
    if (before) {
        /* All there ever was: looks at single routes are not kept. */
        between(NULL, &start->at, out);
        out->took_us = g->start.at_us - ring.began_us;
    } else {
        between(&start->at, &now, out);
    }
    return true;
}

bool
guard_samples_read(void *arg, struct slice route, bool before, struct guard_sample *out)
{
    struct guard_samples *g = arg;
    uint64_t took_us = clock_monotonic_us() - g->start.at_us;

    *out = (struct guard_sample){.took_us = took_us};
    if (route.n)
        return read_route(g, route, before, out);
    if (before) {
        const struct traffic_look *first = look_at(&g->before, g->start.at_us - took_us);

        between(&first->sample, &g->start.sample, out);
        out->took_us = g->start.at_us - first->at_us;
    } else {
        const struct traffic_look *now = traffic_ago(0);

        between(&g->start.sample, &now->sample, out);
        out->took_us = now->at_us - g->start.at_us;
    }
    return true;
}
