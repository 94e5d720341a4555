/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exchange/route_lint.c - routes that can never match, because an earlier one takes all they would.
 *
 * Told are those whose hosts and paths an earlier route takes and beside whose other conditions
 * that route has none, or the same.  (Whether one expression implies another is not asked.)  The
 * earlier routes come from the index, asked with the later one's patterns, so that 10,000 routes
 * are not compared in pairs.
 */
#include "base/check.h"
#include "exchange/route_index.h"

enum {
    COMPARED_MAX = 64,       /* earlier routes, for each route */
    PATTERN_PAIRS_MAX = 10000, /* patterns of one with patterns of the other */
};

/* ------------------------------------------------------------------ does `early` take all of
 * `late`? */

static bool
takes_host(const struct route *early, struct slice host)
{
    const struct slice *hosts = early->hosts.at;

    for (size_t i = 0; i < early->hosts.n; i++)
        if (host_pattern_takes(hosts[i], host) || slice_eq(hosts[i], host))
            return true;
    return false;
}

static bool
takes_hosts(const struct route *early, const struct route *late)
{
    const struct slice *hosts = late->hosts.at;

    if (route_conditions(early)->any_host)
        return true;
    if (route_conditions(late)->any_host || early->hosts.n * late->hosts.n > PATTERN_PAIRS_MAX)
        return false;
    for (size_t i = 0; i < late->hosts.n; i++)
        if (!takes_host(early, hosts[i]))
            return false;
    return true;
}

static bool
takes_path(const struct route_conditions *early, const struct path_pattern *path)
{
    for (size_t i = 0; i < early->n_paths; i++)
        if (path_pattern_takes(&early->paths[i], path->text) &&
            (early->paths[i].prefix || !path->prefix))
            return true;
    return false;
}

static bool
takes_paths(const struct route *early, const struct route *late)
{
    const struct route_conditions *e = route_conditions(early), *l = route_conditions(late);

    if (e->any_path)
        return true;
    if (l->any_path || e->n_paths * l->n_paths > PATTERN_PAIRS_MAX)
        return false;
    for (size_t i = 0; i < l->n_paths; i++)
        if (!takes_path(e, &l->paths[i]))
            return false;
    return true;
}

static bool
same_list(const struct option_list *early, const struct option_list *late, size_t size,
          bool same(const void *a, const void *b))
{
    if (early->n == 0)
        return true;
    if (early->n != late->n)
        return false;
    for (size_t i = 0; i < early->n; i++)
        if (!same((const char *) early->at + i * size, (const char *) late->at + i * size))
            return false;
    return true;
}

static bool
same_slice(const void *a, const void *b)
{
    const struct slice *one = a, *other = b;

    return slice_eq(*one, *other);
}

static bool
same_pair(const void *a, const void *b)
{
    const struct option_pair *one = a, *other = b;

    return slice_eq_nocase(one->key, other->key) && slice_eq(one->value, other->value);
}

static bool
same_network(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct network)) == 0;
}

/* Absent in the early one, or identical. */
static bool
takes_rest(const struct route *e, const struct route *l)
{
    if (route_conditions(e)->only_host_and_path)
        return true;
    if (e->scheme.n && !slice_eq(e->scheme, l->scheme))
        return false;
    if (e->listener.n && !slice_eq(e->listener, l->listener))
        return false;
    if (e->path_regex &&
        (!l->path_regex || !slice_eq(regex_source(e->path_regex), regex_source(l->path_regex))))
        return false;
    if (e->when && (!l->when || !slice_eq(expr_source(e->when), expr_source(l->when))))
        return false;
    return same_list(&e->methods, &l->methods, sizeof(struct slice), same_slice) &&
           same_list(&e->clients, &l->clients, sizeof(struct network), same_network) &&
           same_list(&e->headers, &l->headers, sizeof(struct option_pair), same_pair) &&
           same_list(&e->queries, &l->queries, sizeof(struct option_pair), same_pair) &&
           same_list(&e->cookies, &l->cookies, sizeof(struct option_pair), same_pair);
}

/* ------------------------------------------------------------------ looking for an earlier one */

struct suspicion {
    const struct route *late, *early; /* early: NULL until found */
    size_t              left;         /* how many more are compared */
};

static void
compare(void *arg, const struct candidate *first, bool ask_path)
{
    struct suspicion *s = arg;

    (void) ask_path;
    for (const struct candidate *c = first; c && c->route->index < s->late->index; c = c->next) {
        if (s->early || s->left == 0)
            return;
        s->left--;
        if (takes_hosts(c->route, s->late) && takes_paths(c->route, s->late) &&
            takes_rest(c->route, s->late))
            s->early = c->route;
    }
}

static const struct route *
earlier_one(const struct route_set *s, const struct route *r)
{
    const struct route_conditions *c = route_conditions(r);
    struct suspicion suspicion = {.late = r, .left = COMPARED_MAX};
    struct slice host = c->any_host ? SLICE("") : *(const struct slice *) r->hosts.at;
    struct slice path = c->any_path ? SLICE("") : c->paths[0].text;

    route_index_visit(&s->index, host, path, compare, &suspicion);
    return suspicion.early;
}

const struct route *
route_shadowed_by(const struct route_set *s, const struct route *r)
{
    return r->index > 0 ? earlier_one(s, r) : NULL;
}

void
route_set_lint(const struct route_set *s, struct config_report *report)
{
    for (size_t i = 1; i < s->n; i++) {
        const struct route *late = &s->routes[i], *early = route_shadowed_by(s, late);
        struct config_mark mark = {0};
        struct slice place;

        if (!early)
            continue;
        if (s->config)
            mark = config_where_object(s->config, late);
        place = route_place(s, early, &report->arena);
        config_report_add(report, CONFIG_WARNING, mark, "move it up, or take it out",
                          "this route never matches: %.*s%s%.*s takes all its requests",
                          SLICE_ARG(early->name), place.n ? " at " : "", SLICE_ARG(place));
    }
}
