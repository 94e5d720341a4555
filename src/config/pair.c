/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config/pair.c - which item of one list was which of another.
 *
 * Most of two versions of a list is the same from the start, and from the end.  Of the rest, items
 * of the same name belong together, then those that mean the same; what is left and has no name is
 * paired in its order, as something changed in it.
 */
#include "config/edit.h"

#include <stdlib.h>

struct pairing {
    struct meaning                   item;
    const struct config_node *const *a, *const *b;
    size_t                           n_a, n_b;
    struct pair                     *pairs; /* of b */
    bool                            *taken; /* of a */
};

static void
pair(struct pairing *p, size_t i, size_t j, bool equal)
{
    p->pairs[j] = (struct pair){i, equal};
    p->taken[i] = true;
}

/* ------------------------------------------------------------------ by name */

bool *
pair_names(struct meaning item, const struct config_node *const *items, size_t n)
{
    bool *unique = calloc(n + 1, sizeof(*unique));
    struct map names = {0};
    bool ok = unique != NULL;

    for (size_t i = 0; i < n && ok; i++) {
        struct slice name = meaning_identity(item, items[i]);
        bool *twin = name.at ? map_get(&names, name) : NULL;

        unique[i] = name.at && !twin;
        if (twin)
            *twin = false;
        else if (name.at)
            ok = map_put(&names, name, &unique[i]);
    }
    map_free(&names);
    if (!ok)
        free(unique);
    return ok ? unique : NULL;
}

static bool
pair_by_name(struct pairing *p)
{
    bool *unique_a = pair_names(p->item, p->a, p->n_a);
    bool *unique_b = pair_names(p->item, p->b, p->n_b);
    struct map names = {0};
    bool ok = unique_a && unique_b;

    for (size_t i = 0; i < p->n_a && ok; i++)
        if (unique_a[i] && !p->taken[i])
            ok = map_put(&names, meaning_identity(p->item, p->a[i]), &p->taken[i]);
    for (size_t j = 0; j < p->n_b && ok; j++) {
        const bool *found = NULL;

        if (unique_b[j] && p->pairs[j].partner == PAIR_NONE)
            found = map_get(&names, meaning_identity(p->item, p->b[j]));
        if (found)
            pair(p, (size_t) (found - p->taken), j, false);
    }
    map_free(&names);
    free(unique_a);
    free(unique_b);
    return ok;
}

/* ------------------------------------------------------------------ by meaning */

/* Those of `a` that are left, by hash; each knows the next of the same. */
struct equals {
    uint64_t *hashes;
    size_t   *next;
    struct map by_hash; /* of what `next` of the first points at */
};

static struct slice
key_of(const uint64_t *hash)
{
    return slice_of((const char *) hash, sizeof(*hash));
}

static bool
list_equals(const struct pairing *p, struct equals *e)
{
    for (size_t i = p->n_a; i-- > 0;) {
        size_t *same;

        if (p->taken[i])
            continue;
        e->hashes[i] = meaning_hash(p->item, p->a[i]);
        same = map_get(&e->by_hash, key_of(&e->hashes[i]));
        e->next[i] = same ? (size_t) (same - e->next) : PAIR_NONE;
        if (!map_put(&e->by_hash, key_of(&e->hashes[i]), &e->next[i]))
            return false;
    }
    return true;
}

static bool
pair_equals(struct pairing *p)
{
    struct equals e = {
        calloc(p->n_a + 1, sizeof(uint64_t)), calloc(p->n_a + 1, sizeof(size_t)), {0}};
    bool ok = e.hashes && e.next && list_equals(p, &e);

    for (size_t j = 0; j < p->n_b && ok; j++) {
        uint64_t hash;
        size_t *first, i;

        if (p->pairs[j].partner != PAIR_NONE)
            continue;
        hash = meaning_hash(p->item, p->b[j]);
        first = map_get(&e.by_hash, key_of(&hash));
        if (!first)
            continue;
        i = (size_t) (first - e.next);
        pair(p, i, j, true);
        map_remove(&e.by_hash, key_of(&hash));
        if (e.next[i] != PAIR_NONE)
            ok = map_put(&e.by_hash, key_of(&e.hashes[e.next[i]]), &e.next[e.next[i]]);
    }
    map_free(&e.by_hash);
    free(e.hashes);
    free(e.next);
    return ok;
}

/* ------------------------------------------------------------------ by order */

static bool
is_left(const struct pairing *p, const struct config_node *node, bool paired)
{
    return !paired && !meaning_identity(p->item, node).at;
}

static void
pair_rest(struct pairing *p)
{
    size_t i = 0;

    for (size_t j = 0; j < p->n_b; j++) {
        if (!is_left(p, p->b[j], p->pairs[j].partner != PAIR_NONE))
            continue;
        while (i < p->n_a && !is_left(p, p->a[i], p->taken[i]))
            i++;
        if (i < p->n_a && p->a[i]->kind == p->b[j]->kind)
            pair(p, i, j, false);
        i++;
    }
}

/* What is the same from both ends; true when nothing is left. */
static bool
pair_ends(struct pairing *p)
{
    size_t shorter = p->n_a < p->n_b ? p->n_a : p->n_b, i = 0, k = 0;

    for (; i < shorter && meaning_equal(p->item, p->a[i], p->b[i]); i++)
        pair(p, i, i, true);
    for (; k < shorter - i && meaning_equal(p->item, p->a[p->n_a - 1 - k], p->b[p->n_b - 1 - k]);
         k++)
        pair(p, p->n_a - 1 - k, p->n_b - 1 - k, true);
    return i + k == p->n_a || i + k == p->n_b;
}

bool
pair_items(struct meaning item, const struct config_node *const *a, size_t n_a,
           const struct config_node *const *b, size_t n_b, struct pair *pairs)
{
    struct pairing p = {item, a, b, n_a, n_b, pairs, calloc(n_a + 1, sizeof(bool))};
    bool ok = p.taken != NULL;

    for (size_t j = 0; j < n_b; j++)
        pairs[j] = (struct pair){PAIR_NONE, false};
    if (ok && !pair_ends(&p)) {
        ok = pair_by_name(&p) && pair_equals(&p);
        if (ok)
            pair_rest(&p);
    }
    free(p.taken);
    return ok;
}
