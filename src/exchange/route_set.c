/* SPDX-License-Identifier: Apache-2.0 */
/* exchange/route_set.c - routes become chains of middleware, and a set that can be searched. */
#include "base/check.h"
#include "exchange/route_index.h"
#include "exchange/route_split.h"

#include <stdio.h>
#include <stdlib.h>

#define SET_MAX ((size_t) 1 << 30)

enum { NAME_ROOM = 32 }; /* "routes[18446744073709551615]" */

/* What a set is built with. */
struct builder {
    struct route_set                    *set;
    const struct middleware_ops *const  *by_default;
    const void                         **default_configs; /* beside by_default */
    size_t                               n_defaults;
    const struct middleware_linker      *linker; /* may be NULL */
    struct config_report                *report;
    bool                                 failed;
};

/* ------------------------------------------------------------------ messages */

static struct config_mark
mark_of(const struct route_set *s, const struct route *r)
{
    return s->config ? config_where_object(s->config, r) : (struct config_mark){0};
}

struct slice
route_place(const struct route_set *s, const struct route *r, struct arena *arena)
{
    struct config_mark m = mark_of(s, r);

    if (!m.line || m.file >= s->config->n_files)
        return SLICE("");
    return arena_printf(arena, "%.*s:%u:%u", SLICE_ARG(s->config->files[m.file].path), m.line,
                        m.column);
}

static void
no_memory(struct builder *b)
{
    config_report_add(b->report, CONFIG_ERROR, (struct config_mark){0}, NULL, "out of memory");
    b->failed = true;
}

/* ------------------------------------------------------------------ chains */

static void
refuse_misconfigured(const struct middleware *self, struct exchange *x)
{
    (void) self;
    exchange_refuse(x, 500, REASON_MISCONFIGURED, "the route names nobody who answers (`to`)");
}

static const struct middleware_ops refusal = {
    .options = {.name = "refusal", .doc = "Ends a route without `to`."},
    .handle = refuse_misconfigured,
};

static bool
uses(const struct route *r, const struct middleware_ops *ops)
{
    const struct option_variant *use = r->use.at;

    for (size_t i = 0; i < r->use.n; i++)
        if (use[i].object->ops == ops)
            return true;
    return false;
}

static bool
answers(const struct route *r)
{
    const struct option_variant *use = r->use.at;

    for (size_t i = 0; i < r->use.n; i++) {
        const struct middleware_ops *ops = use[i].object->ops;

        if (ops->answers)
            return true;
    }
    return false;
}

/* What the options of one of its members name. */
static void
link_member(struct builder *b, const struct middleware_ops *ops, void *config)
{
    if (ops->link && b->linker && !ops->link(config, b->linker))
        b->failed = true;
}

static const struct middleware *
share_terminal(struct builder *b, const struct route_share *share)
{
    const struct middleware *m = b->linker->terminal(b->linker, share->to, share->where);

    if (!m)
        b->failed = true;
    return m;
}

static void
make_split(struct builder *b, const struct route *r, struct middleware *m)
{
    const struct route_share *share = r->to.at;
    struct route_split *split = arena_new(&b->set->arena, struct route_split);
    struct route_branch *branches = arena_calloc(&b->set->arena, r->to.n, sizeof(*branches));

    if (!split || !branches) {
        no_memory(b);
        return;
    }
    *split = (struct route_split){.branches = branches, .n = r->to.n, .by = r->split_by};
    for (size_t i = 0; i < r->to.n; i++) {
        branches[i] = (struct route_branch){
            .terminal = share_terminal(b, &share[i]),
            .to = share[i].to,
            .weight = (uint32_t) share[i].weight,
        };
        split->total += branches[i].weight;
    }
    *m = (struct middleware){&route_split, split};
}

static struct middleware
terminal_of(struct builder *b, const struct route *r)
{
    struct middleware m = {.ops = &refusal};
    const struct middleware *only;

    if (r->to.n > 1 && b->linker)
        make_split(b, r, &m);
    else if (r->to.n && b->linker && (only = share_terminal(b, r->to.at)))
        m = *only;
    else if (!r->to.n && !answers(r))
        config_report_add(b->report, CONFIG_WARNING, mark_of(b->set, r),
                          "say `to: NAME` of an upstream",
                          "nobody answers the requests of this route");
    return m;
}

