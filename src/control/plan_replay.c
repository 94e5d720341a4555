/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control/plan_replay.c - requests that came lately, asked which way they would go before and
 * after.
 *
 * Nothing is sent and nothing waits: the routes are found, and each middleware that can say what it
 * would do is asked (`maitred explain` shows the same).  Requests for which it comes out the same
 * way differently are counted together.
 */
#include "base/check.h"
#include "control/plan_parts.h"
#include "exchange/recorded.h"

#include <stdlib.h>

/* What would become of one request. */
struct outcome {
    struct imagined_exchange imagined;
    const struct route      *route;    /* NULL: none */
    bool                     received; /* there is such a listener */
    bool                     good;
};

static bool
has_listener(const struct snapshot *s, struct slice name)
{
    const struct listener_config *l = s->listeners.at;

    for (size_t i = 0; i < s->listeners.n; i++)
        if (slice_eq(l[i].name, name))
            return true;
    return false;
}

static void
imagine(const struct plan *p, enum plan_side side, struct slice head, struct outcome *o)
{
    const struct snapshot *s = p->snapshot[side];
    struct exchange *x = &o->imagined.x;

    o->route = NULL;
    o->good = recorded_imagine(head, s->routes, s->config, &o->imagined);
    if (!o->good)
        return;
    o->received = has_listener(s, x->client->listener);
    if (o->received)
        o->route = route_find(s->routes, x);
    x->route = o->route;
    if (o->route)
        x->chain = x->next = o->route->chain;
}

/* ------------------------------------------------------------------ what differs */

static size_t
chain_length(const struct route *r)
{
    return r->chain_length ? r->chain_length - 1 : 0; /* without the terminal */
}

static bool
same_chain(const struct route *a, const struct route *b)
{
    if (chain_length(a) != chain_length(b))
        return false;
    for (size_t i = 0; i < chain_length(a); i++)
        if (a->chain[i].ops != b->chain[i].ops)
            return false;
    return true;
}

static bool
same_destination(const struct route *a, const struct route *b)
{
    const struct route_share *one = a->to.at, *other = b->to.at;

    if (a->to.n != b->to.n)
        return false;
    for (size_t i = 0; i < a->to.n; i++)
        if (!slice_eq(one[i].to, other[i].to) || one[i].weight != other[i].weight)
            return false;
    return true;
}

static bool
same_way(const struct plan *p, const struct outcome *before, const struct outcome *after)
{
    const struct route *a = before->route, *b = after->route;

    if (before->received != after->received || !a != !b)
        return false;
    return !a || (p->routes_before[b->index] == a->index && same_chain(a, b) &&
                  same_destination(a, b));
}

/* What a middleware says that it would do; absent when it says nothing. */
static struct slice
says(struct plan *p, struct outcome *o, size_t i)
{
    const struct middleware *m = &o->route->chain[i];
    struct slice copy = {NULL, 0};
    struct text t;

    if (!m->ops->explain)
        return copy;
    text_init(&t, 64 * 1024);
    m->ops->explain(m, &o->imagined.x, &t);
    copy = plan_copy(p, slice_trim(t.n ? text_slice(&t) : SLICE("")));
    text_free(&t);
    return copy;
}

/* ------------------------------------------------------------------ saying it */

static void
put_string(struct text *out, struct slice s)
{
    text_byte(out, '"');
    text_json(out, s);
    text_byte(out, '"');
}

static void
put_destination(struct text *out, const struct route *r)
{
    const struct route_share *to = r->to.at;

    if (r->to.n == 0) {
        text_literal(out, "null");
        return;
    }
    text_byte(out, '"');
    for (size_t i = 0; i < r->to.n; i++) {
        text_put(out, i ? SLICE(", ") : SLICE(""));
        text_json(out, to[i].to);
        if (r->to.n > 1)
            text_printf(out, " %lld", (long long) to[i].weight);
    }
    text_byte(out, '"');
}

/* What stands in every chain says nothing. */
static void
put_chain(struct text *out, const struct route *r)
{
    const char *between = "";

    for (size_t i = 0; i < chain_length(r); i++) {
        if (r->chain[i].ops->by_default)
            continue;
        text_put(out, slice_str(between));
        put_string(out, slice_str(r->chain[i].ops->options.name));
        between = ",";
    }
}

/* {"route", "middleware": [..], "to"}; extra: what some middleware says. */
static void
put_outcome(struct text *out, const struct outcome *o, struct slice extra)
{
    const struct route *r = o->route;

    if (!r) {
        text_printf(out, "{\"route\":null,\"why\":\"%s\"}",
                    o->received ? "no route matches" : "there is no such listener");
        return;
    }
    text_literal(out, "{\"route\":");
    put_string(out, r->name);
    text_literal(out, ",\"middleware\":[");
    put_chain(out, r);
    text_literal(out, "],\"to\":");
    put_destination(out, r);
    if (extra.n) {
        text_literal(out, ",\"says\":");
        put_string(out, extra);
    }
    text_byte(out, '}');
}

