/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls/ocsp.c - is an OCSP response (RFC 6960) worth stapling?
 *
 * Of a file we check what an operator gets wrong: the wrong one, or an old one; clients check its
 * signature.  What comes over the network, in clear, is believed for its signature only: else
 * anybody on the way could take our clients the good response away and give them his.
 */
#include "tls/ocsp.h"

#include "base/clock.h"
#include "runtime/quiesce.h"
#include "tls/server.h"

#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
    SKEW_S = 300,      /* clocks differ by so much */
    SHORT_LIFE_S = 3600, /* of a response that does not say until when it is good */
    STATUS_REQUEST = 5 /* the feature that must-staple asks for (RFC 7633 4.2.3.1) */
};

static int64_t
now_s(void)
{
    return (int64_t) (clock_wall_us() / 1000000);
}

static int64_t
seconds_of(const ASN1_GENERALIZEDTIME *t)
{
    struct tm tm;

    return t && ASN1_TIME_to_tm(t, &tm) ? (int64_t) timegm(&tm) : 0;
}

/* ------------------------------------------------------------------ from files */

/* The answer about that certificate; NULL: there is none. */
static OCSP_SINGLERESP *
find(OCSP_BASICRESP *basic, X509 *certificate)
{
    for (int i = 0; i < OCSP_resp_count(basic); i++) {
        OCSP_SINGLERESP *single = OCSP_resp_get0(basic, i);
        ASN1_INTEGER *serial = NULL;

        if (OCSP_id_get0_info(NULL, NULL, NULL, &serial,
                              (OCSP_CERTID *) OCSP_SINGLERESP_get0_id(single)) &&
            ASN1_INTEGER_cmp(serial, X509_get0_serialNumber(certificate)) == 0)
            return single;
    }
    return NULL;
}

/* What it says, whoever signed it; *life of it. */
static enum tls_ocsp
judge(OCSP_SINGLERESP *single, struct tls_ocsp_life *life, struct text *why)
{
    ASN1_GENERALIZEDTIME *from = NULL, *next = NULL;
    int reason, status;

    if (!single) {
        text_literal(why, "the OCSP response is for another certificate");
        return TLS_OCSP_BROKEN;
    }
    status = OCSP_single_get0_status(single, &reason, NULL, &from, &next);
    if (status != V_OCSP_CERTSTATUS_GOOD) {
        text_printf(why, "the OCSP response says `%s`; it is not stapled",
                    OCSP_cert_status_str(status));
        return TLS_OCSP_DENIED;
    }
    *life = (struct tls_ocsp_life){seconds_of(from), next ? seconds_of(next) : INT64_MAX};
    if (life->until_s > now_s())
        return TLS_OCSP_GOOD;
    text_literal(why, "the OCSP response has expired; it is not stapled");
    return TLS_OCSP_USELESS;
}

/* NULL after a sentence. */
static OCSP_BASICRESP *
read_basic(struct slice der, struct text *why)
{
    const unsigned char *at = (const unsigned char *) der.at;
    OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &at, (long) der.n);
    int status = response ? OCSP_response_status(response) : 0;
    OCSP_BASICRESP *basic = response && status == OCSP_RESPONSE_STATUS_SUCCESSFUL
                                ? OCSP_response_get1_basic(response)
                                : NULL;

    if (!basic)
        text_printf(why, response ? "the OCSP response only says `%s`"
                                  : "the OCSP response cannot be read%s",
                    response ? OCSP_response_status_str(status) : "");
    OCSP_RESPONSE_free(response);
    return basic;
}

enum tls_ocsp
tls_ocsp_check(struct slice der, X509 *certificate, int64_t *until_s, struct text *why)
{
    OCSP_BASICRESP *basic = read_basic(der, why);
    enum tls_ocsp result = TLS_OCSP_BROKEN;
    struct tls_ocsp_life life = {0, 0};

    if (basic)
        result = judge(find(basic, certificate), &life, why);
    *until_s = life.until_s;
    OCSP_BASICRESP_free(basic);
    ERR_clear_error();
    return result;
}

/* ------------------------------------------------------------------ what to ask */

/* A certificate and who issued it. */
struct pair {
    X509 *leaf, *issuer; /* NULL: it is not in the chain */
};

static X509 *
parse(struct slice der)
{
    const unsigned char *at = (const unsigned char *) der.at;

    return d2i_X509(NULL, &at, (long) der.n);
}

static struct pair
pair_of(const struct tls_identity *id)
{
    struct pair p = {parse(id->certificates[0]), NULL};

    if (id->n_certificates > 1)
        p.issuer = parse(id->certificates[1]);
    if (p.leaf && p.issuer && X509_check_issued(p.issuer, p.leaf) != X509_V_OK) {
        X509_free(p.issuer);
        p.issuer = NULL;
    }
    return p;
}

