/* SPDX-License-Identifier: Apache-2.0 */
/*
 * acme/order.h - one certificate from one authority (RFC 8555 7.4), and its word on when to renew
 * one (RFC 9773).  Private to the room.
 */
#ifndef ACME_ORDER_H
#define ACME_ORDER_H

#include "acme/acme.h"
#include "acme/client.h"

struct acme_order {
    const struct acme_config *config;
    struct slice              directory; /* URL */
    struct slice              name;      /* may begin with a star */
    struct slice              replaces;  /* renewal id of the certificate before; may be empty */
};

/* On a fiber; waits, minutes maybe.  PEM of key and chain at the end of out.  False with the
 * trouble. */
bool acme_order_run(const struct acme_order *o, struct text *out, struct acme_trouble *trouble);

/* When an authority wants a certificate to be renewed. */
struct acme_window {
    bool     known;   /* it says so; else there is no such service, or no answer */
    int64_t  from_s, to_s;
    uint64_t again_s; /* when to ask again; 0: it does not say */
};

/* On a fiber; waits. */
void acme_window_ask(const struct acme_config *config, struct slice directory,
                     struct slice renewal_id, struct acme_window *w);

#endif
