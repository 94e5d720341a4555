/* SPDX-License-Identifier: Apache-2.0 */
/* exchange/trace_ring.h - what trace.c and trace_ring.c know of each other.  Private to the two. */
#ifndef EXCHANGE_TRACE_RING_H
#define EXCHANGE_TRACE_RING_H

#include "exchange/trace.h"

/* With one reference; NULL: no memory. */
struct trace *trace_new(void);
/* As it is now, of one in flight; NULL: no memory. */
struct trace *trace_copy(const struct exchange *x);
/* Fills in what is said of the exchange as a whole. */
void trace_describe(struct trace *t, const struct exchange *x);
/* Takes the reference of a finished one. */
void trace_keep(struct trace *t);

#endif
