/* SPDX-License-Identifier: Apache-2.0 */
/* edge/look.c - the connections of an edge, told and ended by number. */
#include "edge/look.h"

#include "edge/client.h"
#include "edge/h2.h"

#include <stdio.h>

uint64_t
edge_open(const struct edge *e, uint64_t *tunnels)
{
    *tunnels = atomic_load_explicit(&e->counters->tunnels, memory_order_relaxed);
    return atomic_load_explicit(&e->counters->open, memory_order_relaxed);
}

static void
copy(const struct client_conn *c, const char *state, struct edge_connection *out)
{
    *out = (struct edge_connection){
        .id = c->id,
        .protocol = c->session ? "h2" : "http/1.1",
        .state = state,
        .secure = c->secure,
        .requests = c->requests,
    };
    snprintf(out->client, sizeof(out->client), c->peer_port ? "%.*s:%u" : "%.*s", c->peer_text_n,
             c->peer_text, c->peer_port);
    snprintf(out->listener, sizeof(out->listener), "%.*s", SLICE_ARG(c->listener->name));
}

static bool
visit_list(const struct list *list, const char *state,
           bool (*visit)(void *arg, const struct edge_connection *c), void *arg)
{
    list_each (link, list) {
        struct edge_connection one;

        copy(list_entry(link, struct client_conn, link), state, &one);
        if (!visit(arg, &one))
            return false;
    }
    return true;
}

void
edge_each_connection(const struct edge *e,
                     bool (*visit)(void *arg, const struct edge_connection *c), void *arg)
{
    (void) (visit_list(&e->serving, "serving", visit, arg) &&
            visit_list(&e->sessions, "serving", visit, arg) &&
            visit_list(&e->parked, "idle", visit, arg));
}

static struct client_conn *
find(const struct list *list, uint64_t id)
{
    list_each (link, list) {
        struct client_conn *c = list_entry(link, struct client_conn, link);

        if (c->id == id)
            return c;
    }
    return NULL;
}

bool
edge_close_connection(struct edge *e, uint64_t id)
{
    struct client_conn *c;

    if ((c = find(&e->serving, id)) && c->fiber)
        fiber_cancel(c->fiber, ERR_CANCELLED);
    else if ((c = find(&e->sessions, id)))
        h2_lost(c->session);
    else if ((c = find(&e->parked, id)))
        client_close(c, false);
    return c != NULL;
}
