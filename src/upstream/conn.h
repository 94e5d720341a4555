/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/conn.h - what pool.c, line.c and conn.c have of each other.  Private to the three.
 */
#ifndef UPSTREAM_CONN_H
#define UPSTREAM_CONN_H

#include "upstream/guard.h"
#include "upstream/h2_link.h"
#include "upstream/server.h"

static inline struct server_pool *
pool_of(struct server *s)
{
    return &s->pools[loop_self()->number];
}

static inline uint64_t
conn_sooner(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* ------------------------------------------------------------------ line.c */

enum line_waiting { LINE_WAITS, LINE_PROMISED };

/* Who waits for a connection; on the stack of its fiber. */
struct line_waiter {
    struct list         link;
    struct fiber       *fiber;
    unsigned            worker;
    enum upstream_http  http; /* what it can use */
    enum line_waiting   state; /* in the server's line; under its lock */
    bool                served;
    struct server_conn *conn; /* served: the connection; NULL: the place to make one */
};

struct line_waiter line_waiter_of(const struct server_want *want);
/* The first in line of this worker that can use a connection of HTTP/2; taken out. */
struct line_waiter *line_next_here(struct server *s);
/* The first in line is of another worker. */
bool line_is_led_elsewhere(struct server *s);
/* On the waiter's own worker. */
void line_serve(struct line_waiter *w, struct server_conn *c);
/* To the first in line, if there is one.  False: nobody wanted it, it is still the caller's. */
bool line_give(struct server_conn *c);
/* Until a place or a connection is there.  True: a place was taken, or *conn is there. */
bool line_stand(struct server *s, const struct server_want *want, struct server_conn **conn,
                struct conn_result *result);
/* Counts one more connection; false: the server is at its limit. */
bool place_take(struct server *s);
/* A place became free: the first in line gets it. */
void place_free(struct server *s);
/* As many of those in line as there are places.  Any loop. */
void line_admit(struct server *s);

/* ------------------------------------------------------------------ pool.c */

/* An idle connection that is still good, NULL when there is none. */
struct server_conn *pool_take(struct server *s);
/* One of HTTP/2 that has room; NULL when there is none. */
struct server_conn *pool_join(struct server *s, const struct upstream_config *config);
void pool_leave(struct server_conn *c);
void pool_put(struct server_conn *c, const struct connections_config *config);
/* Nothing unasked may have arrived while it was idle. */
bool conn_is_quiet(struct server_conn *c);

/* ------------------------------------------------------------------ conn.c */

/* What a connection is made with and for; another one cannot stand for it. */
static inline uint64_t
conn_terms(const struct upstream_config *config)
{
    return config->tls ? config->tls->terms : 0;
}

/* With a place taken; gives it back on failure, which *result tells.  Waits. */
struct server_conn *conn_open(struct server *s, const struct server_want *want,
                              uint64_t deadline_us, struct conn_result *result);
/* It has carried enough, or is old. */
bool conn_is_worn(const struct server_conn *c, const struct connections_config *config);
/* HTTP/2: it has room for n more: those who wait get it. */
void conn_share(struct server_conn *c, uint32_t n);
/* The place stays with the caller. */
void conn_close_keeping_place(struct server_conn *c);
/* Not counted any more, on this worker; its place goes to who wants it. */
void conn_uncount(struct server *s);
/* For sock.release. */
void conn_release(struct sock *sock);

#endif
