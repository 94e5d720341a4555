/* SPDX-License-Identifier: Apache-2.0 */
/* tls/hmac.h - private: HMAC (RFC 2104) with digests that are at hand. */
#ifndef TLS_HMAC_H
#define TLS_HMAC_H

#include "tls/worker.h"

#include <openssl/core_dispatch.h>

/* Of two parts, one after the other.  False when OpenSSL fails, or the key is longer than a block
 * of the digest. */
bool tls_hmac(struct tls_digest *d, struct slice key, struct slice a, struct slice b,
              unsigned char *out);
size_t tls_hmac_bytes(const struct tls_digest *d);
/* By a name of OpenSSL's; NULL: the worker has no such digest. */
struct tls_digest *tls_hmac_digest(struct tls_worker *w, const char *name);

/* The same for OpenSSL to fetch, as the MAC "HMAC"; its provider's context is the worker. */
extern const OSSL_DISPATCH tls_hmac_functions[];

#endif
