/* SPDX-License-Identifier: Apache-2.0 */
/*
 * edge/edge.h - where clients are met: listeners, their connections, and the loop from head to
 * access log.
 *
 *     client.c       a connection: accepted, parked, served, closed
 *     tls_accept.c   its handshake, where the listener has TLS; https.c: redirects to there
 *     serve.c        one exchange after the other on a connection's fiber
 *     request.c      from a parsed head to an exchange; forwarded.c: who the client is
 *     client_body.c  the request's body as a source
 *     send.c         the response, head and body
 *     upgrade.c      connections that became tunnels
 *     access_log.c   the record at the end
 *     account.c      what is counted
 *
 * Threads  everything here belongs to one worker, but for struct snapshot, which all read.
 */
#ifndef EDGE_EDGE_H
#define EDGE_EDGE_H

#include "edge/access_log.h"
#include "edge/h2_options.h"
#include "edge/tls_options.h"
#include "exchange/route.h"
#include "exchange/trace.h"
#include "runtime/sock.h"

/* What the configuration says of a listener. */
struct listener_config {
    struct slice       address_text; /* as written */
    union address      address;
    struct slice       name;
    struct option_list trusted_proxies; /* of struct network */
    bool               proxy_protocol;
    int64_t            backlog;
    uint64_t           head_timeout_us;
    uint64_t           idle_timeout_us;
    int64_t            requests; /* per connection; 0: no limit */
    uint64_t           max_head;
    uint64_t           max_target;
    int64_t            max_fields;
    struct h2_options  http2;
    struct tls_listener *tls; /* NULL: plain */
    int                redirect; /* enum listener_redirect */
    struct metrics    *metrics;  /* what is counted of it, once it serves; NULL: nothing */
};

enum listener_redirect { LISTENER_REDIRECT_OFF, LISTENER_REDIRECT_HTTPS };

extern const struct option_object listener_object;

/* All that a configuration means, ready to serve.  Immutable; made and freed on the control
 * thread. */
struct snapshot {
    struct config     *config;
    struct route_set  *routes;
    struct option_list listeners; /* of struct listener_config */
    struct option_list logs;      /* of struct access_log, opened */
    const struct tracing_config *tracing; /* NULL: nothing is traced */
    const struct analytics_config *analytics; /* NULL: nothing is recorded */
    struct metrics    *unrouted;  /* of exchanges that no route took; NULL: not counted */
    _Atomic uint32_t   refs;      /* workers that use it, and the control thread */
    void             (*unused)(struct snapshot *s); /* the last reference is gone; any thread */
};

/* It has a listener on that address. */
bool edge_listens(const struct snapshot *s, const union address *address);

/* ------------------------------------------------------------------ a worker's edge */

struct edge;

/* Other threads may look. */
struct edge_counters {
    _Atomic uint64_t connections; /* accepted so far */
    _Atomic uint64_t open;        /* now */
    _Atomic uint64_t exchanges;   /* finished so far */
    _Atomic uint64_t tunnels;     /* now */
    _Atomic uint64_t refused; /* connections, for want of descriptors or over the limit */
    struct loop_figures loop;
} __attribute__((aligned(64)));

/* On the worker's thread, after loop_init().  max_connections: of all edges together, as this one
 * sees it; max_own: of this one.  NULL: out of memory. */
struct edge *edge_new(unsigned worker, uint64_t max_connections, uint64_t max_own);
/* A new snapshot for the exchanges to come (takes a reference).  fds: a listening descriptor for
 * each listener, which the edge takes over; -1 where it has that listener already. */
void edge_use(struct edge *e, struct snapshot *s, const int *fds);
/* Hands what was logged to the writer: once a second, and at the end. */
void edge_flush_logs(struct edge *e);
/* One more listening descriptor of that address, which the edge takes over: after an upgrade there
 * may be more sockets than workers, and each has its share of the connections. */
void edge_listen(struct edge *e, const union address *address, int fd);
/* Another process serves from now on: no new connections.  Those that there are have one more
 * answer each, which says that it is the last, so that nobody's request meets a connection that
 * closes. */
void edge_retire(struct edge *e);
/* No new connections; parked ones close; those in an exchange close after it. */
void edge_drain(struct edge *e);
/* After draining: nothing is left.  Any thread. */
bool edge_is_empty(const struct edge *e);
/* Ends what is left at once. */
void edge_cut(struct edge *e);
void edge_free(struct edge *e);

#endif
