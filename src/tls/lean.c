/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls/lean.c - records in and out of a client's connection, without waiting (RFC 8446 4.6.3, 5, 6).
 *
 * What was received and is no whole record yet is held in a lent buffer, and so is what the wire
 * did not take; a connection that is idle has neither, and after a while not even ciphers.
 */
#include "tls/lean.h"

#include <errno.h>
#include <openssl/err.h>

/* A peer that sends so many records in a row without a byte for us does not mean well. */
enum { IDLE_RECORDS_MAX = 32 };

/* ------------------------------------------------------------------ out */

/* One record behind what is held; there is room. */
static bool
seal(struct tls_layer *t, enum tls_record_type type, struct tls_pieces *from, size_t n)
{
    if (!tls_record_seal(&t->lean.out, type, from, n, (unsigned char *) t->out.at + t->out.end))
        return false;
    t->out.end += (uint32_t) (n + TLS_RECORD_EXTRA);
    return true;
}

/* A few bytes that are not the owner's. */
static bool
say(struct tls_layer *t, enum tls_record_type type, const void *at, size_t n)
{
    struct iovec iov = {(void *) at, n};
    struct tls_pieces from = {&iov, 0};

    return tls_held_make_room(&t->out, n + TLS_RECORD_EXTRA) && seal(t, type, &from, n);
}

/* RFC 8446 4.6.3: the last record under the old key says that there is a new one. */
static bool
change_key(struct tls_layer *t)
{
    static const unsigned char update[] = {24, 0, 0, 1, 0};

    t->lean.asked = false;
    return say(t, TLS_RECORD_HANDSHAKE, update, sizeof(update)) &&
           tls_protection_update(&t->lean.out);
}

/* Room for n bytes in their records, as far as the largest buffer goes. */
static bool
make_room(struct tls_layer *t, size_t n)
{
    size_t held = tls_held_bytes(&t->out), most = buffer_bytes(BUFFER_LARGE) - held;
    size_t records = n / TLS_RECORD_PLAIN_MAX + 1;

    n = n < most ? n + records * TLS_RECORD_EXTRA : most;
    return tls_held_make_room(&t->out, n < most ? n : most) ||
           tls_held_make_room(&t->out, TLS_RECORD_PLAIN_MAX + TLS_RECORD_EXTRA);
}

/* As many records as there is room for; how many bytes of the n went into them, 0 after a
 * failure. */
static size_t
seal_many(struct tls_layer *t, struct tls_pieces *from, size_t n)
{
    size_t done = 0;

    tls_layer_warm(t);
    while (done < n) {
        size_t part = n - done < TLS_RECORD_PLAIN_MAX ? n - done : TLS_RECORD_PLAIN_MAX;

        if (tls_held_room(&t->out) < part + TLS_RECORD_EXTRA)
            break;
        if (!seal(t, TLS_RECORD_DATA, from, part))
            return 0;
        done += part;
    }
    return done;
}

/* One answers all that were asked for since we last had something to say (RFC 8446 4.6.3). */
static bool
needs_key(const struct tls_layer *t)
{
    return t->lean.asked || t->lean.out.number >= tls_records_per_key;
}

/* Seals what fits of the vectors, which have n bytes, and sends. */
static ssize_t
seal_and_send(struct tls_layer *t, const struct iovec *iov, size_t n)
{
    struct tls_pieces from = {iov, 0};
    bool fresh = !needs_key(t) || change_key(t);
    size_t done = fresh && make_room(t, n) ? seal_many(t, &from, n) : 0;
    ssize_t flushed;

    if (done == 0) {
        ERR_clear_error();
        t->failed = true;
        return -ENOBUFS;
    }
    flushed = tls_layer_flush(t);
    if (flushed == IO_PENDING)
        tls_held_shrink(&t->out);
    return flushed < 0 && flushed != IO_PENDING ? flushed : (ssize_t) done;
}

