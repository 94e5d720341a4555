/* SPDX-License-Identifier: Apache-2.0 */
/* observe/sink_test.c - files, pipes and syslog as they are and as they fail. */
#include "observe/sink.h"

#include "base/clock.h"
#include "base/test.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define QUEUE_BYTES (4 * SINK_CHUNK_BYTES)

static char folder[64];
static char path_a[100], path_b[100];

/* Two names in a new folder. */
static void
fresh_paths(void)
{
    snprintf(folder, sizeof(folder), "/tmp/maitred-sink-XXXXXX");
    if (!mkdtemp(folder))
        abort();
    snprintf(path_a, sizeof(path_a), "%s/a.log", folder);
    snprintf(path_b, sizeof(path_b), "%s/b.log", folder);
}

static void
remove_paths(void)
{
    unlink(path_a);
    unlink(path_b);
    rmdir(folder);
}

static struct sink *
must_open(const char *to)
{
    char error[256];
    struct sink *s = sink_open(slice_str(to), QUEUE_BYTES, error, sizeof(error));

    if (!s)
        printf("# %s\n", error);
    return s;
}

static bool
put_line(struct sink_tap *tap, const char *line)
{
    struct text *t = sink_begin(tap);

    if (!t)
        return false;
    text_put(t, slice_str(line));
    sink_commit(tap);
    return true;
}

static struct slice
content(const char *path)
{
    static char memory[8 << 20];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t n = 0;
    ssize_t got;

    while (fd >= 0 && (got = read(fd, memory + n, sizeof(memory) - n)) > 0)
        n += (size_t) got;
    if (fd >= 0)
        close(fd);
    return slice_of(memory, n);
}

static void
pause_ms(unsigned ms)
{
    poll(NULL, 0, (int) ms);
}

TEST(records_become_lines_of_a_file)
{
    struct sink *s;
    struct stat st;

    fresh_paths();
    umask(022);
    s = must_open(path_a);
    EXPECT(s != NULL);
    EXPECT(put_line(sink_tap(s, 0), "one"));
    EXPECT(put_line(sink_tap(s, 0), "two"));
    EXPECT(sink_begin(sink_tap(s, 0)) != NULL);
    sink_flush(sink_tap(s, 0));
    sink_drain_all(1000);
    EXPECT_STR(content(path_a), "one\ntwo\n");
    EXPECT_EQ(stat(path_a, &st), 0);
    EXPECT_EQ(st.st_mode & 0777, 0640);
    EXPECT_EQ(sink_dropped(s), 0);
    sink_release(s);
    remove_paths();
}

TEST(the_same_destination_is_the_same_sink)
{
    struct sink *s, *again;

    fresh_paths();
    s = must_open(path_a);
    again = must_open(path_a);
    EXPECT(s && s == again);
    sink_release(again);
    EXPECT(put_line(sink_tap(s, 3), "still here"));
    /* The last reference hands over what the taps hold. */
    sink_release(s);
    sink_drain_all(1000);
    EXPECT_STR(content(path_a), "still here\n");
    remove_paths();
}

TEST(what_cannot_be_opened_is_told)
{
    char error[256] = "";

    EXPECT(!sink_open(SLICE("/nowhere/at/all"), QUEUE_BYTES, error, sizeof(error)));
    EXPECT_STR(slice_str(error), "cannot open /nowhere/at/all: No such file or directory");
    EXPECT(!sink_open(SLICE("/tmp"), QUEUE_BYTES, error, sizeof(error)));
    EXPECT_STR(slice_str(error), "cannot open /tmp: Is a directory");
    EXPECT(!sink_open(SLICE(""), QUEUE_BYTES, error, sizeof(error)));
    EXPECT(!sink_open(SLICE("syslog://name.example:514"), QUEUE_BYTES, error, sizeof(error)));
    EXPECT_STR(slice_str(error),
               "\"syslog://name.example:514\" is not syslog:// with a numeric address or a "
               "socket's path");
    EXPECT(!sink_open(SLICE("syslog://"), QUEUE_BYTES, error, sizeof(error)));
}

