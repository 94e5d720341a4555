/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control/plan_routes.c - which route has become which, where they stand, and which hosts there
 * are.
 *
 * A route is found again by its name, else by its conditions, else by its hosts and paths, else by
 * its neighbours.  Those that keep their order among each other (a longest increasing subsequence,
 * Knuth, TAOCP 5.1.4) have not moved; what stands outside of it has.
 */
#include "base/check.h"
#include "control/plan_parts.h"

struct pairing {
    struct plan         *plan;
    const struct route  *routes[PLAN_SIDES];
    size_t               n[PLAN_SIDES];
    bool                *named[PLAN_SIDES]; /* by a person */
    bool                *taken;             /* of those before: has become one after */
    size_t              *before;            /* the plan's routes_before */
};

/* ------------------------------------------------------------------ what a route asks for */

static void
put_slices(struct text *out, char label, const struct option_list *list)
{
    const struct slice *at = list->at;

    for (size_t i = 0; i < list->n; i++)
        text_printf(out, "%c%.*s\n", label, SLICE_ARG(at[i]));
}

static void
put_pairs(struct text *out, char label, const struct option_list *list)
{
    const struct option_pair *at = list->at;

    for (size_t i = 0; i < list->n; i++)
        text_printf(out, "%c%.*s=%.*s\n", label, SLICE_ARG(at[i].key), SLICE_ARG(at[i].value));
}

static void
put_hosts_and_paths(const struct route *r, struct text *out)
{
    put_slices(out, 'h', &r->hosts);
    put_slices(out, 'p', &r->paths);
    if (r->path_regex)
        text_printf(out, "r%.*s\n", SLICE_ARG(regex_source(r->path_regex)));
}

static void
put_conditions(const struct route *r, struct text *out)
{
    const struct network *clients = r->clients.at;

    put_hosts_and_paths(r, out);
    put_slices(out, 'm', &r->methods);
    put_pairs(out, 'f', &r->headers);
    put_pairs(out, 'q', &r->queries);
    put_pairs(out, 'c', &r->cookies);
    for (size_t i = 0; i < r->clients.n; i++)
        text_put(out, slice_of((const char *) &clients[i], sizeof(clients[i])));
    text_printf(out, "s%.*s\nl%.*s\n", SLICE_ARG(r->scheme), SLICE_ARG(r->listener));
    if (r->when)
        text_printf(out, "w%.*s", SLICE_ARG(expr_source(r->when)));
}

static void
put_name(const struct route *r, struct text *out)
{
    text_put(out, r->name);
}

typedef void put_f(const struct route *r, struct text *out);

static struct slice
text_of(struct plan *p, put_f *put, const struct route *r)
{
    struct slice copy;
    struct text t;

    text_init(&t, 1024 * 1024);
    put(r, &t);
    copy = arena_copy(&p->arena, t.n ? text_slice(&t) : SLICE(""));
    text_free(&t);
    p->no_memory |= !copy.at;
    return copy;
}

static void
put_some(struct text *out, const struct option_list *list)
{
    const struct slice *at = list->at;

    for (size_t i = 0; i < list->n && i < 2; i++)
        text_printf(out, "%s%.*s", i ? ", " : "", SLICE_ARG(at[i]));
    if (list->n > 2)
        text_printf(out, ", %zu more", list->n - 2);
}

struct slice
plan_route_title(const struct route *r, struct arena *arena)
{
    char memory[200];
    struct text t;

    text_fixed(&t, memory, sizeof(memory));
    if (r->hosts.n)
        put_some(&t, &r->hosts);
    else
        text_literal(&t, "any host");
    if (r->paths.n) {
        text_byte(&t, ' ');
        put_some(&t, &r->paths);
    }
    if (r->path_regex)
        text_printf(&t, " ~%.*s", SLICE_ARG(regex_source(r->path_regex)));
    if (r->methods.n) {
        text_byte(&t, ' ');
        put_some(&t, &r->methods);
    }
    if (r->when)
        text_printf(&t, " when %.*s", SLICE_ARG(expr_source(r->when)));
    return arena_copy(arena, text_slice(&t));
}

/* ------------------------------------------------------------------ who has become whom */

static void
pair(struct pairing *g, size_t before, size_t after)
{
    g->before[after] = before;
    g->taken[before] = true;
}

/* Two that have names of their own, and not the same, are not the same route because of hosts and
 * paths alone. */
