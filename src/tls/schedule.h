/* SPDX-License-Identifier: Apache-2.0 */
/* tls/schedule.h - private: the key schedule of TLS 1.3, for OpenSSL to fetch. */
#ifndef TLS_SCHEDULE_H
#define TLS_SCHEDULE_H

#include <openssl/core_dispatch.h>

/* The KDF "TLS13-KDF"; its provider's context is the worker. */
extern const OSSL_DISPATCH tls_schedule_functions[];

#endif
