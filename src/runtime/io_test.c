/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runtime/io_test.c - the contract that every loop keeps: these tests run for each of them.
 */
#include "runtime/io.h"

#include "base/test.h"
#include "runtime/fiber.h"
#include "runtime/sock.h"
#include "runtime/tunnel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static const struct loop_ops *const loops[] = {&loop_epoll};

static struct loop loop;
static struct sock near, far;

static void
until_no_fiber(void)
{
    for (int i = 0; i < 10000 && fiber_count() > 0; i++)
        loop_once(&loop, loop.now_us + 100000);
}

static void
open_pair(void)
{
    int pair[2];

    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
    sock_init(&near, pair[0]);
    sock_init(&far, pair[1]);
}

static void
close_pair(void)
{
    if (near.fd >= 0)
        sock_close(&near);
    if (far.fd >= 0)
        sock_close(&far);
    loop_once(&loop, loop.now_us);
}

#define FOR_EACH_LOOP                                                                             \
    for (size_t which = 0; which < countof(loops) && loop_init(&loop, loops[which], 0) == OK;     \
         which++, loop_exit(&loop))

/* ------------------------------------------------------------------ receiving */

static char received[64];
static size_t received_n;
static enum err receive_error;

static void
receive_once(void *arg)
{
    received_n = 0;
    receive_error = sock_recv(&near, received, sizeof(received),
                              arg ? loop_now_us() + *(uint64_t *) arg : TIMER_NEVER, &received_n);
}

TEST(receives_what_was_there_before_it_asked)
{
    FOR_EACH_LOOP {
        open_pair();
        EXPECT_EQ(write(far.fd, "hello", 5), 5);
        fiber_start("r", receive_once, NULL);
        until_no_fiber();
        EXPECT_EQ(receive_error, OK);
        EXPECT_STR(slice_of(received, received_n), "hello");
        close_pair();
    }
}

TEST(receives_what_comes_later)
{
    FOR_EACH_LOOP {
        open_pair();
        fiber_start("r", receive_once, NULL);
        loop_once(&loop, loop.now_us);
        EXPECT_EQ(fiber_count(), 1);
        EXPECT_EQ(write(far.fd, "later", 5), 5);
        until_no_fiber();
        EXPECT_STR(slice_of(received, received_n), "later");
        close_pair();
    }
}

TEST(hears_of_the_end_even_behind_a_short_receive)
{
    FOR_EACH_LOOP {
        open_pair();
        EXPECT_EQ(write(far.fd, "x", 1), 1);
        sock_close(&far);
        fiber_start("r", receive_once, NULL);
        until_no_fiber();
        EXPECT_EQ(receive_error, OK);
        fiber_start("r", receive_once, NULL);
        until_no_fiber();
        EXPECT_EQ(receive_error, ERR_END);
        close_pair();
    }
}

TEST(a_deadline_ends_a_receive_and_the_next_one_works)
{
    FOR_EACH_LOOP {
        uint64_t soon_us = 5000;

        open_pair();
        fiber_start("r", receive_once, &soon_us);
        until_no_fiber();
        EXPECT_EQ(receive_error, ERR_TIMEOUT);
        EXPECT_EQ(write(far.fd, "y", 1), 1);
        fiber_start("r", receive_once, NULL);
        until_no_fiber();
        EXPECT_EQ(receive_error, OK);
        close_pair();
    }
}

TEST(cancelling_ends_a_receive)
{
    FOR_EACH_LOOP {
        struct fiber *f;

        open_pair();
        f = fiber_start("r", receive_once, NULL);
        loop_once(&loop, loop.now_us);
        fiber_cancel(f, ERR_CANCELLED);
        until_no_fiber();
        EXPECT_EQ(receive_error, ERR_CANCELLED);
        close_pair();
    }
}

/* ------------------------------------------------------------------ sending */

enum { MUCH = 4 * 1024 * 1024 };

static enum err send_error;

static void
send_much(void *arg)
{
    char *much = calloc(1, MUCH);
    struct iovec iov[2] = {{much, 7}, {much + 7, MUCH - 7}};

    (void) arg;
    send_error = sock_send(&near, iov, 2, 2000000);
    sock_close(&near);
    free(much);
}

static size_t sunk;

static void
sink_all(void *arg)
{
    char *room = malloc(65536);
    size_t n;

    (void) arg;
    sunk = 0;
    while (sock_recv(&far, room, 65536, TIMER_NEVER, &n) == OK)
        sunk += n;
    free(room);
}

TEST(sends_more_than_fits_into_the_kernel)
{
    FOR_EACH_LOOP {
        open_pair();
        fiber_start("s", send_much, NULL);
        fiber_start("r", sink_all, NULL);
        until_no_fiber();
        EXPECT_EQ(send_error, OK);
        EXPECT_EQ(sunk, MUCH);
        close_pair();
    }
}

