/* SPDX-License-Identifier: Apache-2.0 */
/* tls/worker.c - a library context for each worker, made when it is first needed. */
#include "tls/worker.h"

#include "runtime/loop.h"
#include "runtime/quiesce.h"
#include "tls/provider.h"

const struct tls_suite_parts tls_suites[TLS_SUITES] = {
    [TLS_AES_128] = {0x1301, TLS_SHA256, "AES-128-GCM"},
    [TLS_AES_256] = {0x1302, TLS_SHA384, "AES-256-GCM"},
    [TLS_CHACHA20] = {0x1303, TLS_SHA256, "ChaCha20-Poly1305"},
};

/* Each element belongs to the thread whose loop has that number, and stays until the process
 * ends. */
static struct tls_worker workers[WORKERS_MAX];

static bool
make_digest(OSSL_LIB_CTX *library, const char *name, struct tls_digest *d)
{
    d->md = EVP_MD_fetch(library, name, NULL);
    d->context = EVP_MD_CTX_new();
    return d->md && d->context;
}

static bool
make_ciphers(struct tls_worker *w)
{
    w->ticket_cipher = EVP_CIPHER_fetch(w->library, "AES-256-CBC", NULL);
    for (size_t i = 0; i < TLS_SUITES; i++) {
        w->ciphers[i] = EVP_CIPHER_fetch(w->library, tls_suites[i].cipher, NULL);
        if (!w->ciphers[i])
            return false;
    }
    return w->ticket_cipher != NULL;
}

static bool
make(struct tls_worker *w)
{
    w->library = OSSL_LIB_CTX_new();
    if (!w->library || !tls_provider_install(w))
        return false;
    return make_ciphers(w) && make_digest(w->library, "SHA256", &w->digests[TLS_SHA256]) &&
           make_digest(w->library, "SHA384", &w->digests[TLS_SHA384]);
}

static void
unmake(struct tls_worker *w)
{
    X509_STORE_free(w->system_trust);
    tls_key_reader_free(&w->keys);
    for (size_t i = 0; i < TLS_DIGESTS; i++) {
        EVP_MD_CTX_free(w->digests[i].context);
        EVP_MD_free(w->digests[i].md);
    }
    for (size_t i = 0; i < TLS_SUITES; i++)
        EVP_CIPHER_free(w->ciphers[i]);
    EVP_CIPHER_free(w->ticket_cipher);
    OSSL_LIB_CTX_free(w->library);
    *w = (struct tls_worker){0};
}

struct tls_worker *
tls_worker_self(void)
{
    struct tls_worker *w = &workers[loop_self()->number];

    if (w->library)
        return w;
    if (!make(w)) {
        unmake(w);
        return NULL;
    }
    w->number = loop_self()->number;
    list_init(&w->warm);
    return w;
}

void
tls_worker_digest(void *worker, struct slice s, unsigned char out[32])
{
    struct tls_digest *d = &((struct tls_worker *) worker)->digests[TLS_SHA256];

    if (!EVP_DigestInit_ex2(d->context, d->md, NULL) ||
        !EVP_DigestUpdate(d->context, s.at, s.n) || !EVP_DigestFinal_ex(d->context, out, NULL))
        memset(out, 0, 32);
}

/* OpenSSL's places, or what SSL_CERT_FILE and SSL_CERT_DIR name.  Of a folder it reads the few
 * files that it needs, when it needs them. */
X509_STORE *
tls_worker_system_trust(struct tls_worker *w)
{
    if (w->system_trust)
        return w->system_trust;
    w->system_trust = X509_STORE_new();
    if (w->system_trust &&
        X509_STORE_set_default_paths_ex(w->system_trust, w->library, NULL) != 1) {
        X509_STORE_free(w->system_trust);
        w->system_trust = NULL;
    }
    return w->system_trust;
}
