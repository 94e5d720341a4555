/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls/hmac.c - HMAC, for the key schedule at once, and for OpenSSL as an algorithm that it fetches.
 *
 * libssl makes three to six of them in a handshake (Finished on both sides, the binder of a
 * session, tickets), and OpenSSL 3.0's looks its digest up by name, twice, each time.
 */
#include "tls/hmac.h"

#include "base/check.h"

#include <openssl/core_names.h>
#include <openssl/params.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_MAX = 128, INNER = 0x36, OUTER = 0x5C };

/* ------------------------------------------------------------------ at once */

size_t
tls_hmac_bytes(const struct tls_digest *d)
{
    return (size_t) EVP_MD_get_size(d->md);
}

struct tls_digest *
tls_hmac_digest(struct tls_worker *w, const char *name)
{
    /* libssl calls it as OpenSSL itself does first; any other name costs a look-up. */
    for (size_t i = 0; i < TLS_DIGESTS; i++)
        if (strcmp(EVP_MD_get0_name(w->digests[i].md), name) == 0)
            return &w->digests[i];
    for (size_t i = 0; i < TLS_DIGESTS; i++)
        if (EVP_MD_is_a(w->digests[i].md, name))
            return &w->digests[i];
    return NULL;
}

/* Starts a digest with the key under a mask. */
static bool
start(EVP_MD_CTX *context, const EVP_MD *md, struct slice key, unsigned char mask)
{
    unsigned char block[BLOCK_MAX];
    size_t n = (size_t) EVP_MD_get_block_size(md);
    bool good;

    if (key.n > n || n > sizeof(block))
        return false;
    memset(block, mask, n);
    for (size_t i = 0; i < key.n; i++)
        block[i] ^= (unsigned char) key.at[i];
    good = EVP_DigestInit_ex2(context, md, NULL) && EVP_DigestUpdate(context, block, n);
    OPENSSL_cleanse(block, n);
    return good;
}

/* The second pass over what the first one gave. */
static bool
finish(EVP_MD_CTX *context, const EVP_MD *md, struct slice key, unsigned char *out)
{
    unsigned char inner[EVP_MAX_MD_SIZE];
    bool good = EVP_DigestFinal_ex(context, inner, NULL) && start(context, md, key, OUTER) &&
                EVP_DigestUpdate(context, inner, (size_t) EVP_MD_get_size(md)) &&
                EVP_DigestFinal_ex(context, out, NULL);

    OPENSSL_cleanse(inner, sizeof(inner));
    return good;
}

bool
tls_hmac(struct tls_digest *d, struct slice key, struct slice a, struct slice b,
         unsigned char *out)
{
    return start(d->context, d->md, key, INNER) && EVP_DigestUpdate(d->context, a.at, a.n) &&
           EVP_DigestUpdate(d->context, b.at, b.n) && finish(d->context, d->md, key, out);
}

/* ------------------------------------------------------------------ for OpenSSL */

struct mac {
    struct tls_worker *worker;
    struct tls_digest *digest; /* NULL: not said yet */
    EVP_MD_CTX        *context;
    unsigned char      key[BLOCK_MAX];
    size_t             key_n;
};

static void *
mac_new(void *worker)
{
    struct mac *m = calloc(1, sizeof(*m));

    if (!m)
        return NULL;
    m->worker = worker;
    m->context = EVP_MD_CTX_new();
    if (!m->context)
        free(take(&m));
    return m;
}

static void
mac_free(void *arg)
{
    struct mac *m = arg;

    if (!m)
        return;
    EVP_MD_CTX_free(m->context);
    OPENSSL_cleanse(m->key, m->key_n);
    free(m);
}

static void *
mac_copy(void *arg)
{
    const struct mac *from = arg;
    struct mac *m = mac_new(from->worker);

    if (!m)
        return NULL;
    m->digest = from->digest;
    m->key_n = from->key_n;
    memcpy(m->key, from->key, from->key_n);
    if (!EVP_MD_CTX_copy_ex(m->context, from->context)) {
        mac_free(m);
        return NULL;
    }
    return m;
}