static bool
may_pair(const struct pairing *g, size_t before, size_t after, bool named_too)
{
    return named_too || !g->named[PLAN_BEFORE][before] || !g->named[PLAN_AFTER][after];
}

/* Those that are still alone, by a text: the first with the first. */
static void
pair_by(struct pairing *g, put_f *put, bool only_named, bool named_too)
{
    struct map known = {0};
    bool ok = true;

    for (size_t i = g->n[PLAN_BEFORE]; i-- > 0 && ok;) /* backwards: the first stays */
        if (!g->taken[i] && (!only_named || g->named[PLAN_BEFORE][i]))
            ok = map_put(&known, text_of(g->plan, put, &g->routes[PLAN_BEFORE][i]),
                         (void *) (uintptr_t) (i + 1));
    for (size_t i = 0; i < g->n[PLAN_AFTER] && ok; i++) {
        size_t old;

        if (g->before[i] != PLAN_NONE || (only_named && !g->named[PLAN_AFTER][i]))
            continue;
        old = (size_t) (uintptr_t) map_get(&known,
                                           text_of(g->plan, put, &g->routes[PLAN_AFTER][i]));
        if (old && !g->taken[old - 1] && may_pair(g, old - 1, i, named_too))
            pair(g, old - 1, i);
    }
    g->plan->no_memory |= !ok;
    map_free(&known);
}

/* One alone on each side between the same neighbours. */
static void
pair_by_neighbours(struct pairing *g)
{
    size_t *before = g->before;

    for (size_t i = 0; i < g->n[PLAN_AFTER]; i++) {
        size_t place = i == 0 ? 0 : before[i - 1] == PLAN_NONE ? PLAN_NONE : before[i - 1] + 1;
        size_t next = i + 1 == g->n[PLAN_AFTER] ? g->n[PLAN_BEFORE] : before[i + 1];

        if (before[i] == PLAN_NONE && place != PLAN_NONE && place < g->n[PLAN_BEFORE] &&
            !g->taken[place] && next == place + 1 && may_pair(g, place, i, false))
            pair(g, place, i);
    }
}

static bool *
find_named(struct plan *p, const struct config_node *list, size_t n)
{
    bool *named = arena_calloc(&p->arena, n + 1, sizeof(*named));
    const struct config_node *node = list && list->kind == CONFIG_LIST ? list->first : list;

    for (size_t i = 0; named && i < n && node; i++, node = node->next)
        named[i] = config_node_get(node, SLICE("name")) != NULL;
    return named;
}

static void
pair_routes(struct pairing *g)
{
    pair_by(g, put_name, true, true);
    pair_by(g, put_conditions, false, true);
    pair_by(g, put_hosts_and_paths, false, false);
    pair_by_neighbours(g);
}

/* ------------------------------------------------------------------ telling */

/* A name that people know. */
static struct slice
name_of(struct pairing *g, enum plan_side side, size_t i)
{
    const struct route *r = &g->routes[side][i];

    return g->named[side][i] ? r->name : plan_route_title(r, &g->plan->arena);
}

static struct plan_entity
enter(struct pairing *g, size_t before, size_t after)
{
    enum plan_side side = after == PLAN_NONE ? PLAN_BEFORE : PLAN_AFTER;
    size_t i = side == PLAN_AFTER ? after : before;
    const struct route *r = &g->routes[side][i];
    struct plan_segment segment = {.key = r->name, .indexed = true, .at = {before, after}};
    struct plan_entity outer = plan_enter(g->plan, SLICE("route"), segment);

    if (!g->named[side][i])
        g->plan->entity.about = plan_route_title(r, &g->plan->arena);
    return outer;
}

/* "to app", "to app 95, canary 5", "to nobody". */
static struct slice
summary(struct pairing *g, const struct route *r)
{
    const struct route_share *to = r->to.at;
    struct slice copy;
    struct text t;

    text_init(&t, 64 * 1024);
    text_put(&t, plan_route_title(r, &g->plan->arena));
    for (size_t i = 0; i < r->to.n; i++) {
        text_printf(&t, "%s%.*s", i ? ", " : " to ", SLICE_ARG(to[i].to));
        if (r->to.n > 1)
            text_printf(&t, " %lld", (long long) to[i].weight);
    }
    copy = plan_copy(g->plan, text_slice(&t));
    text_free(&t);
    return copy;
}

