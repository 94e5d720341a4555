/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls/pem.c - from the texts of certificates and keys to an identity, with all checks.
 *
 * What people have is one file or two, with a leaf, intermediates, a key, often a root, in whatever
 * order the tool at hand wrote them.  The key says which certificate is the leaf; issuers' names
 * and signatures put the others behind it.  What is wrong is said in a sentence that names it.
 */
#include "base/clock.h"
#include "tls/identity.h"
#include "tls/key.h"
#include "tls/ocsp.h"
#include "tls/profile.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

enum { BLOCKS_MAX = 4 * TLS_CHAIN_MAX, SOON_S = 14 * 86400, KEY_MAX = 64 * 1024 };

/* What was found in the files. */
struct pem_found {
    X509 *certificates[BLOCKS_MAX];
    size_t n;
    EVP_PKEY *key;
    struct text key_der; /* empty: it stays where it is */
    struct text *why;
};

static __thread struct tls_key_reader keys;

/* ------------------------------------------------------------------ blocks */

static bool
add_certificate(struct pem_found *f, const unsigned char *der, long n)
{
    X509 *x = f->n < BLOCKS_MAX ? d2i_X509(NULL, &der, n) : NULL;

    if (!x) {
        text_printf(f->why,
                    f->n < BLOCKS_MAX ? "certificate %zu cannot be read"
                                      : "there are more than %zu certificates",
                    f->n < BLOCKS_MAX ? f->n + 1 : (size_t) BLOCKS_MAX);
        return false;
    }
    f->certificates[f->n++] = x;
    return true;
}

static bool
add_key(struct pem_found *f, const char *name, const char *header, const unsigned char *der, long n)
{
    EVP_PKEY *key;

    if (strcmp(name, PEM_STRING_PKCS8) == 0 || strstr(header, "ENCRYPTED")) {
        text_literal(f->why, "the private key is protected by a passphrase; "
                             "`openssl pkey -in KEY -out NEW` writes it without");
        return false;
    }
    key = tls_key_read(&keys, NULL, slice_of((const char *) der, (size_t) n));
    if (!key) {
        text_literal(f->why, "the private key cannot be read");
        return false;
    }
    if (f->key && EVP_PKEY_eq(f->key, key) != 1) {
        EVP_PKEY_free(key);
        text_literal(f->why, "there are two private keys");
        return false;
    }
    EVP_PKEY_free(f->key);
    f->key = key;
    f->key_der.n = 0;
    text_put(&f->key_der, slice_of((const char *) der, (size_t) n));
    return true;
}

static bool
add_block(struct pem_found *f, const char *name, const char *header, const unsigned char *der,
          long n)
{
    size_t length = strlen(name), suffix = sizeof("PRIVATE KEY") - 1;

    if (strcmp(name, PEM_STRING_X509) == 0 || strcmp(name, PEM_STRING_X509_OLD) == 0)
        return add_certificate(f, der, n);
    if (length >= suffix && strcmp(name + length - suffix, "PRIVATE KEY") == 0)
        return add_key(f, name, header, der, n);
    return true; /* parameters and the like */
}

/* All blocks of one file. */
static bool
read_blocks(struct pem_found *f, struct slice file)
{
    BIO *bio;
    char *name, *header;
    unsigned char *der;
    bool good;
    long n;

    if (file.n == 0)
        return true;
    bio = BIO_new_mem_buf(file.at, (int) file.n);
    good = bio != NULL;
    if (!good)
        text_literal(f->why, "out of memory");
    for (int i = 0; good && i < BLOCKS_MAX + 8 && PEM_read_bio(bio, &name, &header, &der, &n);
         i++) {
        good = add_block(f, name, header, der, n);
        OPENSSL_free(name);
        OPENSSL_free(header);
        OPENSSL_clear_free(der, (size_t) n);
    }
    if (good && ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE &&
        ERR_peek_last_error() != 0) {
        text_literal(f->why, "a PEM block is broken: it has no end or is not base64");
        good = false;
    }
    ERR_clear_error();
    BIO_free(bio);
    return good;
}

