/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls/connect.c - TLS to servers: whom to trust, whose name to insist on, sessions to resume.
 */
#include "tls/layer.h"
#include "tls/profile.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

struct tls_client {
    _Atomic uint32_t     refs;
    uint64_t             serial; /* for sessions: never given twice */
    char                *ca;     /* PEM; NULL: the system's */
    size_t               ca_n;
    bool                 insecure;
    struct tls_identity *identity;
    unsigned char        alpn[12];
    unsigned             alpn_n;
    enum tls_profile     profile;
    SSL_CTX             *contexts[WORKERS_MAX]; /* each belongs to one worker */
};

/* ------------------------------------------------------------------ sessions */

void
tls_session_clear(struct tls_session_slot *slot)
{
    SSL_SESSION_free(slot->session);
    *slot = (struct tls_session_slot){NULL, 0};
}

/* A ticket has come.  1: the session is ours to free. */
static int
on_session(SSL *ssl, SSL_SESSION *session)
{
    const struct tls_layer *t = SSL_get_app_data(ssl);

    if (!t->slot)
        return 0;
    tls_session_clear(t->slot);
    *t->slot = (struct tls_session_slot){session, t->client};
    return 1;
}

static void
resume(struct tls_layer *t)
{
    if (t->slot && t->slot->session && t->slot->client == t->client)
        (void) SSL_set_session(t->ssl, t->slot->session);
}

/* ------------------------------------------------------------------ contexts */

/* w: NULL while it is only tried. */
static bool
set_trust(const struct tls_client *c, SSL_CTX *context, struct tls_worker *w, struct text *why)
{
    if (c->insecure) {
        SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
        return true;
    }
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    if (c->ca)
        return tls_profile_trust(SSL_CTX_get_cert_store(context), NULL, slice_of(c->ca, c->ca_n),
                                 why) > 0;
    if (w && tls_worker_system_trust(w))
        SSL_CTX_set1_cert_store(context, tls_worker_system_trust(w));
    return true;
}

static bool
set_identity(const struct tls_client *c, SSL_CTX *context, struct tls_worker *w)
{
    const struct tls_identity_copy *own;

    if (!c->identity || !w)
        return true;
    own = tls_identity_copy(c->identity, w);
    return own && SSL_CTX_use_cert_and_key(context, own->leaf, own->key, own->chain, 1) == 1;
}

static SSL_CTX *
make_context(const struct tls_client *c, struct tls_worker *w, struct text *why)
{
    SSL_CTX *context = SSL_CTX_new_ex(w ? w->library : NULL, NULL, TLS_client_method());

    if (!context || !tls_profile_apply(context, c->profile) || !set_trust(c, context, w, why) ||
        !set_identity(c, context, w) ||
        (c->alpn_n && SSL_CTX_set_alpn_protos(context, c->alpn, c->alpn_n) != 0)) {
        if (why->n == 0)
            text_literal(why, "out of memory");
        SSL_CTX_free(context);
        ERR_clear_error();
        return NULL;
    }
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context, on_session);
    return context;
}

static SSL_CTX *
context_of(struct tls_client *c)
{
    struct tls_worker *w = tls_worker_self();
    char room[200];
    struct text why;

    text_fixed(&why, room, sizeof(room));
    if (w && !c->contexts[w->number])
        c->contexts[w->number] = make_context(c, w, &why);
    return w ? c->contexts[w->number] : NULL;
}

/* ------------------------------------------------------------------ clients */

static void
set_alpn(struct tls_client *c, const struct tls_client_options *o)
{
    if (o->offer_h2) {
        memcpy(c->alpn, "\x02h2", 3);
        c->alpn_n = 3;
    }
    if (o->offer_h1) {
        memcpy(c->alpn + c->alpn_n, "\x08http/1.1", 9);
        c->alpn_n += 9;
    }
}

