/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls/lean_test.c - a client that is OpenSSL's against a connection that was taken over: what it
 * may say, and what it may not.  (engine_test.c moves bytes both ways.)
 */
#include "tls/lean.h"

#include "base/test.h"
#include "runtime/fiber.h"
#include "tls/testing.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

/* ------------------------------------------------------------------ a stage for both */

static struct loop loop;
static struct tls_server *server;
static struct tls_client *client;
static struct sock here, there; /* ours, the client's */
static bool served, called;

static void
make_both(void)
{
    struct testing_cert ca = testing_issue(NULL, "Root", NULL, false, -10, 1000);
    struct tls_store *store = tls_store_new();
    struct tls_identity *id = testing_identity(&ca, "DNS:example.test", false, 90);
    struct tls_server_options mine = {.store = store};
    struct tls_client_options its = {.insecure = true, .offer_h1 = true};
    struct text why;

    text_init(&why, 1000);
    CHECK(id && tls_store_add(store, id));
    server = tls_server_new(&mine, &why);
    client = tls_client_new(&its, &why);
    tls_identity_release(id);
    tls_store_release(store);
    testing_cert_free(&ca);
    text_free(&why);
    CHECK(server && client);
}

static void
serve(void *arg)
{
    struct tls_greeting g = {.buffer = buffer_take(BUFFER_SMALL)};

    (void) arg;
    CHECK(tls_accept(&here, server, &g, loop_now_us() + 3000000) == OK);
    buffer_give(BUFFER_SMALL, g.buffer);
    served = true;
}

static void
dial(void *arg)
{
    struct tls_call call = {.name = SLICE("example.test")};

    (void) arg;
    CHECK(tls_connect(&there, client, &call, loop_now_us() + 3000000) == OK);
    called = true;
}

static void
begin(void)
{
    uint64_t end_us = clock_monotonic_us() + 5000000;
    int fds[2];

    CHECK(loop_init(&loop, NULL, 0) == OK);
    make_both();
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
    memset(&here, 0, sizeof(here));
    memset(&there, 0, sizeof(there));
    sock_init(&here, fds[0]);
    sock_init(&there, fds[1]);
    served = called = false;
    fiber_start("serve", serve, NULL);
    fiber_start("dial", dial, NULL);
    while ((!served || !called) && clock_monotonic_us() < end_us)
        loop_once(&loop, loop_now_us() + 10000);
    CHECK(served && called && here.layer->ops == &tls_lean_ops);
}

static void
end(void)
{
    sock_close(&here);
    sock_close(&there);
    loop_once(&loop, 0);
    tls_server_release(server);
    tls_client_release(client);
    loop_exit(&loop);
}

static SSL *
ssl(void)
{
    return tls_layer_of(&there)->ssl;
}

static ssize_t
recv_from(struct sock *s, char *at, size_t room)
{
    s->flags |= SOCK_READABLE;
    return sock_recv_now(s, at, room);
}

/* What the one says is what the other hears. */
static bool
passes(struct sock *from, struct sock *to, const char *what)
{
    char room[100];
    ssize_t n = (ssize_t) strlen(what);

    return sock_send_now(from, what, strlen(what)) == n && recv_from(to, room, sizeof(room)) == n &&
           memcmp(room, what, (size_t) n) == 0;
}

/* ------------------------------------------------------------------ keys */

TEST(a_client_changes_its_key_and_asks_for_ours)
{
    begin();
    EXPECT(passes(&there, &here, "one"));
    EXPECT(SSL_key_update(ssl(), SSL_KEY_UPDATE_NOT_REQUESTED) == 1);
    EXPECT(passes(&there, &here, "two"));
    EXPECT(passes(&here, &there, "three"));
    EXPECT(SSL_key_update(ssl(), SSL_KEY_UPDATE_REQUESTED) == 1);
    EXPECT(passes(&there, &here, "four"));
    EXPECT(passes(&here, &there, "five"));
    EXPECT(passes(&there, &here, "six"));
    EXPECT_EQ(tls_layer_of(&here)->lean.out.number, 1); /* with the new key */
    end();
}