static ssize_t
lean_send_now(struct sock *s, const struct iovec *iov, int n)
{
    struct tls_layer *t = tls_layer_of(s);
    size_t total = 0;

    if (t->failed)
        return -EPIPE;
    for (int i = 0; i < n; i++)
        total += iov[i].iov_len;
    /* A ticket that is still here leaves together with the first answer. */
    if (!total || tls_held_bytes(&t->out) >= BUFFER_SMALL_BYTES || !sock_can_send(s)) {
        ssize_t flushed = tls_layer_flush(t);

        if (flushed != 0 || !total)
            return flushed;
    }
    return seal_and_send(t, iov, total);
}

static void
lean_finish(struct sock *s)
{
    static const unsigned char goodbye[] = {1, TLS_ALERT_CLOSE_NOTIFY};
    struct tls_layer *t = tls_layer_of(s);

    if (t->failed || t->lean.finished)
        return;
    t->lean.finished = true;
    if (say(t, TLS_RECORD_ALERT, goodbye, sizeof(goodbye)))
        (void) tls_layer_flush(t);
    ERR_clear_error();
}

/* ------------------------------------------------------------------ in */

/* The connection is of no use any more; the peer is told why (enum tls_alert). */
static ssize_t
fail(struct tls_layer *t, int alert)
{
    unsigned char last[] = {2, (unsigned char) alert};

    if (!t->failed && !t->lean.finished && say(t, TLS_RECORD_ALERT, last, sizeof(last)))
        (void) tls_layer_flush(t);
    ERR_clear_error();
    t->failed = true;
    return -ECONNRESET;
}

/* The alert that the first n bytes, there is at least one, of a KeyUpdate deserve, or 0. */
static int
fault_of_update(const unsigned char *at, size_t n)
{
    static const unsigned char head[] = {24, 0, 0, 1};

    if (at[0] != head[0])
        return TLS_ALERT_UNEXPECTED_MESSAGE;
    if (memcmp(at, head, n < sizeof(head) ? n : sizeof(head)) != 0)
        return TLS_ALERT_DECODE_ERROR;
    return n > sizeof(head) && at[4] > 1 ? TLS_ALERT_ILLEGAL_PARAMETER : 0;
}

/* RFC 8446 4.6.3; nothing else of the handshake may come now.  It may be cut in pieces, and must
 * end its record (5.1): behind it the key is another one. */
static ssize_t
on_handshake(struct tls_layer *t, const unsigned char *at, size_t n)
{
    struct tls_lean *l = &t->lean;
    size_t room = sizeof(l->update) - l->update_n, part = n < room ? n : room;
    int fault;

    if (n == 0)
        return fail(t, TLS_ALERT_UNEXPECTED_MESSAGE);
    memcpy(l->update + l->update_n, at, part);
    l->update_n += (uint8_t) part;
    fault = fault_of_update(l->update, l->update_n);
    if (fault || part < n)
        return fail(t, fault ? fault : TLS_ALERT_UNEXPECTED_MESSAGE);
    if (l->update_n < sizeof(l->update))
        return 0;
    l->update_n = 0;
    l->asked = l->asked || l->update[4];
    return tls_protection_update(&l->in) ? 0 : fail(t, TLS_ALERT_INTERNAL_ERROR);
}

static ssize_t
on_alert(struct tls_layer *t, const unsigned char *at, size_t n)
{
    if (n != 2)
        return fail(t, TLS_ALERT_UNEXPECTED_MESSAGE);
    if (at[1] == TLS_ALERT_CLOSE_NOTIFY)
        t->ended = true;
    else if (at[1] != TLS_ALERT_USER_CANCELED)
        t->failed = true;
    return t->failed ? -ECONNRESET : 0;
}

