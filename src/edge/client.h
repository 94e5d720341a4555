/* SPDX-License-Identifier: Apache-2.0 */
/* edge/client.h - a client's connection and its worker's edge.  Private to the room. */
#ifndef EDGE_CLIENT_H
#define EDGE_CLIENT_H

#include "edge/edge.h"
#include "http/h1.h"
#include "runtime/fiber.h"

/* A worker's count of its exchanges in one snapshot, so that workers do not fight for one
 * counter. */
struct snapshot_use {
    struct snapshot *snapshot;
    uint32_t         count; /* exchanges, and the edge itself while it is current */
};

/* One address that is listened on; outlives snapshots. */
struct listener {
    struct acceptor               acceptor;
    struct edge                  *edge;
    const struct listener_config *config; /* in the current snapshot; valid while accepting */
    union address                 address;
    struct slice                  name;
    char                          name_text[64];
    struct list                   link;
    uint32_t                      refs; /* the edge and its connections */
};

struct edge {
    unsigned             worker;
    uint64_t             max_connections;
    struct snapshot_use *use;
    struct list          listeners;
    struct list          parked;  /* connections without a fiber */
    struct list          serving; /* connections with one */
    struct list          tunnels;
    struct edge_counters counters;
    uint64_t             serial;
    int                  spare_fd; /* closed to accept and refuse when descriptors are used up */
    bool                 draining;
    uint64_t             date_second;
    char                 date[32]; /* of that second */
};

/* Small: it is all that an idle connection costs. */
struct client_conn {
    struct sock      sock;
    struct io        park;
    struct timer     timer; /* idle, head, or watching */
    struct list      link;  /* in edge.parked or edge.serving */
    struct listener *listener;
    struct fiber    *fiber;  /* NULL while parked */
    char            *buffer; /* lent; NULL while parked */
    uint32_t         start, end;
    uint32_t         requests;
    uint16_t         peer_port, local_port;
    uint8_t          peer_family;
    uint8_t          peer_text_n;
    bool             secure;
    bool             half_close_ok; /* the client said that this is its last request */
    bool             proxied; /* the PROXY header has been read, or none is expected */
    uint8_t          peer_ip[16], local_ip[16];
    char             peer_text[46];
    uint64_t         id;
};

/* client.c */
struct edge *client_edge(const struct client_conn *c);
/* Waits for the next request without fiber and buffer. */
void client_park(struct client_conn *c);
/* On the fiber, before parking: receives what is there already.  ended: the client is gone. */
bool client_has_more(struct client_conn *c, bool *ended);
/* Ends the connection.  linger: the client may still be sending; let it read our answer first
 * (waits). */
void client_close(struct client_conn *c, bool linger);
/* The connection ends with a reset: what was sent cannot be mistaken for whole. */
void client_abort(struct client_conn *c);
/* From now on the fiber is cancelled when the client goes away. */
void client_watch(struct client_conn *c);
void client_unwatch(struct client_conn *c);
/* The addresses of the socket, or those the PROXY header told. */
void client_set_peer(struct client_conn *c, const union address *peer, const union address *local);
void client_fill(const struct client_conn *c, struct client *facts);

struct snapshot_use *use_hold(struct edge *e);
void use_release(struct snapshot_use *u);

/* serve.c: the fiber of a connection. */
void client_serve(void *conn);

/* One exchange in the making; on the fiber's stack. */
struct serving {
    struct exchange      x;
    struct client        facts;
    struct client_conn  *conn;
    struct snapshot_use *use;
    struct h1_head       head;
    struct body         *client_body; /* x.request.body before anyone wrapped it */
    bool                 continued;   /* 100 was sent */
    bool                 broken;      /* the connection cannot take any more bytes */
};

static inline struct serving *
serving_of(struct exchange *x)
{
    return container_of(x, struct serving, x);
}

/* request.c */
/* From the parsed head; false when it was refused (x.response is there then). */
bool request_make(struct serving *s);
/* forwarded.c */
bool forwarded_apply(struct serving *s, const struct listener_config *config);
/* The address is in trusted_proxies. */
bool listener_trusts(const struct listener_config *config, const union address *a);
/* client_body.c */
struct body *client_body_new(struct serving *s);
/* True when all of it was read, or what is left is little and was dropped. */
bool client_body_finish(struct serving *s);
/* send.c */
enum err send_informational(struct exchange *x, unsigned status, const struct fields *fields);
/* The whole response; false: the connection is of no use any more. */
bool send_response(struct serving *s, bool keep_alive);
/* upgrade.c: the connection and the server's become a tunnel; false when that failed. */
bool upgrade_start(struct serving *s);
void upgrade_cut_all(struct edge *e);

#endif
