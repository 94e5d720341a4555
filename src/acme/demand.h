/* SPDX-License-Identifier: Apache-2.0 */
/*
 * acme/demand.h - from a worker's handshake, which lacks a certificate that may be had on demand,
 * to the control thread.  Private to the room.
 */
#ifndef ACME_DEMAND_H
#define ACME_DEMAND_H

#include "config/config.h"
#include "config/option.h"
#include "tls/tls.h"

/* Clients of a server may have names that match the patterns (of struct slice). */
struct acme_allowance {
    const struct tls_server  *server; /* only compared */
    const struct option_list *patterns;
};

/* On the control thread: a client wants the name.  It may be wanted again and again. */
typedef void acme_wish_f(const struct tls_server *server, struct slice name);

/* Control thread: from now on these; n 0: nobody may have anything.  owner: of the patterns, of
 * which a reference is taken.  False when out of memory: then nobody. */
bool acme_demand_allow(const struct acme_allowance *list, size_t n, struct config *owner,
                       acme_wish_f *grant);

#endif
