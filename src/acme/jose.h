/* SPDX-License-Identifier: Apache-2.0 */
/*
 * acme/jose.h - keys, and signed requests: JWK, JWS, thumbprints (RFC 7515, 7517, 7638).  Private
 * to the room.
 *
 * One kind of key: ECDSA on P-256 (ES256), which every certificate authority takes.
 */
#ifndef ACME_JOSE_H
#define ACME_JOSE_H

#include "base/text.h"

#include <openssl/evp.h>

enum { ACME_SHA256_BYTES = 32, ACME_SHA256_LETTERS = 43 };

/* NULL when out of memory. */
EVP_PKEY *acme_key_new(void);
/* PEM without passphrase.  False when out of memory. */
bool acme_key_write(EVP_PKEY *key, struct text *out);
/* NULL: not a private key on P-256. */
EVP_PKEY *acme_key_read(struct slice pem);

bool acme_sha256(struct slice bytes, unsigned char out[ACME_SHA256_BYTES]);
/* In base64url, ACME_SHA256_LETTERS bytes. */
bool acme_sha256_letters(struct slice bytes, char *out);
/* base64url of bytes at the end of out. */
void acme_put_letters(struct text *out, struct slice bytes);

/* The public key as a JSON object, its members in the order of RFC 7638. */
bool acme_jwk_write(EVP_PKEY *key, struct text *out);
/* Of the public key; ACME_SHA256_LETTERS bytes. */
bool acme_thumbprint(EVP_PKEY *key, char *out);

/* A flattened JWS.  header: the protected header as JSON; payload absent: empty (POST-as-GET). */
bool acme_jws_write(EVP_PKEY *key, struct slice header, struct slice payload, struct text *out);
/* The same with HS256 and a shared secret, for external account binding (RFC 8555 7.3.4). */
bool acme_jws_write_mac(struct slice secret, struct slice header, struct slice payload,
                        struct text *out);

#endif
