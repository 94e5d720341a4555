/* SPDX-License-Identifier: Apache-2.0 */
/* analytics/combination.c - finding the place of a combination. */
#include "analytics/combination.h"

#include "base/map.h"

_Static_assert(sizeof(struct combination_head) == sizeof(uint64_t), "it is mixed in as a number");

static struct combination_head
head_of(const struct packed *r)
{
    struct combination_head h = {.version = r->version, .status = r->status};

    memcpy(h.n, r->n, sizeof(h.n));
    return h;
}

static size_t
text_bytes(const struct combination_head *h)
{
    size_t n = 0;

    for (size_t i = 0; i < COMBINATION_TEXTS; i++)
        n += h->n[i];
    return n;
}

/* The texts are hashed with the process's secret: 64 bits of that are the key.  Never 0. */
static uint64_t
hash_of(const struct combination_head *h, struct slice texts)
{
    uint64_t number, hash;

    memcpy(&number, h, sizeof(number));
    number *= 0x9E3779B97F4A7C15u;
    hash = hash_bytes(texts) ^ number ^ number >> 32;
    return hash ? hash : 1;
}

struct combination *
combination_find(struct combination table[COMBINATIONS], const struct packed *r,
                 void (*settle)(void *arg, struct combination *c), void *arg)
{
    struct combination_head head = head_of(r);
    struct slice texts = slice_of(r->text, text_bytes(&head));
    uint64_t hash = hash_of(&head, texts);
    struct combination *c = &table[hash & (COMBINATIONS - 1)];

    if (c->hash == hash)
        return c;
    if (c->hash)
        settle(arg, c);
    c->hash = hash;
    c->counts = (struct top_counts){0};
    c->head = head;
    memcpy(c->texts, texts.at, texts.n);
    return c;
}