static void
make_chain(struct builder *b, struct route *r)
{
    const struct option_variant *use = r->use.at;
    struct middleware *chain = arena_calloc(&b->set->arena, b->n_defaults + r->use.n + 1,
                                            sizeof(*chain));
    size_t n = 0;

    if (!chain) {
        no_memory(b);
        return;
    }
    for (size_t i = 0; i < r->use.n; i++) {
        link_member(b, use[i].object->ops, use[i].value);
        chain[n++] = (struct middleware){use[i].object->ops, use[i].value};
    }
    for (size_t i = 0; i < b->n_defaults; i++)
        if (!uses(r, b->by_default[i]))
            chain[n++] = (struct middleware){b->by_default[i], b->default_configs[i]};
    chain[n++] = terminal_of(b, r);
    r->chain = chain;
    r->chain_length = n;
}

/* Once for the whole set: they are the same in every route. */
static void
bind_defaults(struct builder *b)
{
    struct arena *arena = &b->set->arena;

    while (b->by_default && b->by_default[b->n_defaults])
        b->n_defaults++;
    b->default_configs = arena_calloc(arena, b->n_defaults + 1, sizeof(*b->default_configs));
    if (!b->default_configs) {
        no_memory(b);
        b->n_defaults = 0;
    }
    for (size_t i = 0; i < b->n_defaults; i++) {
        const struct option_object *object = &b->by_default[i]->options;
        void *bound;

        if (!object->options)
            continue;
        bound = config_bind_defaults(b->set->config, arena, object, b->report);
        if (bound)
            link_member(b, b->by_default[i], bound);
        else
            b->failed = true;
        b->default_configs[i] = bound;
    }
}

/* ------------------------------------------------------------------ the set */

/* They go when the set goes, and are taken out of the routes again. */
static void
name_routes(struct builder *b)
{
    struct route_set *s = b->set;

    s->names = arena_calloc(&s->arena, s->n, NAME_ROOM);
    if (!s->names) {
        if (s->n)
            no_memory(b);
        return;
    }
    for (size_t i = 0; i < s->n; i++) {
        char *name = s->names + i * NAME_ROOM;

        if (s->routes[i].name.n == 0)
            s->routes[i].name = slice_of(name,
                                         (size_t) snprintf(name, NAME_ROOM, "routes[%zu]", i));
    }
}

static void
forget(const struct route_set *s, struct route *r)
{
    if (s->names && r->name.at >= s->names && r->name.at < s->names + s->n * NAME_ROOM)
        r->name = (struct slice){NULL, 0};
    r->chain = NULL;
    r->chain_length = 0;
}

struct route_set *
route_set_build(const struct option_list *routes, const struct config *config,
                const struct middleware_ops *const *by_default,
                const struct middleware_linker *linker, struct config_report *report)
{
    struct route_set *s = calloc(1, sizeof(*s));
    struct builder b = {
        .set = s, .by_default = by_default, .linker = linker, .report = report};

    if (!s) {
        no_memory(&b);
        return NULL;
    }
    arena_init(&s->arena, NULL, 0, SET_MAX);
    s->config = config;
    s->routes = routes->at;
    s->n = routes->n;
    bind_defaults(&b);
    name_routes(&b);
    for (size_t i = 0; i < s->n; i++) {
        s->routes[i].index = i;
        make_chain(&b, &s->routes[i]);
    }
    if (!route_index_build(&s->index, &s->arena, s->routes, s->n))
        no_memory(&b);
    if (b.failed) {
        route_set_free(s);
        return NULL;
    }
    route_set_lint(s, report);
    return s;
}

void
route_set_free(struct route_set *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n; i++)
        forget(s, &s->routes[i]);
    route_index_free(&s->index);
    arena_free(&s->arena);
    free(s);
}

const struct route *
route_at(const struct route_set *s, size_t i)
{
    return i < s->n ? &s->routes[i] : NULL;
}
