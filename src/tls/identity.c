/* SPDX-License-Identifier: Apache-2.0 */
/* tls/identity.c - identities: counted, and made into OpenSSL's objects on each worker. */
#include "tls/identity.h"

#include "tls/ocsp.h"
#include "tls/worker.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <stdlib.h>

static void
copy_free(struct tls_identity_copy *c)
{
    X509_free(c->leaf);
    sk_X509_pop_free(c->chain, X509_free);
    EVP_PKEY_free(c->key);
    free(c);
}

void
tls_identity_hold(struct tls_identity *id)
{
    atomic_fetch_add_explicit(&id->refs, 1, memory_order_relaxed);
}

void
tls_identity_release(struct tls_identity *id)
{
    if (!id || atomic_fetch_sub(&id->refs, 1) != 1)
        return;
    for (struct tls_identity_copy *c = id->copies, *next; c; c = next) {
        next = c->next;
        copy_free(c);
    }
    EVP_PKEY_free(id->token);
    tls_ocsp_forget(id);
    if (id->key.at)
        OPENSSL_cleanse((char *) id->key.at, id->key.n);
    arena_free(&id->arena);
    free(id);
}

struct slice
tls_identity_name(const struct tls_identity *id, size_t i)
{
    return i < id->n_names ? id->names[i] : (struct slice){NULL, 0};
}

int64_t
tls_identity_expires_s(const struct tls_identity *id)
{
    return id->expires_s;
}

static X509 *
make_certificate(OSSL_LIB_CTX *library, struct slice der)
{
    const unsigned char *at = (const unsigned char *) der.at;
    X509 *x = X509_new_ex(library, NULL);

    if (x && !d2i_X509(&x, &at, (long) der.n))
        return NULL; /* d2i has freed it */
    return x;
}

static bool
make_chain(struct tls_identity_copy *c, const struct tls_identity *id, OSSL_LIB_CTX *library)
{
    c->chain = sk_X509_new_null();
    for (size_t i = 1; c->chain && i < id->n_certificates; i++) {
        X509 *x = make_certificate(library, id->certificates[i]);

        if (!x || sk_X509_push(c->chain, x) == 0) {
            X509_free(x);
            return false;
        }
    }
    return c->chain != NULL;
}

static EVP_PKEY *
make_key(const struct tls_identity *id, struct tls_worker *w)
{
    if (!id->token)
        return tls_key_read(&w->keys, w->library, id->key);
    return EVP_PKEY_up_ref(id->token) ? id->token : NULL;
}

const struct tls_identity_copy *
tls_identity_copy(struct tls_identity *id, struct tls_worker *w)
{
    struct tls_identity_copy *c = atomic_load_explicit(&id->copies, memory_order_acquire);

    while (c && c->worker != w->number)
        c = c->next;
    if (c)
        return c;
    c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    c->worker = w->number;
    c->leaf = make_certificate(w->library, id->certificates[0]);
    c->key = make_key(id, w);
    if (!c->leaf || !c->key || !make_chain(c, id, w->library)) {
        ERR_clear_error();
        copy_free(c);
        return NULL;
    }
    c->next = atomic_load_explicit(&id->copies, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&id->copies, &c->next, c, memory_order_release,
                                                  memory_order_relaxed))
        continue;
    return c;
}
