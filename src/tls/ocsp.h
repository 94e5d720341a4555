/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls/ocsp.h - OCSP (RFC 6960): the issuer's word, shown in the handshake, that a certificate is
 * not revoked.
 *
 * A response comes from a file, as a part of the identity, or is fetched while the identity is in
 * use: then it hangs on the identity and takes the place of the one before.  Who fetches, and when,
 * is decided elsewhere (acme/stapling.h); here is what to ask, whom, and whether to believe the
 * answer.
 */
#ifndef TLS_OCSP_H
#define TLS_OCSP_H

#include "base/arena.h"
#include "tls/tls.h"

#include <openssl/x509.h>

enum { TLS_OCSP_MAX = 64 * 1024 }; /* of a response */

/* USELESS: it is what it should be, but of another time; DENIED: it does not say `good`; BROKEN: it
 * is not for this certificate, or is no response. */
enum tls_ocsp { TLS_OCSP_GOOD, TLS_OCSP_USELESS, TLS_OCSP_DENIED, TLS_OCSP_BROKEN };

/* ------------------------------------------------------------------ from files */

/* Is the response (DER) one for the certificate?  GOOD: to be stapled until *until_s (wall clock);
 * else with a sentence.  Whose signature it has is for clients to see. */
enum tls_ocsp tls_ocsp_check(struct slice der, X509 *certificate, int64_t *until_s,
                             struct text *why);

/* ------------------------------------------------------------------ fetched */

/* What a certificate says about its status. */
struct tls_ocsp_question {
    struct slice url;     /* whom to ask; absent: it names nobody, or its issuer is not in the
                           * chain */
    struct slice request; /* what to ask (DER); absent without url */
};

/* How long a response is good (wall clock). */
struct tls_ocsp_life {
    int64_t from_s, until_s;
};

/* Clients may insist on a response (RFC 7633). */
bool tls_ocsp_must_staple(const struct tls_identity *id);
/* Whether it may have anything to say: costs a look at its bytes, 10,000 of them 10 ms. */
bool tls_ocsp_concerns(const struct tls_identity *id);
/* False when out of memory. */
bool tls_ocsp_question(const struct tls_identity *id, struct arena *arena,
                       struct tls_ocsp_question *q);
/* As tls_ocsp_check(), and the response must be signed by the issuer, or by whom the issuer has
 * delegated that to (RFC 6960 4.2.2.2), and be good now. */
enum tls_ocsp tls_ocsp_verify(const struct tls_identity *id, struct slice der,
                              struct tls_ocsp_life *life, struct text *why);

/* The certificate (DER), which tells it from all others. */
struct slice tls_ocsp_certificate(const struct tls_identity *id);
/* "example.test-ecdsa": its first name and kind of key, for a file; false: it has none. */
bool tls_ocsp_file_name(const struct tls_identity *id, char *out, size_t room);
/* It has one from a file. */
bool tls_ocsp_is_given(const struct tls_identity *id);

/* Control thread: shown from now on, in place of others, until that time; an empty one: none is.
 * False when out of memory: then nothing has changed. */
bool tls_ocsp_staple(struct tls_identity *id, struct slice der, int64_t until_s);
/* What to staple now; empty: nothing.  Any thread, until it waits. */
struct slice tls_ocsp_current(const struct tls_identity *id);
/* For the end of an identity, which nobody looks at any more. */
void tls_ocsp_forget(struct tls_identity *id);

/* Control thread: the stores that a server shows from, for who looks after what is in them:
 * 0: what it was configured with, 1: what is kept for it, or NULL. */
struct tls_store *tls_ocsp_store(const struct tls_server *s, unsigned which);
/* The i-th identity of a store, NULL past the last. */
struct tls_identity *tls_ocsp_identity(const struct tls_store *s, size_t i);

#endif