/* ------------------------------------------------------------------ order */

static const char *
subject_of(const X509 *x, char *out, size_t room)
{
    X509_NAME_oneline(X509_get_subject_name(x), out, (int) room);
    return out[0] == '/' ? out + 1 : out;
}

/* Takes the i-th out. */
static X509 *
take_at(struct pem_found *f, size_t i)
{
    X509 *x = f->certificates[i];

    f->certificates[i] = f->certificates[--f->n];
    return x;
}

static X509 *
take_leaf(struct pem_found *f)
{
    char subject[200];

    for (size_t i = 0; i < f->n; i++)
        if (X509_check_private_key(f->certificates[i], f->key) == 1)
            return take_at(f, i);
    ERR_clear_error();
    if (f->n == 1)
        text_printf(f->why, "the private key does not belong to the certificate `%s`",
                    subject_of(f->certificates[0], subject, sizeof(subject)));
    else
        text_printf(f->why, "the private key belongs to none of the %zu certificates", f->n);
    return NULL;
}

static bool
is_issuer(X509 *issuer, X509 *subject)
{
    bool good = X509_check_issued(issuer, subject) == X509_V_OK &&
                X509_verify(subject, X509_get0_pubkey(issuer)) == 1;

    ERR_clear_error();
    return good;
}

static bool
is_self_signed(X509 *x)
{
    return X509_NAME_cmp(X509_get_subject_name(x), X509_get_issuer_name(x)) == 0;
}

static X509 *
take_issuer(struct pem_found *f, X509 *of)
{
    for (size_t i = 0; i < f->n; i++)
        if (is_issuer(f->certificates[i], of))
            return take_at(f, i);
    return NULL;
}

/* The leaf and its issuers into chain, without a root: who does not know that already does not
 * trust it either. */
static bool
order_chain(struct pem_found *f, X509 **chain, size_t *n)
{
    char stray[200], of[200];

    while (*n < TLS_CHAIN_MAX && (*n == 1 || !is_self_signed(chain[*n - 1]))) {
        X509 *issuer = is_self_signed(chain[*n - 1]) ? NULL : take_issuer(f, chain[*n - 1]);

        if (!issuer)
            break;
        chain[(*n)++] = issuer;
    }
    for (size_t i = 0; i < f->n; i++)
        if (X509_cmp(f->certificates[i], chain[0]) != 0) {
            text_printf(f->why,
                        "the chain is broken: `%s` did not issue `%s`, nor what stands before it",
                        subject_of(f->certificates[i], stray, sizeof(stray)),
                        subject_of(chain[*n - 1], of, sizeof(of)));
            return false;
        }
    if (*n > 1 && is_self_signed(chain[*n - 1]))
        X509_free(chain[--*n]);
    return true;
}

/* ------------------------------------------------------------------ dates */

static void
put_date(struct text *t, const ASN1_TIME *at)
{
    struct tm tm;

    if (ASN1_TIME_to_tm(at, &tm))
        text_printf(t, "%04d-%02d-%02d %02d:%02d UTC", tm.tm_year + 1900, tm.tm_mon + 1,
                    tm.tm_mday, tm.tm_hour, tm.tm_min);
}

static int64_t
seconds_of(const ASN1_TIME *at)
{
    struct tm tm;

    return ASN1_TIME_to_tm(at, &tm) ? (int64_t) timegm(&tm) : 0;
}

static bool
check_dates(const X509 *x, int64_t now_s, struct text *why, struct text *warning)
{
    const ASN1_TIME *begins = X509_get0_notBefore(x), *ends = X509_get0_notAfter(x);
    char subject[200];

    subject_of(x, subject, sizeof(subject));
    if (seconds_of(ends) <= now_s) {
        text_printf(why, "the certificate `%s` expired on ", subject + (subject[0] == '/'));
        put_date(why, ends);
        return false;
    }
    if (seconds_of(begins) > now_s) {
        text_printf(why, "the certificate `%s` is not valid before ",
                    subject + (subject[0] == '/'));
        put_date(why, begins);
        return false;
    }
    if (seconds_of(ends) <= now_s + SOON_S) {
        text_printf(warning, "the certificate `%s` expires on ", subject + (subject[0] == '/'));
        put_date(warning, ends);
    }
    return true;
}

