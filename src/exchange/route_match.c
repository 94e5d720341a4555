/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exchange/route_match.c - the first route, in their order, whose conditions all hold.
 *
 * The index gives several lists of candidates, each in the order of the routes.  Each is walked
 * until one matches or only routes behind the best so far are left, which finds what merging them
 * would find without any memory for it.
 */
#include "base/check.h"
#include "exchange/route_index.h"
#include "exchange/trace.h"

struct finding {
    struct exchange    *x;
    const struct route *best;
    size_t              before; /* only routes in front of this index are of interest */
};

static void
search(void *arg, const struct candidate *first, bool ask_path)
{
    struct finding *f = arg;

    for (const struct candidate *c = first; c && c->route->index < f->before; c = c->next) {
        if (unlikely(f->x->trace != NULL))
            route_note(c->route, f->x);
        if ((!ask_path || route_path_holds(c->route, f->x)) && route_rest_holds(c->route, f->x)) {
            f->best = c->route;
            f->before = c->route->index;
            return;
        }
    }
}

const struct route *
route_find(const struct route_set *s, struct exchange *x)
{
    struct finding f = {.x = x, .before = SIZE_MAX};

    route_index_visit(&s->index, x->request.host, x->request.target.path, search, &f);
    return f.best;
}