TEST(a_record_that_is_too_long_is_counted)
{
    struct sink *s;
    struct text *t;

    fresh_paths();
    s = must_open(path_a);
    EXPECT(s != NULL);
    t = sink_begin(sink_tap(s, 0));
    for (int i = 0; i < SINK_RECORD_MAX / 8 + 1; i++)
        text_literal(t, "12345678");
    sink_commit(sink_tap(s, 0));
    EXPECT_EQ(sink_dropped(s), 1);
    EXPECT(put_line(sink_tap(s, 0), "next"));
    sink_release(s);
    sink_drain_all(1000);
    EXPECT_STR(content(path_a), "next\n");
    remove_paths();
}

/* ------------------------------------------------------------------ many at once */

#define WORKERS 3
#define LINES_EACH 20000

struct busy_worker {
    struct sink *sink;
    unsigned     number;
    uint64_t     dropped;
};

static void *
write_numbered_lines(void *arg)
{
    struct busy_worker *w = arg;
    struct sink_tap *tap = sink_tap(w->sink, w->number);

    for (unsigned i = 0; i < LINES_EACH; i++) {
        char line[64];

        snprintf(line, sizeof(line), "worker %u line %06u and some more text", w->number, i);
        if (!put_line(tap, line))
            w->dropped++;
    }
    sink_flush(tap);
    return NULL;
}

TEST(workers_write_at_once_and_in_order)
{
    struct busy_worker workers[WORKERS];
    pthread_t threads[WORKERS];
    struct sink *s;
    uint64_t dropped = 0, lines = 0;
    unsigned next[WORKERS] = {0};
    struct slice rest;

    fresh_paths();
    s = must_open(path_a);
    EXPECT(s != NULL);
    for (unsigned i = 0; i < WORKERS; i++) {
        workers[i] = (struct busy_worker){s, i, 0};
        pthread_create(&threads[i], NULL, write_numbered_lines, &workers[i]);
    }
    for (unsigned i = 0; i < WORKERS; i++) {
        pthread_join(threads[i], NULL);
        dropped += workers[i].dropped;
    }
    EXPECT_EQ(sink_dropped(s), dropped);
    sink_release(s);
    sink_drain_all(5000);
    for (rest = content(path_a); rest.n; lines++) {
        struct slice line = slice_cut(&rest, '\n');
        unsigned worker, number;

        EXPECT_EQ(sscanf(line.at, "worker %u line %u and some more text\n", &worker, &number), 2);
        EXPECT(worker < WORKERS && number >= next[worker]);
        next[worker] = number + 1;
    }
    EXPECT_EQ(lines + dropped, WORKERS * LINES_EACH);
    remove_paths();
}

/* ------------------------------------------------------------------ trouble */

/* More than fits; how many were taken. */
static size_t
flood(struct sink_tap *tap, size_t count)
{
    char line[1024];
    size_t taken = 0;

    memset(line, 'x', sizeof(line) - 1);
    line[sizeof(line) - 1] = '\0';
    for (size_t i = 0; i < count; i++)
        taken += put_line(tap, line);
    return taken;
}