static bool
copy_options(struct tls_client *c, const struct tls_client_options *o)
{
    static _Atomic uint64_t serials;

    c->serial = atomic_fetch_add(&serials, 1) + 1;
    c->insecure = o->insecure;
    c->profile = o->profile;
    set_alpn(c, o);
    if (o->identity) {
        tls_identity_hold(o->identity);
        c->identity = o->identity;
    }
    if (!slice_is_present(o->ca))
        return true;
    c->ca = malloc(o->ca.n + 1);
    if (!c->ca)
        return false;
    memcpy(c->ca, o->ca.at, o->ca.n);
    c->ca_n = o->ca.n;
    return true;
}

struct tls_client *
tls_client_new(const struct tls_client_options *o, struct text *why)
{
    struct tls_client *c = calloc(1, sizeof(*c));
    SSL_CTX *tried = NULL;

    if (c) {
        c->refs = 1;
        if (copy_options(c, o))
            tried = make_context(c, NULL, why);
    }
    if (!tried) {
        if (why->n == 0)
            text_literal(why, "out of memory");
        tls_client_release(c);
        return NULL;
    }
    SSL_CTX_free(tried);
    return c;
}

void
tls_client_hold(struct tls_client *c)
{
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
}

void
tls_client_release(struct tls_client *c)
{
    if (!c || atomic_fetch_sub(&c->refs, 1) != 1)
        return;
    for (size_t i = 0; i < WORKERS_MAX; i++)
        SSL_CTX_free(c->contexts[i]);
    tls_identity_release(c->identity);
    free(c->ca);
    free(c);
}

/* ------------------------------------------------------------------ the handshake */

/* Ends in a zero byte in room, which has 256 bytes; NULL when it is no name. */
static const char *
zero_ended(struct slice s, char *room)
{
    if (s.n == 0 || s.n > 255 || slice_find(s, '\0') != SLICE_NOT_FOUND)
        return NULL;
    memcpy(room, s.at, s.n);
    room[s.n] = '\0';
    return room;
}

/* The certificate must be for the name; the server is asked for it. */
static bool
insist_on(struct tls_layer *t, const struct tls_client *c, const struct tls_call *call)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(t->ssl);
    char name_room[256], sni_room[256];
    const char *name = zero_ended(call->name, name_room);
    const char *sni = zero_ended(call->sni, sni_room);
    bool is_ip = name && X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1;

    ERR_clear_error();
    if (!name && !c->insecure)
        return false;
    if (name && !is_ip) {
        /* RFC 9525 2: what stands in the subject is no name. */
        X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
                                                   X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
        if (X509_VERIFY_PARAM_set1_host(param, name, 0) != 1)
            return false;
    }
    if (!sni && !is_ip)
        sni = name;
    return !sni || SSL_set_tlsext_host_name(t->ssl, sni) == 1;
}

static enum err
shake_hands(struct sock *s, struct tls_client *c, SSL_CTX *context, struct tls_call *call,
            uint64_t deadline_us)
{
    struct tls_layer *t = tls_layer_new(s, context, NULL);
    enum err e;

    if (!t) {
        snprintf(call->why, sizeof(call->why), "out of memory");
        return ERR_NO_MEMORY;
    }
    t->slot = call->slot;
    t->client = c->serial;
    SSL_set_connect_state(t->ssl);
    if (!insist_on(t, c, call)) {
        snprintf(call->why, sizeof(call->why), "`%.*s` cannot be the name of a server",
                 (int) (call->name.n < 64 ? call->name.n : 64), call->name.at);
        e = ERR_DENIED;
    } else {
        resume(t);
        e = tls_layer_handshake(t, deadline_us, call->why, sizeof(call->why));
    }
    if (e != OK)
        tls_layer_free(t);
    return e;
}

enum err
tls_connect(struct sock *s, struct tls_client *client, struct tls_call *call, uint64_t deadline_us)
{
    SSL_CTX *context = context_of(client);
    enum err e;

    call->why[0] = '\0';
    if (!context) {
        snprintf(call->why, sizeof(call->why), "out of memory");
        return ERR_NO_MEMORY;
    }
    tls_client_hold(client);
    e = shake_hands(s, client, context, call, deadline_us);
    if ((e == ERR_DENIED || e == ERR_MALFORMED) && call->slot)
        tls_session_clear(call->slot);
    tls_client_release(client);
    return e;
}
