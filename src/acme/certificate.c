/* SPDX-License-Identifier: Apache-2.0 */
/* acme/certificate.c - X.509 by OpenSSL. */
#include "acme/certificate.h"

#include "acme/jose.h"
#include "base/address.h"
#include "base/clock.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <time.h>

enum {
    BEFORE_S = 3600,
    SERIAL_BYTES = 16,
    NAMES_MAX = 1000,
    SELF_SIGNED_VALID_S = 365 * 86400,
    PEM_MAX = 256 * 1024,
    WHY_MAX = 1000,
};

/* ------------------------------------------------------------------ names */

static bool
is_ip(struct slice name)
{
    union address a;

    return address_parse_ip(name, 0, &a);
}

static bool
add_ip(GENERAL_NAME *g, struct slice name)
{
    ASN1_OCTET_STRING *bytes = ASN1_OCTET_STRING_new();
    union address a;

    if (!bytes || !address_parse_ip(name, 0, &a) ||
        !(a.any.sa_family == AF_INET
              ? ASN1_OCTET_STRING_set(bytes, (const unsigned char *) &a.v4.sin_addr, 4)
              : ASN1_OCTET_STRING_set(bytes, (const unsigned char *) &a.v6.sin6_addr, 16))) {
        ASN1_OCTET_STRING_free(bytes);
        return false;
    }
    GENERAL_NAME_set0_value(g, GEN_IPADD, bytes);
    return true;
}

static bool
add_dns(GENERAL_NAME *g, struct slice name)
{
    ASN1_IA5STRING *text = ASN1_IA5STRING_new();

    if (!text || !ASN1_STRING_set(text, name.at, (int) name.n)) {
        ASN1_IA5STRING_free(text);
        return false;
    }
    GENERAL_NAME_set0_value(g, GEN_DNS, text);
    return true;
}

/* NULL when out of memory.  Built by hand: a text that OpenSSL would parse could be made to say
 * other things by a name with a comma. */
static GENERAL_NAMES *
names_of(const struct slice *names, size_t n)
{
    GENERAL_NAMES *all = sk_GENERAL_NAME_new_null();

    for (size_t i = 0; all && i < n && i < NAMES_MAX; i++) {
        GENERAL_NAME *g = GENERAL_NAME_new();

        if (!g || !(is_ip(names[i]) ? add_ip(g, names[i]) : add_dns(g, names[i])) ||
            sk_GENERAL_NAME_push(all, g) == 0) {
            GENERAL_NAME_free(g);
            GENERAL_NAMES_free(all);
            return NULL;
        }
    }
    return all;
}

/* ------------------------------------------------------------------ requests */

static bool
fill_request(X509_REQ *q, EVP_PKEY *key, struct slice name)
{
    GENERAL_NAMES *names = names_of(&name, 1);
    STACK_OF(X509_EXTENSION) *extensions = NULL;
    bool good;

    good = names &&
           X509V3_add1_i2d(&extensions, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT) == 1 &&
           X509_REQ_add_extensions(q, extensions) == 1 && X509_REQ_set_pubkey(q, key) == 1 &&
           X509_REQ_sign(q, key, EVP_sha256()) > 0;
    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
    GENERAL_NAMES_free(names);
    return good;
}

/* The subject stays empty: authorities look at the names alone (RFC 8555 7.4). */
bool
acme_request_write(EVP_PKEY *key, struct slice name, struct text *out)
{
    X509_REQ *q = X509_REQ_new();
    unsigned char *der = NULL;
    int n = q && fill_request(q, key, name) ? i2d_X509_REQ(q, &der) : 0;

    if (n > 0)
        text_put(out, slice_of((char *) der, (size_t) n));
    OPENSSL_free(der);
    X509_REQ_free(q);
    ERR_clear_error();
    return n > 0 && !out->full;
}

/* ------------------------------------------------------------------ certificates */

static bool
add_extension(X509 *x, int nid, void *value, bool critical)
{
    return value && X509_add1_ext_i2d(x, nid, value, critical, X509V3_ADD_DEFAULT) == 1;
}