TEST(our_key_changes_before_it_is_worn_out)
{
    begin();
    tls_records_per_key = 5;
    for (int i = 0; i < 12; i++)
        EXPECT(passes(&here, &there, "more"));
    tls_records_per_key = UINT64_C(1) << 24;
    EXPECT(tls_layer_of(&here)->lean.out.number <= 5);
    EXPECT(passes(&there, &here, "still there"));
    end();
}

TEST(what_is_idle_has_no_ciphers_and_goes_on_with_new_ones)
{
    begin();
    EXPECT(passes(&there, &here, "one") && passes(&here, &there, "two"));
    EXPECT(tls_layer_of(&here)->lean.in.context && tls_layer_of(&here)->lean.out.context);
    tls_lean_cool(&tls_layer_of(&here)->lean);
    EXPECT(!tls_layer_of(&here)->lean.in.context && !tls_layer_of(&here)->ssl);
    EXPECT(!tls_layer_of(&here)->in.at && !tls_layer_of(&here)->out.at);
    EXPECT(passes(&there, &here, "three") && passes(&here, &there, "four"));
    end();
}

TEST(what_was_asked_for_often_is_done_once_when_there_is_something_to_say)
{
    char room[10];

    begin();
    EXPECT(passes(&here, &there, "the ticket is gone"));
    for (int i = 0; i < 32; i++) {
        EXPECT(SSL_key_update(ssl(), SSL_KEY_UPDATE_REQUESTED) == 1);
        EXPECT(SSL_do_handshake(ssl()) == 1);
        EXPECT_EQ(recv_from(&here, room, sizeof(room)), IO_PENDING);
    }
    EXPECT_EQ(recv_from(&there, room, sizeof(room)), IO_PENDING);
    EXPECT(!tls_layer_of(&here)->out.at);
    EXPECT(passes(&here, &there, "now") && passes(&here, &there, "then"));
    EXPECT_EQ(tls_layer_of(&here)->lean.out.number, 2);
    EXPECT(passes(&there, &here, "still there"));
    end();
}

/* ------------------------------------------------------------------ in pieces */

TEST(a_record_is_given_out_in_pieces_and_records_together)
{
    char room[200];

    begin();
    EXPECT_EQ(sock_send_now(&there, "0123456789", 10), 10);
    EXPECT_EQ(sock_send_now(&there, "abcdefghij", 10), 10);
    EXPECT_EQ(recv_from(&here, room, 3), 3);
    EXPECT(sock_has_pending(&here));
    EXPECT_EQ(sock_recv_now(&here, room + 3, 8), 8);
    EXPECT(sock_has_pending(&here));
    EXPECT_EQ(sock_recv_now(&here, room + 11, 100), 9);
    EXPECT(memcmp(room, "0123456789abcdefghij", 20) == 0);
    EXPECT(!sock_has_pending(&here));
    EXPECT_EQ(recv_from(&here, room, sizeof(room)), IO_PENDING);
    EXPECT(sock_send_now(&there, "xy", 2) == 2 && sock_send_now(&there, "z", 1) == 1);
    EXPECT_EQ(recv_from(&here, room, sizeof(room)), 3);
    end();
}

/* ------------------------------------------------------------------ what may not be */

/* A record that the client would seal so, with a type that OpenSSL would not let through. */
static void
inject(enum tls_record_type type, const void *at, size_t n)
{
    struct tls_protection p;
    struct iovec iov = {(void *) at, n};
    struct tls_pieces from = {&iov, 0};
    unsigned char record[200];

    tls_protection_start(&p, tls_worker_self(), tls_layer_of(&here)->lean.in.suite,
                         tls_layer_of(&here)->lean.in.secret, true);
    p.number = tls_layer_of(&here)->lean.in.number;
    CHECK(tls_record_seal(&p, type, &from, n, record));
    CHECK(send(there.fd, record, n + TLS_RECORD_EXTRA, 0) == (ssize_t) (n + TLS_RECORD_EXTRA));
    tls_protection_end(&p);
}

/* All that is on its way to the client, with OpenSSL none the wiser. */
static size_t
take_wire(unsigned char *at, size_t room)
{
    ssize_t n = recv(there.fd, at, room, MSG_DONTWAIT);

    return n > 0 ? (size_t) n : 0;
}

