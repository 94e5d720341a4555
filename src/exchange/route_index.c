/* SPDX-License-Identifier: Apache-2.0 */
/* exchange/route_index.c - hash maps by host and path that lead to candidates. */
#include "exchange/route_index.h"

#include "base/check.h"

#include <stdlib.h>

/* Up to here asking each candidate for its path is as fast as looking the path up. */
enum { FEW = 8 };

/* ------------------------------------------------------------------ building */

/* Routes come in their order; a route that names a pattern twice is there once. */
static bool
append(struct arena *arena, struct candidates *list, const struct route *r)
{
    struct candidate *c;

    if (list->last && list->last->route == r)
        return true;
    c = arena_alloc(arena, sizeof(*c));
    if (!c)
        return false;
    *c = (struct candidate){r, NULL};
    if (list->last)
        list->last->next = c;
    else
        list->first = c;
    list->last = c;
    return true;
}

/* The value under a key, made of `size` zero bytes when there is none yet. */
static void *
get_or_add(struct arena *arena, struct map *m, struct slice key, size_t size)
{
    void *value = map_get(m, key);

    if (value)
        return value;
    value = arena_calloc(arena, 1, size);
    return value && map_put(m, key, value) ? value : NULL;
}

static bool
add_to_bucket(struct arena *arena, struct bucket *b, const struct route *r)
{
    const struct candidate *last;

    if (!b)
        return false;
    last = b->all.last;
    if (!append(arena, &b->all, r))
        return false;
    b->n += b->all.last != last;
    return true;
}

static bool
add_host(struct route_index *index, struct slice host, const struct route *r)
{
    struct map *m = &index->hosts;

    if (slice_starts(host, SLICE("*"))) {
        m = &index->wildcards;
        host = slice_from(host, 1);
        if (host.n > index->longest_wildcard)
            index->longest_wildcard = host.n;
    }
    return add_to_bucket(index->arena, get_or_add(index->arena, m, host, sizeof(struct bucket)), r);
}

static bool
add_route(struct route_index *index, const struct route *r)
{
    const struct slice *hosts = r->hosts.at;

    if (route_conditions(r)->any_host)
        return add_to_bucket(index->arena, &index->any_host, r);
    for (size_t i = 0; i < r->hosts.n; i++)
        if (!add_host(index, hosts[i], r))
            return false;
    return true;
}

/* ------------------------------------------------------------------ paths of a large bucket */

static bool
grow_lengths(struct arena *arena, struct path_index *p)
{
    size_t room = p->lengths_room ? p->lengths_room * 2 : 8;
    struct prefix_length *longer = arena_calloc(arena, room, sizeof(*longer));

    if (!longer)
        return false;
    if (p->n_lengths)
        memcpy(longer, p->lengths, p->n_lengths * sizeof(*longer));
    p->lengths = longer;
    p->lengths_room = room;
    return true;
}

static bool
add_length(struct arena *arena, struct path_index *p, struct slice prefix)
{
    bool slash = slice_ends(prefix, SLICE("/"));
    size_t i = 0;

    while (i < p->n_lengths && p->lengths[i].n < prefix.n)
        i++;
    if (i < p->n_lengths && p->lengths[i].n == prefix.n) {
        p->lengths[i].all_end_in_slash &= slash;
        return true;
    }
    if (p->n_lengths == p->lengths_room && !grow_lengths(arena, p))
        return false;
    memmove(&p->lengths[i + 1], &p->lengths[i], (p->n_lengths - i) * sizeof(*p->lengths));
    p->lengths[i] = (struct prefix_length){prefix.n, slash};
    p->n_lengths++;
    return true;
}

