/* SPDX-License-Identifier: Apache-2.0 */
/*
 * acme/dns_send.h - messages to a name server and back.  Private to the room.
 *
 * Over UDP, sent again when no answer comes; over TCP where the message or its answer is too long
 * for that (RFC 1035 4.2).
 */
#ifndef ACME_DNS_SEND_H
#define ACME_DNS_SEND_H

#include "base/address.h"
#include "base/err.h"
#include "base/text.h"

/* "host" or "host:port".  Waits. */
enum err acme_dns_find(struct slice server, union address *to);
/* The answer to `message`, by its number, into the empty text.  Waits until the deadline at
 * most. */
enum err acme_dns_ask(const union address *to, struct slice message, uint64_t deadline_us,
                      struct text *answer);

#endif
