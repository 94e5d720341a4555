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

/* It is the end of the connection, and OpenSSL is told so by an alert. */
static bool
is_refused(void)
{
    char room[100];

    return recv_from(&here, room, sizeof(room)) == -ECONNRESET &&
           recv_from(&here, room, sizeof(room)) == -ECONNRESET &&
           sock_send_now(&here, "x", 1) == -EPIPE && recv_from(&there, room, sizeof(room)) < 0;
}

TEST(what_nobody_may_send_now_ends_the_connection)
{
    static const struct {
        enum tls_record_type type;
        const char          *at;
        size_t               n;
    } cases[] = {
        {TLS_RECORD_HANDSHAKE, "\x18\0\0\1\2", 5},     /* an update that asks for something else */
        {TLS_RECORD_HANDSHAKE, "\x18\0\0\1\0more", 9}, /* the key changes at its end */
        {TLS_RECORD_HANDSHAKE, "\x18\0\0\1", 4},
        {TLS_RECORD_HANDSHAKE, "\1\0\0\0", 4}, /* a client hello */
        {TLS_RECORD_HANDSHAKE, "", 0},
        {TLS_RECORD_ALERT, "\1", 1},
        {TLS_RECORD_ALERT, "\1\0\1\0", 4},
        {20, "\1", 1},
        {24, "heartbeat", 9},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        begin();
        inject(cases[i].type, cases[i].at, cases[i].n);
        EXPECT(is_refused());
        end();
    }
}

TEST(what_is_not_sealed_or_was_changed_ends_the_connection)
{
    static const char *const cases[] = {
        "\x14\3\3\0\1\1", "\x15\3\3\0\2\1\0", "GET / HTTP/1.1\r\n",
        "\x17\3\3\0\x12 not sealed at all.",
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t n = i == 0 ? 6 : i == 1 ? 7 : i == 2 ? 16 : 23;

        begin();
        EXPECT_EQ(send(there.fd, cases[i], n, 0), n);
        EXPECT(is_refused());
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
    EXPECT(is_refused());
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
