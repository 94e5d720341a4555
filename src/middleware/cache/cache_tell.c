/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/cache/cache_tell.c - what the caches have done: the stores, and each route that uses
 * one.
 */
#include "base/text.h"
#include "exchange/route.h"
#include "middleware/cache/caching.h"
#include "middleware/cache/stores.h"
#include "middleware/middleware.h"
#include "runtime/quiesce.h"

struct telling {
    struct text *out;
    bool         more;
};

static void
comma(struct telling *t)
{
    if (t->more)
        text_byte(t->out, ',');
    t->more = true;
}

static void
tell_name(struct text *out, struct slice name)
{
    text_literal(out, "{\"name\":\"");
    text_json(out, name);
    text_byte(out, '"');
}

static void
tell_number(struct text *out, const char *name, uint64_t n)
{
    text_printf(out, ",\"%s\":%llu", name, (unsigned long long) n);
}

static void
tell_store(void *arg, struct slice name, const struct store_status *s)
{
    struct telling *t = arg;

    comma(t);
    tell_name(t->out, name);
#define NUMBER(field) tell_number(t->out, #field, s->field)
    NUMBER(objects);
    NUMBER(memory_bytes);
    NUMBER(memory_max);
    NUMBER(disk_objects);
    NUMBER(disk_bytes);
    NUMBER(disk_max);
    NUMBER(hits);
    NUMBER(misses);
    NUMBER(shared);
    NUMBER(evicted);
    NUMBER(purged);
    NUMBER(declined);
    NUMBER(broken);
    NUMBER(refused);
#undef NUMBER
    text_byte(t->out, '}');
}

/* Each worker counts by itself: a number may be a request behind. */
static struct caching_counts
sum_of(const struct caching *c)
{
    struct caching_counts sum = {0};

    for (unsigned i = 0; i < WORKERS_MAX; i++) {
        const struct caching_counts *w = &c->workers[i];

#define ADD(field) sum.field += __atomic_load_n(&w->field, __ATOMIC_RELAXED)
        ADD(hits);
        ADD(stale);
        ADD(shared);
        ADD(misses);
        ADD(passed);
        ADD(confirmed);
        ADD(excused);
        ADD(stored);
        ADD(refreshed);
        ADD(purged);
        ADD(hit_bytes);
        ADD(saved_us);
#undef ADD
    }
    return sum;
}

static void
tell_counts(struct text *out, const struct caching_counts *n)
{
#define NUMBER(field) tell_number(out, #field, n->field)
    NUMBER(hits);
    NUMBER(stale);
    NUMBER(shared);
    NUMBER(misses);
    NUMBER(passed);
    NUMBER(confirmed);
    NUMBER(excused);
    NUMBER(stored);
    NUMBER(refreshed);
    NUMBER(purged);
    NUMBER(hit_bytes);
#undef NUMBER
    text_printf(out, ",\"saved_seconds\":%.3f", (double) n->saved_us / 1e6);
}

static void
tell_route(struct telling *t, const struct route *r)
{
    for (size_t i = 0; i < r->chain_length; i++) {
        const struct caching *c = r->chain[i].config;
        struct caching_counts sum;

        if (r->chain[i].ops != &middleware_cache)
            continue;
        sum = sum_of(c);
        comma(t);
        tell_name(t->out, r->name);
        text_literal(t->out, ",\"store\":\"");
        text_json(t->out, c->store_name);
        text_byte(t->out, '"');
        tell_counts(t->out, &sum);
        text_byte(t->out, '}');
    }
}

void
cache_stores_write_status(const struct route_set *routes, struct text *out)
{
    struct telling stores = {out, false}, caches = {out, false};
    const struct route *r;

    text_literal(out, "\"stores\":[");
    store_each(tell_store, &stores);
    text_literal(out, "],\"caches\":[");
    for (size_t i = 0; routes && (r = route_at(routes, i)); i++)
        tell_route(&caches, r);
    text_byte(out, ']');
}
