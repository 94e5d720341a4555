/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/server.h - one address of an upstream, and sets of servers.  Private to the room.
 *
 *     server.c   servers and what speaks against them
 *     set.c      immutable sets of them, with their policy
 *     conn.c     connections to a server; pool.c: idle ones; line.c: waiting for one
 */
#ifndef UPSTREAM_SERVER_H
#define UPSTREAM_SERVER_H

#include "balance/policy.h"
#include "base/map.h"
#include "runtime/quiesce.h"
#include "runtime/sock.h"
#include "upstream/passive.h"
#include "upstream/server_tls.h"
#include "upstream/upstream.h"

/* What speaks against sending work to a server; each has one who sets it and clears it again. */
enum server_fault {
    SERVER_IS_DRAINING = 1,
    SERVER_IS_IN_MAINTENANCE = 2,
    SERVER_IS_UNPROVED = 4, /* came later and has passed no check yet */
    SERVER_IS_DOWN = 8,     /* its checks fail */
    SERVER_IS_EJECTED = 16, /* real traffic fails */
    SERVER_IS_RESTING = 32, /* could not be connected, or has gone silent, a moment ago */
    SERVER_IS_LEAVING = 64, /* in no set any more */
};

/* A worker's idle connections to one server, the last used first, and who waits for one. */
struct server_pool {
    struct list idle;
    struct list shared;     /* those of HTTP/2 that others may join */
    struct list waiting;    /* struct line_waiter: of this worker, with patience */
    _Atomic uint32_t count; /* of idle; others may look */
    uint32_t open;          /* all of this worker */
    uint32_t lowest;        /* of count, since care was last taken */
    struct timer care;
    struct server *server;    /* a reference while care is set */
    uint32_t         opening; /* of them, not connected yet */
    uint32_t         wanting; /* exchanges that have patience */
    uint32_t         busy_us; /* how long one keeps a connection, moving average */
    uint64_t         came_us; /* the last one came back */
    uint32_t         warming; /* to be opened beforehand, under way */
    bool             speaks_h2; /* the last connection does */
    uint32_t         streams; /* of HTTP/2, that the server takes at a time; 0: not known yet */
    struct tls_session_slot session; /* of TLS, for the next one */
    const struct upstream_config *warmth; /* wants some open beforehand; NULL: not */
    struct config                *warmth_owner; /* a reference */
};

/* Who waits for a connection to a server that is at its limit; of all workers. */
struct server_line {
    pthread_mutex_t  lock; /* never held across a wait */
    struct list      waiting;
    _Atomic uint32_t n;
};

/* Targets of servers that were made together lie together: policies scan them. */
struct server_block {
    _Atomic uint32_t refs;
    struct lb_target targets[];
};

struct server {
    struct lb_target    *target; /* in block */
    struct server_block *block;
    struct upstream     *upstream; /* kept */
    _Atomic uint32_t     refs; /* sets, connections, timers, fibers */
    _Atomic uint8_t      faults; /* enum server_fault */
    union address        address;
    struct slice         text; /* "10.0.0.1:80" */
    _Atomic(char *)      name; /* as it was configured, for its certificate; NULL: by address.
                                * Replaced ones are retired. */
    uint64_t             key;  /* hash of the text, the same in every process */
    _Atomic uint64_t     sticky_id; /* stands for it in cookies */
    _Atomic uint32_t     limit; /* max_connections; 0: none */
    struct server_line   line;
    _Atomic uint32_t     learned_idle_ms; /* it closes idle connections after about so long; 0: not
                                           * known */
    _Atomic uint32_t     unanswered; /* exchanges whose answer has not begun */
    _Atomic uint64_t     silent_since_us; /* ... and since when none has; 0: there are none */
    _Atomic uint32_t     guess_idle_ms, guess_hits; /* on the way there */
    _Atomic uint64_t     guessed_ms;
    _Atomic uint64_t     h1_until_us;  /* it has asked not to be spoken to in HTTP/2 until then */
    struct passive       passive;
    _Atomic uint16_t     reported_share; /* by itself; LB_SHARE_FULL */
    _Atomic uint64_t     reported_us;
    /* Control thread: */
    struct list          checks;   /* health.c's */
    struct timer         ramp;     /* slow start under way */
    uint64_t             ramp_from_us, ramp_us;
    _Atomic uint16_t     ramp_share;
    char                 why[160]; /* what the last failed check said */
    _Atomic uint64_t     since_us; /* of the last change between usable and not */
    /* So far: */
    _Atomic uint64_t     exchanges, failures, made; /* made: connections */
    struct server_pool   pools[]; /* one for each worker */
};