/* Keys that are longer than a block are replaced by their digest. */
static bool
set_key(struct mac *m, const void *key, size_t n)
{
    unsigned char digest[EVP_MAX_MD_SIZE];

    if (!m->digest)
        return false;
    if (n > (size_t) EVP_MD_get_block_size(m->digest->md)) {
        if (!EVP_DigestInit_ex2(m->context, m->digest->md, NULL) ||
            !EVP_DigestUpdate(m->context, key, n) ||
            !EVP_DigestFinal_ex(m->context, digest, NULL))
            return false;
        key = digest;
        n = tls_hmac_bytes(m->digest);
    }
    memcpy(m->key, key, n);
    m->key_n = n;
    return true;
}

static bool
begin(struct mac *m)
{
    return start(m->context, m->digest->md, slice_of((const char *) m->key, m->key_n), INNER);
}

/* With a key it begins as well: libssl's tickets are not begun otherwise. */
static int
mac_set(void *arg, const OSSL_PARAM params[])
{
    struct mac *m = arg;
    const OSSL_PARAM *p = params ? OSSL_PARAM_locate_const(params, OSSL_MAC_PARAM_DIGEST) : NULL;

    if (p && p->data_type == OSSL_PARAM_UTF8_STRING)
        m->digest = tls_hmac_digest(m->worker, p->data);
    p = params ? OSSL_PARAM_locate_const(params, OSSL_MAC_PARAM_KEY) : NULL;
    return m->digest && (!p || (set_key(m, p->data, p->data_size) && begin(m)));
}

static int
mac_start(void *arg, const unsigned char *key, size_t n, const OSSL_PARAM params[])
{
    struct mac *m = arg;

    if ((params && params->key && !mac_set(m, params)) || (key && !set_key(m, key, n)))
        return 0;
    return m->digest && begin(m);
}

static int
mac_update(void *arg, const unsigned char *at, size_t n)
{
    struct mac *m = arg;

    return EVP_DigestUpdate(m->context, at, n);
}

static int
mac_final(void *arg, unsigned char *out, size_t *n, size_t room)
{
    struct mac *m = arg;

    *n = tls_hmac_bytes(m->digest);
    return room >= *n && finish(m->context, m->digest->md,
                                slice_of((const char *) m->key, m->key_n), out);
}

static const OSSL_PARAM *
mac_gettable(void *arg, void *worker)
{
    static const OSSL_PARAM known[] = {
        OSSL_PARAM_size_t(OSSL_MAC_PARAM_SIZE, NULL),
        OSSL_PARAM_END,
    };

    (void) arg, (void) worker;
    return known;
}

static int
mac_get(void *arg, OSSL_PARAM params[])
{
    const struct mac *m = arg;
    OSSL_PARAM *p = OSSL_PARAM_locate(params, OSSL_MAC_PARAM_SIZE);

    return !p || (m->digest && OSSL_PARAM_set_size_t(p, tls_hmac_bytes(m->digest)));
}

static const OSSL_PARAM *
mac_settable(void *arg, void *worker)
{
    static const OSSL_PARAM known[] = {
        OSSL_PARAM_utf8_string(OSSL_MAC_PARAM_DIGEST, NULL, 0),
        OSSL_PARAM_octet_string(OSSL_MAC_PARAM_KEY, NULL, 0),
        OSSL_PARAM_END,
    };

    (void) arg, (void) worker;
    return known;
}

const OSSL_DISPATCH tls_hmac_functions[] = {
    {OSSL_FUNC_MAC_NEWCTX, (void (*)(void)) mac_new},
    {OSSL_FUNC_MAC_DUPCTX, (void (*)(void)) mac_copy},
    {OSSL_FUNC_MAC_FREECTX, (void (*)(void)) mac_free},
    {OSSL_FUNC_MAC_INIT, (void (*)(void)) mac_start},
    {OSSL_FUNC_MAC_UPDATE, (void (*)(void)) mac_update},
    {OSSL_FUNC_MAC_FINAL, (void (*)(void)) mac_final},
    {OSSL_FUNC_MAC_GETTABLE_CTX_PARAMS, (void (*)(void)) mac_gettable},
    {OSSL_FUNC_MAC_GET_CTX_PARAMS, (void (*)(void)) mac_get},
    {OSSL_FUNC_MAC_SETTABLE_CTX_PARAMS, (void (*)(void)) mac_settable},
    {OSSL_FUNC_MAC_SET_CTX_PARAMS, (void (*)(void)) mac_set},
    {0, NULL},
};