static void
send_to_nobody(void *arg)
{
    char *much = calloc(1, MUCH);
    struct iovec iov = {much, MUCH};

    send_error = sock_send(&near, &iov, 1, *(uint64_t *) arg);
    free(much);
}

TEST(a_receiver_who_takes_nothing_is_a_timeout)
{
    FOR_EACH_LOOP {
        uint64_t progress_us = 10000;

        open_pair();
        fiber_start("s", send_to_nobody, &progress_us);
        until_no_fiber();
        EXPECT_EQ(send_error, ERR_TIMEOUT);
        close_pair();
    }
}

TEST(a_receiver_who_is_gone_is_a_reset)
{
    FOR_EACH_LOOP {
        uint64_t progress_us = 1000000;

        open_pair();
        sock_close(&far);
        fiber_start("s", send_to_nobody, &progress_us);
        until_no_fiber();
        EXPECT_EQ(send_error, ERR_RESET);
        close_pair();
    }
}

/* --------------------------------------------------------- both ways at once, parking, hang-ups */

TEST(one_fiber_reads_while_another_writes_the_same_socket)
{
    FOR_EACH_LOOP {
        open_pair();
        fiber_start("r", receive_once, NULL);
        fiber_start("sink", sink_all, NULL);
        loop_once(&loop, loop.now_us);
        EXPECT_EQ(write(far.fd, "both", 4), 4);
        loop_once(&loop, loop.now_us + 1000);
        EXPECT_STR(slice_of(received, received_n), "both");
        sock_close(&near);
        until_no_fiber();
        close_pair();
    }
}

TEST(a_second_receive_beside_one_that_waits_is_refused)
{
    FOR_EACH_LOOP {
        struct fiber *f;

        open_pair();
        f = fiber_start("first", receive_once, NULL);
        loop_once(&loop, loop.now_us);
        fiber_start("second", receive_once, NULL);
        loop_once(&loop, loop.now_us);
        EXPECT_EQ(receive_error, ERR_IO);
        fiber_cancel(f, ERR_CANCELLED);
        until_no_fiber();
        close_pair();
    }
}

static struct io parked;
static int woken;

static void
on_woken(struct io *io)
{
    woken += io->result == 0;
}

TEST(a_parked_connection_is_woken_by_bytes)
{
    FOR_EACH_LOOP {
        open_pair();
        near.flags &= (uint8_t) ~SOCK_READABLE;
        woken = 0;
        EXPECT(io_ready(&near, &parked, IO_READABLE, on_woken) == IO_PENDING);
        loop_once(&loop, loop.now_us + 2000);
        EXPECT_EQ(woken, 0);
        EXPECT_EQ(write(far.fd, "z", 1), 1);
        loop_once(&loop, loop.now_us + 1000000);
        EXPECT_EQ(woken, 1);
        EXPECT(!io_in_flight(&parked));
        close_pair();
    }
}

static int hangups;

static void
count_hangup(struct sock *s)
{
    (void) s;
    hangups++;
}

TEST(a_watched_socket_tells_when_the_peer_goes)
{
    FOR_EACH_LOOP {
        open_pair();
        hangups = 0;
        near.on_hangup = count_hangup;
        EXPECT_EQ(loop.ops->watch(&near), OK);
        loop_once(&loop, loop.now_us);
        EXPECT_EQ(hangups, 0);
        sock_close(&far);
        loop_once(&loop, loop.now_us + 1000000);
        EXPECT_EQ(hangups, 1);
        EXPECT(sock_is_hung_up(&near));
        close_pair();
    }
}

/* ------------------------------------------------------------------ connecting and accepting */

static struct sock client;
static enum err connect_error;
static union address target;
static int accepted;

static void
connect_once(void *arg)
{
    (void) arg;
    connect_error = sock_connect(&client, &target, NULL, loop_now_us() + 1000000);
}

static void
on_accept(struct acceptor *a, int fd, const union address *peer)
{
    (void) a;
    accepted += peer->any.sa_family == AF_INET;
    close(fd);
}

static void
on_trouble(struct acceptor *a, enum err err)
{
    (void) a;
    (void) err;
}

