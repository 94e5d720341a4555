/* SPDX-License-Identifier: Apache-2.0 */
/*
 * edge/upgrade.c - connections that became tunnels (101, RFC 9110 7.8).
 *
 * The loop moves the bytes; nothing of the exchange stays but what its log record will say, which
 * is copied so that a WebSocket of a week keeps no old configuration alive.
 */
#include "edge/client.h"
#include "runtime/tunnel.h"
#include "upstream/upstream.h"

#include <stdlib.h>

struct upgraded {
    struct tunnel        tunnel;
    struct edge         *edge;
    struct list          link;
    struct client_conn  *conn;
    struct sock         *server;
    struct arena         arena;
    struct client        facts;
    struct route         route; /* its name, and what is counted of it */
    struct exchange      x;     /* what the record needs */
};

static void
copy(struct upgraded *u, struct slice *s)
{
    *s = slice_is_present(*s) ? arena_copy(&u->arena, *s) : *s;
}

static void
copy_field(struct upgraded *u, const struct exchange *from, enum field_id id)
{
    struct slice value = fields_value(&from->request.fields, id);

    if (slice_is_present(value))
        fields_add(&u->x.request.fields, id, arena_copy(&u->arena, value));
}

/* Deep, but only what the access log reads. */
static void
remember(struct upgraded *u, const struct serving *s)
{
    const struct exchange *from = &s->x;
    struct exchange *x = &u->x;

    arena_init(&u->arena, NULL, 0, 64 * 1024);
    u->facts = s->facts;
    copy(u, &u->facts.peer_text);
    *x = *from;
    arena_init(&x->arena, NULL, 0, 64 * 1024);
    x->client = &u->facts;
    x->config = NULL;
    x->chain = x->next = NULL;
    x->slots = NULL;
    x->timeouts = &exchange_default_timeouts;
    x->request.body = x->response.body = NULL;
    fields_init(&x->request.fields, &u->arena, 0, 8);
    fields_init(&x->response.fields, &u->arena, 0, 8);
    copy_field(u, from, FIELD_USER_AGENT);
    copy_field(u, from, FIELD_REFERER);
    copy(u, &x->client_ip);
    copy(u, &x->request.target.raw);
    x->request.target.path = x->request.target.raw_path = x->request.target.raw;
    x->request.target.query = (struct slice){NULL, 0};
    copy(u, &x->request.host);
    copy(u, &x->request.authority);
    copy(u, &x->request.method_token);
    copy(u, &x->request_id);
    copy(u, &x->trace_id);
    x->trace = NULL; /* it ends with the switch */
    x->flight = (struct list){NULL, NULL};
    copy(u, &x->relay.upstream);
    copy(u, &x->relay.server);
    if (from->route) {
        u->route.name = arena_copy(&u->arena, from->route->name);
        u->route.index = from->route->index;
        u->route.metrics = metrics_hold(from->route->metrics);
        x->route = &u->route;
    }
}

static void
on_end(struct tunnel *t, enum err err)
{
    struct upgraded *u = container_of(t, struct upgraded, tunnel);

    if (err == ERR_TIMEOUT)
        exchange_fault(&u->x, REASON_CLIENT_STALLED, err, "silence on the tunnel");
    else if (err != OK)
        u->x.fault.err = err;
    u->x.request_bytes = t->ways[0].bytes;
    u->x.response_bytes = t->ways[1].bytes;
    account_exchange(u->edge, u->edge->use->snapshot, u->conn->listener, &u->x);
    metrics_release(take(&u->route.metrics));
    list_remove(&u->link);
    counter_add(&u->edge->counters->tunnels, -1);
    upstream_tunnel_close(u->server);
    client_close(u->conn, false);
    arena_free(&u->x.arena);
    arena_free(&u->arena);
    free(u);
}

static struct slice
early_bytes(struct client_conn *c)
{
    return slice_of(c->buffer + c->start, c->end - c->start);
}

bool
upgrade_start(struct serving *s)
{
    struct exchange *x = &s->x;
    struct sock *server = take(&x->response.tunnel);
    struct upgraded *u = calloc(1, sizeof(*u));
    struct client_conn *c = s->conn;
    struct slice early;
    char *buffer;

    if (!u || !send_response(s, true)) {
        free(u);
        upstream_tunnel_close(server);
        return false;
    }
    remember(u, s);
    u->edge = client_edge(c);
    u->conn = c;
    u->server = server;
    u->tunnel.on_end = on_end;
    list_push(&u->edge->tunnels, &u->link);
    counter_add(&u->edge->counters->tunnels, 1);
    client_unwatch(c);
    c->fiber = NULL;
    early = early_bytes(c);
    buffer = take(&c->buffer);
    tunnel_start(&u->tunnel, &c->sock, server, early, x->response.tunnel_early,
                 x->timeouts->tunnel_us);
    buffer_give(BUFFER_SMALL, buffer);
    return true;
}

void
upgrade_cut_all(struct edge *e)
{
    while (!list_is_empty(&e->tunnels))
        tunnel_cancel(&list_entry(e->tunnels.next, struct upgraded, link)->tunnel);
}
