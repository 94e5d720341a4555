/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls/accept.c - a client's handshake, from the first byte.
 *
 * The client hello is received and read here; then an SSL is made that has the right certificates
 * from the start, and is fed with the bytes that were received.
 */
#include "runtime/fiber.h"
#include "tls/challenge.h"
#include "tls/layer.h"

#include <openssl/err.h>
#include <stdio.h>

/* RFC 8446 6: level, description. */
enum alert { ALERT_DECODE_ERROR = 50, ALERT_INTERNAL = 80, ALERT_UNRECOGNIZED_NAME = 112 };

/* How long a handshake waits for a certificate that may be had on demand, how often it looks, when
 * it must have been noticed, and what is left for the handshake itself. */
enum { DEMAND_US = 8000000, LOOK_US = 20000, NOTICE_US = 500000, DEMAND_REST_US = 1000000 };

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

/* What a connection begins with. */
struct start {
    struct tls_server       *server;
    struct slice             name;   /* that the client asks for, lower case; empty: none */
    const struct tls_choice *choice; /* in the store, or `proof` */
    struct tls_store        *store;  /* held while the choice is in use; may be NULL */
    struct tls_identity     *id;     /* what is shown for the proof; held; NULL: it is none */
    struct tls_choice        proof;
    char                     lower[256];
};

static bool
take_choice(struct start *s, struct tls_store *store, const struct tls_choice *choice)
{
    if (!choice)
        return false;
    tls_store_hold(store);
    s->store = store;
    s->choice = choice;
    return true;
}

static bool
find_in(struct start *s, struct tls_store *store)
{
    return store && take_choice(s, store, tls_store_find(store, s->name));
}

static bool
default_of(struct start *s, struct tls_store *store)
{
    return store && take_choice(s, store, tls_store_default(store));
}

/* A certificate may be had on demand: it is worth a little wait (challenge.h). */
static bool
wait_for(struct start *s, uint64_t deadline_us)
{
    uint64_t begun_us = loop_now_us(), now_us = begun_us;
    bool expected = false;

    if (s->name.n == 0 || !tls_challenge_wanted(s->server, s->name))
        return false;
    while (now_us < begun_us + DEMAND_US && now_us + DEMAND_REST_US < deadline_us) {
        bool is_expected = tls_challenge_is_expected(s->name);

        if (find_in(s, s->server->kept))
            return true;
        if (!is_expected && (expected || now_us > begun_us + NOTICE_US))
            return false;
        expected = is_expected;
        if (fiber_sleep_until(now_us + LOOK_US) != OK)
            return false;
        now_us = loop_now_us();
    }
    return false;
}

/* False: the name is refused. */
static bool
choose(struct start *s, uint64_t deadline_us)
{
    if (find_in(s, s->server->store) || find_in(s, s->server->kept) || wait_for(s, deadline_us))
        return true;
    return !s->server->refuse_unknown &&
           (default_of(s, s->server->store) || default_of(s, s->server->kept));
}

/* RFC 8737: a certificate authority comes to see whether the name is ours. */
static bool
choose_proof(struct start *s)
{
    s->id = tls_challenge_identity(s->name);
    if (!s->id)
        return false;
    s->proof.of[s->id->kind] = s->id;
    s->choice = &s->proof;
    return true;
}

static bool
start_with(struct start *s, struct tls_server *server, const struct tls_hello *hello,
           uint64_t deadline_us)
{
    *s = (struct start){.server = server};
    for (size_t i = 0; i < hello->sni.n; i++)
        s->lower[i] = ascii_lower(hello->sni.at[i]);
    s->name = slice_of(s->lower, hello->sni.n);
    return slice_eq(hello->alpn, SLICE("\x0A" TLS_CHALLENGE_ALPN)) ? choose_proof(s)
                                                                   : choose(s, deadline_us);
}

static void
start_free(struct start *s)
{
    tls_store_release(s->store);
    tls_identity_release(s->id);
}

/* ------------------------------------------------------------------ the handshake */

/* Nobody but the authority is here, and it has seen what it wanted to see. */
static enum err
end_proof(struct sock *s)
{
    (void) sock_finish(s);
    return ERR_END;
}

static enum err
shake_hands(struct sock *s, const struct start *start, const struct tls_hello *hello,
            struct tls_greeting *g, uint64_t deadline_us)
{
    struct tls_worker *w = tls_worker_self();
    SSL_CTX *context = w ? tls_server_context(start->server, w) : NULL;
    struct tls_layer *t = context ? tls_layer_new(s, context, hello) : NULL;
    enum err e;

    if (!t) {
        send_alert(s, ALERT_INTERNAL);
        snprintf(g->why, sizeof(g->why), "out of memory");
        ERR_clear_error();
        return ERR_NO_MEMORY;
    }
    SSL_set_accept_state(t->ssl);
    if (start->id)
        SSL_set_verify(t->ssl, SSL_VERIFY_NONE, NULL);
    t->choice = start->choice;
    if (!tls_layer_feed(t, slice_of(g->buffer, g->n))) {
        tls_layer_free(t);
        return ERR_NO_MEMORY;
    }
    e = tls_layer_handshake(t, deadline_us, g->why, sizeof(g->why));
    t->choice = NULL;
    if (e != OK) {
        tls_layer_free(t);
        return e;
    }
    return start->id ? end_proof(s) : OK;
}

static enum err
refuse_name(struct sock *s, const struct tls_hello *hello, struct tls_greeting *g)
{
    send_alert(s, ALERT_UNRECOGNIZED_NAME);
    snprintf(g->why, sizeof(g->why), "no certificate is for the name `%.*s`",
             (int) (hello->sni.n < 64 ? hello->sni.n : 64), hello->sni.at);
    return ERR_DENIED;
}

enum err
tls_accept(struct sock *s, struct tls_server *server, struct tls_greeting *g, uint64_t deadline_us)
{
    char *scratch = buffer_take(BUFFER_SMALL);
    struct tls_hello hello;
    struct start start;
    enum err e;

    g->plain_http = false;
    g->why[0] = '\0';
    if (!scratch)
        return ERR_NO_MEMORY;
    tls_server_hold(server);
    e = read_hello(s, g, scratch, &hello, deadline_us);
    if (e == OK) {
        e = start_with(&start, server, &hello, deadline_us)
                ? shake_hands(s, &start, &hello, g, deadline_us)
                : refuse_name(s, &hello, g);
        start_free(&start);
    }
    buffer_give(BUFFER_SMALL, scratch);
    tls_server_release(server);
    return e;
}
