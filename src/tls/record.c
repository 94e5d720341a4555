/* SPDX-License-Identifier: Apache-2.0 */
/* tls/record.c - records of TLS 1.3: header, nonce, padding, keys and their updates. */
#include "tls/record.h"

#include "tls/hmac.h"
#include "tls/schedule.h"

#include <openssl/crypto.h>
#include <string.h>

/* An AES-GCM key is good for some 2^24.5 full records. */
uint64_t tls_records_per_key = UINT64_C(1) << 24;

/* ------------------------------------------------------------------ keys */

static struct tls_digest *
digest_of(const struct tls_protection *p)
{
    return &p->worker->digests[tls_suites[p->suite].digest];
}

/* From the secret, one of what it is for. */
static bool
derive(const struct tls_protection *p, struct slice label, unsigned char *out, size_t n)
{
    struct tls_digest *d = digest_of(p);
    struct slice secret = {(const char *) p->secret, tls_hmac_bytes(d)};

    return tls_schedule_expand(d, secret, label, out, n);
}

void
tls_protection_start(struct tls_protection *p, struct tls_worker *w, enum tls_suite suite,
                     const unsigned char *secret, bool seals)
{
    *p = (struct tls_protection){.worker = w, .suite = (uint8_t) suite, .seals = seals};
    memcpy(p->secret, secret, tls_hmac_bytes(digest_of(p)));
}

void
tls_protection_cool(struct tls_protection *p)
{
    EVP_CIPHER_CTX_free(p->context);
    p->context = NULL;
}

void
tls_protection_end(struct tls_protection *p)
{
    tls_protection_cool(p);
    OPENSSL_cleanse(p->secret, sizeof(p->secret));
    OPENSSL_cleanse(p->iv, sizeof(p->iv));
}

bool
tls_protection_update(struct tls_protection *p)
{
    unsigned char next[sizeof(p->secret)];
    size_t n = tls_hmac_bytes(digest_of(p));
    bool good = derive(p, SLICE("traffic upd"), next, n);

    /* Without a new secret the numbers go on: none may come twice (5.3). */
    if (good) {
        memcpy(p->secret, next, n);
        tls_protection_cool(p);
        p->number = 0;
    }
    OPENSSL_cleanse(next, sizeof(next));
    return good;
}

/* Key and initialisation vector of the secret, in a context. */
static bool
make_ready(struct tls_protection *p)
{
    unsigned char key[EVP_MAX_KEY_LENGTH];
    const EVP_CIPHER *cipher = p->worker->ciphers[p->suite];
    bool good;

    if (p->context)
        return true;
    p->context = EVP_CIPHER_CTX_new();
    good = p->context && derive(p, SLICE("iv"), p->iv, sizeof(p->iv)) &&
           derive(p, SLICE("key"), key, (size_t) EVP_CIPHER_get_key_length(cipher)) &&
           EVP_CipherInit_ex2(p->context, cipher, key, NULL, p->seals, NULL);
    OPENSSL_cleanse(key, sizeof(key));
    if (!good)
        tls_protection_cool(p);
    return good;
}

/* ------------------------------------------------------------------ records */

/* RFC 8446 5.3: the nonce is the vector with the number of the record; its header is authenticated
 * with it. */
static bool
begin(struct tls_protection *p, const unsigned char *header, const unsigned char *tag)
{
    unsigned char nonce[sizeof(p->iv)];
    int n;

    if (p->number == UINT64_MAX || !make_ready(p))
        return false;
    memcpy(nonce, p->iv, sizeof(nonce));
    for (size_t i = 0; i < 8; i++)
        nonce[sizeof(nonce) - 1 - i] ^= (unsigned char) (p->number >> (8 * i));
    p->number++;
    return EVP_CipherInit_ex2(p->context, NULL, NULL, nonce, -1, NULL) &&
           (!tag || EVP_CIPHER_CTX_ctrl(p->context, EVP_CTRL_AEAD_SET_TAG, TLS_RECORD_TAG,
                                        (void *) tag) == 1) &&
           EVP_CipherUpdate(p->context, NULL, &n, header, TLS_RECORD_HEADER);
}

