/* SPDX-License-Identifier: Apache-2.0 */
/* acme/jose.c - signed requests by OpenSSL. */
#include "acme/jose.h"

#include "base/base64.h"
#include "base/mac.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/pem.h>

enum { COORDINATE_BYTES = 32, SIGNED_MAX = 64 * 1024 };

/* ------------------------------------------------------------------ keys */

EVP_PKEY *
acme_key_new(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");

    ERR_clear_error();
    return key;
}

bool
acme_key_write(EVP_PKEY *key, struct text *out)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *at;
    long n;
    bool good = bio && PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1 &&
                (n = BIO_get_mem_data(bio, &at)) > 0;

    if (good)
        text_put(out, slice_of(at, (size_t) n));
    BIO_free(bio);
    ERR_clear_error();
    return good && !out->full;
}

static bool
is_p256(const EVP_PKEY *key)
{
    char group[40];
    size_t n = 0;

    return EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof(group),
                                          &n) == 1 &&
           strcmp(group, "prime256v1") == 0;
}

/* Nobody is asked for a passphrase. */
static int
no_passphrase(char *out, int room, int writing, void *arg)
{
    (void) out, (void) room, (void) writing, (void) arg;
    return -1;
}

EVP_PKEY *
acme_key_read(struct slice pem)
{
    BIO *bio = BIO_new_mem_buf(pem.at, (int) pem.n);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;

    BIO_free(bio);
    if (key && !is_p256(key)) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    ERR_clear_error();
    return key;
}

/* ------------------------------------------------------------------ hashes */

bool
acme_sha256(struct slice bytes, unsigned char out[ACME_SHA256_BYTES])
{
    return EVP_Digest(bytes.at, bytes.n, out, NULL, EVP_sha256(), NULL) == 1;
}

bool
acme_sha256_letters(struct slice bytes, char *out)
{
    unsigned char hash[ACME_SHA256_BYTES];

    if (!acme_sha256(bytes, hash))
        return false;
    base64_encode(slice_of((char *) hash, sizeof(hash)), out);
    return true;
}

void
acme_put_letters(struct text *out, struct slice bytes)
{
    size_t n = BASE64_LETTERS(bytes.n);

    if (!text_reserve(out, n))
        return;
    base64_encode(bytes, out->at + out->n);
    out->n += n;
}

/* ------------------------------------------------------------------ the public key */

static bool
put_coordinate(const EVP_PKEY *key, const char *which, struct text *out)
{
    unsigned char bytes[COORDINATE_BYTES];
    BIGNUM *number = NULL;
    bool good = EVP_PKEY_get_bn_param(key, which, &number) == 1 &&
                BN_bn2binpad(number, bytes, COORDINATE_BYTES) == COORDINATE_BYTES;

    BN_free(number);
    if (good)
        acme_put_letters(out, slice_of((char *) bytes, sizeof(bytes)));
    return good;
}

bool
acme_jwk_write(EVP_PKEY *key, struct text *out)
{
    bool good;

    text_literal(out, "{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"");
    good = put_coordinate(key, OSSL_PKEY_PARAM_EC_PUB_X, out);
    text_literal(out, "\",\"y\":\"");
    good = good && put_coordinate(key, OSSL_PKEY_PARAM_EC_PUB_Y, out);
    text_literal(out, "\"}");
    return good && !out->full;
}

bool
acme_thumbprint(EVP_PKEY *key, char *out)
{
    char room[256];
    struct text jwk;

    text_fixed(&jwk, room, sizeof(room));
    return acme_jwk_write(key, &jwk) && acme_sha256_letters(text_slice(&jwk), out);
}

/* ------------------------------------------------------------------ signatures */

/* JOSE wants the two numbers side by side (RFC 7518 3.4), not as DER. */
static bool
flatten(const unsigned char *der, size_t n, unsigned char out[2 * COORDINATE_BYTES])
{
    ECDSA_SIG *s = d2i_ECDSA_SIG(NULL, &der, (long) n);
    bool good = s &&
                BN_bn2binpad(ECDSA_SIG_get0_r(s), out, COORDINATE_BYTES) == COORDINATE_BYTES &&
                BN_bn2binpad(ECDSA_SIG_get0_s(s), out + COORDINATE_BYTES, COORDINATE_BYTES) ==
                    COORDINATE_BYTES;

    ECDSA_SIG_free(s);
    return good;
}

static bool
sign(EVP_PKEY *key, struct slice bytes, unsigned char out[2 * COORDINATE_BYTES])
{
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    unsigned char der[160];
    size_t n = sizeof(der);
    bool good = c && EVP_DigestSignInit(c, NULL, EVP_sha256(), NULL, key) == 1 &&
                EVP_DigestSign(c, der, &n, (const unsigned char *) bytes.at, bytes.n) == 1 &&
                flatten(der, n, out);

    EVP_MD_CTX_free(c);
    ERR_clear_error();
    return good;
}

/* What is signed: header and payload in letters, with a dot between. */
static void
put_signed(struct text *t, struct slice header, struct slice payload)
{
    acme_put_letters(t, header);
    text_byte(t, '.');
    acme_put_letters(t, payload);
}

static bool
put_jws(struct text *out, struct slice both, struct slice signature)
{
    size_t dot = slice_find(both, '.');

    text_literal(out, "{\"protected\":\"");
    text_put(out, slice_first(both, dot));
    text_literal(out, "\",\"payload\":\"");
    text_put(out, slice_from(both, dot + 1));
    text_literal(out, "\",\"signature\":\"");
    acme_put_letters(out, signature);
    text_literal(out, "\"}");
    return !out->full;
}

bool
acme_jws_write(EVP_PKEY *key, struct slice header, struct slice payload, struct text *out)
{
    unsigned char signature[2 * COORDINATE_BYTES];
    struct text both;
    bool good;

    text_init(&both, SIGNED_MAX);
    put_signed(&both, header, payload);
    good = !both.full && sign(key, text_slice(&both), signature) &&
           put_jws(out, text_slice(&both), slice_of((char *) signature, sizeof(signature)));
    text_free(&both);
    return good;
}

bool
acme_jws_write_mac(struct slice secret, struct slice header, struct slice payload, struct text *out)
{
    uint8_t signature[MAC_BYTES];
    struct slice whole;
    struct text both;
    bool good;

    text_init(&both, SIGNED_MAX);
    put_signed(&both, header, payload);
    whole = text_slice(&both);
    good = !both.full && mac_sha256(secret, &whole, 1, signature) &&
           put_jws(out, whole, slice_of((char *) signature, sizeof(signature)));
    text_free(&both);
    return good;
}