/* Servers of an upstream; n targets beside each other.  Each comes with one reference. */
bool servers_new(struct upstream *u, const union address *addresses, size_t n, struct server **out);
void server_hold(struct server *s);
void server_release(struct server *s);
/* Any thread.  True when that changed what the balancing sees (its standing). */
bool server_set_fault(struct server *s, enum server_fault fault, bool on);
/* Any worker: a connection could not be made, or nothing comes any more: others are preferred for a
 * while. */
void server_rest(struct server *s);
/* All rests of this worker are over: before its loop ends. */
void server_rests_end(void);
/* Control thread: it can be used again after it could not: slow start begins. */
void server_begin_ramp(struct server *s, uint64_t slow_start_us);
void server_end_ramp(struct server *s);
/* What it says of its load: the share of its weight that it wants. */
void server_report_share(struct server *s, uint16_t share);
/* A report that is at least so old does not count any more. */
void server_forget_report(struct server *s, uint64_t older_us);
/* The name that it was found by; absent: none. */
void server_set_name(struct server *s, struct slice name);
/* Words for faults: "draining", "down", ...: the gravest one; "up" for none. */
const char *server_fault_words(unsigned faults);

/* An exchange goes to it; its answer begins, or will never come; it is over. */
void server_begin(struct server *s);
void server_answered(struct server *s);
void server_end(struct server *s);
/* Work is in flight, and for far longer than it usually takes no answer has come. */
bool server_is_silent(const struct server *s);

/* ------------------------------------------------------------------ sets */

struct server_entry {
    struct server   *server;
    uint32_t         weight;
    struct lb_place  place;
    uint64_t         source; /* hash of the entry that it comes from */
    bool             stale;  /* its source has no answer at present */
    enum server_state wanted; /* by its source or by an operator */
};

/* Immutable; published in upstream.set, retired when replaced. */
struct server_set {
    struct lb_set        lb;
    struct lb_policy    *policy;
    struct server_entry *entries; /* references */
    struct map           by_text; /* address -> struct server */
    bool                 unresolved; /* some source had no answer */
    uint64_t             options; /* hash of what else went into it */
    /* How many are usable, counted again when any standing has changed: */
    _Atomic uint64_t     counted_at;
    _Atomic uint32_t     usable;
};

struct set_options {
    const struct lb_policy_ops *policy;
    struct lb_options           lb;
    size_t                      regions;
    const uint16_t             *near; /* copied */
};

/* Takes references of the servers. NULL when out of memory. */
struct server_set *server_set_new(const struct server_entry *entries, size_t n,
                                  const struct set_options *options, bool unresolved);
void server_set_free(void *set);
bool server_set_has(const struct server_set *set, const struct server *s);
/* Share of its servers that are usable, in millionths of those that are not out by somebody's
 * wish. */
uint64_t server_set_health(struct server_set *set);

/* ------------------------------------------------------------------ upstreams */

/* What each worker counts of an upstream; a line of its own. */
struct upstream_counters {
    _Atomic uint64_t exchanges;   /* begun */
    _Atomic uint64_t connections; /* made to servers */
    _Atomic uint64_t reused;      /* exchanges over a connection that was there */
    _Atomic uint64_t retries, hedges, waited;
    _Atomic uint64_t clients;     /* client connections whose first exchange came here */
} __attribute__((aligned(64)));

