/* SPDX-License-Identifier: Apache-2.0 */
/* tls/store.h - private: which identities are for a name. */
#ifndef TLS_STORE_H
#define TLS_STORE_H

#include "tls/identity.h"

/* Keys of different kinds for one name, NULL where there is none. */
struct tls_choice {
    struct tls_identity *of[TLS_KEY_KINDS];
};

/* By name (lower case; absent: none was sent), exact before wildcard.  NULL: no identity is for
 * it. */
const struct tls_choice *tls_store_find(const struct tls_store *s, struct slice name);
/* NULL for an empty store. */
const struct tls_choice *tls_store_default(const struct tls_store *s);
/* The i-th that was added, NULL past the last; for tests. */
struct tls_identity *tls_store_at(const struct tls_store *s, size_t i);

#endif