/* ------------------------------------------------------------------ names */

static void
add_name(struct tls_identity *id, const ASN1_STRING *name)
{
    struct slice s = {(const char *) ASN1_STRING_get0_data(name),
                      (size_t) ASN1_STRING_length(name)};
    struct slice copy;

    if (s.n == 0 || s.n > 255 || slice_find(s, '\0') != SLICE_NOT_FOUND ||
        id->n_names == TLS_NAMES_MAX)
        return;
    copy = arena_copy(&id->arena, s);
    if (!copy.at)
        return;
    for (size_t i = 0; i < copy.n; i++)
        ((char *) copy.at)[i] = ascii_lower(copy.at[i]);
    id->names[id->n_names++] = copy;
}

/* DNS names of the certificate; the common name only where there are none (RFC 6125 6.4.4). */
static bool
read_names(struct tls_identity *id, X509 *leaf)
{
    GENERAL_NAMES *all = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
    X509_NAME *subject = X509_get_subject_name(leaf);
    int n = sk_GENERAL_NAME_num(all);
    int common = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);

    id->names = arena_calloc(&id->arena, n > 0 ? (size_t) n : 1, sizeof(*id->names));
    if (id->names) {
        for (int i = 0; i < n; i++) {
            const GENERAL_NAME *name = sk_GENERAL_NAME_value(all, i);

            if (name->type == GEN_DNS)
                add_name(id, name->d.dNSName);
        }
        if (n <= 0 && common >= 0)
            add_name(id, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, common)));
    }
    GENERAL_NAMES_free(all);
    return id->names != NULL;
}

/* ------------------------------------------------------------------ identities */

static struct slice
der_of(struct tls_identity *id, X509 *x)
{
    unsigned char *der = NULL;
    int n = i2d_X509(x, &der);
    struct slice s = n > 0 ? arena_copy(&id->arena, slice_of((char *) der, (size_t) n))
                           : (struct slice){NULL, 0};

    OPENSSL_free(der);
    return s;
}

static bool
keep_key(struct tls_identity *id, const struct pem_found *f)
{
    if (f->key_der.n == 0) {
        id->token = f->key;
        return EVP_PKEY_up_ref(f->key);
    }
    id->key = arena_copy(&id->arena, text_slice(&f->key_der));
    return id->key.at != NULL;
}

static bool
keep_ocsp(struct tls_identity *id, struct slice ocsp)
{
    if (!id->ocsp_until_s)
        return true;
    id->ocsp = arena_copy(&id->arena, ocsp);
    return id->ocsp.at != NULL;
}

static bool
fill(struct tls_identity *id, X509 **chain, size_t n, const struct pem_found *f, struct slice ocsp)
{
    id->kind = EVP_PKEY_is_a(f->key, "RSA") || EVP_PKEY_is_a(f->key, "RSA-PSS") ? TLS_KEY_RSA
                                                                               : TLS_KEY_ECDSA;
    id->expires_s = seconds_of(X509_get0_notAfter(chain[0]));
    id->n_certificates = n;
    for (size_t i = 0; i < n; i++) {
        id->certificates[i] = der_of(id, chain[i]);
        if (!id->certificates[i].at)
            return false;
    }
    return keep_ocsp(id, ocsp) && keep_key(id, f) && read_names(id, chain[0]);
}

