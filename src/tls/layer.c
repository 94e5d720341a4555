/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls/layer.c - an established connection: bytes in and out through OpenSSL, without waiting.
 */
#include "tls/lean.h"

#include "runtime/fiber.h"

#include <errno.h>
#include <openssl/err.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    RECORD_BYTES = 16384,       /* most plaintext of a record */
    SEALED_BYTES = 16384 + 256, /* what becomes of it */
};

ssize_t
tls_layer_flush(struct tls_layer *t)
{
    while (tls_held_bytes(&t->out)) {
        struct iovec iov = {t->out.at + t->out.start, tls_held_bytes(&t->out)};
        ssize_t n = sock_wire_send(t->sock, &iov, 1);

        if (n < 0)
            return n;
        tls_held_drop(&t->out, (size_t) n);
    }
    tls_held_give(&t->out);
    return 0;
}

/* ------------------------------------------------------------------ the BIO */

static int
bio_write(BIO *bio, const char *at, size_t n, size_t *written)
{
    struct tls_layer *t = BIO_get_data(bio);
    size_t sent = 0;

    BIO_clear_retry_flags(bio);
    *written = n;
    if (!t->corked && tls_held_bytes(&t->out) == 0) {
        struct iovec iov = {(char *) at, n};
        ssize_t result = sock_wire_send(t->sock, &iov, 1);

        if (result < 0 && result != IO_PENDING) {
            t->wire_errno = (int) -result;
            return 0;
        }
        sent = result > 0 ? (size_t) result : 0;
        if (sent == n)
            return 1;
    }
    if (!tls_held_add(&t->out, at + sent, n - sent)) {
        t->wire_errno = ENOBUFS;
        return 0;
    }
    return 1;
}

static ssize_t
take_held(struct tls_held *h, char *at, size_t room)
{
    size_t n = tls_held_bytes(h) < room ? tls_held_bytes(h) : room;

    memcpy(at, h->at + h->start, n);
    tls_held_drop(h, n);
    return (ssize_t) n;
}

/* As much as there is, to be given out bit by bit. */
static ssize_t
receive_apart(struct tls_layer *t)
{
    ssize_t n;

    if (!tls_held_make_room(&t->in, BUFFER_SMALL_BYTES))
        return -ENOBUFS;
    n = sock_wire_recv(t->sock, t->in.at, BUFFER_SMALL_BYTES);
    if (n > 0)
        t->in.end = (uint32_t) n;
    else
        tls_held_give(&t->in);
    return n;
}

static int
bio_read(BIO *bio, char *at, size_t room, size_t *got)
{
    struct tls_layer *t = BIO_get_data(bio);
    ssize_t n = 1;

    BIO_clear_retry_flags(bio);
    *got = 0;
    if (t->apart && tls_held_bytes(&t->in) == 0)
        n = receive_apart(t);
    if (n > 0)
        n = tls_held_bytes(&t->in) ? take_held(&t->in, at, room)
                                   : sock_wire_recv(t->sock, at, room);
    if (n > 0) {
        *got = (size_t) n;
        return 1;
    }
    if (n == IO_PENDING)
        BIO_set_retry_read(bio);
    else if (n == 0)
        t->ended = true;
    else
        t->wire_errno = (int) -n;
    return 0;
}

static long
bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    const struct tls_layer *t = BIO_get_data(bio);

    (void) number, (void) pointer;
    switch (command) {
    case BIO_CTRL_FLUSH: return 1;
    case BIO_CTRL_EOF: return t->ended;
    default: return 0;
    }
}

static BIO_METHOD *method;

static void
make_method(void)
{
    method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "maitred");
    if (method) {
        BIO_meth_set_write_ex(method, bio_write);
        BIO_meth_set_read_ex(method, bio_read);
        BIO_meth_set_ctrl(method, bio_ctrl);
    }
}

static BIO *
bio_new(struct tls_layer *t)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    BIO *bio;

    pthread_once(&once, make_method);
    bio = method ? BIO_new(method) : NULL;
    if (!bio)
        return NULL;
    BIO_set_data(bio, t);
    BIO_set_init(bio, 1);
    return bio;
}

/* ------------------------------------------------------------------ OpenSSL's buffers */

/* OpenSSL has two buffers of 16 KiB for a connection.  Giving them back with each record
 * (SSL_MODE_RELEASE_BUFFERS) costs every small request two allocations that are too large to be
 * cheap; so they are given back when the connection was quiet for a while, or when too many others
 * have some. */
enum { COOL_US = 500000, WARM_MAX = 256 };

static void
unlink_warm(struct tls_worker *w, struct tls_layer *t)
{
    list_remove(&t->link);
    t->warm = false;
    w->n_warm--;
}

/* Half a record has to stay where it is. */
static void
chill(struct tls_worker *w, struct tls_layer *t)
{
    if (!t->ssl)
        tls_lean_cool(&t->lean);
    if (!t->ssl || SSL_free_buffers(t->ssl))
        unlink_warm(w, t);
}

