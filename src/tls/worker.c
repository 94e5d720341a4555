/* SPDX-License-Identifier: Apache-2.0 */
/* tls/worker.c - a library context for each worker, made when it is first needed. */
#include "tls/worker.h"

#include "runtime/loop.h"
#include "runtime/quiesce.h"

/* Each element belongs to the thread whose loop has that number, and stays until the process
 * ends. */
static struct tls_worker workers[WORKERS_MAX];

static bool
make(struct tls_worker *w)
{
    w->library = OSSL_LIB_CTX_new();
    w->ticket_cipher = EVP_CIPHER_fetch(w->library, "AES-256-CBC", NULL);
    w->sha256 = EVP_MD_fetch(w->library, "SHA256", NULL);
    w->digest = EVP_MD_CTX_new();
    return w->library && w->ticket_cipher && w->sha256 && w->digest;
}

static void
unmake(struct tls_worker *w)
{
    X509_STORE_free(w->system_trust);
    EVP_MD_CTX_free(w->digest);
    EVP_MD_free(w->sha256);
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
    return w;
}

void
tls_worker_digest(void *worker, struct slice s, unsigned char out[32])
{
    struct tls_worker *w = worker;

    if (!EVP_DigestInit_ex2(w->digest, w->sha256, NULL) ||
        !EVP_DigestUpdate(w->digest, s.at, s.n) || !EVP_DigestFinal_ex(w->digest, out, NULL))
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
