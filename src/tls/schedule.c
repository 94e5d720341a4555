/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls/schedule.c - the key schedule of TLS 1.3 (RFC 8446 7.1), as an algorithm that OpenSSL
 * fetches.
 *
 * A handshake derives some twenty secrets, each by hashing a handful of blocks.  For each of them
 * OpenSSL 3.0's TLS13-KDF looks algorithms up by name, goes through its parameters twice and
 * allocates some ten times; that was a fifth of the instructions of a resumed handshake.  This one
 * has its digests at hand and allocates nothing.
 *
 * Threads  The context of a derivation is the worker itself: OpenSSL makes one at a time, without
 *          waiting.
 */
#include "tls/schedule.h"

#include "tls/hmac.h"

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <string.h>

enum { INFO_MAX = 2 + 1 + 255 + 1 + 255 };

/* ------------------------------------------------------------------ deriving */

/* What libssl asks for. */
struct derivation {
    struct tls_digest *digest;
    bool extract; /* else expand */
    struct slice key, salt, prefix, label, data;
};

/* HkdfLabel of RFC 8446 7.1; 0 when a part is too long for it. */
static size_t
write_label(const struct derivation *q, struct slice data, size_t out_n, unsigned char *info)
{
    size_t label_n = q->prefix.n + q->label.n, n = 0;

    if (label_n > 255 || data.n > 255 || out_n > UINT16_MAX)
        return 0;
    info[n++] = (unsigned char) (out_n >> 8);
    info[n++] = (unsigned char) out_n;
    info[n++] = (unsigned char) label_n;
    memcpy(info + n, q->prefix.at, q->prefix.n);
    n += q->prefix.n;
    memcpy(info + n, q->label.at, q->label.n);
    n += q->label.n;
    info[n++] = (unsigned char) data.n;
    if (data.n)
        memcpy(info + n, data.at, data.n);
    return n + data.n;
}

/* HKDF-Expand-Label; no key of TLS is longer than a digest. */
static bool
expand(const struct derivation *q, struct slice key, struct slice data, unsigned char *out,
       size_t out_n)
{
    unsigned char info[INFO_MAX], block[EVP_MAX_MD_SIZE];
    size_t n = write_label(q, data, out_n, info);

    if (n == 0 || out_n > tls_hmac_bytes(q->digest) ||
        !tls_hmac(q->digest, key, slice_of((char *) info, n), SLICE("\x01"), block))
        return false;
    memcpy(out, block, out_n);
    OPENSSL_cleanse(block, sizeof(block));
    return true;
}

/* The next secret of the schedule: from the one before (salt), if there is one, and what is new
 * (key); of nothing there are as many zeros as a digest has bytes. */
static bool
extract(const struct derivation *q, unsigned char *out, size_t out_n)
{
    static const char zeros[EVP_MAX_MD_SIZE];
    struct tls_digest *d = q->digest;
    unsigned char empty[EVP_MAX_MD_SIZE], derived[EVP_MAX_MD_SIZE];
    struct slice salt = {(char *) derived, tls_hmac_bytes(d)};
    struct slice key = slice_is_present(q->key) ? q->key : slice_of(zeros, tls_hmac_bytes(d));
    bool good;

    if (out_n != tls_hmac_bytes(d))
        return false;
    if (!slice_is_present(q->salt))
        return tls_hmac(d, SLICE(""), key, SLICE(""), out);
    good = EVP_DigestInit_ex2(d->context, d->md, NULL) &&
           EVP_DigestFinal_ex(d->context, empty, NULL) &&
           expand(q, q->salt, slice_of((char *) empty, tls_hmac_bytes(d)), derived,
                  tls_hmac_bytes(d)) &&
           tls_hmac(d, salt, key, SLICE(""), out);
    OPENSSL_cleanse(derived, sizeof(derived));
    return good;
}

bool
tls_schedule_expand(struct tls_digest *d, struct slice secret, struct slice label,
                    unsigned char *out, size_t n)
{
    struct derivation q = {.digest = d, .prefix = SLICE("tls13 "), .label = label};

    return expand(&q, secret, q.data, out, n);
}

/* Both secrets of the connection's own bytes, for lean.c. */
static void
note(struct tls_traffic *traffic, struct slice label, const unsigned char *secret, size_t n)
{
    bool client = slice_eq(label, SLICE("c ap traffic"));

    if ((!client && !slice_eq(label, SLICE("s ap traffic"))) || n > sizeof(traffic->client))
        return;
    memcpy(client ? traffic->client : traffic->server, secret, n);
    traffic->seen |= client ? TLS_TRAFFIC_CLIENT : TLS_TRAFFIC_SERVER;
}

/* ------------------------------------------------------------------ what OpenSSL calls */

static struct slice
octets(const OSSL_PARAM *p)
{
    return slice_of(p->data, p->data_size);
}

static void
read_param(struct tls_worker *w, struct derivation *q, const OSSL_PARAM *p)
{
    int mode = 0;

    if (strcmp(p->key, OSSL_KDF_PARAM_MODE) == 0)
        q->extract = OSSL_PARAM_get_int(p, &mode) && mode == EVP_KDF_HKDF_MODE_EXTRACT_ONLY;
    else if (strcmp(p->key, OSSL_KDF_PARAM_DIGEST) == 0)
        q->digest = tls_hmac_digest(w, p->data);
    else if (strcmp(p->key, OSSL_KDF_PARAM_KEY) == 0)
        q->key = octets(p);
    else if (strcmp(p->key, OSSL_KDF_PARAM_SALT) == 0)
        q->salt = octets(p);
    else if (strcmp(p->key, OSSL_KDF_PARAM_PREFIX) == 0)
        q->prefix = octets(p);
    else if (strcmp(p->key, OSSL_KDF_PARAM_LABEL) == 0)
        q->label = octets(p);
    else if (strcmp(p->key, OSSL_KDF_PARAM_DATA) == 0)
        q->data = octets(p);
}

/* libssl gives all parameters with the call; none are kept. */
static int
kdf_derive(void *context, unsigned char *out, size_t out_n, const OSSL_PARAM params[])
{
    struct tls_worker *worker = context;
    struct derivation q = {0};

    for (const OSSL_PARAM *p = params; p && p->key; p++)
        read_param(context, &q, p);
    if (!q.digest || !q.prefix.at || !q.label.at)
        return 0;
    if (q.extract)
        return extract(&q, out, out_n);
    if (!expand(&q, q.key, q.data, out, out_n))
        return 0;
    if (worker->traffic)
        note(worker->traffic, q.label, out, out_n);
    return 1;
}

static void *
kdf_new(void *worker)
{
    return worker;
}

static void
kdf_free(void *context)
{
    (void) context;
}

const OSSL_DISPATCH tls_schedule_functions[] = {
    {OSSL_FUNC_KDF_NEWCTX, (void (*)(void)) kdf_new},
    {OSSL_FUNC_KDF_FREECTX, (void (*)(void)) kdf_free},
    {OSSL_FUNC_KDF_DERIVE, (void (*)(void)) kdf_derive},
    {0, NULL},
};