static void
set_cool(struct tls_worker *w)
{
    timer_set(&loop_self()->timers, &w->cool, loop_now_us() + COOL_US);
}

static void
on_cool(struct timer *timer)
{
    struct tls_worker *w = container_of(timer, struct tls_worker, cool);

    list_each (link, &w->warm) {
        struct tls_layer *t = list_entry(link, struct tls_layer, link);
        bool used = t->used;

        t->used = false;
        if (!used)
            chill(w, t);
    }
    if (w->n_warm)
        set_cool(w);
}

void
tls_layer_warm(struct tls_layer *t)
{
    struct tls_worker *w;

    t->used = true;
    if (t->warm)
        return;
    w = tls_worker_self();
    if (w->n_warm >= WARM_MAX)
        chill(w, list_entry(w->warm.prev, struct tls_layer, link));
    list_push(&w->warm, &t->link);
    t->warm = true;
    w->cool.fire = on_cool;
    if (w->n_warm++ == 0)
        set_cool(w);
}

static void
forget_warmth(struct tls_layer *t)
{
    struct tls_worker *w = tls_worker_self();

    if (!t->warm)
        return;
    unlink_warm(w, t);
    if (w->n_warm == 0)
        timer_clear(&loop_self()->timers, &w->cool);
}

/* ------------------------------------------------------------------ receiving and sending */

/* What an earlier call left behind must not be taken for this one's; mostly there is nothing. */
static void
forget_errors(void)
{
    if (ERR_peek_error())
        ERR_clear_error();
}

/* No plaintext came: what that means. */
static ssize_t
why_nothing(struct tls_layer *t, int reason)
{
    switch (reason) {
    case SSL_ERROR_WANT_READ:
        t->drained = true;
        return IO_PENDING;
    case SSL_ERROR_ZERO_RETURN: return 0;
    default:
        t->failed = true;
        return t->wire_errno ? -t->wire_errno : -ECONNRESET;
    }
}

static ssize_t
layer_recv_now(struct sock *s, void *at, size_t room)
{
    struct tls_layer *t = tls_layer_of(s);
    size_t total = 0, n = 0;
    int result = 1;

    tls_layer_warm(t);
    do {
        forget_errors();
        result = SSL_read_ex(t->ssl, (char *) at + total, room - total, &n);
        if (result != 1)
            break;
        total += n;
        t->drained = false;
    } while (total < room && SSL_has_pending(t->ssl));
    if (result != 1) {
        ssize_t nothing = why_nothing(t, SSL_get_error(t->ssl, result));

        if (total)
            return (ssize_t) total;
        /* Now somebody will wait: what OpenSSL had to say meanwhile (a ticket, a new key) should
         * not.  At the end nobody listens. */
        if (nothing == IO_PENDING)
            (void) tls_layer_flush(t);
        return nothing;
    }
    return (ssize_t) total;
}

/* One record; bytes of plaintext, or -errno. */
static ssize_t
seal(struct tls_layer *t, const void *at, size_t n)
{
    size_t written = 0;

    tls_layer_warm(t);
    forget_errors();
    if (SSL_write_ex(t->ssl, at, n < RECORD_BYTES ? n : RECORD_BYTES, &written) == 1)
        return (ssize_t) written;
    t->failed = true;
    return t->wire_errno ? -t->wire_errno : -EPIPE;
}

/* Small pieces become one record: they are copied together. */
static ssize_t
seal_together(struct tls_layer *t, const struct iovec *iov, int n)
{
    char *joined = buffer_take(BUFFER_SMALL);
    size_t total = 0;
    ssize_t result;

    if (!joined)
        return -ENOBUFS;
    for (int i = 0; i < n && total < RECORD_BYTES; i++) {
        size_t part = iov[i].iov_len < RECORD_BYTES - total ? iov[i].iov_len : RECORD_BYTES - total;

        memcpy(joined + total, iov[i].iov_base, part);
        total += part;
    }
    result = seal(t, joined, total);
    buffer_give(BUFFER_SMALL, joined);
    return result;
}

/* Many records leave in one system call. */
static ssize_t
seal_many(struct tls_layer *t, const struct iovec *iov)
{
    size_t done = 0;
    ssize_t n = 0;

    if (!tls_held_make_room(&t->out, buffer_bytes(iov->iov_len > BUFFER_MEDIUM_BYTES
                                                      ? BUFFER_LARGE
                                                      : BUFFER_MEDIUM)))
        return seal(t, iov->iov_base, iov->iov_len);
    t->corked = true;
    while (done < iov->iov_len && tls_held_room(&t->out) >= SEALED_BYTES && n >= 0) {
        n = seal(t, (const char *) iov->iov_base + done, iov->iov_len - done);
        done += n > 0 ? (size_t) n : 0;
    }
    t->corked = false;
    if (n >= 0)
        n = tls_layer_flush(t);
    return n < 0 && n != IO_PENDING ? n : (ssize_t) done;
}

