/* SPDX-License-Identifier: Apache-2.0 */
/* tls/schedule.h - private: the key schedule of TLS 1.3, for OpenSSL to fetch, and for record.c. */
#ifndef TLS_SCHEDULE_H
#define TLS_SCHEDULE_H

#include "tls/worker.h"

#include <openssl/core_dispatch.h>

/* The KDF "TLS13-KDF"; its provider's context is the worker. */
extern const OSSL_DISPATCH tls_schedule_functions[];

/* HKDF-Expand-Label of RFC 8446 7.1 without a context, for at most as many bytes as the digest has.
 * False when OpenSSL fails. */
bool tls_schedule_expand(struct tls_digest *d, struct slice secret, struct slice label,
                         unsigned char *out, size_t n);

#endif
