/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls/accept.c - a client's handshake, from the first byte.
 *
 * The client hello is received and read here; then an SSL is made that has the right certificates
 * from the start, and is fed with the bytes that were received.
 */
#include "tls/layer.h"

#include <openssl/err.h>
#include <stdio.h>

/* RFC 8446 6: level, description. */
enum alert { ALERT_DECODE_ERROR = 50, ALERT_INTERNAL = 80, ALERT_UNRECOGNIZED_NAME = 112 };

static void
send_alert(struct sock *s, enum alert alert)
{
    char record[7] = {21, 3, 3, 0, 2, 2, (char) alert};

    (void) sock_send_now(s, record, sizeof(record));
}

/* ------------------------------------------------------------------ the client hello */

static enum err
not_a_hello(struct sock *s, struct tls_greeting *g, enum tls_hello_result result)
{
    g->plain_http = result == TLS_HELLO_HTTP;
    if (result == TLS_HELLO_BAD) {
        send_alert(s, ALERT_DECODE_ERROR);
        snprintf(g->why, sizeof(g->why), "the client hello cannot be read");
    } else {
        snprintf(g->why, sizeof(g->why), "%s",
                 g->plain_http ? "the client speaks HTTP without TLS"
                               : "the client does not speak TLS");
    }
    return ERR_MALFORMED;
}

static enum err
read_hello(struct sock *s, struct tls_greeting *g, char *scratch, struct tls_hello *hello,
           uint64_t deadline_us)
{
    for (;;) {
        enum tls_hello_result result = tls_hello_parse(slice_of(g->buffer, g->n), scratch, hello);
        size_t got = 0;
        enum err e;

        if (result == TLS_HELLO_DONE)
            return OK;
        if (result == TLS_HELLO_MORE && g->n == BUFFER_SMALL_BYTES)
            result = TLS_HELLO_BAD;
        if (result != TLS_HELLO_MORE)
            return not_a_hello(s, g, result);
        e = sock_recv(s, g->buffer + g->n, BUFFER_SMALL_BYTES - g->n, deadline_us, &got);
        g->n += got;
        if (e != OK) {
            if (g->n)
                snprintf(g->why, sizeof(g->why), "in the client hello: %s", err_sentence(e));
            return e;
        }
    }
}

/* ------------------------------------------------------------------ the certificate */

static bool
use_identity(SSL *ssl, struct tls_identity *id, struct tls_worker *w)
{
    const struct tls_identity_copy *c = tls_identity_copy(id, w->number, w->library);

    return c && SSL_use_cert_and_key(ssl, c->leaf, c->key, c->chain, 1) == 1;
}

static bool
use_choice(SSL *ssl, const struct tls_choice *choice, struct tls_worker *w)
{
    for (size_t kind = 0; kind < TLS_KEY_KINDS; kind++)
        if (choice->of[kind] && !use_identity(ssl, choice->of[kind], w))
            return false;
    return true;
}

/* NULL: the name is refused. */
static const struct tls_choice *
choose(const struct tls_server *server, const struct tls_store *store, struct slice sni)
{
    char lower[256];
    const struct tls_choice *choice;

    for (size_t i = 0; i < sni.n; i++)
        lower[i] = ascii_lower(sni.at[i]);
    choice = tls_store_find(store, slice_of(lower, sni.n));
    if (choice || server->refuse_unknown)
        return choice;
    return tls_store_default(store);
}

/* ------------------------------------------------------------------ the handshake */

static enum err
shake_hands(struct sock *s, struct tls_server *server, struct tls_store *store,
            const struct tls_hello *hello, struct tls_greeting *g, uint64_t deadline_us)
{
    struct tls_worker *w = tls_worker_self();
    SSL_CTX *context = w ? tls_server_context(server, w) : NULL;
    const struct tls_choice *choice = choose(server, store, hello->sni);
    struct tls_layer *t;
    enum err e;

    if (!choice) {
        send_alert(s, ALERT_UNRECOGNIZED_NAME);
        snprintf(g->why, sizeof(g->why), "no certificate is for the name `%.*s`",
                 (int) (hello->sni.n < 64 ? hello->sni.n : 64), hello->sni.at);
        return ERR_DENIED;
    }
    t = context ? tls_layer_new(s, context, hello) : NULL;
    if (!t || !use_choice(t->ssl, choice, w)) {
        send_alert(s, ALERT_INTERNAL);
        snprintf(g->why, sizeof(g->why), "out of memory");
        ERR_clear_error();
        if (t)
            tls_layer_free(t);
        return ERR_NO_MEMORY;
    }
    SSL_set_accept_state(t->ssl);
    t->choice = choice;
    t->early = slice_of(g->buffer, g->n);
    e = tls_layer_handshake(t, deadline_us, g->why, sizeof(g->why));
    t->choice = NULL;
    if (e != OK)
        tls_layer_free(t);
    return e;
}

enum err
tls_accept(struct sock *s, struct tls_server *server, struct tls_greeting *g, uint64_t deadline_us)
{
    char *scratch = buffer_take(BUFFER_SMALL);
    struct tls_hello hello;
    struct tls_store *store;
    enum err e;

    g->plain_http = false;
    g->why[0] = '\0';
    if (!scratch)
        return ERR_NO_MEMORY;
    tls_server_hold(server);
    e = read_hello(s, g, scratch, &hello, deadline_us);
    if (e == OK) {
        store = server->store;
        tls_store_hold(store);
        e = shake_hands(s, server, store, &hello, g, deadline_us);
        tls_store_release(store);
    }
    buffer_give(BUFFER_SMALL, scratch);
    tls_server_release(server);
    return e;
}