/* What a record says: bytes for the owner; 0: none; negative: the connection has failed. */
static ssize_t
look_at(struct tls_layer *t, enum tls_record_type type, const unsigned char *at, size_t n)
{
    t->lean.idle = type == TLS_RECORD_DATA && n ? 0 : t->lean.idle + 1;
    if (t->lean.idle > IDLE_RECORDS_MAX)
        return fail(t, TLS_ALERT_UNEXPECTED_MESSAGE);
    if (type == TLS_RECORD_HANDSHAKE)
        return on_handshake(t, at, n);
    /* Nothing may stand between the pieces of a message (RFC 8446 5.1). */
    if (t->lean.update_n)
        return fail(t, TLS_ALERT_UNEXPECTED_MESSAGE);
    if (type == TLS_RECORD_DATA)
        return (ssize_t) n;
    return type == TLS_RECORD_ALERT ? on_alert(t, at, n) : fail(t, TLS_ALERT_UNEXPECTED_MESSAGE);
}

/* The record that stands first in what was received.  Bytes that the owner, who has room for so
 * many, has got; 0: none yet; negative: the connection has failed. */
static ssize_t
open_record(struct tls_layer *t, size_t size, unsigned char *at, size_t room)
{
    unsigned char *record = (unsigned char *) t->in.at + t->in.start;
    bool fits = room >= size - TLS_RECORD_HEADER - TLS_RECORD_TAG;
    unsigned char *to = fits ? at : record + TLS_RECORD_HEADER;
    enum tls_record_type type = TLS_RECORD_DATA;
    ssize_t n;

    tls_layer_warm(t);
    n = tls_record_open(&t->lean.in, record, size, to, &type);
    if (n < 0)
        return fail(t, (int) -n);
    n = look_at(t, type, to, (size_t) n);
    if (fits || n <= 0) {
        tls_held_drop(&t->in, size);
        return n;
    }
    /* It stays where it is until somebody has taken it. */
    t->lean.plain = slice_of((char *) to, (size_t) n);
    t->lean.behind = size - TLS_RECORD_HEADER - (size_t) n;
    t->in.start += TLS_RECORD_HEADER;
    return 0;
}

static ssize_t
take_plain(struct tls_layer *t, void *at, size_t room)
{
    size_t n = t->lean.plain.n < room ? t->lean.plain.n : room;

    memcpy(at, t->lean.plain.at, n);
    t->lean.plain = slice_from(t->lean.plain, n);
    tls_held_drop(&t->in, t->lean.plain.n ? n : n + t->lean.behind);
    return (ssize_t) n;
}

/* More of the record of which so much is missing, and of what follows. */
static ssize_t
receive(struct tls_layer *t, size_t missing)
{
    size_t room;
    ssize_t n;

    if (!tls_held_make_room(&t->in, t->lean.much ? BUFFER_MEDIUM_BYTES / 2 : missing))
        return fail(t, TLS_ALERT_INTERNAL_ERROR);
    room = tls_held_room(&t->in);
    n = sock_wire_recv(t->sock, t->in.at + t->in.end, room);
    if (n > 0) {
        t->in.end += (uint32_t) n;
        t->lean.much = (size_t) n == room;
    } else if (n == 0) {
        t->ended = true; /* without a goodbye: requests say themselves how long they are */
    } else if (n != IO_PENDING) {
        t->failed = true;
    }
    return n;
}

/* Bytes; 0: the end; IO_PENDING; -errno. */
static ssize_t
next_bytes(struct tls_layer *t, void *at, size_t room, bool may_receive)
{
    ssize_t n = 0;

    while (n == 0) {
        size_t missing;
        ssize_t size;

        if (t->lean.plain.n)
            return take_plain(t, at, room);
        if (t->failed)
            return -ECONNRESET;
        if (t->ended)
            return 0;
        size = tls_record_size(slice_of(t->in.at + t->in.start, tls_held_bytes(&t->in)), &missing);
        if (size < 0)
            return fail(t, (int) -size);
        if (size > 0) {
            n = open_record(t, (size_t) size, at, room);
        } else {
            if (!may_receive)
                return IO_PENDING;
            n = receive(t, missing);
            n = n > 0 ? 0 : n; /* on to the next round, which looks at it */
        }
    }
    return n;
}

