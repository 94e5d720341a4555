/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz/tls_records.c - what a client may send once its handshake is done, against a model of it.
 *
 * The input is a script: records of any type, content and padding, sealed as the client would;
 * records that are changed; bytes that are none; and how much the owner of the connection asks for
 * in between.  The owner gets the content of the records, in order and all of it, as long as they
 * are what RFC 8446 allows, and not a byte from there on.
 */
#include "base/check.h"
#include "tls/lean.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STEPS_MAX = 200, WIRE_MAX = 1 << 17, SCRIPT_MAX = 4096 };

static struct loop loop;

struct scene {
    struct slice           script;
    struct sock            sock;
    int                    client; /* the other end */
    struct tls_layer      *layer;
    struct tls_protection  seal;  /* as the client */
    struct tls_protection  open;  /* what the client hears */
    struct tls_held        heard; /* by the client, not yet opened */
    char                   said[WIRE_MAX]; /* what the owner is to get */
    size_t                 said_n, got_n, wire_n;
    size_t                 update_n;       /* of a KeyUpdate that is cut */
    unsigned               idle;
    bool                   bad;   /* from here on nothing may come through */
    bool                   ended; /* the client has said goodbye */
};

/* ------------------------------------------------------------------ the script */

static unsigned
next(struct scene *s)
{
    unsigned byte = s->script.n ? (unsigned char) s->script.at[0] : 0;

    s->script = slice_from(s->script, s->script.n ? 1 : 0);
    return byte;
}

static struct slice
next_bytes(struct scene *s, size_t n)
{
    struct slice bytes = slice_first(s->script, n < s->script.n ? n : s->script.n);

    s->script = slice_from(s->script, bytes.n);
    return bytes;
}

/* ------------------------------------------------------------------ the owner */

static void
receive(struct scene *s, size_t room)
{
    static char got[BUFFER_MEDIUM_BYTES];
    ssize_t n;

    s->sock.flags |= SOCK_READABLE | SOCK_WRITABLE;
    n = sock_recv_now(&s->sock, got, room);
    CHECK(n == IO_PENDING || n <= (ssize_t) room);
    if (n > 0) {
        CHECK(s->got_n + (size_t) n <= s->said_n);
        CHECK(memcmp(got, s->said + s->got_n, (size_t) n) == 0);
        s->got_n += (size_t) n;
    }
    if (n == 0)
        CHECK(s->ended && s->got_n == s->said_n);
    if (n < 0 && n != IO_PENDING)
        CHECK(s->bad);
    if (n == IO_PENDING)
        CHECK(s->bad || (s->got_n == s->said_n && !s->ended && !sock_has_pending(&s->sock)));
}

/* Each record that we send is the next one for the client. */
static void
hear(struct scene *s)
{
    static unsigned char plain[TLS_RECORD_PLAIN_MAX + 1];
    enum tls_record_type type;
    size_t missing;
    ssize_t n, size;

    for (;;) {
        CHECK(tls_held_make_room(&s->heard, BUFFER_SMALL_BYTES));
        n = recv(s->client, s->heard.at + s->heard.end, BUFFER_SMALL_BYTES, MSG_DONTWAIT);
        if (n <= 0)
            break;
        s->heard.end += (uint32_t) n;
        while ((size = tls_record_size(slice_of(s->heard.at + s->heard.start,
                                                tls_held_bytes(&s->heard)), &missing)) > 0) {
            n = tls_record_open(&s->open, (unsigned char *) s->heard.at + s->heard.start,
                                (size_t) size, plain, &type);
            CHECK(n >= 0);
            if (type == TLS_RECORD_HANDSHAKE)
                CHECK(n == 5 && tls_protection_update(&s->open));
            tls_held_drop(&s->heard, (size_t) size);
        }
        CHECK(size == 0);
    }
}

static void
answer(struct scene *s, size_t n)
{
    static const char zeros[3 * TLS_RECORD_PLAIN_MAX];
    ssize_t sent;

    s->sock.flags |= SOCK_WRITABLE;
    sent = sock_send_now(&s->sock, zeros, n);
    CHECK(sent > 0 || s->bad);
    hear(s);
}

/* ------------------------------------------------------------------ the client */

static void
transmit(struct scene *s, const void *at, size_t n)
{
    if (n == 0 || s->wire_n + n > WIRE_MAX)
        return;
    s->wire_n += n;
    CHECK(send(s->client, at, n, 0) == (ssize_t) n);
}

/* What the model makes of a KeyUpdate, or a piece of one. */
static void
expect_handshake(struct scene *s, struct slice content)
{
    static const char update[] = {24, 0, 0, 1};

    for (size_t i = 0; i < content.n; i++, s->update_n++)
        s->bad |= s->update_n < 4 ? content.at[i] != update[s->update_n]
                                  : s->update_n > 4 || (unsigned char) content.at[i] > 1;
    s->bad |= content.n == 0;
    if (s->update_n != 5 || s->bad)
        return;
    s->update_n = 0;
    CHECK(tls_protection_update(&s->seal));
}

static void
expect(struct scene *s, unsigned type, struct slice content)
{
    if (s->bad || s->ended)
        return;
    s->idle = type == TLS_RECORD_DATA && content.n ? 0 : s->idle + 1;
    s->bad = s->idle > 32 || (s->update_n && type != TLS_RECORD_HANDSHAKE);
    if (s->bad)
        return;
    if (type == TLS_RECORD_HANDSHAKE) {
        expect_handshake(s, content);
    } else if (type == TLS_RECORD_ALERT) {
        s->ended = content.n == 2 && content.at[1] == TLS_ALERT_CLOSE_NOTIFY;
        s->bad = !s->ended && (content.n != 2 || content.at[1] != TLS_ALERT_USER_CANCELED);
    } else if (type == TLS_RECORD_DATA) {
        memcpy(s->said + s->said_n, content.at, content.n);
        s->said_n += content.n;
    } else {
        s->bad = true;
    }
}