static ssize_t
layer_send_now(struct sock *s, const struct iovec *iov, int n)
{
    struct tls_layer *t = tls_layer_of(s);
    ssize_t flushed;

    if (t->failed)
        return -EPIPE;
    if (n && tls_held_bytes(&t->out) && iov->iov_len < RECORD_BYTES && sock_can_send(t->sock)) {
        /* A ticket that is still here leaves together with the first answer. */
        ssize_t taken;

        t->corked = true;
        taken = n == 1 ? seal(t, iov->iov_base, iov->iov_len) : seal_together(t, iov, n);
        t->corked = false;
        flushed = taken < 0 ? 0 : tls_layer_flush(t);
        return flushed < 0 && flushed != IO_PENDING ? flushed : taken;
    }
    flushed = tls_layer_flush(t);
    if (flushed != 0 || n == 0)
        return flushed;
    if (iov->iov_len > RECORD_BYTES)
        return seal_many(t, iov);
    return n == 1 ? seal(t, iov->iov_base, iov->iov_len) : seal_together(t, iov, n);
}

static bool
layer_pending(const struct sock *s)
{
    const struct tls_layer *t = tls_layer_of(s);

    return tls_held_bytes(&t->in) || (!t->drained && SSL_has_pending(t->ssl));
}

static void
layer_finish(struct sock *s)
{
    struct tls_layer *t = tls_layer_of(s);

    if (t->failed || (SSL_get_shutdown(t->ssl) & SSL_SENT_SHUTDOWN))
        return;
    forget_errors();
    (void) SSL_shutdown(t->ssl);
    (void) tls_layer_flush(t);
}

static void
layer_free(struct sock *s)
{
    tls_layer_free(tls_layer_of(s));
    s->layer = NULL;
}

static const struct sock_layer_ops ops = {
    .recv_now = layer_recv_now,
    .send_now = layer_send_now,
    .pending = layer_pending,
    .finish = layer_finish,
    .free = layer_free,
};

struct tls_layer *
tls_layer_of(const struct sock *s)
{
    bool ours = s->layer && (s->layer->ops == &ops || s->layer->ops == &tls_lean_ops);

    return ours ? container_of(s->layer, struct tls_layer, layer) : NULL;
}

const struct tls_facts *
tls_facts(const struct sock *s)
{
    const struct tls_layer *t = tls_layer_of(s);

    return t ? &t->facts : NULL;
}

/* ------------------------------------------------------------------ life */

const struct tls_choice *
tls_layer_choice(const SSL *ssl)
{
    const struct tls_layer *t = SSL_get_app_data(ssl);

    return t->choice;
}

/* Name and fingerprint stand behind the struct. */
static void
set_hello_facts(struct tls_layer *t, const struct tls_hello *hello)
{
    struct tls_worker *w = tls_worker_self();
    char *name = t->texts + TLS_JA4_LENGTH;

    tls_hello_ja4(hello, tls_worker_digest, w, t->texts);
    t->facts.ja4 = slice_of(t->texts, TLS_JA4_LENGTH);
    if (!slice_is_present(hello->sni))
        return;
    for (size_t i = 0; i < hello->sni.n; i++)
        name[i] = ascii_lower(hello->sni.at[i]);
    t->facts.sni = slice_of(name, hello->sni.n);
}

struct tls_layer *
tls_layer_new(struct sock *s, SSL_CTX *context, const struct tls_hello *hello)
{
    size_t texts = hello ? TLS_JA4_LENGTH + hello->sni.n : 0;
    struct tls_layer *t = calloc(1, sizeof(*t) + texts);
    BIO *bio = t ? bio_new(t) : NULL;

    if (!bio) {
        free(t);
        return NULL;
    }
    t->layer.ops = &ops;
    t->sock = s;
    t->ssl = SSL_new(context);
    if (!t->ssl) {
        BIO_free(bio);
        free(t);
        return NULL;
    }
    SSL_set_bio(t->ssl, bio, bio);
    SSL_set_app_data(t->ssl, t);
    if (hello)
        set_hello_facts(t, hello);
    return t;
}

bool
tls_layer_feed(struct tls_layer *t, struct slice early)
{
    t->apart = true;
    SSL_set_read_ahead(t->ssl, 0);
    return early.n == 0 || tls_held_add(&t->in, early.at, early.n);
}

void
tls_layer_free_ssl(struct tls_layer *t)
{
    /* Else OpenSSL would spoil the session for want of a goodbye, which TLS 1.1 stopped asking
     * for. */
    SSL_set_shutdown(t->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(take(&t->ssl));
}

void
tls_layer_free(struct tls_layer *t)
{
    tls_held_give(&t->in);
    tls_held_give(&t->out);
    forget_warmth(t);
    if (t->ssl)
        tls_layer_free_ssl(t);
    else
        tls_lean_free(&t->lean);
    free(t->peer);
    free(t);
}
