/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exchange/exchange.h - one request and its answer.
 *
 * The edge makes an exchange when a request's head has arrived, runs it through the route's chain
 * of middleware, the last of which answers (a server does, mostly), and sends what it then finds in
 * x->response.  All of that is one function call on one fiber.
 *
 *     edge: read head -> route_find -> exchange_run:  middleware 1
 *                                                       exchange_next:  middleware 2
 *                                                                         exchange_next:  terminal
 *           <- send response, pull its body, log
 *
 * Only what every exchange has is in here; what a middleware remembers lives in its own slot.
 *
 * Memory   everything an exchange points at lives in its arena, in the connection's buffer, or in
 *          the snapshot; all three outlive it.
 * Threads  an exchange never leaves its worker.
 */
#ifndef EXCHANGE_EXCHANGE_H
#define EXCHANGE_EXCHANGE_H

#include "base/address.h"
#include "base/clock.h"
#include "base/list.h"
#include "exchange/body.h"
#include "exchange/middleware.h"
#include "exchange/reason.h"
#include "http/message.h"
#include "http/uri.h"

struct config;
struct fiber;
struct route;
struct route_set;
struct sock;
struct tls_facts;
struct trace;
struct variants;

/* Facts of a client's connection, copied for each exchange. */
struct client {
    union address peer;     /* as the PROXY protocol told, if the
                             * listener takes it, else of the socket */
    union address local;
    struct slice  listener; /* name of the listener */
    bool          secure;   /* https */
    bool          trusted;  /* the peer is in the listener's trusted_proxies */
    uint64_t      id;       /* number of the connection, unique in the process */
    uint32_t      earlier;  /* exchanges on it before this one */
    struct slice  peer_text; /* the peer's IP address, as text */
    const struct tls_facts *tls; /* NULL: no TLS */
};

/* How long each kind of waiting may last.  They measure progress: each chunk starts them anew; only
 * total_us, when it is not 0, counts everything. */
struct exchange_timeouts {
    uint64_t connect_us;  /* a new connection to a server */
    uint64_t response_us; /* from the end of the request to the head
                           * of the response, and between chunks */
    uint64_t send_us;     /* until the peer takes some more bytes, either side */
    uint64_t body_us;     /* between two chunks of the client's body */
    uint64_t total_us;    /* the whole exchange; 0 is no limit */
    uint64_t tunnel_us;   /* silence on an upgraded connection, both directions */
};

/* In force where no `timeouts` middleware says otherwise; the same as that one's defaults. */
extern const struct exchange_timeouts exchange_default_timeouts;

struct request {
    enum method   method;
    struct slice  method_token;
    struct target target;     /* raw as it came; path in normal form */
    struct slice  host;       /* lower case, without port; empty when HTTP/1.0 gave none */
    uint16_t      port;       /* as the client named it; 0 when it did not */
    struct slice  authority;  /* Host as it came, with port */
    unsigned      version;    /* 10, 11, 20, 30 */
    struct fields fields;     /* end-to-end fields; hop-by-hop ones are gone */
    struct body  *body;       /* NULL: none */
    struct slice  upgrade;    /* protocol asked for, absent when none */
    bool          expect_continue;
    bool          te_trailers; /* the client takes trailers */
    bool          forward_path; /* a rewrite changed target.path and query: send those, not raw */
};

struct response {
    unsigned      status; /* 0: nobody has answered yet */
    unsigned      version; /* of the server's message: 10, 11; 0 for answers of our own */
    struct slice  reason; /* may be empty */
    struct fields fields;
    struct body  *body;   /* NULL: none.  Closed by the edge, or by
                           * whoever replaces the response. */
    struct sock  *tunnel; /* status 101: the server's connection, which the edge takes over */
    struct slice  upgrade; /* with 101: the protocol that was agreed */
    struct slice  tunnel_early; /* bytes that the server sent after its 101 */
    void        (*tunnel_close)(struct sock *tunnel); /* for who drops the response;
                                                       * NULL: not needed */
    struct variants *variants; /* encoded forms that are kept beside it; NULL: none can be */
};

/* Monotonic microseconds; 0: has not happened. */
struct exchange_times {
    uint64_t received_us;  /* first byte of the head */
    uint64_t started_us;   /* the head was complete */
    uint64_t queued_us;    /* a server was asked for (waiting for a slot starts) */
    uint64_t connected_us; /* a connection to the server was at hand */
    uint64_t sent_us;      /* the request's head and first bytes were sent */
    uint64_t first_byte_us; /* the response's head was there */
    uint64_t done_us;      /* the last byte was sent, or it broke off */
};

/* What went wrong and where; for log, Proxy-Status and error page. */
struct exchange_fault {
    enum reason  reason;
    enum err     err;    /* of the operation that failed; OK when none */
    struct slice detail; /* for the operator, may be empty; never sent to clients */
    const void  *limit;  /* field of the bound configuration whose
                          * value was reached; NULL when none */
    const char  *limit_name; /* name of that option, NULL when none */
    const struct middleware_ops *by; /* who was at work; NULL: nobody of the chain */
};