TEST(connections_are_made_and_accepted)
{
    FOR_EACH_LOOP {
        struct acceptor a = {.on_accept = on_accept, .on_trouble = on_trouble};
        socklen_t n = sizeof(target);
        int fd;

        target.v4 = (struct sockaddr_in){.sin_family = AF_INET,
                                         .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        fd = sock_listen(&target, 16, true);
        EXPECT(fd >= 0);
        EXPECT_EQ(getsockname(fd, &target.any, &n), 0);
        EXPECT_EQ(acceptor_start(&a, fd), OK);
        accepted = 0;
        for (int i = 0; i < 5; i++) {
            fiber_start("c", connect_once, NULL);
            until_no_fiber();
            EXPECT_EQ(connect_error, OK);
            EXPECT_EQ(write(client.fd, "x", 1), 1);
            sock_close(&client);
            loop_once(&loop, loop.now_us + 1000);
        }
        for (int i = 0; i < 100 && accepted < 5; i++)
            loop_once(&loop, loop.now_us + 10000);
        EXPECT_EQ(accepted, 5);
        acceptor_stop(&a);
        loop_once(&loop, loop.now_us);
        fiber_start("c", connect_once, NULL);
        until_no_fiber();
        EXPECT_EQ(connect_error, ERR_REFUSED);
        loop_once(&loop, loop.now_us);
    }
}

/* ------------------------------------------------------------------ tunnels */

static int tunnel_ends;
static enum err tunnel_error;
static struct sock outer_a, outer_b;

static void
on_tunnel_end(struct tunnel *t, enum err err)
{
    tunnel_ends++;
    tunnel_error = err;
    sock_close(t->ways[0].from);
    sock_close(t->ways[1].from);
}

TEST(a_tunnel_moves_bytes_and_half_closes)
{
    FOR_EACH_LOOP {
        struct tunnel t = {.on_end = on_tunnel_end};
        char got[16];
        int a[2], b[2];

        CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, a) == 0);
        CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, b) == 0);
        sock_init(&outer_a, a[1]);
        sock_init(&outer_b, b[1]);
        tunnel_ends = 0;
        tunnel_start(&t, &outer_a, &outer_b, SLICE("early"), SLICE(""), 60000000);
        EXPECT_EQ(read(b[0], got, sizeof(got)), 5);
        EXPECT_EQ(write(a[0], "ping", 4), 4);
        loop_once(&loop, loop.now_us + 100000);
        EXPECT_EQ(read(b[0], got, sizeof(got)), 4);
        EXPECT_EQ(write(b[0], "pong!", 5), 5);
        loop_once(&loop, loop.now_us + 100000);
        EXPECT_EQ(read(a[0], got, sizeof(got)), 5);
        shutdown(a[0], SHUT_WR);
        loop_once(&loop, loop.now_us + 100000);
        EXPECT_EQ(read(b[0], got, sizeof(got)), 0);
        EXPECT_EQ(write(b[0], "bye", 3), 3);
        close(b[0]);
        for (int i = 0; i < 10 && !tunnel_ends; i++)
            loop_once(&loop, loop.now_us + 100000);
        EXPECT_EQ(read(a[0], got, sizeof(got)), 3);
        EXPECT_EQ(tunnel_ends, 1);
        EXPECT_EQ(tunnel_error, OK);
        close(a[0]);
        loop_once(&loop, loop.now_us);
    }
}

TEST(silence_ends_a_tunnel)
{
    FOR_EACH_LOOP {
        struct tunnel t = {.on_end = on_tunnel_end};
        int a[2], b[2];

        CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, a) == 0);
        CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, b) == 0);
        sock_init(&outer_a, a[1]);
        sock_init(&outer_b, b[1]);
        tunnel_ends = 0;
        tunnel_start(&t, &outer_a, &outer_b, SLICE(""), SLICE(""), 5000);
        for (int i = 0; i < 100 && !tunnel_ends; i++)
            loop_once(&loop, loop.now_us + 2000);
        EXPECT_EQ(tunnel_error, ERR_TIMEOUT);
        close(a[0]);
        close(b[0]);
        loop_once(&loop, loop.now_us);
    }
}

/* ------------------------------------------------------------------ messages */

static int messages;

static void
count_message(struct message *m)
{
    messages++;
    free(m);
}

static void *
post_many(void *arg)
{
    for (int i = 0; i < 1000; i++) {
        struct message *m = calloc(1, sizeof(*m));

        m->run = count_message;
        loop_post(arg, m);
    }
    return NULL;
}

TEST(messages_from_other_threads_all_arrive)
{
    FOR_EACH_LOOP {
        pthread_t threads[3];

        messages = 0;
        for (int i = 0; i < 3; i++)
            CHECK(pthread_create(&threads[i], NULL, post_many, &loop) == 0);
        for (int i = 0; i < 10000 && messages < 3000; i++)
            loop_once(&loop, loop.now_us + 10000);
        for (int i = 0; i < 3; i++)
            pthread_join(threads[i], NULL);
        EXPECT_EQ(messages, 3000);
    }
}
