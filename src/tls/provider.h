/* SPDX-License-Identifier: Apache-2.0 */
/* tls/provider.h - private: algorithms of ours, preferred to OpenSSL's. */
#ifndef TLS_PROVIDER_H
#define TLS_PROVIDER_H

#include "tls/worker.h"

/* Into the worker's library context, on the worker's thread, before anything is fetched there.
 * False when out of memory. */
bool tls_provider_install(struct tls_worker *w);

#endif
