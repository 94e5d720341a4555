/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exchange/child.h - exchanges of our own, made from a client's: copies, refreshes, fragments.
 *
 * A child has its own memory and ends when its owner says so; it may outlive the exchange it came
 * from (it keeps the snapshot), and runs on whatever fiber calls exchange_child_run().
 *
 *     struct exchange *c = exchange_child(x, keeper);            the same request, without its body
 *     exchange_child_target(c, SLICE("/fragment?id=1"), ...);     or another one
 *     exchange_child_run(c);                                      through routes, like a client's
 *     ... c->response, pull its body ...
 *     exchange_child_end(c);
 */
#ifndef EXCHANGE_CHILD_H
#define EXCHANGE_CHILD_H

#include "exchange/exchange.h"

enum { EXCHANGE_DEPTH_MAX = 5 };

/*
 * The request of x at this moment, copied: no body, no upgrade, no expectations; the same client.
 * Its depth is one more.  NULL: out of memory, or deeper than EXCHANGE_DEPTH_MAX.
 */
struct exchange *exchange_child(const struct exchange *x, const struct middleware_keeper *keeper);

/* Asks for something else: GET of "/path?query", a relative reference, or "http://host/path"
 * (resolved against the request's own, RFC 3986 5.2).  Fields that concern the representation of
 * the first target (conditions, ranges, Content-*) are dropped.  false: not a target that a client
 * could send. */
bool exchange_child_target(struct exchange *c, struct slice reference);
/* A body to send; bytes live as long as the child. false: out of memory. */
bool exchange_child_body(struct exchange *c, struct slice bytes);

/* Route and chain answer, as for a client.  Waits.  Afterwards c->response is there. */
void exchange_child_run(struct exchange *c);
/* The rest of the parent's chain, behind `after` (a member of it) answers; the slots are fresh. */
void exchange_child_run_behind(struct exchange *c, const struct middleware *after);
/* A terminal (middleware_linker.terminal) answers. */
void exchange_child_run_terminal(struct exchange *c, const struct middleware *terminal);

/* Closes the bodies; the child is gone. */
void exchange_child_end(struct exchange *c);

#endif
