/* SPDX-License-Identifier: Apache-2.0 */
/* tls/testing.h - certificates for unit tests, made on the spot. */
#ifndef TLS_TESTING_H
#define TLS_TESTING_H

#include "tls/tls.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>

struct testing_cert {
    X509     *x;
    EVP_PKEY *key;
};

static inline void
testing_extension(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509_EXTENSION *e;

    X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
    e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    X509_add_ext(x, e, -1);
    X509_EXTENSION_free(e);
}

/* issuer NULL: self-signed.  names: "DNS:a,DNS:b", NULL: an authority.  Valid from one day to
 * another, counted from today. */
static inline struct testing_cert
testing_issue(const struct testing_cert *issuer, const char *subject, const char *names, bool rsa,
              int from_day, int to_day)
{
    static long serial;
    struct testing_cert c = {X509_new(), rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256")};
    X509_NAME *name = X509_get_subject_name(c.x);

    X509_set_version(c.x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(c.x), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(c.x), from_day * 86400L);
    X509_gmtime_adj(X509_getm_notAfter(c.x), to_day * 86400L);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *) subject, -1, -1,
                               0);
    X509_set_issuer_name(c.x, X509_get_subject_name(issuer ? issuer->x : c.x));
    X509_set_pubkey(c.x, c.key);
    testing_extension(c.x, issuer ? issuer->x : c.x, NID_basic_constraints,
                      names ? "CA:FALSE" : "critical,CA:TRUE");
    if (names && names[0])
        testing_extension(c.x, issuer ? issuer->x : c.x, NID_subject_alt_name, names);
    X509_sign(c.x, issuer ? issuer->key : c.key, EVP_sha256());
    return c;
}

static inline void
testing_cert_free(struct testing_cert *c)
{
    X509_free(c->x);
    EVP_PKEY_free(c->key);
}

/* PEM of these, in this order; the caller frees the text. */
static inline void
testing_pem(struct text *out, const struct testing_cert *cert, const struct testing_cert *key)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *at;
    long n;

    if (cert)
        PEM_write_bio_X509(bio, cert->x);
    if (key)
        PEM_write_bio_PrivateKey(bio, key->key, NULL, NULL, 0, NULL, NULL);
    n = BIO_get_mem_data(bio, &at);
    text_put(out, slice_of(at, (size_t) n));
    BIO_free(bio);
}

/* An identity signed by the authority; NULL after a failure. */
static inline struct tls_identity *
testing_identity(const struct testing_cert *ca, const char *names, bool rsa, int to_day)
{
    struct testing_cert c = testing_issue(ca, "leaf", names, rsa, -1, to_day);
    struct tls_material m = {0};
    struct text pem, why, warning;
    struct tls_identity *id;

    text_init(&pem, 65536);
    text_init(&why, 1000);
    text_init(&warning, 1000);
    testing_pem(&pem, &c, &c);
    m.certificate = text_slice(&pem);
    id = tls_identity_new(&m, &why, &warning);
    if (!id)
        printf("# %.*s\n", (int) why.n, why.at);
    text_free(&pem);
    text_free(&why);
    text_free(&warning);
    testing_cert_free(&c);
    return id;
}

#endif