static struct slice
outcome_text(struct plan *p, const struct outcome *o, struct slice extra)
{
    struct slice copy;
    struct text t;

    text_init(&t, 64 * 1024);
    put_outcome(&t, o, extra);
    copy = arena_copy(&p->arena, text_slice(&t));
    text_free(&t);
    return copy;
}

static struct slice
url_of(struct plan *p, const struct exchange *x)
{
    struct slice url = arena_printf(&p->arena, "%.*s://%.*s%.*s", SLICE_ARG(x->scheme),
                                    SLICE_ARG(x->request.authority),
                                    SLICE_ARG(x->request.target.raw));

    return plan_copy(p, url);
}

/* key: the same for all that differ in the same way. */
static void
count(struct plan *p, struct slice key, const struct outcome *before, struct slice was,
      const struct outcome *after, struct slice is)
{
    struct plan_difference *d = map_get(&p->differences_by_key, key);
    const struct exchange *x = &after->imagined.x;

    p->different++;
    if (d) {
        d->count++;
        return;
    }
    if (p->n_differences == PLAN_DIFFERENCES_MAX)
        return;
    d = arena_new(&p->arena, struct plan_difference);
    if (!d || !map_put(&p->differences_by_key, key, d)) {
        p->no_memory = true;
        return;
    }
    *d = (struct plan_difference){.method = plan_copy(p, x->request.method_token),
                                  .url = url_of(p, x),
                                  .before = outcome_text(p, before, was),
                                  .after = outcome_text(p, after, is),
                                  .count = 1};
    p->no_memory |= !d->before.at || !d->after.at;
    *p->last_difference = d;
    p->last_difference = &d->next;
    p->n_differences++;
}

/* ------------------------------------------------------------------ one request */

/* The same way, but perhaps a middleware on it does something else.  The first one counts. */
static void
compare_words(struct plan *p, struct outcome *before, struct outcome *after)
{
    for (size_t i = 0; i < chain_length(after->route); i++) {
        const char *name = after->route->chain[i].ops->options.name;
        struct slice was = says(p, before, i), is = says(p, after, i), key;

        if (slice_eq(was, is))
            continue;
        was = arena_printf(&p->arena, "%s %.*s", name, SLICE_ARG(was));
        is = arena_printf(&p->arena, "%s %.*s", name, SLICE_ARG(is));
        key = arena_printf(&p->arena, "%zu %zu", after->route->index, i);
        if (was.at && is.at && key.at)
            count(p, key, before, was, after, is);
        else
            p->no_memory = true;
        return;
    }
}

static void
compare(struct plan *p, struct outcome *before, struct outcome *after)
{
    struct slice was, is, key, nothing = {NULL, 0};

    if (same_way(p, before, after)) {
        if (after->route)
            compare_words(p, before, after);
        return;
    }
    was = outcome_text(p, before, nothing);
    is = outcome_text(p, after, nothing);
    key = arena_printf(&p->arena, "%.*s %.*s", SLICE_ARG(was), SLICE_ARG(is));
    if (key.at)
        count(p, key, before, nothing, after, nothing);
    else
        p->no_memory = true;
}

void
plan_replay_head(struct plan *p, struct slice head)
{
    /* Too large for a fiber's stack. */
    struct outcome *both = calloc(PLAN_SIDES, sizeof(*both));

    if (!both) {
        p->no_memory = true;
        return;
    }
    imagine(p, PLAN_BEFORE, head, &both[PLAN_BEFORE]);
    imagine(p, PLAN_AFTER, head, &both[PLAN_AFTER]);
    if (both[PLAN_BEFORE].good && both[PLAN_AFTER].good) {
        p->replayed++;
        compare(p, &both[PLAN_BEFORE], &both[PLAN_AFTER]);
    }
    recorded_forget(&both[PLAN_BEFORE].imagined);
    recorded_forget(&both[PLAN_AFTER].imagined);
    free(both);
}

/* ------------------------------------------------------------------ all of them */

/* Heads are kept until all have been handed over: asking routes takes its time. */
struct collection {
    struct plan  *plan;
    struct slice *heads;
    size_t        n, room;
};

static void
collect(void *arg, struct slice head)
{
    struct collection *c = arg;

    if (c->n == c->room)
        return;
    c->heads[c->n] = arena_copy(&c->plan->arena, head);
    if (c->heads[c->n].at)
        c->n++;
}

/* Those of the same count stay in the order in which they came. */
static void
most_frequent_first(struct plan *p)
{
    struct plan_difference *left = take(&p->differences), *d;

    while ((d = left)) {
        struct plan_difference **at = &p->differences;

        left = d->next;
        while (*at && (*at)->count >= d->count)
            at = &(*at)->next;
        d->next = *at;
        *at = d;
        if (!d->next)
            p->last_difference = &d->next;
    }
}

void
plan_replay(struct plan *p, unsigned workers)
{
    struct collection c = {.plan = p, .room = (size_t) RECORDED_MAX * (workers ? workers : 1)};

    c.heads = arena_calloc(&p->arena, c.room, sizeof(*c.heads));
    if (!c.heads) {
        p->no_memory = true;
        return;
    }
    recorded_each(collect, &c);
    for (size_t i = 0; i < c.n; i++)
        plan_replay_head(p, c.heads[i]);
    most_frequent_first(p);
}
