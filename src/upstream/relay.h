/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/relay.h - one exchange on its way to a server and back.  Private to the room.
 *
 *     relay.c          how often, what a failure means, what the client is told
 *     choose.c         which server, and why (explain)
 *     attempt.c        one server is asked: connection, request, head of the answer
 *     hedge.c          two are asked, the first answer wins
 *     request_pump.c   the request's body, on a fiber of its own, while the response may be coming
 *     response.c       the response's head, and its body as a source that is pulled
 *     h1_wire.c        all of it as HTTP/1.1; h1_head.c: the request's head
 *     h2_wire.c        all of it as a stream of HTTP/2, on a connection of h2_link.c
 *     load_report.c    what a response says of its server's load
 */
#ifndef UPSTREAM_RELAY_H
#define UPSTREAM_RELAY_H

#include "http/h1.h"
#include "upstream/h2_link.h"
#include "upstream/server.h"
#include "upstream/sticky.h"

enum { RELAY_HEAD_BYTES = 16 * 1024, RELAY_FIELDS = 200 }; /* of answers */

enum { ATTEMPTS_MAX = 14 }; /* and further ones of hedging */

/* The request's body on its way. */
struct pump {
    struct fiber   *fiber;    /* NULL: not started */
    struct fiber   *waiter;   /* waits for the end of the pump */
    bool            chunked;  /* the length is not known beforehand */
    bool            done;     /* the fiber has ended */
    bool            complete; /* all of it was sent */
    enum err        client_err; /* the body broke off */
    enum err        server_err; /* the server took no more */
    uint64_t        last_us;  /* when it last made progress */
};

/* What all attempts of an exchange share; in its arena. */
struct relay_plan {
    struct exchange                *x;
    const struct upstream_terminal *to;
    uint64_t                        affinity; /* hash of the balancing's key; 0: none */
    uint16_t                        region;   /* of the client */
    bool                            stick;    /* seen counts */
    struct sticky_seen              seen;     /* what the client's cookie says */
    struct slice                    first;    /* of the body: pulled before the first attempt, can
                                               * be sent again */
    bool                            whole;    /* ... and it is all there is */
    struct guard_options            guards;
    struct guard_pass               pass;
    bool                            failed;   /* for guard_leave() */
    uint64_t                        took_us;
    struct server                  *tried[ATTEMPTS_MAX]; /* references */
    size_t                          n_tried;
};

struct relay;
struct failure;

/* How an exchange is spoken with a server; one for each version of HTTP. */
struct relay_wire {
    /* The head of the request, and the body with it when the plan has that whole. */
    enum err (*send_head)(struct relay *r);
    /* Of the body; wait until the server has taken it, or may be expected to. */
    enum err (*send_chunk)(struct relay *r, struct slice chunk);
    enum err (*send_end)(struct relay *r);
    /* The next head of the answer, informational or final, into r->head.  False: *f says why. */
    bool (*read_head)(struct relay *r, uint64_t silence_us, struct failure *f);
    /* As body_ops.next(): of the answer's body. */
    enum err (*next)(struct relay *r, struct slice *chunk);
    /* The answer is here to its last byte: the connection is free for others if it can be. */
    void (*finish)(struct relay *r);
    /* Gives back all that is still held; a connection that is not free is closed.  Again:
     * nothing. */
    void (*release)(struct relay *r);
};

extern const struct relay_wire relay_h1, relay_h2;

/* One attempt; the one that is answered becomes the source of the response's body. */
struct relay {
    struct relay_plan  *plan;
    struct exchange    *x;
    const struct relay_wire *wire; /* NULL: not connected yet */
    struct server      *counted; /* it has us in flight; NULL when not any more */
    bool                unanswered; /* ... and counts our answer as outstanding */
    struct server      *server;  /* who is asked; the plan has the reference */
    uint64_t            begun_us;
    uint64_t            response_us; /* how long the head of the answer may take */
    bool                shared;  /* the connection is one of HTTP/2 */
    bool                reused;
    uint64_t            idle_us; /* ... after so long */
    struct pump         pump;
    struct fiber       *main;    /* the one that the exchange runs on */
    /* The response: */
    struct h1_head      head;
    struct body         body;
    uint64_t            body_bytes; /* so far */
    struct fields       trailers;
    bool                complete;
    enum err            broken; /* error of the body, which stays */
    /* HTTP/1: */
    struct server_conn *conn;    /* ours alone; NULL: given back */
    uint64_t            sent_before; /* by it, before this request */
    char               *buffer;  /* bytes from the server */
    unsigned            buffer_size; /* BUFFER_MEDIUM, BUFFER_LARGE */
    size_t              start, end;
    enum h1_framing     framing;
    uint64_t            left;
    struct h1_chunked   chunked;
    bool                keep_alive;
    /* HTTP/2: */
    struct h2_call      call;
};

