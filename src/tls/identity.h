/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls/identity.h - private: a certificate with its chain and key.
 *
 * The identity itself is bytes (DER).  OpenSSL's objects are made of them on each worker when it
 * first needs them, in its own library context: so workers share no lock (RSA blinding, key
 * caches) and no reference count, and of 10,000 certificates only those in use cost their objects.
 */
#ifndef TLS_IDENTITY_H
#define TLS_IDENTITY_H

#include "base/arena.h"
#include "tls/tls.h"

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdatomic.h>

enum { TLS_CHAIN_MAX = 10, TLS_NAMES_MAX = 1000 };

/* Which keys stand side by side: a client takes the one that it can verify. */
enum tls_key_kind { TLS_KEY_ECDSA, TLS_KEY_RSA, TLS_KEY_KINDS };

/* On one worker.  Read and written by that worker only, freed when nobody uses the identity. */
struct tls_identity_copy {
    struct tls_identity_copy *next;
    unsigned                  worker;
    X509                     *leaf;
    STACK_OF(X509)           * chain; /* without the leaf */
    EVP_PKEY                 *key;
};

struct tls_identity {
    _Atomic uint32_t  refs;
    struct arena      arena;
    enum tls_key_kind kind;
    int64_t           expires_s;
    struct slice      certificates[TLS_CHAIN_MAX]; /* DER, the leaf first */
    size_t            n_certificates;
    struct slice      key;   /* DER; wiped when it is freed */
    EVP_PKEY         *token; /* instead: a key that stays where it is, for all workers; or NULL */
    struct slice      ocsp;  /* DER, may be empty */
    int64_t           ocsp_until_s;
    _Atomic(struct tls_staple *) staple; /* ocsp.c: a response that was fetched; NULL: none */
    struct slice     *names;
    size_t            n_names;
    _Atomic(struct tls_identity_copy *) copies;
};

struct tls_worker;

/* The worker's own objects, made when they are missing; NULL when out of memory. */
const struct tls_identity_copy *tls_identity_copy(struct tls_identity *id, struct tls_worker *w);

#endif
