/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exchange/trace.h - what was decided about one exchange, and why, while it happened.
 *
 * Most exchanges have none (x->trace is NULL), and then noting costs one comparison.  For one that
 * was chosen, by chance or because an expression or the client says so, every decision is written
 * down: routes tried and the condition that failed, what each middleware did, why the cache hit or
 * missed, which servers were considered, how long each wait took; with the place of the setting
 * behind it.
 *
 *     exchange_note(x, &limit->rate, "rate_limit", "admitted, %u left", left);
 *
 * Calls of middleware are not seen by a test in exchange_next(), which everybody would pay for: a
 * traced exchange runs a chain of wrappers instead (exchange_trace_chain()).
 *
 * A finished trace never changes again.  It is kept in a ring of its worker for readers (`maitred
 * explain --live`, the REST API), and, when it is to be exported, in a queue until control/ takes
 * it (trace_take()).
 *
 * Memory   of a bounded block of its own; what does not fit is counted and left out.
 * Threads  noting: the exchange's worker.  Reading: fibers of the control thread, which ask the
 *          workers; what they get is counted references to finished traces, and copies of others.
 */
#ifndef EXCHANGE_TRACE_H
#define EXCHANGE_TRACE_H

#include "exchange/exchange.h"
#include "exchange/trace_context.h"

struct expr;

enum { TRACE_EVENTS_MAX = 256, TRACE_BYTES_MAX = 32 * 1024 };

/* Whose `traceparent` decides whether an exchange is traced. */
enum trace_follow { TRACE_FOLLOW_NOBODY, TRACE_FOLLOW_TRUSTED, TRACE_FOLLOW_EVERYBODY };

/* What the configuration says: `tracing:`. */
struct tracing_config {
    uint64_t     sample;   /* millionths of exchanges */
    struct expr *when;     /* NULL: never by expression */
    int          follow;   /* enum trace_follow */
    int64_t      keep;     /* finished ones, for each worker */
    bool         propagate; /* W3C trace context towards servers */
    struct otlp_config *otlp; /* NULL: not exported */
};

/* `otlp:` OTLP/HTTP (JSON), https://opentelemetry.io/docs/specs/otlp/ */
struct otlp_config {
    struct slice       url;      /* http://collector:4318/v1/traces */
    struct option_list fields;   /* of struct option_pair: sent with each request */
    struct slice       service;  /* service.name */
    uint64_t           every_us;
    int64_t            queue;    /* traces that wait at most: on each worker, and in the exporter */
    uint64_t           timeout_us;
};

extern const struct option_object tracing_object;

struct trace_event {
    uint64_t     at_us;   /* monotonic */
    uint64_t     took_us; /* 0: a moment */
    const char  *what;    /* static: "route", "middleware", "cache", "server", ... */
    struct slice detail;  /* absent: it is not over yet */
    struct slice where;   /* of the setting, "site.yaml:12:5"; absent: a default, or none */
    bool         is_span; /* an attempt at a server, which was told: */
    uint8_t      span[TRACE_SPAN_BYTES];
    unsigned     status;  /* with is_span: of the answer; 0: there was none */
};

struct trace {
    _Atomic uint32_t refs;
    uint8_t  id[TRACE_ID_BYTES], span[TRACE_SPAN_BYTES];
    uint8_t  parent[TRACE_SPAN_BYTES]; /* W3C; all zero: none */
    char     id_text[2 * TRACE_ID_BYTES];
    bool     sampled;     /* is to be exported, and says so to servers */
    bool     propagate;
    bool     is_child;    /* of an exchange of our own: a fragment, a refresh, a copy */
    struct slice request_id, method, scheme, target, host, client, route, upstream, server, reason,
        state;            /* filled in at the end */
    unsigned version, status;
    uint64_t request_bytes, response_bytes;
    uint64_t began_us, ended_us;  /* monotonic; ended_us 0: it is under way */
    int64_t  began_wall_us;       /* since 1970 */
    struct trace_event *events;   /* in the order of their at_us */
    size_t   n, room, lost;
    size_t   keep, queue; /* of the configuration that it began with */
    /* While it runs: wrappers around the route's chain, or NULL; the member that was called last,
     * and the status that the one behind the running one left. */
    const struct middleware *chain, *deepest;
    unsigned                 inner_status;
    struct arena arena;
};

