/* SPDX-License-Identifier: Apache-2.0 */
/* tls/provider_test.c - our algorithms give what OpenSSL's give. */
#include "base/check.h"
#include "base/test.h"
#include "runtime/loop.h"
#include "tls/worker.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/kdf.h>
#include <openssl/provider.h>

static struct loop loop;

static OSSL_LIB_CTX *
worker_library(void)
{
    if (!loop_self())
        CHECK(loop_init(&loop, NULL, 0) == OK);
    CHECK(tls_worker_self() != NULL);
    return tls_worker_self()->library;
}

static bool
is_ours(const OSSL_PROVIDER *p)
{
    return strcmp(OSSL_PROVIDER_get0_name(p), "maitred") == 0;
}

TEST(ours_are_preferred)
{
    EVP_KDF *kdf = EVP_KDF_fetch(worker_library(), "TLS13-KDF", NULL);
    EVP_MAC *mac = EVP_MAC_fetch(worker_library(), "HMAC", NULL);
    EVP_MD *md = EVP_MD_fetch(worker_library(), "SHA256", NULL);

    EXPECT(kdf && is_ours(EVP_KDF_get0_provider(kdf)));
    EXPECT(mac && is_ours(EVP_MAC_get0_provider(mac)));
    EXPECT(md && !is_ours(EVP_MD_get0_provider(md)));
    EVP_KDF_free(kdf);
    EVP_MAC_free(mac);
    EVP_MD_free(md);
}

struct derived {
    unsigned char at[64];
    int result;
};

/* As libssl asks; key and salt may be NULL. */
static struct derived
derive(OSSL_LIB_CTX *library, int mode, const char *digest, const char *key, const char *salt,
       size_t secret_n, const char *data, size_t n)
{
    struct derived d = {{0}, 0};
    EVP_KDF *kdf = EVP_KDF_fetch(library, "TLS13-KDF", NULL);
    EVP_KDF_CTX *context = EVP_KDF_CTX_new(kdf);
    OSSL_PARAM params[8], *p = params;

    *p++ = OSSL_PARAM_construct_int("mode", &mode);
    *p++ = OSSL_PARAM_construct_utf8_string("digest", (char *) digest, 0);
    if (key)
        *p++ = OSSL_PARAM_construct_octet_string("key", (char *) key, secret_n);
    if (salt)
        *p++ = OSSL_PARAM_construct_octet_string("salt", (char *) salt, secret_n);
    *p++ = OSSL_PARAM_construct_octet_string("prefix", (char *) "tls13 ", 6);
    *p++ = OSSL_PARAM_construct_octet_string("label", (char *) "derived", 7);
    if (data)
        *p++ = OSSL_PARAM_construct_octet_string("data", (char *) data, strlen(data));
    *p = OSSL_PARAM_construct_end();
    d.result = EVP_KDF_derive(context, d.at, n, params);
    EVP_KDF_CTX_free(context);
    EVP_KDF_free(kdf);
    return d;
}

static void
expect_same(int mode, const char *digest, const char *key, const char *salt, size_t secret_n,
            const char *data, size_t n)
{
    struct derived ours = derive(worker_library(), mode, digest, key, salt, secret_n, data, n);
    struct derived theirs = derive(NULL, mode, digest, key, salt, secret_n, data, n);

    EXPECT_EQ(theirs.result, 1);
    EXPECT_EQ(ours.result, 1);
    EXPECT(memcmp(ours.at, theirs.at, sizeof(ours.at)) == 0);
}

static const char secret[] = "forty-eight bytes of a secret that nobody knows..";
static const char other[] = "another one, as long as the first one, forty-eight";

TEST(secrets_are_expanded_alike)
{
    const int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;

    expect_same(mode, "SHA2-256", secret, NULL, 32, "a hash of messages", 32);
    expect_same(mode, "SHA2-256", secret, NULL, 32, NULL, 16);
    expect_same(mode, "SHA256", secret, NULL, 32, "", 12);
    expect_same(mode, "SHA2-384", secret, NULL, 48, "a hash of messages", 48);
    expect_same(mode, "SHA384", secret, NULL, 48, NULL, 12);
}

TEST(secrets_are_extracted_alike)
{
    const int mode = EVP_KDF_HKDF_MODE_EXTRACT_ONLY;

    expect_same(mode, "SHA2-256", NULL, NULL, 32, NULL, 32);
    expect_same(mode, "SHA2-256", secret, NULL, 32, NULL, 32);
    expect_same(mode, "SHA2-256", secret, other, 32, NULL, 32);
    expect_same(mode, "SHA2-256", NULL, other, 32, NULL, 32);
    expect_same(mode, "SHA2-384", secret, other, 48, NULL, 48);
}

