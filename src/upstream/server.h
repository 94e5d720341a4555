/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/server.h - one address of an upstream, its pooled connections, and sets of servers.
 * Private to the room.
 */
#ifndef UPSTREAM_SERVER_H
#define UPSTREAM_SERVER_H

#include "balance/policy.h"
#include "runtime/quiesce.h"
#include "runtime/sock.h"
#include "upstream/upstream.h"

/* A worker's idle connections to one server, the last used first. */
struct server_pool {
    struct list idle;
    size_t      count;
};

struct server {
    struct lb_target   target;
    _Atomic uint32_t   refs; /* sets, connections, resting timers */
    union address      address;
    struct slice       text; /* "10.0.0.1:80" */
    struct server_pool pools[]; /* one for each worker */
};

/* Immutable; published in upstream.set, retired when replaced. */
struct server_set {
    struct lb_set      lb;
    struct lb_policy  *policy;
    struct server    **servers;
    bool               unresolved; /* some name has no address at present */
};

struct upstream {
    struct slice                 name; /* own memory */
    _Atomic uint32_t             refs;
    _Atomic(struct server_set *) set;
    /* Control thread: */
    struct resolution           *resolution; /* under way; NULL without names */
    bool                         settled;    /* names have been looked up once */
};

struct server *server_new(const union address *address);
void server_hold(struct server *s);
void server_release(struct server *s);
/* A connection could not be made: others are preferred for a while. */
void server_rest(struct server *s);
/* All rests of this worker are over: before its loop ends. */
void server_rests_end(void);

/* ------------------------------------------------------------------ connections */

struct server_conn {
    struct sock    sock;
    struct server *server;
    struct list    link; /* in the pool */
    struct timer   idle;
    uint64_t       sent_bytes; /* in its whole life */
    uint64_t       requests;   /* finished ones */
};

/* A pooled connection that is still good, NULL when there is none. */
struct server_conn *server_conn_take(struct server *s);
/* Back into the pool; closes it when the pool is full or it is not fit to be used again. */
void server_conn_give(struct server_conn *c, size_t max_idle, uint64_t idle_us);
/* Waits. */
enum err server_conn_open(struct server *s, uint64_t deadline_us, struct server_conn **conn);
void server_conn_close(struct server_conn *c);
/* Closes all that are idle on this worker. */
void server_pool_close(struct server *s);
/* True when the peer's kernel has acknowledged nothing of what was sent since `sent_before`: its
 * application cannot have seen a byte. */
bool server_conn_unseen(const struct server_conn *c, uint64_t sent_before);

/* ------------------------------------------------------------------ sets (control thread) */

struct server_entry {
    struct server *server;
    uint32_t       weight;
};

/* Takes references of the servers. NULL when out of memory. */
struct server_set *server_set_new(const struct server_entry *entries, size_t n,
                                  const struct lb_policy_ops *policy, bool unresolved);
void server_set_free(void *set);

#endif
