/* SPDX-License-Identifier: Apache-2.0 */
/* acme/certificate_test.c - certificates that are made here, read by what serves them. */
#include "acme/certificate.h"

#include "acme/jose.h"
#include "base/clock.h"
#include "base/test.h"

#include <openssl/x509v3.h>

static int64_t
now_s(void)
{
    return (int64_t) (clock_wall_us() / 1000000);
}

TEST(a_self_signed_one_is_for_its_name)
{
    struct tls_identity *id = acme_self_signed(SLICE("*.example.test"));
    bool good;

    EXPECT(id != NULL);
    good = slice_eq(tls_identity_name(id, 0), SLICE("*.example.test")) &&
           !slice_is_present(tls_identity_name(id, 1)) &&
           tls_identity_expires_s(id) > now_s() + 364 * 86400;
    tls_identity_release(id);
    EXPECT(good);
}

/* A name cannot say more than that it is one. */
TEST(a_name_with_a_comma_is_one_name)
{
    struct tls_identity *id = acme_self_signed(SLICE("a.test,DNS:bank.test"));
    bool good;

    EXPECT(id != NULL);
    good = slice_eq(tls_identity_name(id, 0), SLICE("a.test,dns:bank.test")) &&
           !slice_is_present(tls_identity_name(id, 1));
    tls_identity_release(id);
    EXPECT(good);
}

TEST(a_certificate_says_how_long_it_lasts)
{
    const struct slice name = SLICE("a.test");
    const struct acme_recipe r = {.subject = name, .names = &name, .n_names = 1, .valid_s = 1000};
    struct acme_certificate c;
    struct text pem;
    bool good;

    text_init(&pem, 100000);
    good = acme_certificate_make(&r, &pem) && acme_certificate_read(text_slice(&pem), &c);
    text_free(&pem);
    EXPECT(good);
    EXPECT(c.from_s <= now_s() - 3600 && c.from_s > now_s() - 3700);
    EXPECT(c.to_s <= now_s() + 1000 && c.to_s > now_s() + 900);
    EXPECT(c.renewal_id[0] == '\0'); /* it names no issuer's key */
}

/* RFC 9773 4.1: two parts in base64url. */
TEST(one_that_was_issued_can_be_asked_about)
{
    const struct slice name = SLICE("a.test");
    struct acme_recipe r = {.subject = SLICE("CA"), .valid_s = 1000, .authority = true};
    struct acme_certificate c = {.from_s = 0};
    struct text ca, pem;
    bool good;

    text_init(&ca, 100000);
    text_init(&pem, 100000);
    good = acme_certificate_make(&r, &ca);
    r = (struct acme_recipe){
        .subject = name, .names = &name, .n_names = 1, .valid_s = 500, .issuer = text_slice(&ca)};
    good = good && acme_certificate_make(&r, &pem) && acme_certificate_read(text_slice(&pem), &c);
    text_free(&ca);
    text_free(&pem);
    EXPECT(good);
    EXPECT_EQ(slice_find(slice_str(c.renewal_id), '.'), 27); /* 20 bytes */
    EXPECT_EQ(strlen(c.renewal_id), 27 + 1 + 22);            /* and 16 */
}

TEST(what_is_no_certificate_is_none)
{
    struct acme_certificate c;

    EXPECT(!acme_certificate_read(SLICE(""), &c));
    EXPECT(!acme_certificate_read(SLICE("-----BEGIN CERTIFICATE-----\nAAAA\n"
                                        "-----END CERTIFICATE-----\n"), &c));
}

TEST(a_request_names_what_it_is_for)
{
    EVP_PKEY *key = acme_key_new();
    const unsigned char *at;
    GENERAL_NAMES *names = NULL;
    X509_REQ *q = NULL;
    STACK_OF(X509_EXTENSION) *extensions = NULL;
    struct text der;
    bool good;

    text_init(&der, 10000);
    good = acme_request_write(key, SLICE("*.example.test"), &der);
    at = (const unsigned char *) der.at;
    if (good)
        q = d2i_X509_REQ(NULL, &at, (long) der.n);
    good = q && X509_REQ_verify(q, key) == 1;
    if (good)
        extensions = X509_REQ_get_extensions(q);
    if (extensions)
        names = X509V3_get_d2i(extensions, NID_subject_alt_name, NULL, NULL);
    good = names && sk_GENERAL_NAME_num(names) == 1 &&
           sk_GENERAL_NAME_value(names, 0)->type == GEN_DNS &&
           ASN1_STRING_length(sk_GENERAL_NAME_value(names, 0)->d.ia5) == 14;
    GENERAL_NAMES_free(names);
    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
    X509_REQ_free(q);
    EVP_PKEY_free(key);
    text_free(&der);
    EXPECT(good);
}
