/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runtime/dns.h - what name servers know, asked with c-ares on the loop of the calling fiber.
 *
 *     dns.c           the questions
 *     dns_message.c   answers that c-ares does not read for us
 *
 * TTLs are passed on as they came; to bound them is up to who asks.  Nothing is remembered here.
 */
#ifndef RUNTIME_DNS_H
#define RUNTIME_DNS_H

#include "base/address.h"
#include "base/err.h"
#include "base/slice.h"

enum { DNS_ADDRESSES_MAX = 64, DNS_SRV_MAX = 64, DNS_NAME_MAX = 255 };

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

/* One SRV record (RFC 2782): a server that offers the service. */
struct dns_srv_target {
    uint16_t priority; /* the lowest is used first */
    uint16_t weight;   /* among those of one priority */
    uint16_t port;
    char     name[DNS_NAME_MAX + 1];
};

struct dns_srv_answer {
    size_t                n;
    struct dns_srv_target targets[DNS_SRV_MAX]; /* sorted by priority, name and port, so that equal
                                                 * answers compare equal; of more, the first */
    uint32_t              ttl_s;                /* smallest of all */
};

/*
 * The servers of a service, such as "_http._tcp.app.internal".  Waits.  OK with n 0: the service is
 * decidedly not available there (its only target is "."); ERR_NOT_FOUND: there is no such name or
 * it has no SRV records; ERR_MALFORMED; else as dns_resolve().
 */
enum err dns_srv(struct slice name, struct dns_srv_answer *answer);
/* The same out of a whole DNS message.  Waits for nothing. */
enum err dns_srv_read(struct slice message, struct dns_srv_answer *answer);

/* Before the loop of this thread ends. */
void dns_exit(void);

#endif
