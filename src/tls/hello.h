/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls/hello.h - private: the client hello as it stands on the wire (RFC 8446 4.1.2, RFC 5246
 * 7.4.1.2).
 *
 * It is read before OpenSSL gets it: the name decides which certificate a connection begins with,
 * and the fingerprint wants the extensions in the order in which they came.
 */
#ifndef TLS_HELLO_H
#define TLS_HELLO_H

#include "base/slice.h"

enum tls_hello_result {
    TLS_HELLO_DONE,
    TLS_HELLO_MORE, /* as far as it goes it is one; more bytes are needed */
    TLS_HELLO_BAD,  /* a record of TLS, but not of a client hello that could be read */
    TLS_HELLO_HTTP, /* a method in clear */
    TLS_HELLO_NONE, /* something else */
};

/* Slices point into what was parsed. */
struct tls_hello {
    uint16_t     version;    /* legacy_version */
    struct slice ciphers;    /* pairs of bytes */
    struct slice extensions; /* as they came: type, length, content each */
    struct slice sni;        /* host name as it came; absent when there is none */
    struct slice alpn;       /* names, each after its length */
    struct slice versions;   /* supported_versions: pairs of bytes */
    struct slice signatures; /* signature_algorithms: pairs of bytes */
};

/* scratch: room for a hello that is spread over several records; at least as large as `wire`. */
enum tls_hello_result tls_hello_parse(struct slice wire, char *scratch, struct tls_hello *h);

/* One extension after the other off *rest; false at the end. */
bool tls_hello_extension(struct slice *rest, unsigned *type, struct slice *content);

/* The JA4 fingerprint (FoxIO, "JA4: TLS Client Fingerprinting"), TLS_JA4_LENGTH bytes into out.
 * digest: SHA-256 of a slice. */
typedef void tls_digest_f(void *arg, struct slice s, unsigned char out[32]);
void tls_hello_ja4(const struct tls_hello *h, tls_digest_f *digest, void *arg, char *out);

#endif