static bool
put(struct tls_protection *p, unsigned char **out, const void *at, size_t n)
{
    int put_n = 0;

    if (!EVP_CipherUpdate(p->context, *out, &put_n, at, (int) n))
        return false;
    *out += put_n;
    return (size_t) put_n == n;
}

/* Piece by piece: nobody has to copy them together. */
static bool
put_pieces(struct tls_protection *p, unsigned char **out, struct tls_pieces *from, size_t n)
{
    while (n) {
        size_t part = from->iov->iov_len - from->done;

        if (part > n)
            part = n;
        if (part && !put(p, out, (const char *) from->iov->iov_base + from->done, part))
            return false;
        n -= part;
        from->done += part;
        if (from->done == from->iov->iov_len)
            *from = (struct tls_pieces){.iov = from->iov + 1};
    }
    return true;
}

bool
tls_record_seal(struct tls_protection *p, enum tls_record_type type, struct tls_pieces *from,
                size_t n, unsigned char *out)
{
    size_t sealed = n + 1 + TLS_RECORD_TAG;
    unsigned char last = (unsigned char) type, *at = out + TLS_RECORD_HEADER;
    int none;

    memcpy(out, (unsigned char[]){TLS_RECORD_DATA, 3, 3}, 3);
    out[3] = (unsigned char) (sealed >> 8);
    out[4] = (unsigned char) sealed;
    return begin(p, out, NULL) && put_pieces(p, &at, from, n) &&
           put(p, &at, &last, 1) && EVP_CipherFinal_ex(p->context, at, &none) &&
           EVP_CIPHER_CTX_ctrl(p->context, EVP_CTRL_AEAD_GET_TAG, TLS_RECORD_TAG, at) == 1;
}

ssize_t
tls_record_size(struct slice s, size_t *missing)
{
    const unsigned char *at = (const unsigned char *) s.at;
    size_t n;

    *missing = TLS_RECORD_HEADER;
    if (s.n < TLS_RECORD_HEADER)
        return 0;
    n = (size_t) at[3] << 8 | at[4];
    /* What is not sealed is not believed any more; of the version nobody takes notice. */
    if (at[0] != TLS_RECORD_DATA)
        return -TLS_ALERT_UNEXPECTED_MESSAGE;
    if (n > TLS_RECORD_SEALED_MAX)
        return -TLS_ALERT_RECORD_OVERFLOW;
    if (n <= TLS_RECORD_TAG)
        return -TLS_ALERT_BAD_RECORD_MAC;
    n += TLS_RECORD_HEADER;
    *missing = s.n < n ? n - s.n : 0;
    return s.n < n ? 0 : (ssize_t) n;
}

/* RFC 8446 5.4: zeros for padding stand behind the type. */
static ssize_t
strip(const unsigned char *at, size_t n, enum tls_record_type *type)
{
    while (n && at[n - 1] == 0)
        n--;
    if (n == 0)
        return -TLS_ALERT_UNEXPECTED_MESSAGE;
    *type = at[n - 1];
    return (ssize_t) n - 1;
}

ssize_t
tls_record_open(struct tls_protection *p, const unsigned char *record, size_t size,
                unsigned char *out, enum tls_record_type *type)
{
    size_t n = size - TLS_RECORD_HEADER - TLS_RECORD_TAG;
    const unsigned char *at = record + TLS_RECORD_HEADER;
    unsigned char *end = out;
    int none;

    if (!begin(p, record, at + n))
        return -TLS_ALERT_INTERNAL_ERROR;
    if (!put(p, &end, at, n) || !EVP_CipherFinal_ex(p->context, end, &none))
        return -TLS_ALERT_BAD_RECORD_MAC;
    return strip(out, n, type);
}