TEST(a_fifo_that_nobody_reads_drops_and_holds_nobody_up)
{
    uint64_t start_us = clock_monotonic_us();
    struct sink *s;
    size_t taken, lines = 0;
    int fd;

    fresh_paths();
    EXPECT_EQ(mkfifo(path_a, 0600), 0);
    s = must_open(path_a);
    EXPECT(s != NULL);
    taken = flood(sink_tap(s, 0), 1000);
    EXPECT(taken < 300);
    EXPECT_EQ(sink_dropped(s), 1000 - taken);
    EXPECT(clock_monotonic_us() - start_us < 500000);
    sink_drain_all(20);

    /* A reader comes: what was queued arrives, and there is room again. */
    fd = open(path_a, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    sink_flush(sink_tap(s, 0));
    for (int turns = 0; turns < 400 && lines < taken; turns++) {
        char bytes[65536];
        ssize_t got = read(fd, bytes, sizeof(bytes));

        for (ssize_t i = 0; i < got; i++)
            lines += bytes[i] == '\n';
        if (got <= 0)
            pause_ms(10);
    }
    EXPECT_EQ(lines, taken);
    EXPECT(put_line(sink_tap(s, 0), "room again"));
    sink_release(s);
    sink_drain_all(1000);
    close(fd);
    remove_paths();
}

TEST(moved_files_are_reopened)
{
    struct sink *s;

    fresh_paths();
    s = must_open(path_a);
    EXPECT(s != NULL);
    EXPECT(put_line(sink_tap(s, 0), "before"));
    sink_flush(sink_tap(s, 0));
    sink_drain_all(1000);
    EXPECT_EQ(rename(path_a, path_b), 0);
    EXPECT(put_line(sink_tap(s, 0), "moved along"));
    sink_flush(sink_tap(s, 0));
    sink_drain_all(1000);
    sink_reopen_all();
    for (int i = 0; i < 200 && access(path_a, F_OK) != 0; i++)
        pause_ms(5);
    EXPECT(put_line(sink_tap(s, 0), "after"));
    sink_release(s);
    sink_drain_all(1000);
    EXPECT_STR(content(path_b), "before\nmoved along\n");
    EXPECT_STR(content(path_a), "after\n");
    remove_paths();
}

TEST(a_file_that_cannot_be_reopened_is_written_on)
{
    struct sink *s;

    fresh_paths();
    s = must_open(path_a);
    EXPECT(s != NULL);
    EXPECT_EQ(rename(path_a, path_b), 0);
    EXPECT_EQ(mkdir(path_a, 0700), 0);
    sink_reopen_all();
    pause_ms(50);
    EXPECT(put_line(sink_tap(s, 0), "kept"));
    sink_release(s);
    sink_drain_all(1000);
    EXPECT_STR(content(path_b), "kept\n");
    rmdir(path_a);
    remove_paths();
}

/* Whoever reads a blocking pipe slowly gets everything, and the writer thread is not stuck in it.
 */
TEST(a_slow_pipe_as_stdout_holds_nobody_up)
{
    int ends[2], saved = dup(STDOUT_FILENO);
    struct sink *s, *other;
    size_t taken, lines = 0;
    struct slice seen;

    fresh_paths();
    fflush(stdout);
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    dup2(ends[1], STDOUT_FILENO);
    s = must_open("stdout");
    dup2(saved, STDOUT_FILENO);
    close(saved);
    close(ends[1]);
    other = must_open(path_b);
    EXPECT(s && other);
    taken = flood(sink_tap(s, 0), 200);
    sink_flush(sink_tap(s, 0));
    put_line(sink_tap(other, 0), "not held up");
    sink_flush(sink_tap(other, 0));
    for (int i = 0; i < 100 && content(path_b).n == 0; i++)
        pause_ms(5);
    seen = content(path_b);
    EXPECT_STR(seen, "not held up\n");
    for (int i = 0; i < 1000 && lines < taken; i++) {
        char bytes[4096];
        ssize_t got = read(ends[0], bytes, sizeof(bytes));

        for (ssize_t j = 0; j < got; j++)
            lines += bytes[j] == '\n';
    }
    EXPECT_EQ(lines, taken);
    sink_release(s);
    sink_release(other);
    sink_drain_all(1000);
    close(ends[0]);
    remove_paths();
}

/* ------------------------------------------------------------------ syslog */

static ssize_t
receive(int fd, char *out, size_t room)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    return poll(&p, 1, 2000) == 1 ? recv(fd, out, room, 0) : -1;
}

TEST(syslog_over_udp_is_one_datagram_a_record)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(in);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), pid, end = 0;
    char to[64], got[512], host[128], date[64];
    struct sink *s;
    ssize_t n;

    EXPECT_EQ(bind(fd, (struct sockaddr *) &in, sizeof(in)), 0);
    EXPECT_EQ(getsockname(fd, (struct sockaddr *) &in, &length), 0);
    snprintf(to, sizeof(to), "syslog://127.0.0.1:%u", ntohs(in.sin_port));
    s = must_open(to);
    EXPECT(s != NULL);
    for (int i = 0; i < 100; i++) {
        char line[32];

        snprintf(line, sizeof(line), "record %d", i);
        put_line(sink_tap(s, 0), line);
    }
    sink_release(s);
    for (int i = 0; i < 100; i++) {
        char want[32];

        n = receive(fd, got, sizeof(got) - 1);
        EXPECT(n > 0);
        got[n] = '\0';
        snprintf(want, sizeof(want), "record %d", i);
        EXPECT_EQ(sscanf(got, "<190>1 %63s %127s maitred %d access - %n", date, host, &pid, &end),
                  3);
        EXPECT_EQ(pid, getpid());
        EXPECT_STR(slice_str(got + end), want);
    }
    close(fd);
}

