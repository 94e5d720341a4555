/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls/engine_test.c - both sides against each other, over a socket pair on one loop: handshakes,
 * bytes, ends, sessions.  (The end-to-end tests talk to other people's TLS.)
 */
#include "base/test.h"
#include "runtime/fiber.h"
#include "runtime/tunnel.h"
#include "tls/testing.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* ------------------------------------------------------------------ a stage for both */

static struct loop loop;
static struct testing_cert ca, strange_ca;
static struct tls_store *store;
static struct sock at_server, at_client;
static struct tls_greeting greeting;
static struct tls_call call;
static enum err accepted, connected;
static bool served, called;

static void
begin(void)
{
    struct tls_identity *id;

    if (!ca.x) {
        ca = testing_issue(NULL, "Root", NULL, false, -10, 1000);
        strange_ca = testing_issue(NULL, "Strange", NULL, false, -10, 1000);
    }
    if (!store) {
        store = tls_store_new();
        id = testing_identity(&ca, "DNS:example.test,IP:192.0.2.1", false, 90);
        CHECK(id && tls_store_add(store, id));
        tls_identity_release(id);
    }
    CHECK(loop_init(&loop, NULL, 0) == OK);
}

static void
wire_up(void)
{
    int fds[2];

    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
    memset(&at_server, 0, sizeof(at_server));
    memset(&at_client, 0, sizeof(at_client));
    sock_init(&at_server, fds[0]);
    sock_init(&at_client, fds[1]);
    served = called = false;
}

static void
hang_up(void)
{
    if (at_server.fd >= 0)
        sock_close(&at_server);
    if (at_client.fd >= 0)
        sock_close(&at_client);
    loop_once(&loop, 0);
}

static void
run_until(const bool *a, const bool *b)
{
    uint64_t end_us = clock_monotonic_us() + 5000000;

    while ((!*a || !*b) && clock_monotonic_us() < end_us)
        loop_once(&loop, loop_now_us() + 10000);
}

static struct tls_server *server;
static struct tls_client *client;

static struct tls_server *
make_server(enum tls_client_mode mode, bool h2)
{
    struct tls_server_options o = {.store = store, .client_mode = mode};
    struct text why, pem;
    struct tls_server *s;

    text_init(&why, 1000);
    text_init(&pem, 65536);
    testing_pem(&pem, &ca, NULL);
    if (mode != TLS_CLIENT_OFF)
        o.client_ca = text_slice(&pem);
    s = tls_server_new(&o, &why);
    if (h2)
        tls_server_offer_h2(s);
    text_free(&why);
    text_free(&pem);
    return s;
}

static struct tls_client *
make_client(const struct testing_cert *trusted, struct tls_identity *id, bool insecure)
{
    struct tls_client_options o = {
        .identity = id, .insecure = insecure, .offer_h2 = true, .offer_h1 = true};
    struct text why, pem;
    struct tls_client *c;

    text_init(&why, 1000);
    text_init(&pem, 65536);
    testing_pem(&pem, trusted, NULL);
    o.ca = text_slice(&pem);
    c = tls_client_new(&o, &why);
    text_free(&why);
    text_free(&pem);
    return c;
}

static void
serve(void *arg)
{
    (void) arg;
    greeting = (struct tls_greeting){.buffer = buffer_take(BUFFER_SMALL)};
    accepted = tls_accept(&at_server, server, &greeting, loop_now_us() + 3000000);
    buffer_give(BUFFER_SMALL, greeting.buffer);
    if (accepted != OK)
        sock_close(&at_server);
    served = true;
}

static void
dial(void *arg)
{
    (void) arg;
    connected = tls_connect(&at_client, client, &call, loop_now_us() + 3000000);
    if (connected != OK)
        sock_close(&at_client);
    called = true;
}

static void
shake_hands(struct slice name, struct tls_session_slot *slot)
{
    wire_up();
    call = (struct tls_call){.name = name, .slot = slot};
    fiber_start("serve", serve, NULL);
    fiber_start("dial", dial, NULL);
    run_until(&served, &called);
}

/* ------------------------------------------------------------------ handshakes */

TEST(a_handshake_agrees_and_tells_facts)
{
    begin();
    server = make_server(TLS_CLIENT_OFF, true);
    client = make_client(&ca, NULL, false);
    shake_hands(SLICE("Example.test"), NULL);
    EXPECT_EQ(accepted, OK);
    EXPECT_EQ(connected, OK);
    EXPECT_STR(tls_facts(&at_server)->sni, "example.test");
    EXPECT_STR(tls_facts(&at_server)->version, "1.3");
    EXPECT_STR(tls_facts(&at_server)->alpn, "h2");
    EXPECT_STR(tls_facts(&at_client)->alpn, "h2");
    EXPECT_EQ(tls_facts(&at_server)->ja4.n, TLS_JA4_LENGTH);
    EXPECT(!tls_facts(&at_server)->client_verified);
    hang_up();
    /* The name of a certificate may be an address, which is not asked for by name. */
    shake_hands(SLICE("192.0.2.1"), NULL);
    EXPECT_EQ(connected, OK);
    EXPECT(!slice_is_present(tls_facts(&at_server)->sni));
    hang_up();
    tls_server_release(server);
    tls_client_release(client);
    loop_exit(&loop);
}

TEST(servers_are_verified)
{
    begin();
    server = make_server(TLS_CLIENT_OFF, false);
    client = make_client(&strange_ca, NULL, false);
    shake_hands(SLICE("example.test"), NULL);
    EXPECT_EQ(connected, ERR_DENIED);
    EXPECT(slice_starts(slice_str(call.why), SLICE("certificate not accepted: ")));
    EXPECT(accepted != OK && greeting.why[0]);
    hang_up();
    tls_client_release(client);
    client = make_client(&ca, NULL, false);
    shake_hands(SLICE("other.test"), NULL);
    EXPECT_EQ(connected, ERR_DENIED);
    EXPECT_STR(slice_str(call.why), "certificate not accepted: hostname mismatch");
    hang_up();
    shake_hands(SLICE("192.0.2.2"), NULL);
    EXPECT_STR(slice_str(call.why), "certificate not accepted: IP address mismatch");
    hang_up();
    shake_hands(SLICE(""), NULL);
    EXPECT_EQ(connected, ERR_DENIED);
    hang_up();
    tls_client_release(client);
    client = make_client(&strange_ca, NULL, true);
    shake_hands(SLICE("other.test"), NULL);
    EXPECT_EQ(connected, OK);
    EXPECT_STR(tls_facts(&at_client)->alpn, "http/1.1");
    hang_up();
    tls_server_release(server);
    tls_client_release(client);
    loop_exit(&loop);
}

TEST(clients_show_their_certificate)
{
    struct tls_identity *id;

    begin();
    id = testing_identity(&ca, "DNS:alice.test", false, 90);
    server = make_server(TLS_CLIENT_REQUIRED, false);
    client = make_client(&ca, id, false);
    tls_identity_release(id);
    shake_hands(SLICE("example.test"), NULL);
    EXPECT_EQ(accepted, OK);
    EXPECT(tls_facts(&at_server)->client_verified);
    EXPECT_STR(tls_facts(&at_server)->client_subject, "CN=leaf");
    EXPECT_STR(tls_facts(&at_server)->client_san, "alice.test");
    hang_up();
    tls_client_release(client);
    client = make_client(&ca, NULL, false);
    shake_hands(SLICE("example.test"), NULL);
    EXPECT_EQ(accepted, ERR_MALFORMED);
    hang_up();
    tls_server_release(server);
    tls_client_release(client);
    loop_exit(&loop);
}

/* ------------------------------------------------------------------ bytes */

static char sent[3 << 20], received[sizeof(sent) + 1];
static size_t received_n;
static bool sender_done, receiver_done;
static enum err sender_err, receiver_err;

static void
send_all(void *arg)
{
    struct sock *s = arg;
    struct iovec iov[4] = {
        {sent, 5}, {sent + 5, 70000}, {sent + 70005, 3}, {sent + 70008, sizeof(sent) - 70008}};

    sender_err = sock_send(s, iov, 4, 3000000);
    (void) sock_finish(s);
    sender_done = true;
}

static void
receive_all(void *arg)
{
    struct sock *s = arg;
    size_t got = 0;

    received_n = 0;
    while ((receiver_err = sock_recv(s, received + received_n,
                                     sizeof(received) - received_n < 50000
                                         ? sizeof(received) - received_n
                                         : 50000,
                                     loop_now_us() + 3000000, &got)) == OK)
        received_n += got;
    receiver_done = true;
}

/* From one to the other, with the other's end seen as an end. */
static bool
move(struct sock *from, struct sock *to)
{
    sender_done = receiver_done = false;
    fiber_start("send", send_all, from);
    fiber_start("receive", receive_all, to);
    run_until(&sender_done, &receiver_done);
    return sender_err == OK && receiver_err == ERR_END && received_n == sizeof(sent) &&
           memcmp(sent, received, sizeof(sent)) == 0;
}

TEST(bytes_both_ways_and_a_half_close)
{
    begin();
    for (size_t i = 0; i < sizeof(sent); i++)
        sent[i] = (char) (i * 2654435761u >> 13);
    server = make_server(TLS_CLIENT_OFF, false);
    client = make_client(&ca, NULL, false);
    shake_hands(SLICE("example.test"), NULL);
    EXPECT(move(&at_server, &at_client));
    EXPECT(move(&at_client, &at_server));
    hang_up();
    tls_server_release(server);
    tls_client_release(client);
    loop_exit(&loop);
}

TEST(an_end_without_goodbye_is_a_reset_for_a_client_and_an_end_for_a_server)
{
    char room[100];

    begin();
    server = make_server(TLS_CLIENT_OFF, false);
    client = make_client(&ca, NULL, false);
    shake_hands(SLICE("example.test"), NULL);
    (void) sock_recv_now(&at_server, room, sizeof(room)); /* the ticket leaves */
    shutdown(at_server.fd, SHUT_WR);
    loop_once(&loop, loop_now_us() + 1000);
    EXPECT(sock_recv_now(&at_client, room, sizeof(room)) < 0);
    hang_up();
    shake_hands(SLICE("example.test"), NULL);
    shutdown(at_client.fd, SHUT_WR);
    loop_once(&loop, loop_now_us() + 1000);
    EXPECT_EQ(sock_recv_now(&at_server, room, sizeof(room)), 0);
    hang_up();
    tls_server_release(server);
    tls_client_release(client);
    loop_exit(&loop);
}

TEST(nothing_is_pending_where_only_half_a_record_has_come)
{
    char room[100], record[200];
    ssize_t n;

    begin();
    server = make_server(TLS_CLIENT_OFF, false);
    client = make_client(&ca, NULL, false);
    shake_hands(SLICE("example.test"), NULL);
    EXPECT_EQ(sock_recv_now(&at_server, room, sizeof(room)), IO_PENDING);
    EXPECT(!sock_has_pending(&at_server));
    EXPECT_EQ(sock_send_now(&at_client, "hello", 5), 5);
    n = recv(at_server.fd, record, sizeof(record), 0);
    EXPECT(n > 20);
    EXPECT_EQ(send(at_client.fd, record, 20, 0), 20);
    loop_once(&loop, loop_now_us() + 1000);
    at_server.flags |= SOCK_READABLE;
    EXPECT_EQ(sock_recv_now(&at_server, room, sizeof(room)), IO_PENDING);
    EXPECT(!sock_has_pending(&at_server));
    EXPECT_EQ(send(at_client.fd, record + 20, (size_t) n - 20, 0), n - 20);
    at_server.flags |= SOCK_READABLE;
    EXPECT_EQ(sock_recv_now(&at_server, room, 2), 2);
    EXPECT(sock_has_pending(&at_server));
    EXPECT_EQ(sock_recv_now(&at_server, room, sizeof(room)), 3);
    EXPECT(!sock_has_pending(&at_server));
    hang_up();
    tls_server_release(server);
    tls_client_release(client);
    loop_exit(&loop);
}

/* ------------------------------------------------------------------ sessions */

static bool
resumed(struct tls_session_slot *slot)
{
    char room[100];
    bool yes;

    shake_hands(SLICE("example.test"), slot);
    yes = accepted == OK && tls_facts(&at_client)->resumed && tls_facts(&at_server)->resumed;
    (void) sock_recv_now(&at_server, room, sizeof(room));
    loop_once(&loop, loop_now_us() + 1000);
    (void) sock_recv_now(&at_client, room, sizeof(room)); /* the ticket comes */
    hang_up();
    return yes;
}

TEST(sessions_are_resumed_with_the_same_client_only)
{
    struct tls_session_slot slot = {0};

    begin();
    server = make_server(TLS_CLIENT_OFF, false);
    client = make_client(&ca, NULL, false);
    EXPECT(!resumed(&slot));
    EXPECT(slot.session != NULL);
    EXPECT(resumed(&slot));
    EXPECT(resumed(&slot));
    tls_client_release(client);
    /* Another configuration may trust others: it begins anew. */
    client = make_client(&ca, NULL, false);
    EXPECT(!resumed(&slot));
    EXPECT(resumed(&slot));
    tls_session_clear(&slot);
    tls_server_release(server);
    tls_client_release(client);
    loop_exit(&loop);
}

/* ------------------------------------------------------------------ tunnels */

static bool tunnel_over;
static enum err tunnel_err;

static void
on_tunnel_end(struct tunnel *t, enum err err)
{
    tunnel_err = err;
    tunnel_over = true;
    sock_close(t->ways[0].from);
    sock_close(t->ways[1].from);
}

TEST(a_tunnel_over_tls_carries_bytes_and_ends)
{
    struct tunnel tunnel = {.on_end = on_tunnel_end};
    struct sock plain = {0}, far = {0};
    int fds[2];

    begin();
    server = make_server(TLS_CLIENT_OFF, false);
    client = make_client(&ca, NULL, false);
    shake_hands(SLICE("example.test"), NULL);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
    sock_init(&plain, fds[0]);
    sock_init(&far, fds[1]);
    tunnel_over = false;
    tunnel_start(&tunnel, &at_server, &plain, SLICE(""), SLICE(""), 0);
    EXPECT(move(&at_client, &far));
    EXPECT(move(&far, &at_client));
    run_until(&tunnel_over, &tunnel_over);
    EXPECT(tunnel_over);
    EXPECT_EQ(tunnel_err, OK);
    sock_close(&far);
    hang_up();
    tls_server_release(server);
    tls_client_release(client);
    loop_exit(&loop);
}
