/* SPDX-License-Identifier: Apache-2.0 */
/* edge/client.h - a client's connection and its worker's edge.  Private to the room. */
#ifndef EDGE_CLIENT_H
#define EDGE_CLIENT_H

#include "base/counter.h"
#include "edge/account.h"
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
    struct metrics               *metrics; /* of that name; held; NULL: nothing is counted */
    union address                 address;
    struct slice                  name;
    char                          name_text[64];
    struct list                   link;
    uint32_t                      refs; /* the edge and its connections */
    uint32_t                      open; /* connections, but for those that are closing */
};

struct edge {
    unsigned             worker;
    uint64_t             max_connections, max_own;
    struct snapshot_use *use;
    struct list          listeners;
    struct list          parked;  /* connections without a fiber */
    struct list          serving; /* connections with one */
    struct list          sessions; /* HTTP/2 connections: theirs have a fiber for each stream */
    struct list          tunnels;
    struct edge_counters *counters; /* account.c's */
    uint64_t             serial;
    int                  spare_fd; /* closed to accept and refuse when descriptors are used up */
    bool                 draining;
    bool                 retiring; /* draining, but whoever is idle may ask once more */
    uint64_t             date_second;
    char                 date[32]; /* of that second */
};

struct h2_conn;

enum client_protocol { CLIENT_H1, CLIENT_H2 };

/* Small: it is all that an idle connection costs. */
struct client_conn {
    struct sock      sock;
    struct io        park;
    struct timer     timer; /* idle, head, or watching */
    struct list      link;  /* in edge.parked, edge.serving or edge.sessions */
    struct listener *listener;
    struct fiber    *fiber;  /* NULL while parked */
    struct h2_conn  *session; /* NULL: not HTTP/2 */
    char            *buffer; /* lent; NULL while parked */
    uint32_t         start, end;
    uint32_t         requests;
    uint16_t         peer_port, local_port;
    uint8_t          peer_family;
    uint8_t          peer_text_n;
    uint8_t          protocol; /* enum client_protocol; h2 when ALPN chose it */
    bool             secure; /* of a listener with TLS; the handshake is over when sock.layer is
                              * there */
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

/* tls_accept.c: the fiber of a connection that begins with a handshake. */
void client_greet(void *conn);

/* ------------------------------------------------------------------ one exchange */

struct serving;

/* How an exchange ended, as far as the connection is concerned. */
enum serving_outcome {
    SERVING_NEXT,   /* it may carry another one */
    SERVING_CLOSE,
    SERVING_LINGER, /* close, but the client may still be sending */
    SERVING_ABORT,  /* the answer broke off, and must be seen to */
    SERVING_TUNNEL, /* it is a tunnel now */
};

/* What differs between versions of HTTP, on the fiber of the exchange.  Everything that middleware,
 * routes and logs see is the same. */
struct serving_ops {
    struct exchange_ops exchange;
    /* Makes x.request.body and client_body if the request has one; false: out of memory. */
    bool (*take_body)(struct serving *s);
    /* The whole response; false: it broke off. */
    bool (*send)(struct serving *s);
    /* The answer is a 101: to x.response.tunnel from now on. */
    enum serving_outcome (*upgrade)(struct serving *s);
    /* The response was sent: what about the rest of the request's body? */
    enum serving_outcome (*finish)(struct serving *s);
};

/* One exchange in the making, whatever the version. */
struct serving {
    struct exchange           x;
    struct client             facts;
    struct client_conn       *conn;
    struct snapshot_use      *use;
    const struct serving_ops *ops;
    struct body              *client_body; /* x.request.body before anyone wrapped it */
};

static inline struct serving *
serving_of(struct exchange *x)
{
    return container_of(x, struct serving, x);
}

/* serve.c.  s is zeroed; `first` is memory for the arena to begin with. */
void serving_begin(struct serving *s, const struct serving_ops *ops, struct client_conn *c,
                   void *first, size_t first_n);
/* x.request has method, target.raw, authority and fields: afterwards x.response is there, or the
 * fiber is cancelled. */
void serving_run(struct serving *s);
/* Sends x.response. */
enum serving_outcome serving_answer(struct serving *s);
void serving_log(struct serving *s);
void serving_end(struct serving *s);
/* As exchange_ops has it. */
bool serving_client_user(const struct exchange *x, uint32_t *uid);

/* account.c */
/* Names what is compiled in; before tables are used. */
void account_prepare(void);
/* The numbers of a worker, which only it writes. */
struct edge_counters *account_begin(unsigned worker);
/* NULL: there is no such worker.  Any thread. */
const struct edge_counters *account_of(unsigned worker);
/* Its answer has become a connection of its own: how long it took means nothing. */
bool account_is_tunnel(const struct exchange *x);
/* account_fact.c: to analytics. */
void account_record(unsigned worker, const struct exchange *x);
/* The exchange is over: writes its records, counts it. */
void account_exchange(struct edge *e, const struct snapshot *s, const struct listener *l,
                      struct exchange *x);

/* request.c: what is the same in all versions; false when it was refused (x.response is there
 * then). */
bool request_complete(struct serving *s);
/* forwarded.c */
bool forwarded_apply(struct serving *s, const struct listener_config *config);
/* The address is in trusted_proxies. */
bool listener_trusts(const struct listener_config *config, const union address *a);
/* The value of Date now. */
struct slice send_date(struct edge *e);
/* Notes that the client did not take the answer. */
void send_failed(struct exchange *x, enum err e);

/* ------------------------------------------------------------------ HTTP/1 */

/* On the fiber's stack. */
struct h1_serving {
    struct serving base;
    struct h1_head head;
    bool           continued; /* 100 was sent */
};

static inline struct h1_serving *
serving_h1(struct serving *s)
{
    return container_of(s, struct h1_serving, base);
}

/* h1_serve.c */
/* On the connection's fiber; false: no PROXY header, or one from a peer that may not speak for
 * others. */
bool client_proxy_header(struct client_conn *c, const struct listener_config *config,
                         uint64_t deadline_us);
/* The fiber of a connection. */
void client_serve(void *conn);
/* client_body.c */
bool client_body_new(struct serving *s);
/* True when all of it was read, or what is left is little and was dropped. */
bool client_body_finish(struct serving *s);
/* send.c */
enum err send_informational(struct exchange *x, unsigned status, const struct fields *fields);
/* The whole response; false: the connection is of no use any more. */
bool send_response(struct serving *s, bool keep_alive);
/* upgrade.c: the connection and the server's become a tunnel; false when that failed. */
bool upgrade_start(struct serving *s);
void upgrade_cut_all(struct edge *e);

/* ------------------------------------------------------------------ HTTP/2: h2_conn.c */

/* "PRI * HTTP/2.0", and what follows it. */
#define H2_PREFACE_BYTES 24u
/* True when the bytes are the connection preface so far (RFC 9113 3.4). */
bool h2_is_preface(struct slice bytes);
/* On the fiber of the connection, with its first bytes in the buffer: from now on it is a session,
 * without a fiber of its own. */
void h2_start(struct client_conn *c);
/* Tells all clients to go elsewhere (GOAWAY); what was asked for is still answered. */
void h2_drain_all(struct edge *e);
void h2_cut_all(struct edge *e);

#endif