/* What the last record on its way to the client says, if that is a fatal alert; else -1. */
static int
last_alert(void)
{
    unsigned char wire[1000], *at = wire, plain[1000];
    size_t left = take_wire(wire, sizeof(wire)), missing;
    struct tls_protection p;
    enum tls_record_type type;
    ssize_t size = 0, n;

    while ((size = tls_record_size(slice_of((char *) at, left), &missing)) > 0 &&
           (size_t) size < left) {
        at += size;
        left -= (size_t) size;
    }
    if (size <= 0)
        return -1;
    tls_protection_start(&p, tls_worker_self(), tls_layer_of(&here)->lean.out.suite,
                         tls_layer_of(&here)->lean.out.secret, false);
    p.number = tls_layer_of(&here)->lean.out.number - 1;
    n = tls_record_open(&p, at, (size_t) size, plain, &type);
    tls_protection_end(&p);
    return n == 2 && type == TLS_RECORD_ALERT && plain[0] == 2 ? plain[1] : -1;
}

/* It is the end of the connection, and the client is told why. */
static bool
is_refused(int alert)
{
    char room[100];

    return recv_from(&here, room, sizeof(room)) == -ECONNRESET && last_alert() == alert &&
           recv_from(&here, room, sizeof(room)) == -ECONNRESET &&
           sock_send_now(&here, "x", 1) == -EPIPE && !tls_layer_of(&here)->in.at &&
           take_wire((unsigned char *) room, sizeof(room)) == 0;
}

struct bad_record {
    enum tls_record_type type;
    const char          *at;
    size_t               n;
    enum tls_alert       alert;
};

TEST(what_nobody_may_send_now_ends_the_connection)
{
    static const struct bad_record cases[] = {
        /* an update that asks for something else; whose length is wrong; which does not end its
         * record */
        {TLS_RECORD_HANDSHAKE, "\x18\0\0\1\2", 5, TLS_ALERT_ILLEGAL_PARAMETER},
        {TLS_RECORD_HANDSHAKE, "\x18\0\0\0", 4, TLS_ALERT_DECODE_ERROR},
        {TLS_RECORD_HANDSHAKE, "\x18\0\0\2\0\0", 6, TLS_ALERT_DECODE_ERROR},
        {TLS_RECORD_HANDSHAKE, "\x18\0\0\1\0more", 9, TLS_ALERT_UNEXPECTED_MESSAGE},
        /* a client hello, a ticket, a request for a certificate, an end */
        {TLS_RECORD_HANDSHAKE, "\1\0\0\0", 4, TLS_ALERT_UNEXPECTED_MESSAGE},
        {TLS_RECORD_HANDSHAKE, "\4\0\0\1\0", 5, TLS_ALERT_UNEXPECTED_MESSAGE},
        {TLS_RECORD_HANDSHAKE, "\xD\0\0\3\0\0\0", 7, TLS_ALERT_UNEXPECTED_MESSAGE},
        {TLS_RECORD_HANDSHAKE, "\x14", 1, TLS_ALERT_UNEXPECTED_MESSAGE},
        {TLS_RECORD_HANDSHAKE, "", 0, TLS_ALERT_UNEXPECTED_MESSAGE},
        {TLS_RECORD_ALERT, "", 0, TLS_ALERT_UNEXPECTED_MESSAGE},
        {TLS_RECORD_ALERT, "\1", 1, TLS_ALERT_UNEXPECTED_MESSAGE},
        {TLS_RECORD_ALERT, "\1\0\1\0", 4, TLS_ALERT_UNEXPECTED_MESSAGE},
        {20, "\1", 1, TLS_ALERT_UNEXPECTED_MESSAGE},
        {24, "heartbeat", 9, TLS_ALERT_UNEXPECTED_MESSAGE},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        begin();
        inject(cases[i].type, cases[i].at, cases[i].n);
        EXPECT(is_refused(cases[i].alert));
        end();
    }
}

