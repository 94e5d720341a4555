/* SPDX-License-Identifier: Apache-2.0 */
/* tls/profile.h - private: which versions and algorithms a context offers, for both sides. */
#ifndef TLS_PROFILE_H
#define TLS_PROFILE_H

#include "tls/tls.h"

#include <openssl/ssl.h>

/* False when OpenSSL refuses, which is to say: out of memory. */
bool tls_profile_apply(SSL_CTX *c, enum tls_profile profile);
/* Certificates of a PEM text into a store, and their subjects into `names` (may be NULL).  How many
 * there were; -1 with a sentence. */
int tls_profile_trust(X509_STORE *store, STACK_OF(X509_NAME) * names, struct slice pem,
                      struct text *why);

#endif
