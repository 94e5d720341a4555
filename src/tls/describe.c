/* SPDX-License-Identifier: Apache-2.0 */
/* tls/describe.c - what a certificate says, for people. */
#include "tls/identity.h"
#include "tls/ocsp.h"

#include <openssl/err.h>
#include <time.h>

static int64_t
seconds_of(const ASN1_TIME *t)
{
    struct tm tm;

    return t && ASN1_TIME_to_tm(t, &tm) ? (int64_t) timegm(&tm) : 0;
}

/* Cut where it is too long; what RFC 2253 escapes stays escaped. */
static bool
put_issuer(const X509 *x, char *out, size_t room)
{
    BIO *bio = BIO_new(BIO_s_mem());
    int n = -1;

    if (bio && X509_NAME_print_ex(bio, X509_get_issuer_name(x), 0,
                                  XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB) >= 0)
        n = BIO_read(bio, out, (int) room - 1);
    out[n > 0 ? n : 0] = '\0';
    BIO_free(bio);
    return n >= 0;
}

bool
tls_identity_describe(const struct tls_identity *id, struct tls_identity_facts *out)
{
    const unsigned char *at = (const unsigned char *) id->certificates[0].at;
    X509 *x = d2i_X509(NULL, &at, (long) id->certificates[0].n);
    bool good = x && put_issuer(x, out->issuer, sizeof(out->issuer));

    if (good) {
        out->not_before_s = seconds_of(X509_get0_notBefore(x));
        out->not_after_s = seconds_of(X509_get0_notAfter(x));
        out->rsa = id->kind == TLS_KEY_RSA;
        out->stapled = tls_ocsp_current(id).n > 0;
    }
    X509_free(x);
    ERR_clear_error();
    return good;
}