TEST(a_message_may_come_in_pieces_with_nothing_between_them)
{
    static const struct bad_record cases[] = {
        {TLS_RECORD_DATA, "x", 1, TLS_ALERT_UNEXPECTED_MESSAGE},
        {TLS_RECORD_DATA, "", 0, TLS_ALERT_UNEXPECTED_MESSAGE},
        {TLS_RECORD_ALERT, "\1\0", 2, TLS_ALERT_UNEXPECTED_MESSAGE},
        {TLS_RECORD_HANDSHAKE, "", 0, TLS_ALERT_UNEXPECTED_MESSAGE},
        {TLS_RECORD_HANDSHAKE, "\1\0more", 6, TLS_ALERT_UNEXPECTED_MESSAGE},
        {TLS_RECORD_HANDSHAKE, "\2", 1, TLS_ALERT_DECODE_ERROR},
    };
    struct tls_protection *in;
    char room[10];

    begin();
    in = &tls_layer_of(&here)->lean.in;
    for (int i = 0; i < 5; i++) {
        EXPECT_EQ(in->number, i);
        inject(TLS_RECORD_HANDSHAKE, &"\x18\0\0\1\1"[i], 1);
        EXPECT_EQ(recv_from(&here, room, sizeof(room)), IO_PENDING);
    }
    EXPECT(in->number == 0 && tls_layer_of(&here)->lean.asked);
    inject(TLS_RECORD_DATA, "new", 3);
    EXPECT_EQ(recv_from(&here, room, sizeof(room)), 3);
    EXPECT(passes(&here, &there, "new"));
    end();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        begin();
        inject(TLS_RECORD_HANDSHAKE, "\x18\0\0", 3);
        EXPECT_EQ(recv_from(&here, room, sizeof(room)), IO_PENDING);
        inject(cases[i].type, cases[i].at, cases[i].n);
        EXPECT(is_refused(cases[i].alert));
        end();
    }
}

TEST(what_is_not_sealed_or_was_changed_ends_the_connection)
{
    static const struct bad_record cases[] = {
        {0, "\x14\3\3\0\1\1", 6, TLS_ALERT_UNEXPECTED_MESSAGE},
        {0, "\x15\3\3\0\2\1\0", 7, TLS_ALERT_UNEXPECTED_MESSAGE},
        {0, "GET / HTTP/1.1\r\n", 16, TLS_ALERT_UNEXPECTED_MESSAGE},
        {0, "\x17\3\3\0\x12 not sealed at all.", 23, TLS_ALERT_BAD_RECORD_MAC},
        {0, "\x17\3\3\0\x10", 5, TLS_ALERT_BAD_RECORD_MAC},
        {0, "\x17\3\3\x40\x12", 5, TLS_ALERT_RECORD_OVERFLOW},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        begin();
        EXPECT_EQ(send(there.fd, cases[i].at, cases[i].n, 0), cases[i].n);
        EXPECT(is_refused(cases[i].alert));
        end();
    }
}

TEST(records_without_content_are_bounded)
{
    char room[10];

    begin();
    for (int i = 0; i < 32; i++) {
        inject(TLS_RECORD_DATA, "", 0);
        EXPECT_EQ(recv_from(&here, room, sizeof(room)), IO_PENDING);
    }
    inject(TLS_RECORD_DATA, "x", 1);
    EXPECT_EQ(recv_from(&here, room, sizeof(room)), 1);
    for (int i = 0; i < 32; i++) {
        inject(TLS_RECORD_DATA, "", 0);
        EXPECT_EQ(recv_from(&here, room, sizeof(room)), IO_PENDING);
    }
    inject(TLS_RECORD_DATA, "", 0);
    EXPECT(is_refused(TLS_ALERT_UNEXPECTED_MESSAGE));
    end();
}

/* ------------------------------------------------------------------ numbers */

/* Of all that has come to the client, each record is the next one, which is counted here; how many
 * bytes they hold. */
static size_t
open_all(struct tls_protection *p, struct tls_held *wire, uint64_t *records, uint32_t *sum)
{
    static unsigned char plain[TLS_RECORD_PLAIN_MAX + 1];
    size_t total = 0, missing;
    enum tls_record_type type;
    ssize_t size, n;

    while ((size = tls_record_size(slice_of(wire->at + wire->start, tls_held_bytes(wire)),
                                   &missing)) > 0) {
        p->number = (*records)++;
        n = tls_record_open(p, (unsigned char *) wire->at + wire->start, (size_t) size, plain,
                            &type);
        CHECK(n >= 0);
        if (type != TLS_RECORD_DATA)
            n = 0;
        for (ssize_t i = 0; i < n; i++)
            *sum = *sum * 31 + plain[i];
        total += (size_t) n;
        tls_held_drop(wire, (size_t) size);
    }
    return total;
}