static ssize_t
lean_recv_now(struct sock *s, void *at, size_t room)
{
    struct tls_layer *t = tls_layer_of(s);
    size_t total = 0;
    ssize_t n;

    do {
        n = next_bytes(t, (char *) at + total, room - total, total == 0);
        total += n > 0 ? (size_t) n : 0;
    } while (n > 0 && total < room);
    /* What came behind the end is nobody's. */
    if (tls_held_bytes(&t->in) == 0 || (!t->lean.plain.n && (t->ended || t->failed)))
        tls_held_give(&t->in);
    else if (n == IO_PENDING)
        tls_held_shrink(&t->in);
    if (total)
        return (ssize_t) total;
    /* Now somebody will wait: what is to be said meanwhile (a ticket, a new key) should not. */
    if (n == IO_PENDING)
        (void) tls_layer_flush(t);
    return n;
}

static bool
lean_pending(const struct sock *s)
{
    const struct tls_layer *t = tls_layer_of(s);
    size_t missing;

    return t->lean.plain.n ||
           (!t->failed && !t->ended &&
            tls_record_size(slice_of(t->in.at + t->in.start, tls_held_bytes(&t->in)), &missing));
}

/* ------------------------------------------------------------------ life */

/* What was sealed after our Finished: tickets, each a record. */
static uint64_t
count_records(const struct tls_held *h)
{
    const unsigned char *at = (const unsigned char *) h->at + h->start;
    size_t left = tls_held_bytes(h);
    uint64_t n = 0;

    while (left >= TLS_RECORD_HEADER) {
        size_t size = TLS_RECORD_HEADER + ((size_t) at[3] << 8 | at[4]);

        at += size;
        left = size < left ? left - size : 0;
        n++;
    }
    return n;
}

static bool
find_suite(const SSL *ssl, enum tls_suite *found)
{
    const SSL_CIPHER *c = SSL_get_current_cipher(ssl);

    for (size_t i = 0; c && i < TLS_SUITES; i++) {
        if (SSL_CIPHER_get_protocol_id(c) != tls_suites[i].id)
            continue;
        *found = (enum tls_suite) i;
        return true;
    }
    return false;
}

/* OpenSSL's copy goes with it. */
static bool
keep_alpn(struct tls_layer *t)
{
    struct slice alpn = t->facts.alpn;

    if (alpn.n > sizeof(t->lean.alpn))
        return false;
    if (alpn.n) {
        memcpy(t->lean.alpn, alpn.at, alpn.n);
        t->facts.alpn.at = t->lean.alpn;
    }
    return true;
}

bool
tls_lean_take_over(struct tls_layer *t, const struct tls_traffic *traffic)
{
    struct tls_worker *w = tls_worker_self();
    enum tls_suite suite;

    if (SSL_version(t->ssl) != TLS1_3_VERSION || SSL_has_pending(t->ssl) ||
        traffic->seen != TLS_TRAFFIC_BOTH || !find_suite(t->ssl, &suite) || !keep_alpn(t))
        return false;
    tls_protection_start(&t->lean.in, w, suite, traffic->client, false);
    tls_protection_start(&t->lean.out, w, suite, traffic->server, true);
    t->lean.out.number = count_records(&t->out);
    tls_layer_free_ssl(t);
    t->layer.ops = &tls_lean_ops;
    return true;
}

void
tls_lean_cool(struct tls_lean *l)
{
    tls_protection_cool(&l->in);
    tls_protection_cool(&l->out);
}

void
tls_lean_free(struct tls_lean *l)
{
    tls_protection_end(&l->in);
    tls_protection_end(&l->out);
}

static void
lean_free(struct sock *s)
{
    tls_layer_free(tls_layer_of(s));
    s->layer = NULL;
}

const struct sock_layer_ops tls_lean_ops = {
    .recv_now = lean_recv_now,
    .send_now = lean_send_now,
    .pending = lean_pending,
    .finish = lean_finish,
    .free = lean_free,
};
