/* SPDX-License-Identifier: Apache-2.0 */
/* tls/key.h - private: private keys, from DER or from where they never leave. */
#ifndef TLS_KEY_H
#define TLS_KEY_H

#include "tls/tls.h"

#include <openssl/decoder.h>

/* Reads keys of any kind.  Zeroed at first; belongs to one thread. */
struct tls_key_reader {
    OSSL_DECODER_CTX *context;
    EVP_PKEY         *key;
};

/* NULL: it is no key, or out of memory. */
EVP_PKEY *tls_key_read(struct tls_key_reader *r, OSSL_LIB_CTX *library, struct slice der);
void tls_key_reader_free(struct tls_key_reader *r);

/* The key that a URI names (RFC 7512 for PKCS#11), usable for signing; NULL with a sentence. */
EVP_PKEY *tls_key_fetch(struct slice uri, struct text *why);

#endif
