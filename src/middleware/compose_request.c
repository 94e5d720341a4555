/* SPDX-License-Identifier: Apache-2.0 */
/* middleware/compose_request.c - see compose_request.h. */
#include "middleware/compose_request.h"

#include "base/check.h"
#include "base/map.h"
#include "exchange/child.h"

#include <stdlib.h>

const char *const compose_credentials_names[] = {"same_host", "never", "always", NULL};

/* ------------------------------------------------------------------ requests */

static bool
is_same_host(const struct request *a, const struct request *b)
{
    return slice_eq(a->host, b->host) && a->port == b->port;
}

static bool
may_know(const struct exchange *c, const struct exchange *x, enum compose_credentials credentials)
{
    switch (credentials) {
    case COMPOSE_SAME_HOST: return is_same_host(&c->request, &x->request);
    case COMPOSE_NEVER: return false;
    case COMPOSE_ALWAYS: return true;
    }
    UNREACHABLE();
}

bool
compose_aim(struct exchange *c, const struct exchange *x, struct slice reference,
            enum compose_credentials credentials)
{
    struct fields *f = &c->request.fields;

    if (!exchange_child_target(c, reference))
        return false;
    if (!may_know(c, x, credentials)) {
        fields_remove(f, FIELD_COOKIE);
        fields_remove(f, FIELD_AUTHORIZATION);
    }
    /* It becomes a part of something that is not encoded. */
    return fields_set(f, FIELD_ACCEPT_ENCODING, SLICE("identity"));
}

/* ------------------------------------------------------------------ trees */

static _Thread_local struct map trees;

static struct slice
key_of(const uint64_t *serial)
{
    return slice_of((const char *) serial, sizeof(*serial));
}

struct compose_tree *
compose_tree_join(uint64_t serial)
{
    struct compose_tree *t = map_get(&trees, key_of(&serial));

    if (!t) {
        t = calloc(1, sizeof(*t));
        if (!t)
            return NULL;
        t->serial = serial;
        if (!map_put(&trees, key_of(&t->serial), t)) {
            free(t);
            return NULL;
        }
    }
    t->users++;
    return t;
}

void
compose_tree_leave(struct compose_tree *t)
{
    if (--t->users)
        return;
    map_remove(&trees, key_of(&t->serial));
    free(t);
    if (trees.count == 0)
        map_free(&trees);
}
