/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exchange/flight.h - the exchanges that are under way on a worker.
 *
 * Each worker has a list, in the order of their beginning; the edge enters and leaves.  What an
 * exchange is doing is read off it when somebody asks: those that nobody asks about pay for two
 * links.  Others ask by message; what they get is a copy.
 *
 * Threads  flight_enter, flight_leave, flight_visit: the worker's own.  The rest waits, on a fiber
 *          of the control thread.
 */
#ifndef EXCHANGE_FLIGHT_H
#define EXCHANGE_FLIGHT_H

#include "exchange/exchange.h"

/* The fiber that the exchange runs on calls both. */
void flight_enter(struct exchange *x);
/* Nothing happens to one that has not entered. */
void flight_leave(struct exchange *x);
/* This worker's, the oldest first, until visit says false. */
void flight_visit(bool (*visit)(void *arg, struct exchange *x), void *arg);
/* "middleware cache", "waiting for the server", "sending", ... */
void flight_state(const struct exchange *x, struct text *out);

/* What is told of one; texts are UTF-8, cut, and end in a zero byte. */
struct flight {
    uint64_t id;       /* unique in the process, below 2^53 */
    char     request_id[40], trace_id[33], method[16], host[64], target[200], client[48], route[64],
        server[64];
    char     state[48];
    unsigned status;   /* 0: no answer yet */
    unsigned version;
    uint64_t age_us, request_bytes, response_bytes;
};

/* Up to `most` of all workers, the oldest first; malloc'd, *n of them.  NULL: none, or no
 * memory. */
struct flight *flights(size_t most, size_t *n);
/* By its number, or by request id when that is present.  False: it is not there (any more). */
bool flight_find(uint64_t id, struct slice request_id, struct flight *out);
/* Ends it: the client's connection is reset, or its stream.  The log says `cancelled`. */
bool flight_cancel(uint64_t id, struct slice request_id);

#endif