TEST(what_does_not_fit_is_refused)
{
    const int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;

    EXPECT_EQ(derive(worker_library(), mode, "SHA2-256", secret, NULL, 32, NULL, 33).result, 0);
    EXPECT_EQ(derive(worker_library(), mode, "MD5", secret, NULL, 16, NULL, 16).result, 0);
}

static size_t
mac(OSSL_LIB_CTX *library, const char *digest, size_t key_n, size_t n, unsigned char out[64])
{
    static unsigned char bytes[300];
    size_t got = 0;

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (unsigned char) (i * 7);
    if (!EVP_Q_mac(library, "HMAC", NULL, digest, NULL, bytes, key_n, bytes, n, out, 64, &got))
        return 0;
    return got;
}

TEST(codes_are_alike)
{
    static const size_t keys[] = {0, 1, 32, 63, 64, 65, 128, 129, 300};
    static const size_t texts[] = {0, 1, 64, 300};
    static const char *const digests[] = {"SHA256", "SHA2-384"};
    unsigned char ours[64], theirs[64];

    for (size_t d = 0; d < 2; d++)
        for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]); k++)
            for (size_t t = 0; t < sizeof(texts) / sizeof(texts[0]); t++) {
                size_t n = mac(NULL, digests[d], keys[k], texts[t], theirs);

                EXPECT_EQ(mac(worker_library(), digests[d], keys[k], texts[t], ours), n);
                EXPECT(n && memcmp(ours, theirs, n) == 0);
            }
}

TEST(a_code_in_pieces_and_a_copy_in_the_middle)
{
    EVP_MAC *hmac = EVP_MAC_fetch(worker_library(), "HMAC", NULL);
    EVP_MAC_CTX *a = EVP_MAC_CTX_new(hmac), *b;
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string("digest", (char *) "SHA256", 0),
                           OSSL_PARAM_construct_end()};
    unsigned char whole[64], one[64], two[64];
    size_t n;

    EXPECT(EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, "key", 3, (unsigned char *) "abcdef", 6,
                     whole, 64, NULL) != NULL);
    EXPECT(EVP_MAC_init(a, (unsigned char *) "key", 3, params));
    EXPECT(EVP_MAC_update(a, (unsigned char *) "abc", 3));
    b = EVP_MAC_CTX_dup(a);
    EXPECT(EVP_MAC_update(a, (unsigned char *) "def", 3));
    EXPECT(EVP_MAC_update(b, (unsigned char *) "def", 3));
    EXPECT(EVP_MAC_final(a, one, &n, sizeof(one)) && n == 32);
    EXPECT(EVP_MAC_final(b, two, &n, sizeof(two)) && n == 32);
    EXPECT(memcmp(one, whole, 32) == 0 && memcmp(two, whole, 32) == 0);
    /* Once more with the same key. */
    EXPECT(EVP_MAC_init(a, NULL, 0, NULL) && EVP_MAC_update(a, (unsigned char *) "abcdef", 6));
    EXPECT(EVP_MAC_final(a, one, &n, sizeof(one)) && memcmp(one, whole, 32) == 0);
    EVP_MAC_CTX_free(a);
    EVP_MAC_CTX_free(b);
    EVP_MAC_free(hmac);
}

TEST(a_key_alone_begins)
{
    EVP_MAC *hmac = EVP_MAC_fetch(worker_library(), "HMAC", NULL);
    EVP_MAC_CTX *context = EVP_MAC_CTX_new(hmac);
    OSSL_PARAM params[] = {OSSL_PARAM_construct_octet_string("key", (char *) "key", 3),
                           OSSL_PARAM_construct_utf8_string("digest", (char *) "SHA256", 0),
                           OSSL_PARAM_construct_end()};
    unsigned char whole[64], got[64];
    size_t n;

    EXPECT(EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, "key", 3, (unsigned char *) "abc", 3,
                     whole, 64, NULL) != NULL);
    EXPECT(EVP_MAC_CTX_set_params(context, params));
    EXPECT(EVP_MAC_update(context, (unsigned char *) "abc", 3));
    EXPECT(EVP_MAC_final(context, got, &n, sizeof(got)) && memcmp(got, whole, 32) == 0);
    EVP_MAC_CTX_free(context);
    EVP_MAC_free(hmac);
}
