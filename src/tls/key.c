/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls/key.c - private keys, from DER or from where they never leave.
 *
 * To find out how to decode a key takes OpenSSL 3 some ten times as long as to decode it
 * (d2i_AutoPrivateKey() of an EC key: 370 us): what has been found out is kept.
 *
 * Keys in hardware are named by a URI.  A provider that OpenSSL's configuration file loads may know
 * it (OSSL_STORE); else there may be an engine of that name, as libp11's `pkcs11`.  Engines are
 * deprecated, but Debian 12 has no provider for PKCS#11.
 */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "tls/key.h"

#include <openssl/engine.h>
#include <openssl/err.h>
#include <openssl/store.h>
#include <openssl/ui.h>
#include <string.h>

EVP_PKEY *
tls_key_read(struct tls_key_reader *r, OSSL_LIB_CTX *library, struct slice der)
{
    const unsigned char *at = (const unsigned char *) der.at;
    size_t n = der.n;

    if (!r->context)
        r->context = OSSL_DECODER_CTX_new_for_pkey(&r->key, "DER", NULL, NULL, EVP_PKEY_KEYPAIR,
                                                   library, NULL);
    r->key = NULL;
    if (!r->context || OSSL_DECODER_from_data(r->context, &at, &n) != 1) {
        EVP_PKEY_free(r->key);
        r->key = NULL;
    }
    return r->key;
}

void
tls_key_reader_free(struct tls_key_reader *r)
{
    OSSL_DECODER_CTX_free(r->context);
    r->context = NULL;
}

/* ------------------------------------------------------------------ by URI */

enum { URI_MAX = 1000 };

/* Nobody is there to type a PIN. */
static UI_METHOD *
no_questions(void)
{
    return (UI_METHOD *) UI_null();
}

static EVP_PKEY *
from_store(const char *uri)
{
    OSSL_STORE_CTX *store = OSSL_STORE_open(uri, no_questions(), NULL, NULL, NULL);
    EVP_PKEY *key = NULL;

    while (store && !key && !OSSL_STORE_eof(store)) {
        OSSL_STORE_INFO *info = OSSL_STORE_load(store);

        if (!info)
            break;
        key = OSSL_STORE_INFO_get1_PKEY(info);
        OSSL_STORE_INFO_free(info);
    }
    OSSL_STORE_close(store);
    return key;
}

/* Takes `module-path` out of the URI's query (RFC 7512 2.4): engines want to be told apart. */
static void
cut_module(char *uri, char *path, size_t room)
{
    static const char name[] = "module-path=";
    char *at = strchr(uri, '?'), *end;

    path[0] = '\0';
    at = at ? strstr(at, name) : NULL;
    if (!at)
        return;
    end = at + strcspn(at, "&");
    snprintf(path, room, "%.*s", (int) (end - at) - (int) (sizeof(name) - 1),
             at + sizeof(name) - 1);
    if (*end == '&')
        memmove(at, end + 1, strlen(end + 1) + 1);
    else
        at[-1] = '\0'; /* and the ? or & before it */
}

/* One engine is started, with one module, and stays: its keys need it, and it remembers where it is
 * logged in. */
static struct {
    ENGINE *engine;
    char    name[32], module[URI_MAX];
} started;

/* NULL, maybe with a sentence. */
static ENGINE *
start_engine(const char *name, const char *module, struct text *why)
{
    ENGINE *engine;

    if (started.engine) {
        if (strcmp(name, started.name) == 0 && strcmp(module, started.module) == 0)
            return started.engine;
        text_printf(why, "keys are in use from `%s`%s%s already, and all must be from there",
                    started.name, started.module[0] ? " with " : "", started.module);
        return NULL;
    }
    engine = ENGINE_by_id(name);
    if (!engine)
        return NULL;
    if ((module[0] && !ENGINE_ctrl_cmd_string(engine, "MODULE_PATH", module, 0)) ||
        !ENGINE_init(engine)) {
        ENGINE_free(engine);
        return NULL;
    }
    started.engine = engine;
    snprintf(started.name, sizeof(started.name), "%s", name);
    snprintf(started.module, sizeof(started.module), "%s", module);
    return engine;
}

/* The first error is the cause; those after it tell who was called. */
static void
explain(struct text *why, struct slice scheme)
{
    unsigned long error = ERR_peek_error();
    const char *text = ERR_reason_error_string(error);

    text_printf(why, "the private key cannot be had from `%.*s`: %s", SLICE_ARG(scheme),
                text ? text : "nobody knows it");
    ERR_clear_error();
}

EVP_PKEY *
tls_key_fetch(struct slice uri, struct text *why)
{
    struct slice scheme = slice_first(uri, slice_find(uri, ':'));
    char whole[URI_MAX], module[URI_MAX], name[32];
    EVP_PKEY *key;
    ENGINE *engine;

    if (uri.n >= sizeof(whole) || scheme.n >= sizeof(name)) {
        text_literal(why, "the name of the private key is too long");
        return NULL;
    }
    snprintf(whole, sizeof(whole), "%.*s", SLICE_ARG(uri));
    snprintf(name, sizeof(name), "%.*s", SLICE_ARG(scheme));
    key = from_store(whole);
    if (!key) {
        ERR_clear_error();
        cut_module(whole, module, sizeof(module));
        engine = start_engine(name, module, why);
        key = engine ? ENGINE_load_private_key(engine, whole, no_questions(), NULL) : NULL;
    }
    if (!key && why->n == 0)
        explain(why, scheme);
    ERR_clear_error();
    return key;
}
