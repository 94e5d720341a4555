/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/relay.h - one exchange on its way to a server and back.  Private to the room.
 *
 *     relay.c          which server, how often, what a failure means
 *     request_head.c   the head as the server gets it
 *     request_pump.c   the body, on a fiber of its own, while the response may be coming already
 *     response.c       the response's head, and its body as a source that is pulled
 */
#ifndef UPSTREAM_RELAY_H
#define UPSTREAM_RELAY_H

#include "http/h1.h"
#include "upstream/server.h"

/* The request's body on its way. */
struct pump {
    struct fiber   *fiber;    /* NULL: not started */
    struct fiber   *waiter;   /* waits for the end of the pump */
    struct server_conn *conn;
    bool            chunked;  /* the length is not known beforehand */
    bool            done;     /* the fiber has ended */
    bool            complete; /* all of it was sent */
    enum err        client_err; /* the body broke off */
    enum err        server_err; /* the server took no more */
    uint64_t        last_us;  /* when it last made progress */
};

struct relay {
    struct exchange                *x;
    const struct upstream_terminal *to;
    struct server_conn             *conn;
    struct server                  *counted; /* its inflight counts us; NULL when not any more */
    /* The request's body: */
    struct slice                    first;   /* pulled before the first
                                              * attempt, can be sent again */
    bool                            whole;   /* ... and it is all there is */
    struct pump                     pump;
    struct fiber                   *main;    /* the one that the exchange runs on */
    /* Bytes from the server: */
    char                           *buffer;
    unsigned                        buffer_size; /* BUFFER_MEDIUM, BUFFER_LARGE */
    size_t                          start, end;
    /* The response's body: */
    struct body                     body;
    enum h1_framing                 framing;
    uint64_t                        left;
    struct h1_chunked               chunked;
    uint64_t                        body_bytes; /* so far */
    uint64_t                        sent_before; /* by the connection, before this request */
    struct fields                   trailers;
    bool                            keep_alive;
    bool                            complete;
    enum err                        broken; /* error of the body, which stays */
};

/* Why an attempt failed. */
struct failure {
    enum reason reason;
    enum err    err;
    bool        unseen;  /* the server's application cannot have seen the request */
    bool        connect; /* no connection could be made */
    const void *limit;   /* option whose value was reached */
    const char *limit_name;
    const char *detail;
};

/* Monotonic time until which a wait of `us` may last, the exchange's total limit included. */
uint64_t relay_deadline_us(const struct exchange *x, uint64_t us);

bool relay_total_is_over(const struct exchange *x);

/* Into out; false when it does not fit or memory is used up (the text's `full`). */
void relay_write_request_head(const struct relay *r, struct text *out);

/* False when there is no memory for a fiber. */
bool relay_pump_start(struct relay *r);
/* Ends it if it has not ended, and waits for that. */
void relay_pump_stop(struct relay *r);

/* Reads response heads up to the final one and makes x->response.  False: failed, and *f says
 * why. */
bool relay_read_response(struct relay *r, struct failure *f);
/* Gives back what the relay holds; the connection too, when it can be used again. */
void relay_release(struct relay *r);

#endif