static void
pair_free(struct pair *p)
{
    X509_free(p->leaf);
    X509_free(p->issuer);
    ERR_clear_error();
}

/* The two object identifiers, as they stand in a certificate: 1.3.6.1.5.5.7.48.1, a responder's
 * address, and 1.3.6.1.5.5.7.1.24, must-staple.  Few certificates have them any more, and parsing
 * the others to find that out would cost a start with 10,000 of them half a second. */
bool
tls_ocsp_concerns(const struct tls_identity *id)
{
    static const struct slice names[] = {
        SLICE_INIT("\x06\x08\x2B\x06\x01\x05\x05\x07\x30\x01"),
        SLICE_INIT("\x06\x08\x2B\x06\x01\x05\x05\x07\x01\x18"),
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (memmem(id->certificates[0].at, id->certificates[0].n, names[i].at, names[i].n))
            return true;
    return false;
}

bool
tls_ocsp_must_staple(const struct tls_identity *id)
{
    X509 *leaf = tls_ocsp_concerns(id) ? parse(id->certificates[0]) : NULL;
    TLS_FEATURE *features = leaf ? X509_get_ext_d2i(leaf, NID_tlsfeature, NULL, NULL) : NULL;
    bool found = false;

    for (int i = 0; i < sk_ASN1_INTEGER_num(features); i++)
        found = found || ASN1_INTEGER_get(sk_ASN1_INTEGER_value(features, i)) == STATUS_REQUEST;
    TLS_FEATURE_free(features);
    X509_free(leaf);
    ERR_clear_error();
    return found;
}

/* The first responder over http: over https one would need certificates to see about
 * certificates. */
static struct slice
find_url(X509 *leaf, struct arena *arena)
{
    STACK_OF(OPENSSL_STRING) *urls = X509_get1_ocsp(leaf);
    struct slice url = {NULL, 0};

    for (int i = 0; i < sk_OPENSSL_STRING_num(urls) && !url.n; i++) {
        struct slice s = slice_str(sk_OPENSSL_STRING_value(urls, i));

        if (slice_starts_nocase(s, SLICE("http://")))
            url = arena_copy(arena, s);
    }
    X509_email_free(urls);
    return url;
}

/* Without a nonce: responses are made beforehand and cached, for all who ask (RFC 9654, RFC 5019
 * 4). */
static struct slice
write_request(const struct pair *p, struct arena *arena)
{
    OCSP_REQUEST *request = OCSP_REQUEST_new();
    OCSP_CERTID *about = OCSP_cert_to_id(EVP_sha1(), p->leaf, p->issuer);
    struct slice out = {NULL, 0};
    unsigned char *der = NULL;
    int n = -1;

    if (request && about && OCSP_request_add0_id(request, about)) {
        about = NULL; /* the request's now */
        n = i2d_OCSP_REQUEST(request, &der);
    }
    if (n > 0)
        out = arena_copy(arena, slice_of((char *) der, (size_t) n));
    OPENSSL_free(der);
    OCSP_CERTID_free(about);
    OCSP_REQUEST_free(request);
    return out;
}

bool
tls_ocsp_question(const struct tls_identity *id, struct arena *arena, struct tls_ocsp_question *q)
{
    struct pair p = pair_of(id);
    bool good = p.leaf != NULL;

    *q = (struct tls_ocsp_question){.url = {NULL, 0}};
    if (good && p.issuer)
        q->url = find_url(p.leaf, arena);
    if (q->url.n) {
        q->request = write_request(&p, arena);
        good = q->request.n > 0;
    }
    pair_free(&p);
    return good;
}

/* ------------------------------------------------------------------ whom to believe */

/* Signed by the issuer, or by a responder whose certificate, in the response, the issuer has signed
 * for that purpose.  OpenSSL demands both of a chain that ends at a certificate it trusts: here
 * that is the issuer, and nobody else. */
static bool
is_signed(OCSP_BASICRESP *basic, X509 *issuer)
{
    X509_STORE *trusted = X509_STORE_new();
    STACK_OF(X509) *known = sk_X509_new_null();
    bool good = trusted && known && sk_X509_push(known, issuer) > 0 &&
                X509_STORE_add_cert(trusted, issuer) == 1 &&
                X509_STORE_set_flags(trusted, X509_V_FLAG_PARTIAL_CHAIN) == 1 &&
                OCSP_basic_verify(basic, known, trusted, 0) == 1;

    sk_X509_free(known);
    X509_STORE_free(trusted);
    return good;
}

/* Not only the serial number: two issuers may use the same. */
static OCSP_SINGLERESP *
find_exactly(OCSP_BASICRESP *basic, const struct pair *p)
{
    for (int i = 0; i < OCSP_resp_count(basic); i++) {
        OCSP_SINGLERESP *single = OCSP_resp_get0(basic, i);
        const OCSP_CERTID *about = OCSP_SINGLERESP_get0_id(single);
        ASN1_OBJECT *hash = NULL;
        OCSP_CERTID *ours;
        const EVP_MD *md;
        bool same;

        (void) OCSP_id_get0_info(NULL, &hash, NULL, NULL, (OCSP_CERTID *) about);
        md = EVP_get_digestbyobj(hash);
        ours = md ? OCSP_cert_to_id(md, p->leaf, p->issuer) : NULL;
        same = ours && OCSP_id_cmp(ours, about) == 0;
        OCSP_CERTID_free(ours);
        if (same)
            return single;
    }
    return NULL;
}

static enum tls_ocsp
verify(OCSP_BASICRESP *basic, const struct pair *p, struct tls_ocsp_life *life, struct text *why)
{
    OCSP_SINGLERESP *single = find_exactly(basic, p);
    enum tls_ocsp result;

    if (!is_signed(basic, p->issuer)) {
        text_literal(why, "the OCSP response is not signed by the issuer, or for it");
        return TLS_OCSP_BROKEN;
    }
    result = judge(single, life, why);
    if (result != TLS_OCSP_GOOD)
        return result;
    if (life->from_s > now_s() + SKEW_S) {
        text_literal(why, "the OCSP response is not valid yet");
        return TLS_OCSP_USELESS;
    }
    if (life->until_s == INT64_MAX)
        life->until_s = now_s() + SHORT_LIFE_S;
    return TLS_OCSP_GOOD;
}

enum tls_ocsp
tls_ocsp_verify(const struct tls_identity *id, struct slice der, struct tls_ocsp_life *life,
                struct text *why)
{
    struct pair p = pair_of(id);
    OCSP_BASICRESP *basic = p.issuer ? read_basic(der, why) : NULL;
    enum tls_ocsp result = basic ? verify(basic, &p, life, why) : TLS_OCSP_BROKEN;

    if (!p.issuer)
        text_literal(why, "the issuer is not in the chain");
    OCSP_BASICRESP_free(basic);
    pair_free(&p);
    return result;
}

/* ------------------------------------------------------------------ stapling */

/* Replaced, never changed. */
struct tls_staple {
    int64_t until_s;
    size_t  n;
    char    der[];
};

struct slice
tls_ocsp_certificate(const struct tls_identity *id)
{
    return id->certificates[0];
}

bool
tls_ocsp_file_name(const struct tls_identity *id, char *out, size_t room)
{
    struct slice name = tls_identity_name(id, 0);
    int n = snprintf(out, room, "%.*s-%s", SLICE_ARG(name),
                     id->kind == TLS_KEY_RSA ? "rsa" : "ecdsa");

    return name.n && n > 0 && (size_t) n < room;
}

bool
tls_ocsp_is_given(const struct tls_identity *id)
{
    return id->ocsp.n > 0;
}

bool
tls_ocsp_staple(struct tls_identity *id, struct slice der, int64_t until_s)
{
    struct tls_staple *old, *s = NULL;

    if (der.n) {
        s = malloc(sizeof(*s) + der.n);
        if (!s)
            return false;
        *s = (struct tls_staple){.until_s = until_s, .n = der.n};
        memcpy(s->der, der.at, der.n);
    }
    old = atomic_exchange(&id->staple, s);
    if (old)
        workers_retire(free, old);
    return true;
}

struct slice
tls_ocsp_current(const struct tls_identity *id)
{
    const struct tls_staple *s = atomic_load_explicit(&id->staple, memory_order_acquire);

    if (!s && id->ocsp.n == 0)
        return (struct slice){NULL, 0};
    if (s && s->until_s > now_s())
        return slice_of(s->der, s->n);
    return id->ocsp_until_s > now_s() ? id->ocsp : (struct slice){NULL, 0};
}

void
tls_ocsp_forget(struct tls_identity *id)
{
    free(atomic_exchange(&id->staple, NULL));
}

/* ------------------------------------------------------------------ what a server shows */

struct tls_store *
tls_ocsp_store(const struct tls_server *s, unsigned which)
{
    return atomic_load(which ? &s->kept : &s->store);
}

struct tls_identity *
tls_ocsp_identity(const struct tls_store *s, size_t i)
{
    return tls_store_at(s, i);
}