/* More than the wire takes, by owners who come again with what was not taken, and with other bytes
 * at that: what is sealed once is never sealed anew. */
TEST(no_number_is_used_twice_however_the_wire_stops)
{
    static char bytes[100000];
    size_t taken = 0, opened = 0, pauses = 0, step = 1;
    uint32_t sum_taken = 0, sum_opened = 0;
    uint64_t records = 0;
    struct tls_held wire = {0};
    struct tls_protection p;
    int small = 4096;

    begin();
    setsockopt(here.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    tls_protection_start(&p, tls_worker_self(), tls_layer_of(&here)->lean.out.suite,
                         tls_layer_of(&here)->lean.out.secret, false);
    while (taken < 2000000 || opened < taken) {
        size_t want = step * 7919 % sizeof(bytes) + 1;
        ssize_t n = IO_PENDING, got;

        CHECK(step < 1000000);
        memset(bytes, (int) step++, want);
        if (taken < 2000000)
            n = sock_send_now(&here, bytes, want);
        else
            n = sock_send_now(&here, NULL, 0);
        CHECK(n >= 0 || n == IO_PENDING);
        for (ssize_t i = 0; i < n; i++)
            sum_taken = sum_taken * 31 + (unsigned char) bytes[i];
        taken += n > 0 ? (size_t) n : 0;
        if (n != IO_PENDING && step % 3)
            continue;
        pauses += n == IO_PENDING;
        CHECK(tls_held_make_room(&wire, BUFFER_SMALL_BYTES));
        got = recv(there.fd, wire.at + wire.end, step * 977 % 16000 + 1, MSG_DONTWAIT);
        wire.end += got > 0 ? (uint32_t) got : 0;
        opened += open_all(&p, &wire, &records, &sum_opened);
        here.flags |= SOCK_WRITABLE;
    }
    EXPECT(pauses > 20);
    EXPECT_EQ(opened, taken);
    EXPECT_EQ(sum_opened, sum_taken);
    EXPECT_EQ(records, tls_layer_of(&here)->lean.out.number);
    EXPECT(!tls_layer_of(&here)->out.at);
    tls_protection_end(&p);
    tls_held_give(&wire);
    end();
}

TEST(what_comes_behind_the_end_is_dropped)
{
    char room[100];

    begin();
    inject(TLS_RECORD_ALERT, "\1\0", 2);
    EXPECT_EQ(send(there.fd, "more, and not even a record", 27, 0), 27);
    EXPECT_EQ(recv_from(&here, room, sizeof(room)), 0);
    EXPECT(!tls_layer_of(&here)->in.at);
    EXPECT_EQ(recv_from(&here, room, sizeof(room)), 0);
    EXPECT(!sock_has_pending(&here));
    EXPECT(passes(&here, &there, "an answer all the same"));
    end();
}

/* ------------------------------------------------------------------ ends */

TEST(a_goodbye_is_an_end_after_which_we_may_still_answer)
{
    char room[100];

    begin();
    EXPECT_EQ(sock_send_now(&there, "last", 4), 4);
    EXPECT(sock_finish(&there));
    EXPECT_EQ(recv_from(&here, room, sizeof(room)), 4);
    EXPECT_EQ(recv_from(&here, room, sizeof(room)), 0);
    EXPECT_EQ(sock_send_now(&here, "answer", 6), 6);
    EXPECT_EQ(recv_from(&there, room, sizeof(room)), 6);
    EXPECT(sock_finish(&here));
    EXPECT_EQ(recv_from(&there, room, sizeof(room)), 0);
    end();
}

TEST(an_alert_of_the_client_is_the_end_of_it)
{
    char room[100];

    begin();
    inject(TLS_RECORD_ALERT, "\1\x5A", 2); /* user_canceled: a goodbye follows */
    EXPECT_EQ(recv_from(&here, room, sizeof(room)), IO_PENDING);
    inject(TLS_RECORD_ALERT, "\2\x50", 2); /* internal_error */
    EXPECT_EQ(recv_from(&here, room, sizeof(room)), -ECONNRESET);
    EXPECT_EQ(sock_send_now(&here, "x", 1), -EPIPE);
    end();
}
