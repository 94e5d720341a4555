/* SPDX-License-Identifier: Apache-2.0 */
/*
 * acme/certificate.h - what is made of X.509 here: requests for certificates, certificates of our
 * own, and what one says of itself.  Private to the room.
 */
#ifndef ACME_CERTIFICATE_H
#define ACME_CERTIFICATE_H

#include "base/text.h"
#include "tls/tls.h"

#include <openssl/evp.h>

/* DER of a request (PKCS #10) for one name, at the end of out. */
bool acme_request_write(EVP_PKEY *key, struct slice name, struct text *out);

/* A certificate that is made here. */
struct acme_recipe {
    struct slice        subject; /* common name */
    const struct slice *names;   /* host names and IP addresses */
    size_t              n_names;
    uint64_t            valid_s; /* from an hour ago on */
    struct slice        issuer;  /* PEM: an authority's certificate and key; absent: self-signed */
    bool                authority;  /* it may issue others */
    const char         *constraints; /* of an authority: for which names, as OpenSSL writes it; or
                                      * NULL */
    struct slice        alpn_proof; /* ACME_SHA256_BYTES: a proof over
                                     * TLS (RFC 8737 3); or absent */
};

/* PEM of the certificate with its new key, at the end of out. */
bool acme_certificate_make(const struct acme_recipe *r, struct text *out);
/* The same, ready to be shown.  NULL when out of memory. */
struct tls_identity *acme_identity_make(const struct acme_recipe *r);
/* One that nobody vouches for. */
struct tls_identity *acme_self_signed(struct slice name);

/* Letters that RFC 9773 calls it by, at most. */
enum { ACME_RENEWAL_ID_MAX = 120 };

/* What the first certificate of a text says of itself. */
struct acme_certificate {
    int64_t from_s, to_s; /* wall clock, since 1970 */
    char    renewal_id[ACME_RENEWAL_ID_MAX]; /* of RFC 9773 4.1; empty: it has none */
};

bool acme_certificate_read(struct slice pem, struct acme_certificate *c);

#endif