static bool
add_constraints(X509 *x, bool authority)
{
    BASIC_CONSTRAINTS *basic = BASIC_CONSTRAINTS_new();
    ASN1_BIT_STRING *usage = ASN1_BIT_STRING_new();
    bool good = basic && usage;

    if (good)
        basic->ca = authority ? 0xFF : 0;
    /* Bits of RFC 5280 4.2.1.3: digitalSignature; keyCertSign and cRLSign. */
    good = good && (authority ? ASN1_BIT_STRING_set_bit(usage, 5, 1) &&
                                    ASN1_BIT_STRING_set_bit(usage, 6, 1)
                              : ASN1_BIT_STRING_set_bit(usage, 0, 1)) &&
           add_extension(x, NID_basic_constraints, basic, true) &&
           add_extension(x, NID_key_usage, usage, true);
    ASN1_BIT_STRING_free(usage);
    BASIC_CONSTRAINTS_free(basic);
    return good;
}

static bool
add_names(X509 *x, const struct acme_recipe *r)
{
    GENERAL_NAMES *names;
    bool good;

    if (r->n_names == 0)
        return true;
    names = names_of(r->names, r->n_names);
    good = add_extension(x, NID_subject_alt_name, names, false);
    GENERAL_NAMES_free(names);
    return good;
}

/* id-pe-acmeIdentifier: an octet string, critical (RFC 8737 3). */
static bool
add_proof(X509 *x, struct slice proof)
{
    unsigned char der[2 + ACME_SHA256_BYTES] = {V_ASN1_OCTET_STRING, ACME_SHA256_BYTES};
    ASN1_OBJECT *id = OBJ_txt2obj("1.3.6.1.5.5.7.1.31", 1);
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
    X509_EXTENSION *e = NULL;
    bool good = id && value && proof.n == ACME_SHA256_BYTES;

    if (good) {
        memcpy(der + 2, proof.at, ACME_SHA256_BYTES);
        good = ASN1_OCTET_STRING_set(value, der, sizeof(der)) == 1 &&
               (e = X509_EXTENSION_create_by_OBJ(NULL, id, 1, value)) != NULL &&
               X509_add_ext(x, e, -1) == 1;
    }
    X509_EXTENSION_free(e);
    ASN1_OCTET_STRING_free(value);
    ASN1_OBJECT_free(id);
    return good;
}

static bool
set_serial(X509 *x)
{
    unsigned char bytes[SERIAL_BYTES];
    BIGNUM *number;
    bool good;

    random_bytes(bytes, sizeof(bytes));
    bytes[0] = (unsigned char) ((bytes[0] & 0x3F) | 0x40); /* positive, and not short */
    number = BN_bin2bn(bytes, sizeof(bytes), NULL);
    good = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(x)) != NULL;
    BN_free(number);
    return good;
}

static bool
set_subject(X509 *x, struct slice subject)
{
    /* 64 letters are the most that a common name may have. */
    return X509_NAME_add_entry_by_NID(X509_get_subject_name(x), NID_commonName, MBSTRING_UTF8,
                                      (const unsigned char *) subject.at,
                                      (int) (subject.n < 64 ? subject.n : 64), -1, 0) == 1;
}

static bool
add_key_ids(X509 *x, X509 *issuer)
{
    X509V3_CTX context;
    X509_EXTENSION *subject, *authority = NULL;
    bool good;

    X509V3_set_ctx(&context, issuer, x, NULL, NULL, 0);
    subject = X509V3_EXT_conf_nid(NULL, &context, NID_subject_key_identifier, "hash");
    good = subject && X509_add_ext(x, subject, -1) == 1;
    if (good && issuer != x) {
        authority = X509V3_EXT_conf_nid(NULL, &context, NID_authority_key_identifier, "keyid");
        good = authority && X509_add_ext(x, authority, -1) == 1;
    }
    X509_EXTENSION_free(authority);
    X509_EXTENSION_free(subject);
    return good;
}

/* RFC 5280 4.2.1.10 */
static bool
add_name_constraints(X509 *x, const char *constraints)
{
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, NID_name_constraints, constraints);
    bool good = e && X509_add_ext(x, e, -1) == 1;

    X509_EXTENSION_free(e);
    return good;
}

static bool
fill_certificate(X509 *x, const struct acme_recipe *r, EVP_PKEY *key, X509 *issuer)
{
    time_t now_s = (time_t) (clock_wall_us() / 1000000);

    if (!issuer)
        issuer = x;
    return X509_set_version(x, X509_VERSION_3) == 1 && set_serial(x) &&
           X509_time_adj(X509_getm_notBefore(x), -BEFORE_S, &now_s) &&
           X509_time_adj(X509_getm_notAfter(x), (long) r->valid_s, &now_s) &&
           set_subject(x, r->subject) &&
           X509_set_issuer_name(x, X509_get_subject_name(issuer)) == 1 &&
           X509_set_pubkey(x, key) == 1 && add_constraints(x, r->authority) && add_names(x, r) &&
           add_key_ids(x, issuer) && (r->alpn_proof.n == 0 || add_proof(x, r->alpn_proof)) &&
           (!r->constraints || add_name_constraints(x, r->constraints));
}

