/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls/profile.c - versions and algorithms, and whom to trust.
 *
 * The two profiles are Mozilla's ("Security/Server Side TLS", 5.7): modern is TLS 1.3 only,
 * intermediate adds TLS 1.2 with forward secrecy and authenticated ciphers.  Finite-field
 * Diffie-Hellman is left out: every client that speaks TLS 1.2 has elliptic curves, and it costs
 * ten times as much.
 */
#include "tls/profile.h"

#include <openssl/err.h>
#include <openssl/pem.h>

enum { TRUST_MAX = 10000 };

static const char ciphers_1_2[] =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
static const char ciphers_1_3[] =
    "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
/* X25519 is the fastest, and what clients send a key share for. */
static const char groups[] = "X25519:P-256:P-384";
/* Without SHA-1, which OpenSSL still offers for TLS 1.2. */
static const char signatures[] =
    "ecdsa_secp256r1_sha256:ecdsa_secp384r1_sha384:ecdsa_secp521r1_sha512:ed25519:"
    "rsa_pss_rsae_sha256:rsa_pss_rsae_sha384:rsa_pss_rsae_sha512:rsa_pss_pss_sha256:"
    "rsa_pss_pss_sha384:rsa_pss_pss_sha512:RSA+SHA256:RSA+SHA384:RSA+SHA512";

bool
tls_profile_apply(SSL_CTX *c, enum tls_profile profile)
{
    int lowest = profile == TLS_MODERN ? TLS1_3_VERSION : TLS1_2_VERSION;

    SSL_CTX_set_options(c, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                               SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    /* A chain is what the files say, not searched for in each handshake. */
    SSL_CTX_set_mode(c, SSL_MODE_NO_AUTO_CHAIN | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(c, 1);
    return SSL_CTX_set_min_proto_version(c, lowest) && SSL_CTX_set_cipher_list(c, ciphers_1_2) &&
           SSL_CTX_set_ciphersuites(c, ciphers_1_3) && SSL_CTX_set1_groups_list(c, groups) &&
           SSL_CTX_set1_sigalgs_list(c, signatures);
}

int
tls_profile_trust(X509_STORE *store, STACK_OF(X509_NAME) * names, struct slice pem,
                  struct text *why)
{
    BIO *bio = BIO_new_mem_buf(pem.at, (int) pem.n);
    X509 *x;
    int n = 0;

    ERR_clear_error();
    while (bio && n < TRUST_MAX && (x = PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL))) {
        X509_NAME *name = names ? X509_NAME_dup(X509_get_subject_name(x)) : NULL;
        bool added = X509_STORE_add_cert(store, x) == 1;

        if (names && (!name || sk_X509_NAME_push(names, name) == 0))
            X509_NAME_free(name);
        X509_free(x);
        if (!added)
            break;
        n++;
    }
    if (n == 0 || ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE) {
        text_printf(why, n ? "certificate %d of the authorities cannot be read"
                           : "there is no certificate of an authority",
                    n + 1);
        n = -1;
    }
    ERR_clear_error();
    BIO_free(bio);
    return n;
}
