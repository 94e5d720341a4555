/* SPDX-License-Identifier: Apache-2.0 */
/* acme/jose_test.c - JWK, thumbprints, signatures, against values made by others. */
#include "acme/jose.h"

#include "base/base64.h"
#include "base/test.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <string.h>

/* Made by the openssl command; its JWK and thumbprint by Python. */
static const char pem[] =
    "-----BEGIN PRIVATE KEY-----\n"
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg93hUvajnFB7Qajbd\n"
    "z+4Mdpbgj7nMfa4UW4TfunSN/p6hRANCAAS0jIvBdy7TDWduK3tH5MKwvsRfWO6g\n"
    "yi+R1INkwY1laLe/sitzR9NW/IA5CKYUlDQY0OLlJYMCOx+Zq80Qo9GP\n"
    "-----END PRIVATE KEY-----\n";

static EVP_PKEY *
read_key(void)
{
    return acme_key_read(slice_of(pem, sizeof(pem) - 1));
}

TEST(the_public_key_as_json)
{
    EVP_PKEY *key = read_key();
    char room[300];
    struct text t;
    bool good;

    EXPECT(key != NULL);
    text_fixed(&t, room, sizeof(room));
    good = acme_jwk_write(key, &t);
    EVP_PKEY_free(key);
    EXPECT(good);
    EXPECT_STR(text_slice(&t), "{\"crv\":\"P-256\",\"kty\":\"EC\","
                               "\"x\":\"tIyLwXcu0w1nbit7R-TCsL7EX1juoMovkdSDZMGNZWg\","
                               "\"y\":\"t7-yK3NH01b8gDkIphSUNBjQ4uUlgwI7H5mrzRCj0Y8\"}");
}

TEST(the_thumbprint)
{
    EVP_PKEY *key = read_key();
    char out[ACME_SHA256_LETTERS];
    bool good = acme_thumbprint(key, out);

    EVP_PKEY_free(key);
    EXPECT(good);
    EXPECT_STR(slice_of(out, sizeof(out)), "sWAbmDH65oD0noFpiRIGJmsL8RZ2THvLwl82asofUN4");
}

/* RFC 7515 A.1, to the letter. */
TEST(a_signature_with_a_secret)
{
    static const char letters[] =
        "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
    char secret[64], room[600];
    struct text t;

    EXPECT(base64_decode(slice_of(letters, sizeof(letters) - 1), secret));
    text_fixed(&t, room, sizeof(room));
    EXPECT(acme_jws_write_mac(slice_of(secret, sizeof(secret)),
                              SLICE("{\"typ\":\"JWT\",\r\n \"alg\":\"HS256\"}"),
                              SLICE("{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n "
                                    "\"http://example.com/is_root\":true}"),
                              &t));
    EXPECT_STR(
        text_slice(&t),
        "{\"protected\":\"eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9\",\"payload\":"
        "\"eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290"
        "Ijp0cnVlfQ\","
        "\"signature\":\"dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk\"}");
}

/* What stands between the quotes after a key. */
static struct slice
value_of(struct slice json, const char *key)
{
    struct slice rest = slice_from(json, slice_search(json, slice_str(key)) + strlen(key));

    return slice_first(rest, slice_find(rest, '"'));
}

/* As DER, which is what OpenSSL checks. */
static bool
is_signed(EVP_PKEY *key, struct slice signed_text, struct slice letters)
{
    unsigned char raw[64], *der = NULL;
    ECDSA_SIG *s = ECDSA_SIG_new();
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    bool good = letters.n == 86 && base64_decode(letters, raw) &&
                ECDSA_SIG_set0(s, BN_bin2bn(raw, 32, NULL), BN_bin2bn(raw + 32, 32, NULL));
    int n = good ? i2d_ECDSA_SIG(s, &der) : 0;

    good = good && EVP_DigestVerifyInit(c, NULL, EVP_sha256(), NULL, key) == 1 &&
           EVP_DigestVerify(c, der, (size_t) n, (const unsigned char *) signed_text.at,
                            signed_text.n) == 1;
    OPENSSL_free(der);
    EVP_MD_CTX_free(c);
    ECDSA_SIG_free(s);
    return good;
}

/* Often, for one in some hundred has a number that begins with a zero. */
TEST(signatures_with_a_key_can_be_checked)
{
    EVP_PKEY *key = read_key();
    bool good = true;

    for (int i = 0; i < 600 && good; i++) {
        char room[600], both[300];
        struct text t, b;

        text_fixed(&t, room, sizeof(room));
        text_fixed(&b, both, sizeof(both));
        good = acme_jws_write(key, SLICE("{\"alg\":\"ES256\"}"), SLICE("payload"), &t);
        text_put(&b, value_of(text_slice(&t), "\"protected\":\""));
        text_byte(&b, '.');
        text_put(&b, value_of(text_slice(&t), "\"payload\":\""));
        good = good && slice_eq(text_slice(&b), SLICE("eyJhbGciOiJFUzI1NiJ9.cGF5bG9hZA")) &&
               is_signed(key, text_slice(&b), value_of(text_slice(&t), "\"signature\":\""));
    }
    EVP_PKEY_free(key);
    EXPECT(good);
}

TEST(a_post_as_get_has_an_empty_payload)
{
    EVP_PKEY *key = read_key();
    char room[600];
    struct text t;
    bool good;

    text_fixed(&t, room, sizeof(room));
    good = acme_jws_write(key, SLICE("{}"), (struct slice){NULL, 0}, &t);
    EVP_PKEY_free(key);
    EXPECT(good);
    EXPECT(slice_search(text_slice(&t), SLICE("\"payload\":\"\"")) != SLICE_NOT_FOUND);
}

TEST(a_key_survives_its_file)
{
    EVP_PKEY *key = acme_key_new(), *again;
    char room[600], one[ACME_SHA256_LETTERS], other[ACME_SHA256_LETTERS];
    struct text t;
    bool good;

    text_fixed(&t, room, sizeof(room));
    good = acme_key_write(key, &t) && acme_thumbprint(key, one);
    again = acme_key_read(text_slice(&t));
    good = good && again && acme_thumbprint(again, other);
    EVP_PKEY_free(key);
    EVP_PKEY_free(again);
    EXPECT(good);
    EXPECT(memcmp(one, other, sizeof(one)) == 0);
}

TEST(what_is_no_key_is_none)
{
    EXPECT(acme_key_read(SLICE("")) == NULL);
    EXPECT(acme_key_read(SLICE("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")) ==
           NULL);
}