static bool
add_paths(struct arena *arena, struct path_index *p, const struct route *r)
{
    const struct route_conditions *c = route_conditions(r);

    if (c->any_path)
        return append(arena, &p->any_path, r);
    for (size_t i = 0; i < c->n_paths; i++) {
        const struct path_pattern *pattern = &c->paths[i];
        struct map *m = pattern->prefix ? &p->prefixes : &p->exact;
        struct candidates *list = get_or_add(arena, m, pattern->text, sizeof(*list));

        if (!list || !append(arena, list, r) ||
            (pattern->prefix && !add_length(arena, p, pattern->text)))
            return false;
    }
    return true;
}

static bool
index_paths(struct route_index *index, struct bucket *b)
{
    struct path_index *p;

    if (b->n <= FEW)
        return true;
    p = arena_new(index->arena, struct path_index);
    if (!p)
        return false;
    p->next = index->path_indexes;
    index->path_indexes = p;
    b->paths = p;
    for (const struct candidate *c = b->all.first; c; c = c->next)
        if (!add_paths(index->arena, p, c->route))
            return false;
    return true;
}

static bool
index_paths_of_all(struct route_index *index, const struct map *m)
{
    const struct map_slot *slot;

    for (size_t i = 0; (slot = map_each(m, &i));)
        if (!index_paths(index, slot->value))
            return false;
    return true;
}

bool
route_index_build(struct route_index *index, struct arena *arena, const struct route *routes,
                  size_t n)
{
    *index = (struct route_index){.arena = arena};
    for (size_t i = 0; i < n; i++)
        if (!add_route(index, &routes[i]))
            return false;
    return index_paths(index, &index->any_host) && index_paths_of_all(index, &index->hosts) &&
           index_paths_of_all(index, &index->wildcards);
}

void
route_index_free(struct route_index *index)
{
    for (struct path_index *p = take(&index->path_indexes); p; p = p->next) {
        map_free(&p->exact);
        map_free(&p->prefixes);
    }
    map_free(&index->hosts);
    map_free(&index->wildcards);
}

/* ------------------------------------------------------------------ looking up */

static void
visit_prefixes(const struct path_index *p, struct slice path, candidates_visit_f *visit, void *arg)
{
    for (size_t i = 0; i < p->n_lengths && p->lengths[i].n <= path.n; i++) {
        const struct candidates *list;
        size_t n = p->lengths[i].n;

        if (p->lengths[i].all_end_in_slash && path.at[n - 1] != '/')
            continue;
        list = map_get(&p->prefixes, slice_first(path, n));
        if (list)
            visit(arg, list->first, false);
    }
}

static void
visit_bucket(const struct bucket *b, struct slice path, candidates_visit_f *visit, void *arg)
{
    const struct candidates *list;

    if (!b->paths) {
        if (b->all.first)
            visit(arg, b->all.first, true);
        return;
    }
    list = map_get(&b->paths->exact, path);
    if (list)
        visit(arg, list->first, false);
    visit_prefixes(b->paths, path, visit, arg);
    if (b->paths->any_path.first)
        visit(arg, b->paths->any_path.first, false);
}

/* Each parent of the host, the nearest first: "a.b.c" is below ".b.c" and ".c". */
static void
visit_wildcards(const struct route_index *index, struct slice host, struct slice path,
                candidates_visit_f *visit, void *arg)
{
    for (size_t i = 1; i < host.n; i++) {
        const struct bucket *b;

        if (host.at[i] != '.' || host.n - i > index->longest_wildcard)
            continue;
        b = map_get(&index->wildcards, slice_from(host, i));
        if (b)
            visit_bucket(b, path, visit, arg);
    }
}

void
route_index_visit(const struct route_index *index, struct slice host, struct slice path,
                  candidates_visit_f *visit, void *arg)
{
    if (host.n && index->hosts.count) {
        const struct bucket *b = map_get(&index->hosts, host);

        if (b)
            visit_bucket(b, path, visit, arg);
    }
    if (index->longest_wildcard)
        visit_wildcards(index, host, path, visit, arg);
    visit_bucket(&index->any_host, path, visit, arg);
}