/* OpenSSL refuses short keys and weak hashes: better now than with the first client. */
static bool
is_strong(X509 **chain, size_t n, struct text *why)
{
    static __thread SSL *probe;
    SSL_CTX *context = probe ? NULL : SSL_CTX_new(TLS_server_method());
    const char *reason;
    bool good;

    if (context && tls_profile_apply(context, TLS_INTERMEDIATE))
        probe = SSL_new(context);
    SSL_CTX_free(context);
    good = probe && SSL_use_certificate(probe, chain[0]) == 1;
    for (size_t i = 1; i < n && good; i++)
        good = SSL_add1_chain_cert(probe, chain[i]) == 1;
    if (!good) {
        reason = ERR_reason_error_string(ERR_peek_last_error());
        text_printf(why, "OpenSSL refuses it: %s", reason ? reason : "out of memory");
    }
    if (probe)
        SSL_certs_clear(probe);
    return good;
}

static bool
check_ocsp(struct slice ocsp, X509 *leaf, int64_t *until_s, struct text *why,
           struct text *warning)
{
    struct text *said = ocsp.n ? why : NULL;
    enum tls_ocsp result = said ? tls_ocsp_check(ocsp, leaf, until_s, said) : TLS_OCSP_USELESS;

    if (result == TLS_OCSP_GOOD || result == TLS_OCSP_BROKEN)
        return result == TLS_OCSP_GOOD;
    *until_s = 0;
    if (said && warning->n == 0)
        text_put(warning, text_slice(why));
    why->n = 0;
    return true;
}

/* The leaf and its chain, in order. */
static bool
arrange(struct pem_found *f, X509 **chain, size_t *n, struct text *warning)
{
    int64_t now_s = (int64_t) (clock_wall_us() / 1000000);

    if (f->n == 0 || !f->key) {
        text_printf(f->why, f->n == 0 ? "there is no certificate" : "there is no private key");
        return false;
    }
    chain[0] = take_leaf(f);
    if (!chain[0])
        return false;
    *n = 1;
    if (!order_chain(f, chain, n))
        return false;
    for (size_t i = 0; i < *n; i++)
        if (!check_dates(chain[i], now_s, f->why, warning))
            return false;
    return is_strong(chain, *n, f->why);
}

static struct tls_identity *
identity_of(struct pem_found *f, const struct tls_material *m, X509 **chain, size_t *n,
            struct text *warning)
{
    struct tls_identity *id;
    int64_t until_s = 0;

    if (!arrange(f, chain, n, warning) ||
        !check_ocsp(m->ocsp, chain[0], &until_s, f->why, warning))
        return NULL;
    id = calloc(1, sizeof(*id));
    if (id) {
        id->refs = 1;
        id->ocsp_until_s = until_s;
        arena_init(&id->arena, NULL, 0, 4 * 1024 * 1024);
    }
    if (id && fill(id, chain, *n, f, m->ocsp))
        return id;
    text_literal(f->why, "out of memory");
    if (id)
        tls_identity_release(id);
    return NULL;
}

static bool
fetch_key(struct pem_found *f, struct slice uri)
{
    if (!slice_is_present(uri))
        return true;
    if (f->key) {
        text_literal(f->why, "there are two private keys");
        return false;
    }
    f->key = tls_key_fetch(uri, f->why);
    return f->key != NULL;
}

struct tls_identity *
tls_identity_new(const struct tls_material *m, struct text *why, struct text *warning)
{
    struct pem_found f = {.why = why};
    X509 *chain[TLS_CHAIN_MAX];
    size_t n = 0;
    struct tls_identity *id = NULL;

    ERR_clear_error();
    text_init(&f.key_der, KEY_MAX);
    if (read_blocks(&f, m->certificate) && read_blocks(&f, m->key) && fetch_key(&f, m->key_uri))
        id = identity_of(&f, m, chain, &n, warning);
    for (size_t i = 0; i < n; i++)
        X509_free(chain[i]);
    for (size_t i = 0; i < f.n; i++)
        X509_free(f.certificates[i]);
    EVP_PKEY_free(f.key);
    if (f.key_der.n)
        OPENSSL_cleanse((char *) f.key_der.at, f.key_der.n);
    text_free(&f.key_der);
    ERR_clear_error();
    return id;
}
