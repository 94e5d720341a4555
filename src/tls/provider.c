/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls/provider.c - two algorithms of which a handshake asks dozens of times, as an OpenSSL provider
 * that is built in, stands next to OpenSSL's own one and is preferred to it.
 *
 * Cryptography stays OpenSSL's: what is ours is only how it is called.  HMAC is there for SHA-256
 * and SHA-384, which is all that TLS asks for.
 */
#include "tls/provider.h"

#include "tls/hmac.h"
#include "tls/schedule.h"

#include <openssl/core_names.h>
#include <openssl/provider.h>

#define NAME "maitred"

static const OSSL_ALGORITHM *
query(void *worker, int operation, int *no_cache)
{
    static const OSSL_ALGORITHM kdfs[] = {
        {OSSL_KDF_NAME_TLS1_3_KDF, "provider=" NAME, tls_schedule_functions, NULL},
        {NULL, NULL, NULL, NULL},
    };
    static const OSSL_ALGORITHM macs[] = {
        {OSSL_MAC_NAME_HMAC, "provider=" NAME, tls_hmac_functions, NULL},
        {NULL, NULL, NULL, NULL},
    };

    (void) worker;
    *no_cache = 0;
    switch (operation) {
    case OSSL_OP_KDF: return kdfs;
    case OSSL_OP_MAC: return macs;
    default: return NULL;
    }
}

/* Whose library context is being set up: the provider has no other way to learn it. */
static __thread struct tls_worker *installing;

static int
start(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in, const OSSL_DISPATCH **out,
      void **context)
{
    static const OSSL_DISPATCH functions[] = {
        {OSSL_FUNC_PROVIDER_QUERY_OPERATION, (void (*)(void)) query},
        {0, NULL},
    };

    (void) handle, (void) in;
    *out = functions;
    *context = installing;
    return 1;
}

bool
tls_provider_install(struct tls_worker *w)
{
    bool good;

    installing = w;
    /* Who loads one provider has to load the default one as well. */
    good = OSSL_PROVIDER_load(w->library, "default") != NULL &&
           OSSL_PROVIDER_add_builtin(w->library, NAME, start) == 1 &&
           OSSL_PROVIDER_load(w->library, NAME) != NULL &&
           EVP_set_default_properties(w->library, "?provider=" NAME) == 1;
    installing = NULL;
    return good;
}
