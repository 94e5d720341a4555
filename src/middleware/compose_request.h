/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/compose_request.h - requests of our own for the parts of an answer.  Private to
 * compose and esi.
 *
 *     struct compose_tree *t = compose_tree_join(x->serial);
 *     t->parts++ ... exchange_child(x, keeper), compose_aim(c, x, "/part", credentials) ...
 *     compose_tree_leave(t);
 */
#ifndef MIDDLEWARE_COMPOSE_REQUEST_H
#define MIDDLEWARE_COMPOSE_REQUEST_H

#include "exchange/exchange.h"

/* Which parts are asked for with the client's Cookie and Authorization. */
enum compose_credentials { COMPOSE_SAME_HOST, COMPOSE_NEVER, COMPOSE_ALWAYS };

/* The names of those, for options. */
extern const char *const compose_credentials_names[];
#define COMPOSE_CREDENTIALS_DOC                                                                   \
    "Which parts are asked for with the client's Cookie and Authorization: those of the same "    \
    "host, none, or all."

/* Aims a child of x at a reference: without encoding, and with no more credentials than it may
 * have.  False: malformed, or out of memory. */
bool compose_aim(struct exchange *child, const struct exchange *x, struct slice reference,
                 enum compose_credentials credentials);

/*
 * What all work for one request of a client's has in common.  Parts may be made of parts; a few
 * that include each other many times would grow without end within the limits of each, so the
 * limits count them all.  They find each other by the serial of the client's exchange, which its
 * children share; they are all on one worker.
 */
struct compose_tree {
    uint64_t serial;
    unsigned users;
    uint64_t parts, bytes;
};

/* NULL: out of memory. */
struct compose_tree *compose_tree_join(uint64_t serial);
void compose_tree_leave(struct compose_tree *t);

#endif