/* Why an attempt failed. */
struct failure {
    enum reason reason;
    enum err    err;
    bool        unseen;  /* the server's application cannot have seen the request */
    bool        connect; /* no connection could be made */
    bool        ours;    /* the server is not to blame */
    const void *limit;   /* option whose value was reached */
    const char *limit_name;
    const char *detail;
    unsigned    retry_after_s;
};

static inline const struct upstream_config *
relay_config(const struct relay *r)
{
    return r->plan->to->config;
}

/* ------------------------------------------------------------------ choose.c */

/* Reads from the exchange what the choice depends on. */
void relay_plan_choice(struct relay_plan *plan);
/* A reference to a server that was not tried yet, noted as tried; NULL when there is none.  Does
 * not wait. */
struct server *relay_choose(struct relay_plan *plan);

/* ------------------------------------------------------------------ attempt.c */

/* Monotonic time until which a wait of `us` may last, the exchange's total limit included. */
uint64_t relay_deadline_us(const struct exchange *x, uint64_t us);
bool relay_total_is_over(const struct exchange *x);
/* The client does not wait any longer (gRPC).  How long it does is its own choice, and says nothing
 * of servers: they are not to blame. */
bool relay_client_is_late(const struct exchange *x);
/* By which limit it is over: the option, or the client's own, which is no option. */
void relay_blame_total(const struct exchange *x, const void **limit, const char **limit_name);
/* False always. */
bool relay_fail_total(const struct exchange *x, struct failure *f);
struct relay *relay_new(struct relay_plan *plan);
/* Up to the head of the answer, which is in r->head then.  False: *f says why.  last: no other
 * attempt will follow, so that it may take its time. */
bool relay_attempt(struct relay *r, struct server *s, bool last, struct failure *f);
/* The answer came to its end, or broke off after its head, which is the server's failure. */
void relay_note_end(struct relay *r, bool failed);
/* The server's answer is not wanted, or never came. */
void relay_abandon(struct relay *r);
/* What was answered becomes x->response. */
void relay_accept(struct relay *r);
/* Nothing of the body is lost: it can be sent once more. */
bool relay_can_resend(const struct relay *r);
bool relay_may_retry(const struct relay *r, const struct failure *f);
/* The exchange is over, as far as the server is concerned. */
void relay_uncount(struct relay *r);

/* ------------------------------------------------------------------ hedge.c */

/* As relay_attempt(), but further servers are asked when the first takes long; *r becomes the one
 * that was answered. */
bool relay_hedge(struct relay **r, struct server *s, struct failure *f);

/* ------------------------------------------------------------------ the rest */

/* As HTTP/1.1; the text's `full`: it does not fit, or memory is used up. */
void relay_write_h1_head(const struct relay *r, struct text *out);
/* What is said of the version that the client spoke (Via). */
struct slice relay_via(const struct exchange *x);
/* Host, for a request that names none. */
struct slice relay_host(const struct relay *r);

/* False when there is no memory for a fiber. */
bool relay_pump_start(struct relay *r);
/* Ends it if it has not ended, and waits for that. */
void relay_pump_stop(struct relay *r);

/* Reads response heads up to the final one, into r->head.  False: failed, and *f says why. */
bool relay_read_head(struct relay *r, struct failure *f);
/* r->head and the body as a source, into x->response. */
void relay_make_response(struct relay *r);
/* The server may be silent while the request is still moving: true when it has moved since
 * *since_us, which is later then. */
bool relay_has_moved(const struct relay *r, uint64_t *since_us);
/* For wires, where an answer fails: why, in *f; false always. */
bool relay_fail(struct failure *f, enum reason reason, enum err err, const char *detail);
bool relay_fail_waiting(struct relay *r, struct failure *f, enum err e, bool begun);
/* The same for its body: e, which stays. */
enum err relay_broke_off(struct relay *r, enum err e);
enum err relay_malformed(struct relay *r, const char *words);
/* The last byte of the answer was read. */
void relay_finish(struct relay *r);
/* Gives back what the relay holds; the connection too, when it can be used again. */
void relay_release(struct relay *r);

/* `endpoint-load-metrics` of a response: the share of its weight that the server wants.  False: it
 * says nothing that is understood. */
bool load_report_share(struct slice value, uint16_t *share);

/* The guard is told that the exchange is over; once. */
void relay_leave(struct relay_plan *plan);

#endif
