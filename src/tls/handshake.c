/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls/handshake.c - both sides' handshake: OpenSSL's steps with the waiting between them, and what
 * is known afterwards.
 */
#include "tls/lean.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

enum { PEER_TEXT_MAX = 4096 };

/* ------------------------------------------------------------------ facts */

static struct slice
version_of(const SSL *ssl)
{
    switch (SSL_version(ssl)) {
    case TLS1_3_VERSION: return SLICE("1.3");
    case TLS1_2_VERSION: return SLICE("1.2");
    default: return slice_str(SSL_get_version(ssl));
    }
}

/* OpenSSL's own copy lives as long as the connection. */
static struct slice
alpn_of(const SSL *ssl)
{
    const unsigned char *at;
    unsigned n;

    SSL_get0_alpn_selected(ssl, &at, &n);
    return n ? slice_of((const char *) at, n) : (struct slice){NULL, 0};
}

static void
put_subject(struct text *t, X509 *x)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *at;
    long n;

    if (bio && X509_NAME_print_ex(bio, X509_get_subject_name(x), 0, XN_FLAG_RFC2253) >= 0 &&
        (n = BIO_get_mem_data(bio, &at)) > 0)
        text_put(t, slice_of(at, (size_t) n));
    BIO_free(bio);
}

static void
put_address(struct text *t, const ASN1_OCTET_STRING *ip)
{
    const unsigned char *at = ASN1_STRING_get0_data(ip);
    union address a = {0};
    char room[ADDRESS_TEXT_MAX];

    if (ASN1_STRING_length(ip) == 4) {
        a.v4.sin_family = AF_INET;
        memcpy(&a.v4.sin_addr, at, 4);
    } else if (ASN1_STRING_length(ip) == 16) {
        a.v6.sin6_family = AF_INET6;
        memcpy(&a.v6.sin6_addr, at, 16);
    } else {
        return;
    }
    text_put(t, slice_of(room, address_write_ip(&a, room)));
}

/* Names with a comma or control byte inside could pass for others: they are left out. */
static bool
is_plain(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.at[i] == ',' || (unsigned char) s.at[i] < 0x21 || (unsigned char) s.at[i] > 0x7E)
            return false;
    return s.n > 0;
}

static void
put_name(struct text *t, const GENERAL_NAME *name)
{
    struct slice s = {NULL, 0};
    size_t before = t->n;

    if (before)
        text_byte(t, ',');
    if (name->type == GEN_DNS || name->type == GEN_EMAIL || name->type == GEN_URI)
        s = slice_of((const char *) ASN1_STRING_get0_data(name->d.ia5),
                     (size_t) ASN1_STRING_length(name->d.ia5));
    if (is_plain(s))
        text_put(t, s);
    else if (name->type == GEN_IPADD)
        put_address(t, name->d.iPAddress);
    if (t->n == before + (before ? 1 : 0))
        t->n = before;
}

static void
put_names(struct text *t, X509 *x)
{
    GENERAL_NAMES *all = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);

    for (int i = 0; i < sk_GENERAL_NAME_num(all); i++)
        put_name(t, sk_GENERAL_NAME_value(all, i));
    GENERAL_NAMES_free(all);
}

static void
put_fingerprint(struct text *t, X509 *x)
{
    struct tls_worker *w = tls_worker_self();
    unsigned char *der = NULL, hash[32];
    int n = i2d_X509(x, &der);

    if (n > 0) {
        tls_worker_digest(w, slice_of((char *) der, (size_t) n), hash);
        for (size_t i = 0; i < sizeof(hash); i++)
            text_printf(t, "%02x", hash[i]);
    }
    OPENSSL_free(der);
}

/* Moves a text into the layer's own; absent when it is empty or did not fit. */
static struct slice
keep(char **at, const struct text *t)
{
    struct slice s = {*at, t->n};

    if (t->full || t->n == 0)
        return (struct slice){NULL, 0};
    memcpy(*at, t->at, t->n);
    *at += t->n;
    return s;
}

static void
set_peer_facts(struct tls_layer *t)
{
    X509 *x = SSL_get0_peer_certificate(t->ssl);
    struct text subject, names, fingerprint;
    char *at;

    if (!x || !SSL_is_server(t->ssl))
        return;
    text_init(&subject, PEER_TEXT_MAX);
    text_init(&names, PEER_TEXT_MAX);
    text_init(&fingerprint, 128);
    put_subject(&subject, x);
    put_names(&names, x);
    put_fingerprint(&fingerprint, x);
    t->peer = at = malloc(subject.n + names.n + fingerprint.n + 1);
    if (at) {
        t->facts.client_verified = SSL_get_verify_result(t->ssl) == X509_V_OK;
        t->facts.client_subject = keep(&at, &subject);
        t->facts.client_san = keep(&at, &names);
        t->facts.client_fingerprint = keep(&at, &fingerprint);
    }
    text_free(&subject);
    text_free(&names);
    text_free(&fingerprint);
}