static void
note_alone(struct pairing *g, enum plan_side side, size_t i)
{
    struct plan *p = g->plan;
    const struct route *r = &g->routes[side][i];
    struct plan_entity outer = side == PLAN_AFTER ? enter(g, PLAN_NONE, i)
                                                  : enter(g, i, PLAN_NONE);
    struct slice text = summary(g, r), absent = {NULL, 0};
    struct slice where = plan_where_object(p, side, r);

    if (side == PLAN_AFTER)
        plan_note(p, PLAN_ADDED, absent, text, where);
    else
        plan_note(p, PLAN_REMOVED, text, absent, where);
    plan_leave(p, outer);
}

static struct slice
neighbour(struct pairing *g, enum plan_side side, size_t i)
{
    struct slice name, text;

    if (i == 0)
        return SLICE("first");
    name = name_of(g, side, i - 1);
    text = arena_printf(&g->plan->arena, "behind %.*s", SLICE_ARG(name));
    g->plan->no_memory |= !text.at;
    return text.at ? text : SLICE("");
}

static void
note_moved(struct pairing *g, size_t after)
{
    struct plan *p = g->plan;
    struct plan_entity outer = enter(g, g->before[after], after);

    plan_note(p, PLAN_MOVED, neighbour(g, PLAN_BEFORE, g->before[after]),
              neighbour(g, PLAN_AFTER, after),
              plan_where_object(p, PLAN_AFTER, &g->routes[PLAN_AFTER][after]));
    plan_leave(p, outer);
}

static void
note_unreachable(struct pairing *g, size_t after)
{
    struct plan *p = g->plan;
    const struct route *r = &g->routes[PLAN_AFTER][after], *early;
    size_t old = g->before[after];
    struct plan_entity outer;
    struct slice by;

    early = route_shadowed_by(p->snapshot[PLAN_AFTER]->routes, r);
    if (!early || (old != PLAN_NONE && route_shadowed_by(p->snapshot[PLAN_BEFORE]->routes,
                                                         &g->routes[PLAN_BEFORE][old])))
        return;
    outer = enter(g, old, after);
    by = name_of(g, PLAN_AFTER, early->index);
    by = arena_printf(&p->arena, "%.*s takes all its requests", SLICE_ARG(by));
    plan_note(p, PLAN_UNREACHABLE, (struct slice){NULL, 0}, by,
              plan_where_object(p, PLAN_AFTER, r));
    plan_leave(p, outer);
}

/* ------------------------------------------------------------------ order */

/* kept[i]: the pair of that route after belongs to a longest run that rises on both sides. */
static void
find_kept(struct pairing *g, bool *kept)
{
    size_t n = g->n[PLAN_AFTER], length = 0;
    size_t *ends = arena_calloc(&g->plan->arena, n + 1, sizeof(*ends)); /* of runs, by length */
    size_t *previous = arena_calloc(&g->plan->arena, n + 1, sizeof(*previous));

    for (size_t i = 0; ends && previous && i < n; i++) {
        size_t low = 0, high = length;

        if (g->before[i] == PLAN_NONE)
            continue;
        while (low < high) {
            size_t middle = (low + high) / 2;

            if (g->before[ends[middle]] < g->before[i])
                low = middle + 1;
            else
                high = middle;
        }
        previous[i] = low ? ends[low - 1] : PLAN_NONE;
        ends[low] = i;
        length += low == length;
    }
    for (size_t i = length ? ends[length - 1] : PLAN_NONE; i != PLAN_NONE; i = previous[i])
        kept[i] = true;
}

/* ------------------------------------------------------------------ hosts */

/* host -> the first route that has it. */
static bool
collect_hosts(const struct pairing *g, enum plan_side side, struct map *hosts)
{
    for (size_t i = 0; i < g->n[side]; i++) {
        const struct option_list *list = &g->routes[side][i].hosts;
        const struct slice *at = list->at;

        for (size_t j = 0; j < list->n; j++)
            if (!map_get(hosts, at[j]) &&
                !map_put(hosts, at[j], (void *) (uintptr_t) (i + 1)))
                return false;
    }
    return true;
}

static void
note_hosts(struct pairing *g, enum plan_side side, const struct map *own, const struct map *others)
{
    struct plan_entity outer = g->plan->entity;

    for (size_t i = 0; i < g->n[side]; i++) {
        const struct option_list *list = &g->routes[side][i].hosts;
        const struct slice *at = list->at;

        for (size_t j = 0; j < list->n; j++) {
            struct slice by, absent = {NULL, 0};

            if (map_get(others, at[j]) || map_get(own, at[j]) != (void *) (uintptr_t) (i + 1))
                continue;
            g->plan->entity = (struct plan_entity){SLICE("host"), at[j], absent, g->plan->depth};
            by = name_of(g, side, i);
            by = arena_printf(&g->plan->arena, "route %.*s", SLICE_ARG(by));
            plan_note(g->plan, side == PLAN_AFTER ? PLAN_ADDED : PLAN_REMOVED,
                      side == PLAN_AFTER ? absent : by, side == PLAN_AFTER ? by : absent,
                      plan_where_object(g->plan, side, &g->routes[side][i]));
        }
    }
    g->plan->entity = outer;
}