struct upstream {
    struct slice                 name; /* own memory */
    _Atomic uint32_t             refs; /* of configurations that use it;
                                        * with the last one it ends */
    _Atomic uint32_t             keeps; /* of its memory: its servers, fibers and messages */
    _Atomic(struct server_set *) set;
    struct guard                *guard;
    struct upstream_counters    *counters; /* one for each worker */
    /* Control thread: */
    const struct upstream_config *config; /* in force; NULL before and after */
    struct config               *owner;   /* ... lives in here: a reference */
    struct discovery            *discovery; /* discovery.c's */
    struct checks               *checks;    /* health.c's */
    struct judge                *judge;     /* judge.c's: passive health */
    struct list                  overrides; /* changes while running, discovery.c's */
    bool                         settled;   /* all sources have been asked once */
    bool                         served;    /* servers that come from now on
                                             * must prove themselves */
};

/* NULL: the policy has no options. */
static inline const struct balance_config *
upstream_balance(const struct upstream_config *c)
{
    return c->balance.object && c->balance.object->options ? c->balance.value : NULL;
}

extern unsigned upstream_workers;
/* Any thread: its memory stays, though it may have ended (config is NULL then). */
void upstream_keep(struct upstream *u);
void upstream_drop(struct upstream *u);
/* Replaces the set (control thread). */
void upstream_publish(struct upstream *u, struct server_set *set);
/* Grows with each change of any server's standing. */
extern _Atomic uint64_t server_standings;
/* Posts run(arg) to the control thread's loop; any thread.  False when out of memory. */
bool upstream_tell(void (*run)(void *arg), void *arg);

/* ------------------------------------------------------------------ connections */

struct server_conn {
    struct sock    sock;
    struct server *server;
    struct h2_link *h2;  /* many share it; NULL: HTTP/1, it belongs to one at a time */
    struct list    link; /* in the pool */
    struct timer   idle;
    uint64_t       terms;      /* upstream_terms() of whom it was made for */
    uint64_t       requests;   /* finished ones; of HTTP/2: begun */
    uint64_t       made_us;
    uint64_t       idle_since_us;
    uint64_t       taken_us;   /* by the exchange that has it */
    bool           reused;     /* has carried an exchange before */
};

/* How a connection is wanted. */
struct server_want {
    const struct upstream_config *config;
    enum upstream_http            http;
    struct slice                  preface;     /* goes ahead of everything: a
                                                * PROXY header; or absent */
    uint64_t                      connect_us;  /* how long a new one may take */
    uint64_t                      deadline_us; /* of the exchange */
    bool                          fresh;       /* not one that was used before */
};

/* Why there is none. */
enum conn_fault {
    CONN_OK,
    CONN_QUEUE_FULL,
    CONN_QUEUE_TIMEOUT,
    CONN_REFUSED_BY_GUARD,
    CONN_FAILED
};

struct conn_result {
    enum conn_fault      fault;
    enum err             err;     /* CONN_FAILED: of connecting */
    bool                 tls;     /* ... of the handshake; `why` says more */
    char                 why[120];
    struct guard_refusal refusal; /* CONN_REFUSED_BY_GUARD */
    bool                 waited;
};

/* One from the pool, one that another exchange gives back, or a new one; of HTTP/2: one on which an
 * exchange may begin now.  Waits.  NULL: *result says why. */
struct server_conn *server_conn_get(struct server *s, const struct server_want *want,
                                    struct conn_result *result);
/* Back into the pool or to who waits for one; closes it when it is not fit to be used again. */
void server_conn_give(struct server_conn *c, const struct connections_config *config);
void server_conn_close(struct server_conn *c);
/* Closes all that are idle on this worker. */
void server_pool_close(struct server *s);
/* Opens connections until the worker has as many as the configuration, which lives in `owner`,
 * wants warm. */
void server_pool_warm(struct server *s, const struct upstream_config *config,
                      struct config *owner);
/* True when the peer's kernel has acknowledged nothing of what was sent since `sent_before`: its
 * application cannot have seen a byte. */
bool server_conn_unseen(const struct server_conn *c, uint64_t sent_before);
/* The server closed a connection that had been idle: it will do so again after about as long. */
void server_learn_idle(struct server *s, uint64_t idle_us);

#endif
