/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runtime/sock_give_test.c - memory that is given away arrives whole and in order, with what stands
 * around it, and stays as it was however late the peer reads.
 */
#include "runtime/sock.h"

#include "base/test.h"
#include "runtime/fiber.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PAGE = 4096, MUCH = 6 * 1024 * 1024, HEAD = 200 };

static struct loop loop;
static struct sock near;
static int far;
static char *memory;  /* MUCH bytes, page-aligned */
static struct iovec vectors[4];
static int vectors_n, first;
static uint64_t progress_us;
static enum err result;
static bool done;

static char
byte_at(size_t i)
{
    return (char) (i * 7 + (i >> 8) * 31 + (i >> 16));
}

static void
open_pair(int send_buffer)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(at);
    int listening = socket(AF_INET, SOCK_STREAM, 0), fd;

    CHECK(loop_init(&loop, NULL, 0) == OK);
    CHECK(bind(listening, (struct sockaddr *) &at, size) == 0 && listen(listening, 1) == 0);
    CHECK(getsockname(listening, (struct sockaddr *) &at, &size) == 0);
    far = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(connect(far, (struct sockaddr *) &at, size) == 0);
    fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK);
    CHECK(fd >= 0);
    close(listening);
    if (send_buffer)
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &send_buffer, sizeof(send_buffer));
    sock_init(&near, fd);
    memory = mmap(NULL, MUCH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    for (size_t i = 0; i < MUCH; i++)
        memory[i] = byte_at(i);
    vectors_n = 0;
    progress_us = TIMER_NEVER;
    done = false;
}

static void
close_pair(void)
{
    sock_close(&near);
    loop_once(&loop, loop.now_us);
    loop_exit(&loop);
    if (far >= 0)
        close(far);
    munmap(memory, MUCH);
}

static void
give(void *arg)
{
    (void) arg;
    result = sock_give(&near, vectors, vectors_n, first, progress_us);
    done = true;
}

static void
start(void)
{
    fiber_start("give", give, NULL);
    for (int i = 0; i < 3 && !done; i++)
        loop_once(&loop, loop.now_us + 1000);
}

static void
until_done(void)
{
    for (int i = 0; i < 1000 && !done; i++)
        loop_once(&loop, loop.now_us + 100000);
}

static void
add(void *at, size_t n)
{
    vectors[vectors_n++] = (struct iovec){at, n};
}

/* What the peer has next, as the loop goes round. */
static bool
arrives(const char *wanted, size_t n)
{
    char bytes[8192];

    while (n) {
        size_t room = n < sizeof(bytes) ? n : sizeof(bytes);
        ssize_t got = recv(far, bytes, room, MSG_DONTWAIT);

        if (got <= 0) {
            if (done)
                return false;
            loop_once(&loop, loop.now_us + 100000);
            continue;
        }
        if (memcmp(bytes, wanted, (size_t) got) != 0)
            return false;
        wanted += got;
        n -= (size_t) got;
    }
    return true;
}

TEST(heads_pages_and_what_fills_none_arrive_in_order)
{
    static const struct {
        size_t from, n;
    } stretches[] = {{0, 65536}, {1, 65536}, {4095, 40000}, {100, 32768}, {0, 32767}, {8192, 1}};

    for (size_t i = 0; i < countof(stretches); i++) {
        char head[HEAD];

        open_pair(0);
        memset(head, 'h', sizeof(head));
        add(head, sizeof(head));
        add(memory + stretches[i].from, stretches[i].n);
        add(memory + 65536, 50000);
        first = 1;
        start();
        EXPECT(done);
        EXPECT_EQ(result, OK);
        EXPECT_EQ(near.sent, HEAD + stretches[i].n + 50000);
        memset(head, '-', sizeof(head)); /* that one was copied */
        {
            char wanted[HEAD];

            memset(wanted, 'h', sizeof(wanted));
            EXPECT(arrives(wanted, sizeof(wanted)));
        }
        EXPECT(arrives(memory + stretches[i].from, stretches[i].n));
        EXPECT(arrives(memory + 65536, 50000));
        close_pair();
    }
}

