/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runtime/dns.h - names become addresses, with c-ares on the loop of the calling fiber.
 */
#ifndef RUNTIME_DNS_H
#define RUNTIME_DNS_H

#include "base/address.h"
#include "base/err.h"
#include "base/slice.h"

enum { DNS_ADDRESSES_MAX = 64 };

struct dns_answer {
    size_t        n;
    union address addresses[DNS_ADDRESSES_MAX]; /* sorted, IPv4 first, so that
                                                 * equal answers compare equal */
    uint32_t      ttl_s;                        /* smallest of all; 0 for /etc/hosts */
};

/*
 * Addresses (A and AAAA, and /etc/hosts) of a name, with the port filled in.  Waits.
 * ERR_NOT_FOUND: there is no such name or it has no address; ERR_TIMEOUT: no name server answered;
 * ERR_CANCELLED.
 */
enum err dns_resolve(struct slice name, uint16_t port, struct dns_answer *answer);
/* Before the loop of this thread ends. */
void dns_exit(void);

#endif
