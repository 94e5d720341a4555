/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config/merge.c - two trees become one.
 *
 * Joining is for files that stand beside each other: lists grow, maps gain members, and what is
 * defined twice is an error, for nobody could tell which one counts.  Defaults stand behind an
 * object: what the object says wins, maps are merged by key, lists and scalars are replaced.
 */
#include "config/load.h"

#include "base/check.h"
#include "base/map.h"

struct config_node *
merge_take(struct config_node *map, struct slice key)
{
    for (struct config_node **n = &map->first; *n; n = &(*n)->next)
        if (slice_eq((*n)->key, key)) {
            struct config_node *taken = *n;

            *n = taken->next;
            taken->next = NULL;
            return taken;
        }
    return NULL;
}

static struct config_node **
end_of(struct config_node *node)
{
    struct config_node **last = &node->first;

    while (*last)
        last = &(*last)->next;
    return last;
}

static void
report_twice(struct loader *l, const struct config_node *old, const struct config_node *twin)
{
    config_report_add(l->report, CONFIG_ERROR, twin->key_mark, NULL,
                      "`%.*s` is already defined at %s", SLICE_ARG(twin->key),
                      report_place(l->report, old->key_mark));
}

static void join_value(struct loader *l, struct config_node *into, struct config_node *from);

/* depth 0: the top of the files, whose maps and lists are joined; below, names must differ. */
static void
join_maps(struct loader *l, struct config_node *into, struct config_node *from, bool top)
{
    struct config_node **last = end_of(into), *n = take(&from->first), *next;
    struct map known = {0};
    bool ok = true;

    for (struct config_node *old = into->first; old && ok; old = old->next)
        ok = map_put(&known, old->key, old);
    for (; n && ok; n = next) {
        struct config_node *old = map_get(&known, n->key);

        next = take(&n->next);
        if (old && top) {
            join_value(l, old, n);
        } else if (old) {
            report_twice(l, old, n);
        } else {
            *last = n;
            last = &n->next;
        }
    }
    if (!ok)
        tree_no_memory(l);
    map_free(&known);
}

static void
become(struct config_node *into, const struct config_node *from)
{
    struct config_node *next = into->next;

    *into = *from;
    into->next = next;
}

static void
join_value(struct loader *l, struct config_node *into, struct config_node *from)
{
    if (config_node_is_null(from))
        return;
    if (config_node_is_null(into))
        become(into, from);
    else if (into->kind == CONFIG_LIST && from->kind == CONFIG_LIST)
        *end_of(into) = from->first;
    else if (into->kind == CONFIG_MAP && from->kind == CONFIG_MAP)
        join_maps(l, into, from, false);
    else
        report_twice(l, into, from);
}

void
merge_join(struct loader *l, struct config_node *into, struct config_node *from)
{
    join_maps(l, into, from, true);
}

/* A node of its own for another parent; what lies below may be shared, as nobody changes it. */
static struct config_node *
share(struct loader *l, const struct config_node *node)
{
    struct config_node *copy = tree_new(l, node->kind, node->mark);

    if (!copy)
        return NULL;
    *copy = *node;
    copy->next = NULL;
    return copy;
}

bool
merge_defaults(struct loader *l, struct config_node *map, const struct config_node *defaults)
{
    struct config_node *added = NULL, **last = &added;

    for (const struct config_node *d = defaults->first; d; d = d->next) {
        struct config_node *own = config_node_get(map, d->key);

        if (!own) {
            own = *last = share(l, d);
            if (!own)
                return false;
            last = &own->next;
        } else if (own->kind == CONFIG_MAP && d->kind == CONFIG_MAP &&
                   !merge_defaults(l, own, d)) {
            return false;
        }
    }
    /* In front, not behind: the members of a map may be shared, its start is not. */
    *last = map->first;
    map->first = added;
    return true;
}
