/* SPDX-License-Identifier: Apache-2.0 */
/* base/mac.c - HMAC-SHA-256 by OpenSSL. */
#include "base/mac.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>

enum { BLOCK_BYTES = 64 }; /* of SHA-256 */

/* Looking an algorithm up by its name takes a lock and longer than hashing: once for the
 * process. */
static EVP_MD *sha256;

static void
fetch(void)
{
    sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
}

static const EVP_MD *
sha256_of_process(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, fetch);
    return sha256;
}

/* The key as one block, xored with a constant, begins each of the two hashes. */
static bool
begin(EVP_MD_CTX *hash, const uint8_t key[BLOCK_BYTES], uint8_t with)
{
    uint8_t block[BLOCK_BYTES];
    bool ok;

    for (size_t i = 0; i < BLOCK_BYTES; i++)
        block[i] = key[i] ^ with;
    ok = EVP_DigestInit_ex2(hash, sha256, NULL) && EVP_DigestUpdate(hash, block, sizeof(block));
    OPENSSL_cleanse(block, sizeof(block));
    return ok;
}

static bool
block_of(EVP_MD_CTX *hash, struct slice key, uint8_t block[BLOCK_BYTES])
{
    memset(block, 0, BLOCK_BYTES);
    if (key.n <= BLOCK_BYTES) {
        if (key.n)
            memcpy(block, key.at, key.n);
        return true;
    }
    return EVP_DigestInit_ex2(hash, sha256, NULL) && EVP_DigestUpdate(hash, key.at, key.n) &&
           EVP_DigestFinal_ex(hash, block, NULL);
}

/* H(key ^ opad, H(key ^ ipad, text)), RFC 2104 section 2.  OpenSSL's own HMAC looks its digest up
 * anew each time, which takes several times as long as this. */
bool
mac_sha256(struct slice key, const struct slice *parts, size_t n, uint8_t out[MAC_BYTES])
{
    EVP_MD_CTX *hash = sha256_of_process() ? EVP_MD_CTX_new() : NULL;
    uint8_t block[BLOCK_BYTES], inner[MAC_BYTES];
    bool ok = hash && block_of(hash, key, block) && begin(hash, block, 0x36);

    for (size_t i = 0; ok && i < n; i++)
        ok = EVP_DigestUpdate(hash, parts[i].at, parts[i].n);
    ok = ok && EVP_DigestFinal_ex(hash, inner, NULL) && begin(hash, block, 0x5C) &&
         EVP_DigestUpdate(hash, inner, sizeof(inner)) && EVP_DigestFinal_ex(hash, out, NULL);
    OPENSSL_cleanse(block, sizeof(block));
    EVP_MD_CTX_free(hash);
    return ok;
}

bool
mac_equal(const void *a, const void *b, size_t n)
{
    return CRYPTO_memcmp(a, b, n) == 0;
}