/* Decides whether this exchange is traced; reads `traceparent`, and makes the ids that go on to the
 * server.  Its request is complete.  tracing may be NULL: never. */
void exchange_trace_begin(struct exchange *x, const struct tracing_config *tracing);
/* An exchange of our own that was made from one that is traced has a trace of its own, in which
 * that one's span is the parent: it may live longer. */
void exchange_trace_child(struct exchange *c, const struct exchange *from);
/* The exchange is over: the trace goes into the ring.  Nothing happens without one. */
void exchange_trace_end(struct exchange *x);
/* The chain of a traced exchange, `n` members that tell what they do; NULL: no memory. */
const struct middleware *exchange_trace_chain(struct exchange *x, const struct middleware *chain,
                                              size_t n);

/* setting: the address of a bound option, or NULL.  what: a static string. */
#define exchange_note(x, setting, what, ...)                                                      \
    do {                                                                                          \
        if (__builtin_expect((x)->trace != NULL, 0))                                              \
            exchange_note_now((x), (setting), (what), 0, __VA_ARGS__);                            \
    } while (0)
/* With how long it took: since a monotonic time. */
#define exchange_note_took(x, setting, what, since_us, ...)                                       \
    do {                                                                                          \
        if (__builtin_expect((x)->trace != NULL, 0))                                              \
            exchange_note_now((x), (setting), (what), (since_us), __VA_ARGS__);                   \
    } while (0)
void exchange_note_now(struct exchange *x, const void *setting, const char *what,
                       uint64_t since_us, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* The same with the place of an object: a route, the options of a middleware. */
void exchange_note_object(struct exchange *x, const void *object, const char *what,
                          const char *format, ...) __attribute__((format(printf, 4, 5)));

/* For what takes time while other things are noted: the event has its place from the beginning on.
 * The pair is for exchanges that are traced; begin gives what end wants. */
size_t exchange_trace_open(struct exchange *x, const void *object, const char *what);
void exchange_trace_close(struct exchange *x, size_t event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* A server is about to be asked: as open(), and the request's traceparent names a new span. */
size_t exchange_trace_attempt(struct exchange *x);
/* As close(): the status of its answer, 0 when it failed. */
void exchange_trace_attempted(struct exchange *x, size_t event, unsigned status,
                              const char *format, ...) __attribute__((format(printf, 4, 5)));

/* ------------------------------------------------------------------ reading */

/* One more reference, and back; any thread. */
struct trace *trace_hold(struct trace *t);
void trace_release(struct trace *t);

struct trace_query {
    size_t       most;      /* 0: all */
    struct slice route;     /* absent: any */
    unsigned     status;    /* 0: any; 1 to 5: that class */
    bool         in_flight; /* those that are under way too */
};

/* The newest first; the traces are the visitor's only during the call (trace_hold()). On a fiber of
 * the control thread; waits. */
void trace_each(const struct trace_query *query, void (*visit)(void *arg, struct trace *t),
                void *arg);
/* By request id or trace id, finished or in flight; of several (exchanges of our own have those of
 * the one that they were made for) the first that began.  A reference; NULL: none.  Waits. */
struct trace *trace_find(struct slice id);

/* The finished ones that wait to be exported, of all workers: references in a malloc'd array, *n of
 * them; NULL: none.  *dropped: how many found no room since the last call.  Waits. */
struct trace **trace_take(size_t *n, uint64_t *dropped);

/* A worker ends: gives back what it keeps. */
void trace_exit(void);

#endif