static void
compare_hosts(struct pairing *g)
{
    struct map hosts[PLAN_SIDES] = {{0}};

    if (collect_hosts(g, PLAN_BEFORE, &hosts[PLAN_BEFORE]) &&
        collect_hosts(g, PLAN_AFTER, &hosts[PLAN_AFTER])) {
        note_hosts(g, PLAN_AFTER, &hosts[PLAN_AFTER], &hosts[PLAN_BEFORE]);
        note_hosts(g, PLAN_BEFORE, &hosts[PLAN_BEFORE], &hosts[PLAN_AFTER]);
    } else {
        g->plan->no_memory = true;
    }
    map_free(&hosts[PLAN_BEFORE]);
    map_free(&hosts[PLAN_AFTER]);
}

/* ------------------------------------------------------------------ all of it */

static const struct config_node **
nodes_of(struct plan *p, const struct config_node *list, size_t n)
{
    const struct config_node **nodes = arena_calloc(&p->arena, n + 1, sizeof(*nodes));
    const struct config_node *node = list && list->kind == CONFIG_LIST ? list->first : list;

    for (size_t i = 0; nodes && i < n && node; i++, node = node->next)
        nodes[i] = node;
    return nodes;
}

static void
compare_pairs(struct pairing *g, const struct config_node **before,
              const struct config_node **after, const bool *kept)
{
    for (size_t i = 0; i < g->n[PLAN_AFTER]; i++) {
        size_t old = g->before[i];
        struct plan_entity outer;

        if (old == PLAN_NONE) {
            note_alone(g, PLAN_AFTER, i);
        } else {
            outer = enter(g, old, i);
            plan_compare_object(g->plan, &route_object, &g->routes[PLAN_BEFORE][old],
                                &g->routes[PLAN_AFTER][i], before[old], after[i]);
            plan_leave(g->plan, outer);
            if (!kept[i])
                note_moved(g, i);
        }
        note_unreachable(g, i);
    }
    for (size_t i = 0; i < g->n[PLAN_BEFORE]; i++)
        if (!g->taken[i])
            note_alone(g, PLAN_BEFORE, i);
}

static bool
begin(struct pairing *g, const struct config_node *na, const struct config_node *nb)
{
    struct plan *p = g->plan;
    const struct config_node *const lists[PLAN_SIDES] = {na, nb};

    for (int side = 0; side < PLAN_SIDES; side++) {
        const struct route_set *set = p->snapshot[side]->routes;

        g->routes[side] = route_at(set, 0);
        while (route_at(set, g->n[side]))
            g->n[side]++;
        p->n_routes[side] = g->n[side];
        g->named[side] = find_named(p, lists[side], g->n[side]);
    }
    g->taken = arena_calloc(&p->arena, g->n[PLAN_BEFORE] + 1, sizeof(*g->taken));
    g->before = arena_calloc(&p->arena, g->n[PLAN_AFTER] + 1, sizeof(*g->before));
    if (!g->named[PLAN_BEFORE] || !g->named[PLAN_AFTER] || !g->taken || !g->before)
        return false;
    for (size_t i = 0; i < g->n[PLAN_AFTER]; i++)
        g->before[i] = PLAN_NONE;
    p->routes_before = g->before;
    return true;
}

void
plan_compare_routes(struct plan *p, const struct config_node *na, const struct config_node *nb)
{
    struct pairing g = {.plan = p};
    bool ready = begin(&g, na, nb);
    const struct config_node **before = nodes_of(p, na, g.n[PLAN_BEFORE]);
    const struct config_node **after = nodes_of(p, nb, g.n[PLAN_AFTER]);
    bool *kept = arena_calloc(&p->arena, g.n[PLAN_AFTER] + 1, sizeof(*kept));

    if (!ready || !before || !after || !kept) {
        p->no_memory = true;
        return;
    }
    pair_routes(&g);
    find_kept(&g, kept);
    compare_hosts(&g);
    compare_pairs(&g, before, after, kept);
}