TEST(a_local_syslog_that_restarts_gets_the_rest)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    char to[200], got[512];
    struct sink *s;
    ssize_t n;
    int fd;

    fresh_paths();
    snprintf(un.sun_path, sizeof(un.sun_path), "%s", path_a);
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    EXPECT_EQ(bind(fd, (struct sockaddr *) &un, sizeof(un)), 0);
    snprintf(to, sizeof(to), "syslog://%s", path_a);
    s = must_open(to);
    EXPECT(s != NULL);
    put_line(sink_tap(s, 0), "one");
    sink_flush(sink_tap(s, 0));
    n = receive(fd, got, sizeof(got));
    EXPECT(n > 5 && slice_starts(slice_of(got, (size_t) n), SLICE("<190>")));
    EXPECT(slice_ends(slice_of(got, (size_t) n), SLICE("]: one")));
    close(fd);
    unlink(path_a);
    put_line(sink_tap(s, 0), "two");
    sink_flush(sink_tap(s, 0));
    pause_ms(50);
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    EXPECT_EQ(bind(fd, (struct sockaddr *) &un, sizeof(un)), 0);
    n = receive(fd, got, sizeof(got));
    EXPECT(n > 0 && slice_ends(slice_of(got, (size_t) n), SLICE("]: two")));
    sink_release(s);
    close(fd);
    remove_paths();
}

/* ------------------------------------------------------------------ what never gets well
 *
 * These leave sinks behind that the writer gives up after a while: they come last, for everybody
 * who drains waits for them. */

TEST(stdout_whose_reader_left_is_no_end)
{
    int ends[2], saved = dup(STDOUT_FILENO);
    struct sink *s;

    fflush(stdout);
    signal(SIGPIPE, SIG_DFL);
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    dup2(ends[1], STDOUT_FILENO);
    s = must_open("stdout");
    close(ends[0]);
    close(ends[1]);
    put_line(sink_tap(s, 0), "nobody reads");
    sink_flush(sink_tap(s, 0));
    sink_drain_all(100);
    dup2(saved, STDOUT_FILENO);
    close(saved);
    EXPECT(s != NULL);
    /* It is a new stdout now, which the next attempt takes: our own output, as a TAP comment. */
    put_line(sink_tap(s, 0), "# the line before belongs to a test");
    sink_release(s);
    sink_drain_all(3000);
}

TEST(a_reader_that_stops_blocks_only_the_queue)
{
    struct sink *slow, *other;
    size_t taken;
    int fd;

    fresh_paths();
    EXPECT_EQ(mkfifo(path_a, 0600), 0);
    fd = open(path_a, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    slow = must_open(path_a);
    other = must_open(path_b);
    EXPECT(slow && other);
    taken = flood(sink_tap(slow, 0), 1000);
    EXPECT(taken < 1000 && sink_dropped(slow) == 1000 - taken);
    EXPECT(put_line(sink_tap(other, 0), "not held up"));
    sink_flush(sink_tap(other, 0));
    for (int i = 0; i < 100 && content(path_b).n == 0; i++)
        pause_ms(5);
    EXPECT_STR(content(path_b), "not held up\n");

    /* The reader goes for good: the sink ends all the same. */
    close(fd);
    sink_release(slow);
    sink_release(other);
    remove_paths();
}

TEST(a_reader_that_comes_back_gets_whole_lines)
{
    struct sink *s;
    char first[4096], later[8192];
    ssize_t n = 0;
    int fd;

    fresh_paths();
    EXPECT_EQ(mkfifo(path_a, 0600), 0);
    fd = open(path_a, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    s = must_open(path_a);
    EXPECT(s != NULL);
    flood(sink_tap(s, 0), 150);
    sink_flush(sink_tap(s, 0));
    for (int i = 0; i < 100 && (n = read(fd, first, sizeof(first))) <= 0; i++)
        pause_ms(5);
    EXPECT(n > 0);
    close(fd);
    fd = open(path_a, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    for (int i = 0; i < 300 && (n = read(fd, later, sizeof(later))) <= 0; i++)
        pause_ms(10);
    EXPECT(n > 1024);
    EXPECT_EQ(slice_find(slice_of(later, (size_t) n), '\n'), 1023);
    close(fd);
    sink_release(s);
    remove_paths();
}

TEST(a_full_disk_is_tried_again)
{
    struct sink *s = must_open("/dev/full");
    size_t taken;

    EXPECT(s != NULL);
    taken = flood(sink_tap(s, 0), 1000);
    EXPECT(taken < 1000);
    EXPECT_EQ(sink_dropped(s), 1000 - taken);
    sink_drain_all(20);
    sink_release(s);
}