static void
set_facts(struct tls_layer *t)
{
    t->facts.version = version_of(t->ssl);
    t->facts.cipher = slice_str(SSL_CIPHER_get_name(SSL_get_current_cipher(t->ssl)));
    t->facts.alpn = alpn_of(t->ssl);
    t->facts.resumed = SSL_session_reused(t->ssl);
    set_peer_facts(t);
}

/* ------------------------------------------------------------------ steps */

/* Everything that is held is on its way, or the deadline has passed. */
static enum err
flush_all(struct tls_layer *t, uint64_t deadline_us)
{
    for (;;) {
        ssize_t n = t->layer.ops->send_now(t->sock, NULL, 0);
        enum err e;

        if (n == 0)
            return OK;
        if (n != IO_PENDING)
            return err_from_errno((int) -n);
        e = sock_wire_wait(t->sock, IO_WRITABLE, deadline_us);
        if (e != OK)
            return e;
    }
}

static enum err
explain(struct tls_layer *t, int reason, char *why, size_t room)
{
    unsigned long error = ERR_peek_last_error();
    const char *text = ERR_reason_error_string(error);
    long verified = SSL_get_verify_result(t->ssl);

    if (t->ended) {
        snprintf(why, room, "the peer ended the connection");
        return ERR_END;
    }
    if (t->wire_errno || reason == SSL_ERROR_SYSCALL) {
        enum err e = t->wire_errno ? err_from_errno(t->wire_errno) : ERR_RESET;

        snprintf(why, room, "%s", err_sentence(e));
        return e;
    }
    if (verified != X509_V_OK && ERR_GET_REASON(error) == SSL_R_CERTIFICATE_VERIFY_FAILED) {
        snprintf(why, room, "certificate not accepted: %s",
                 X509_verify_cert_error_string(verified));
        return ERR_DENIED;
    }
    snprintf(why, room, "%s", text ? text : "out of memory");
    return ERR_MALFORMED;
}

/* What a server still holds (a ticket) leaves with its first answer, or when it waits; a client's
 * last words are waited for. */
static enum err
finished(struct tls_layer *t, const struct tls_traffic *traffic, uint64_t deadline_us, char *why,
         size_t room)
{
    enum err e = SSL_is_server(t->ssl) ? OK : flush_all(t, deadline_us);

    if (e == OK) {
        set_facts(t);
        if (t->apart && !tls_lean_take_over(t, traffic))
            SSL_set_read_ahead(t->ssl, 1);
        t->apart = false;
        return OK;
    }
    snprintf(why, room, "%s", err_sentence(e));
    t->failed = true;
    t->sock->layer = NULL;
    return e;
}

/* Who only came to see whether the handshake works (probes do) and has hung up already will not
 * come back with a ticket. */
static void
spare_ticket(struct tls_layer *t)
{
    if (SSL_is_server(t->ssl) && sock_is_hung_up(t->sock))
        (void) SSL_set_num_tickets(t->ssl, 0);
}

/* Until OpenSSL needs something from outside; what it has to say is held. */
static int
step(struct tls_layer *t, struct tls_traffic *traffic)
{
    struct tls_worker *w = tls_worker_self();
    int result;

    spare_ticket(t);
    tls_layer_warm(t);
    t->corked = true;
    w->traffic = traffic;
    ERR_clear_error();
    result = SSL_do_handshake(t->ssl);
    w->traffic = NULL;
    t->corked = false;
    return result;
}

static enum err
shake_hands(struct tls_layer *t, struct tls_traffic *traffic, uint64_t deadline_us, char *why,
            size_t room)
{
    enum err e = OK;

    while (e == OK) {
        int result = step(t, traffic), reason;

        if (result == 1)
            return finished(t, traffic, deadline_us, why, room);
        reason = SSL_get_error(t->ssl, result);
        if (reason != SSL_ERROR_WANT_READ)
            e = explain(t, reason, why, room);
        if (e == OK)
            e = flush_all(t, deadline_us);
        else
            (void) t->layer.ops->send_now(t->sock, NULL, 0); /* the alert */
        if (e == OK)
            e = sock_wire_wait(t->sock, IO_READABLE, deadline_us);
        if (e != OK && why[0] == '\0')
            snprintf(why, room, "%s", err_sentence(e));
    }
    t->failed = true;
    t->sock->layer = NULL;
    ERR_clear_error();
    return e;
}

enum err
tls_layer_handshake(struct tls_layer *t, uint64_t deadline_us, char *why, size_t room)
{
    struct tls_traffic traffic = {0};
    enum err e;

    t->sock->layer = &t->layer;
    e = shake_hands(t, &traffic, deadline_us, why, room);
    OPENSSL_cleanse(&traffic, sizeof(traffic));
    return e;
}
