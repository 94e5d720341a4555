/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/compress/coding.c - the list of codings, and each worker's pool of coders.
 *
 * A coder holds some hundred KiB, so few are kept when idle, and a worker has no more than
 * CODERS_MAX under way: one that is out of them sends plain forms, which is never wrong.
 */
#include "middleware/compress/coding.h"

#include "base/check.h"

#include <pthread.h>
#include <stdlib.h>

enum { IDLE_MAX = 8, KINDS_MAX = 8, CODERS_MAX = 1000 };

const struct coding *const codings[CODING_COUNT] = {
    [CODING_ZSTD] = &coding_zstd,
    [CODING_BR] = &coding_br,
    [CODING_GZIP] = &coding_gzip,
};

const struct coding *
coding_named(struct slice name)
{
    for (size_t i = 0; i < CODING_COUNT; i++)
        if (slice_eq_nocase(codings[i]->name, name))
            return codings[i];
    return NULL;
}

/* ------------------------------------------------------------------ the pool */

/* Idle coders of one kind. */
struct shelf {
    const struct coder_ops *ops;
    struct coder           *first;
    size_t                  n;
};

static __thread struct pool {
    struct shelf         shelves[KINDS_MAX];
    size_t               lent;
    struct coding_counts counts[CODING_COUNT];
    bool                 registered; /* its end is known to pthread */
} pool;

static pthread_key_t  at_thread_exit;
static pthread_once_t key_made = PTHREAD_ONCE_INIT;

static void
coder_destroy(struct coder *c)
{
    c->ops->destroy(take(&c->state));
    free(c);
}

static void
pool_free(void *what)
{
    struct pool *p = what;

    for (size_t i = 0; i < KINDS_MAX; i++) {
        struct coder *c;

        while ((c = p->shelves[i].first)) {
            p->shelves[i].first = c->next;
            coder_destroy(c);
        }
        p->shelves[i].n = 0;
    }
    p->registered = false;
}

static void
make_key(void)
{
    CHECK(pthread_key_create(&at_thread_exit, pool_free) == 0);
}

static void
register_pool(void)
{
    pthread_once(&key_made, make_key);
    pool.registered = pthread_setspecific(at_thread_exit, &pool) == 0;
}

static struct shelf *
shelf_of(const struct coder_ops *ops)
{
    size_t i = 0;

    while (i < KINDS_MAX && pool.shelves[i].ops && pool.shelves[i].ops != ops)
        i++;
    CHECK(i < KINDS_MAX);
    pool.shelves[i].ops = ops;
    return &pool.shelves[i];
}

static struct coder *
coder_create(const struct coder_ops *ops)
{
    struct coder *c = calloc(1, sizeof(*c));

    if (!c)
        return NULL;
    c->ops = ops;
    c->state = ops->create();
    if (!c->state) {
        free(c);
        return NULL;
    }
    return c;
}

static struct coder *
from_shelf(struct shelf *s)
{
    struct coder *c = s->first;

    if (!c)
        return NULL;
    s->first = c->next;
    s->n--;
    return c;
}

struct coder *
coder_take(const struct coder_ops *ops, const struct coder_setup *setup)
{
    struct coder *c;

    if (pool.lent >= CODERS_MAX)
        return NULL;
    if (!pool.registered)
        register_pool();
    c = from_shelf(shelf_of(ops));
    if (!c && !(c = coder_create(ops)))
        return NULL;
    if (!ops->start(c->state, setup)) {
        coder_destroy(c);
        return NULL;
    }
    pool.lent++;
    return c;
}

void
coder_give(struct coder *c)
{
    struct shelf *s = shelf_of(c->ops);

    pool.lent--;
    if (s->n >= IDLE_MAX || !pool.registered) {
        coder_destroy(c);
        return;
    }
    c->next = s->first;
    s->first = c;
    s->n++;
}

size_t
coder_count(void)
{
    return pool.lent;
}

struct coding_counts *
coding_counts(enum coding_id id)
{
    return &pool.counts[id];
}

/* ------------------------------------------------------------------ helpers */

bool
coder_lead_out(struct coder_lead *lead, struct coder_room *out)
{
    size_t n = lead->n - lead->sent;

    if (n > out->room - out->n)
        n = out->room - out->n;
    if (n)
        memcpy(out->at + out->n, lead->bytes + lead->sent, n);
    lead->sent += n;
    out->n += n;
    return lead->sent == lead->n;
}

struct slice
coder_encode_whole(const struct coding *coding, int level, struct slice plain, size_t max_bytes)
{
    const struct coder_ops *ops = coding->encoder(level);
    struct coder_setup setup = {.level = level, .length = (int64_t) plain.n};
    struct coder *c = coder_create(ops);
    struct coder_room out = {malloc(max_bytes + CODER_ROOM_MIN), 0, max_bytes + CODER_ROOM_MIN};
    enum err e = ERR_NO_MEMORY;

    if (c && out.at && ops->start(c->state, &setup))
        do
            e = ops->step(c->state, &plain, &out, CODER_FINISH);
        while (e == OK && out.room - out.n >= CODER_ROOM_MIN);
    if (c)
        coder_destroy(c);
    if (e == ERR_END && out.n < max_bytes)
        return slice_of(out.at, out.n);
    free(out.at);
    return (struct slice){NULL, 0};
}