TEST(a_slow_peer_gets_all_of_it)
{
    static const int buffers[] = {4096, 65536, 0};

    for (size_t i = 0; i < countof(buffers); i++) {
        open_pair(buffers[i]);
        add(memory + 3, 5000);
        add(memory + 5003, MUCH - 5003);
        first = 0;
        start();
        EXPECT(arrives(memory + 3, MUCH - 3));
        EXPECT(done);
        EXPECT_EQ(result, OK);
        close_pair();
    }
}

/* That is what the store relies on. */
TEST(new_pages_for_the_same_addresses_leave_the_old_ones_to_the_peer)
{
    char *copy = malloc(256 * 1024);

    open_pair(4 * 1024 * 1024);
    memcpy(copy, memory, 256 * 1024);
    add(memory, 256 * 1024);
    first = 0;
    start();
    EXPECT(done);
    CHECK(madvise(memory, 256 * 1024, MADV_DONTNEED) == 0);
    memset(memory, 'x', 256 * 1024);
    EXPECT(arrives(copy, 256 * 1024));
    close_pair();
    free(copy);
}

TEST(who_does_not_read_is_given_up)
{
    open_pair(4096);
    add(memory, MUCH);
    first = 0;
    progress_us = 20000;
    start();
    until_done();
    EXPECT(done);
    EXPECT_EQ(result, ERR_TIMEOUT);
    EXPECT(near.sent > 0);
    close_pair();
}

TEST(who_has_gone_ends_it)
{
    signal(SIGPIPE, SIG_IGN);
    open_pair(4096);
    add(memory, MUCH);
    first = 0;
    start();
    close(far);
    far = -1;
    until_done();
    EXPECT(done);
    EXPECT(result != OK && result != ERR_TIMEOUT);
    close_pair();
}

TEST(with_little_in_one_place_nothing_is_given)
{
    open_pair(0);
    add(memory, 32767);
    EXPECT(!sock_can_give(&near, vectors, 1));
    vectors[0].iov_len++;
    EXPECT(sock_can_give(&near, vectors, 1));
    close_pair();
}

/* ------------------------------------------------------------------ where it is forbidden */

/* A system call that this thread may not make, and what it is told. */
struct forbidden {
    unsigned call;
    int      error;
};

static void
forbid(const struct forbidden *f)
{
    struct sock_filter steps[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, f->call, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned) f->error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {countof(steps), steps};

    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

/* Twice over one loop: what was refused once is not tried again, and does no harm. */
static void *
give_forbidden(void *forbidden)
{
    char head[HEAD];
    bool good = true;

    forbid(forbidden);
    open_pair(0);
    memset(head, 'h', sizeof(head));
    for (int i = 0; i < 2 && good; i++) {
        done = false;
        vectors_n = 0;
        add(head, sizeof(head));
        add(memory + 1, 200000);
        first = 1;
        start();
        good = arrives(head, sizeof(head)) && arrives(memory + 1, 200000) && done && result == OK;
    }
    close_pair();
    return good ? forbidden : NULL;
}

TEST(where_the_system_calls_are_forbidden_bytes_are_copied)
{
    static const struct forbidden all[] = {
        {SYS_splice, EINVAL},   {SYS_splice, ENOSYS}, {SYS_splice, EPERM},
        {SYS_vmsplice, ENOSYS}, {SYS_pipe2, EPERM},
    };

    for (size_t i = 0; i < countof(all); i++) {
        struct forbidden f = all[i];
        pthread_t thread;
        void *good = NULL;

        CHECK(pthread_create(&thread, NULL, give_forbidden, &f) == 0);
        pthread_join(thread, &good);
        EXPECT(good != NULL);
    }
}
