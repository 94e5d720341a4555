/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls/worker.h - private: what a worker has of OpenSSL for itself, and the keys of tickets.
 *
 * OpenSSL 3.0 looks algorithms up by name in tables behind locks, again and again in each
 * handshake.  A library context for each worker gives each its own tables and locks.
 */
#ifndef TLS_WORKER_H
#define TLS_WORKER_H

#include "base/list.h"
#include "runtime/timer.h"
#include "tls/key.h"

#include <openssl/ssl.h>

/* ------------------------------------------------------------------ keys of tickets */

enum { TLS_TICKET_KEYS = 3, TLS_TICKET_NAME = 16 };

struct tls_ticket_key {
    unsigned char name[TLS_TICKET_NAME]; /* stands in front of the ticket */
    unsigned char cipher[32];            /* AES-256 */
    unsigned char mac[32];               /* HMAC with SHA-256 */
};

/* The first one encrypts, all decrypt. */
struct tls_ticket_ring {
    uint64_t              generation; /* 0: never filled */
    struct tls_ticket_key keys[TLS_TICKET_KEYS];
};

/* Brings a worker's copy up to date; rotates the process's keys when it is time. */
void tls_tickets_refresh(struct tls_ticket_ring *ring, uint64_t now_us);
/* How long a ticket may be used. */
uint32_t tls_tickets_lifetime_s(void);
/* Tests: new keys now, as if the time had come. */
void tls_tickets_rotate(void);

/* ------------------------------------------------------------------ workers */

/* Those of the cipher suites below. */
enum { TLS_SHA256, TLS_SHA384, TLS_DIGESTS };

struct tls_digest {
    EVP_MD     *md;
    EVP_MD_CTX *context; /* for whoever hashes without waiting */
};

/* Cipher suites of TLS 1.3. */
enum tls_suite { TLS_AES_128, TLS_AES_256, TLS_CHACHA20, TLS_SUITES };

struct tls_suite_parts {
    uint16_t    id; /* RFC 8446 B.4 */
    uint8_t     digest;
    const char *cipher; /* OpenSSL's name */
};

extern const struct tls_suite_parts tls_suites[TLS_SUITES];

/* The secrets that a handshake of TLS 1.3 ends in; each has as many bytes as the digest. */
enum { TLS_TRAFFIC_CLIENT = 1, TLS_TRAFFIC_SERVER = 2, TLS_TRAFFIC_BOTH = 3 };

struct tls_traffic {
    unsigned      seen;
    unsigned char client[48], server[48];
};

struct tls_worker {
    unsigned               number;
    OSSL_LIB_CTX          *library; /* NULL: not made yet */
    EVP_CIPHER            *ticket_cipher;
    struct tls_digest      digests[TLS_DIGESTS];
    EVP_CIPHER            *ciphers[TLS_SUITES];
    struct tls_traffic    *traffic; /* where schedule.c notes secrets; NULL: nowhere */
    struct tls_key_reader  keys;
    X509_STORE            *system_trust; /* read when first needed */
    struct tls_ticket_ring tickets;
    struct list            warm; /* connections that have buffers, see layer.c */
    size_t                 n_warm;
    struct timer           cool;
};

/* Of this thread's loop; NULL when out of memory. */
struct tls_worker *tls_worker_self(void);
/* Whom the system trusts; NULL when that cannot be read. */
X509_STORE *tls_worker_system_trust(struct tls_worker *w);
/* SHA-256; a tls_digest_f whose arg is the worker. */
void tls_worker_digest(void *worker, struct slice s, unsigned char out[32]);

#endif
