/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exchange/recorded.h - heads of requests that came lately, to be asked again of another
 * configuration.
 *
 * Each worker keeps RECORDED_MAX of them at most, chosen so that neither rare routes nor rare paths
 * are crowded out: half of the room is divided among routes, half among paths, and each part is a
 * reservoir that begins anew every RECORDED_STRETCH_US (Vitter's algorithm R, 1985).  Values that
 * may be credentials are replaced by "***": of Authorization and the like, of cookies, and of query
 * parameters and fields whose names say token, key, secret and such.
 *
 * Threads  recorded_take: the worker's own.  recorded_each: a fiber of the control thread; waits.
 */
#ifndef EXCHANGE_RECORDED_H
#define EXCHANGE_RECORDED_H

#include "exchange/exchange.h"

enum { RECORDED_MAX = 512, RECORDED_BYTES_MAX = 2048 };
#define RECORDED_STRETCH_US (5ull * 60 * 1000000)

/* The request as it came: before its chain runs, with x->route set.  One that is not chosen costs
 * a hash and a throw of dice. */
void recorded_take(const struct exchange *x);

/* A head as text: method, scheme, authority, target, listener, client (its address), then "Name:
 * value" for each field; each line ended by a zero byte.  Fields that do not fit into
 * RECORDED_BYTES_MAX are left out. */
void recorded_each(void (*visit)(void *arg, struct slice head), void *arg);
/* The memory of this worker, when it ends. */
void recorded_exit(void);

/* An exchange that can be asked which route it would take, in another snapshot: as if it came anew.
 * False: not a head, or no memory.  recorded_forget() in either case. */
struct imagined_exchange {
    struct exchange x;
    struct client   client;
};
bool recorded_imagine(struct slice head, const struct route_set *routes,
                      const struct config *config, struct imagined_exchange *out);
void recorded_forget(struct imagined_exchange *e);

#endif