/* What a cache of the route made of it. */
enum exchange_cached {
    CACHED_NOT,       /* there is none */
    CACHED_HIT,       /* answered from the store */
    CACHED_STALE,     /* likewise, though it was not fresh any more */
    CACHED_SHARED,    /* shared somebody else's fetch */
    CACHED_MISS,      /* fetched */
    CACHED_CONFIRMED, /* the server was asked, and what is kept is still right */
    CACHED_EXCUSED,   /* stale, because the server failed */
    CACHED_PASSED,    /* not for the cache */
    CACHED_KINDS
};

/* The server's side, filled in by the terminal that relays to one. */
struct exchange_relay {
    struct slice upstream; /* its name; absent: no server was involved */
    struct slice server;   /* address of the server that answered or was tried last */
    unsigned     attempts;
    bool         reused;   /* over a pooled connection */
    const struct middleware *terminal; /* who relays: its config is a struct upstream_terminal */
};

/* What the edge does for those who run inside; one per protocol version. */
struct exchange_ops {
    /* Sends a 1xx response at once; errors are the client's.  Silently nothing for HTTP/1.0. */
    enum err (*inform)(struct exchange *x, unsigned status, const struct fields *fields);
    /* The user who runs the client, when it came over a Unix socket; false: not known.  NULL: never
     * known. */
    bool (*client_user)(const struct exchange *x, uint32_t *uid);
};

struct exchange {
    struct arena                    arena;
    const struct exchange_ops      *ops;
    const struct client            *client;
    struct request                  request;
    struct response                 response;
    union address                   client_address; /* behind trusted proxies, if any */
    struct slice                    client_ip;      /* the same as text */
    struct slice                    scheme;         /* "http" or "https", as the client sees it */
    struct slice                    request_id;     /* empty until somebody asks:
                                                     * exchange_request_id() */
    uint64_t                        serial;         /* unique in this process */
    unsigned                        depth;          /* of requests of our own: 0 a client's, 1 one
                                                     * made for that, ... */
    const struct config            *config;         /* of the snapshot that this exchange runs in */
    const struct route_set         *routes;         /* likewise; for requests of our
                                                     * own (child.h) */
    const struct route             *route;          /* NULL: none matched */
    const struct middleware        *chain, *next;
    void                          **slots;          /* one for each member of the chain */
    const struct exchange_timeouts *timeouts;
    uint64_t                        deadline_us;    /* the client waits no longer (gRPC); 0: it
                                                     * did not say */
    struct exchange_times           times;
    struct exchange_fault           fault;
    struct exchange_relay           relay;
    uint64_t                        request_bytes, response_bytes; /* of bodies, as sent and
                                                                    * received */
    uint64_t                        saved_us;       /* that the server took when it made what a
                                                     * cache now answered with */
    uint8_t                         cached;         /* enum exchange_cached */
    bool                            has_grpc_status; /* of the answer to a gRPC call (grpc.h): it is
                                                      * known, mostly at the end */
    uint32_t                        grpc_status;
    bool                            started;        /* the response's head has left:
                                                     * too late to refuse */
    bool                            close_client;   /* end the client's connection
                                                     * after this answer */
    struct trace                   *trace;          /* NULL: not traced (trace.h) */
    struct slice                    trace_id;       /* 32 digits: ours, or what the client's
                                                     * traceparent says; absent: neither */
    struct list                     flight;         /* of its worker's (flight.h); zero: in none */
    struct fiber                   *fiber;          /* that it runs on, while it is in flight */
};

/* Runs the rest of the chain.  Afterwards x->response is there.  May be called more than once (to
 * try again), after exchange_drop_response(). */
static inline void
exchange_next(struct exchange *x)
{
    const struct middleware *m = x->next;

    x->next = m + 1;
    m->ops->handle(m, x);
    x->next = m;
}

/* The memory of a member of the chain for this exchange: a pointer that is NULL at first. */
static inline void **
exchange_slot(struct exchange *x, const struct middleware *self)
{
    return &x->slots[self - x->chain];
}

/* The member of the chain whose handle() runs and has not called exchange_next(); NULL: none. */
const struct middleware *exchange_at_work(const struct exchange *x);

/* Runs a route's chain from its start, with fresh slots; NULL refuses with REASON_NO_ROUTE.
 * Afterwards x->response is there. */
void exchange_run(struct exchange *x, const struct route *route);

/*
 * Answers with an error page and notes why (a response that is there already is dropped).  The
 * format makes the detail for the log.  The page is the route's own for that status if it has one,
 * else the built-in one, HTML or JSON by Accept.
 */
void exchange_refuse(struct exchange *x, unsigned status, enum reason reason, const char *detail,
                     ...) __attribute__((format(printf, 4, 5)));
/* As above, naming the option whose value was reached. field: its address in the bound
 * configuration. */
void exchange_refuse_limit(struct exchange *x, unsigned status, enum reason reason,
                           const void *field, const char *option);
/* Notes why without answering: for a response that broke off after its head had left. */
void exchange_fault(struct exchange *x, enum reason reason, enum err err, const char *detail, ...)
    __attribute__((format(printf, 4, 5)));
/* A small complete answer of our own; type may be empty when text is. */
void exchange_respond(struct exchange *x, unsigned status, struct slice type, struct slice text);
/* Closes the response's body and forgets the response. */
void exchange_drop_response(struct exchange *x);
/* The id of the request, made on first use: 32 hex digits, or what request_id middleware took
 * over. */
struct slice exchange_request_id(struct exchange *x);

#endif