static bool
put_certificate(X509 *x, struct text *out)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *at;
    long n;
    bool good = bio && PEM_write_bio_X509(bio, x) == 1 && (n = BIO_get_mem_data(bio, &at)) > 0;

    if (good)
        text_put(out, slice_of(at, (size_t) n));
    BIO_free(bio);
    return good;
}

/* The first certificate of a text. */
static X509 *
read_certificate(struct slice pem)
{
    BIO *bio = BIO_new_mem_buf(pem.at, (int) pem.n);
    X509 *x = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;

    BIO_free(bio);
    return x;
}

bool
acme_certificate_make(const struct acme_recipe *r, struct text *out)
{
    bool own = r->issuer.n == 0;
    X509 *x = X509_new(), *issuer = own ? NULL : read_certificate(r->issuer);
    EVP_PKEY *key = acme_key_new(), *issuer_key = own ? key : acme_key_read(r->issuer);
    bool good = x && key && issuer_key && (own || issuer) &&
                fill_certificate(x, r, key, issuer) &&
                X509_sign(x, issuer_key, EVP_sha256()) > 0 && put_certificate(x, out) &&
                acme_key_write(key, out);

    if (!own)
        EVP_PKEY_free(issuer_key);
    EVP_PKEY_free(key);
    X509_free(issuer);
    X509_free(x);
    ERR_clear_error();
    return good && !out->full;
}

struct tls_identity *
acme_identity_make(const struct acme_recipe *r)
{
    struct tls_identity *id = NULL;
    struct text pem, why, warning;

    text_init(&pem, PEM_MAX);
    text_init(&why, WHY_MAX);
    text_init(&warning, WHY_MAX);
    if (acme_certificate_make(r, &pem)) {
        const struct tls_material m = {.certificate = text_slice(&pem)};

        id = tls_identity_new(&m, &why, &warning);
    }
    text_free(&warning);
    text_free(&why);
    text_free(&pem);
    return id;
}

struct tls_identity *
acme_self_signed(struct slice name)
{
    const struct acme_recipe recipe = {
        .subject = name,
        .names = &name,
        .n_names = 1,
        .valid_s = SELF_SIGNED_VALID_S,
    };

    return acme_identity_make(&recipe);
}

/* ------------------------------------------------------------------ reading */

static int64_t
seconds_of(const ASN1_TIME *at)
{
    struct tm tm;

    return ASN1_TIME_to_tm(at, &tm) ? (int64_t) timegm(&tm) : 0;
}

/* Key identifier of the issuer, a dot, the bytes of the serial number's DER. */
static void
put_renewal_id(X509 *x, struct text *out)
{
    const ASN1_OCTET_STRING *issuer = X509_get0_authority_key_id(x);
    unsigned char *der = NULL;
    int n = i2d_ASN1_INTEGER(X509_get_serialNumber(x), &der);

    /* Tag and length stand before it; a serial number has 20 bytes at most (RFC 5280 4.1.2.2). */
    if (issuer && n > 2 && der[1] < 0x80) {
        acme_put_letters(out, slice_of((const char *) ASN1_STRING_get0_data(issuer),
                                       (size_t) ASN1_STRING_length(issuer)));
        text_byte(out, '.');
        acme_put_letters(out, slice_of((char *) der + 2, (size_t) n - 2));
    }
    OPENSSL_free(der);
    if (out->full)
        out->n = 0;
}

bool
acme_certificate_read(struct slice pem, struct acme_certificate *c)
{
    X509 *x = read_certificate(pem);
    struct text id;

    *c = (struct acme_certificate){0};
    ERR_clear_error();
    if (!x)
        return false;
    c->from_s = seconds_of(X509_get0_notBefore(x));
    c->to_s = seconds_of(X509_get0_notAfter(x));
    text_fixed(&id, c->renewal_id, sizeof(c->renewal_id) - 1);
    put_renewal_id(x, &id);
    c->renewal_id[id.n] = '\0';
    X509_free(x);
    ERR_clear_error();
    return c->to_s > c->from_s;
}