/* The type stands behind the content, and zeros behind the type, by hand: tls_record_seal() pads
 * nothing. */
static void
say(struct scene *s, unsigned type, struct slice content, size_t padding, size_t changed)
{
    static char inner[TLS_RECORD_PLAIN_MAX + 1];
    unsigned char record[TLS_RECORD_PLAIN_MAX + TLS_RECORD_EXTRA];
    struct iovec iov = {inner, content.n + padding};
    struct tls_pieces from = {&iov, 0};
    size_t n = content.n + padding + TLS_RECORD_EXTRA;

    if (s->wire_n + n > WIRE_MAX || s->said_n + content.n > WIRE_MAX)
        return;
    memset(inner, 0, iov.iov_len);
    memcpy(inner, content.at, content.n);
    if (padding)
        inner[content.n] = (char) type;
    CHECK(tls_record_seal(&s->seal, padding ? 0 : type, &from, iov.iov_len, record));
    if (changed < n) {
        record[changed] ^= 0x55;
        s->bad |= !s->ended;
    } else if (type) {
        expect(s, type, content);
    } else {
        s->bad |= !s->ended;
    }
    transmit(s, record, n);
}

/* Type 0 is padding: such a record says nothing at all. */
static void
say_any(struct scene *s)
{
    unsigned type = next(s);
    struct slice content = next_bytes(s, next(s));

    if (type)
        say(s, type, content, next(s), SIZE_MAX);
    else
        say(s, 0, slice_of("", 0), next(s), SIZE_MAX);
}

static void
say_much(struct scene *s)
{
    static const char much[TLS_RECORD_PLAIN_MAX] = "much";
    size_t n = (size_t) next(s) << 8 | next(s);

    n = n > sizeof(much) ? sizeof(much) : n;
    say(s, TLS_RECORD_DATA, slice_of(much, n), n % 7 ? 0 : sizeof(much) - n, SIZE_MAX);
}

static void
step(struct scene *s)
{
    static const char updates[2][5] = {{24, 0, 0, 1, 0}, {24, 0, 0, 1, 1}};
    struct slice bytes;

    switch (next(s) % 10) {
    case 0: receive(s, next(s) + 1); break;
    case 1: receive(s, BUFFER_MEDIUM_BYTES); break;
    case 2: say_any(s); break;
    case 3: say(s, TLS_RECORD_DATA, next_bytes(s, next(s)), 0, SIZE_MAX); break;
    case 4: say_much(s); break;
    case 5: say(s, TLS_RECORD_HANDSHAKE, slice_of(updates[next(s) % 2], 5), 0, SIZE_MAX); break;
    case 6:
        bytes = next_bytes(s, next(s));
        say(s, TLS_RECORD_DATA, bytes, 0, next(s) % (bytes.n + TLS_RECORD_EXTRA));
        break;
    case 7:
        bytes = next_bytes(s, next(s) + 1);
        s->bad |= !s->ended && bytes.n; /* nobody guesses a tag */
        transmit(s, bytes.at, bytes.n);
        break;
    case 8: answer(s, next(s) * 100 + 1); break;
    case 9: tls_lean_cool(&s->layer->lean); break;
    }
}

/* ------------------------------------------------------------------ the stage */

static void
begin(struct scene *s, const uint8_t *data, size_t size)
{
    static const unsigned char mine[48] = "ours", its[48] = "the client's";
    struct tls_worker *w = tls_worker_self();
    int fds[2], room = WIRE_MAX * 2;

    memset(s, 0, sizeof(*s));
    s->script = slice_of((const char *) data, size);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
    s->client = fds[1];
    setsockopt(s->client, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
    sock_init(&s->sock, fds[0]);
    s->layer = calloc(1, sizeof(*s->layer));
    CHECK(s->layer && w);
    s->layer->layer.ops = &tls_lean_ops;
    s->layer->sock = &s->sock;
    s->sock.layer = &s->layer->layer;
    tls_protection_start(&s->layer->lean.in, w, next(s) % TLS_SUITES, its, false);
    tls_protection_start(&s->layer->lean.out, w, TLS_AES_128, mine, true);
    tls_protection_start(&s->seal, w, s->layer->lean.in.suite, its, true);
    tls_protection_start(&s->open, w, TLS_AES_128, mine, false);
}

static void
end(struct scene *s)
{
    tls_protection_end(&s->seal);
    tls_protection_end(&s->open);
    tls_held_give(&s->heard);
    close(s->client);
    sock_close(&s->sock);
    loop_once(&loop, 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct scene s;

    if (!loop.ops)
        CHECK(loop_init(&loop, NULL, 0) == OK);
    if (size > SCRIPT_MAX)
        return 0;
    begin(&s, data, size);
    for (int i = 0; i < STEPS_MAX && s.script.n; i++)
        step(&s);
    /* All that the model let through has come, or will now. */
    for (size_t before = SIZE_MAX; before != s.got_n;) {
        before = s.got_n;
        receive(&s, BUFFER_MEDIUM_BYTES);
    }
    CHECK(s.got_n == s.said_n);
    hear(&s);
    end(&s);
    return 0;
}
