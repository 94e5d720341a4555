/* SPDX-License-Identifier: Apache-2.0 */
/* runtime/file_test.c */
#include "runtime/file.h"

#include "base/test.h"
#include "runtime/fiber.h"
#include "runtime/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdlib.h>
#include <unistd.h>

static char path[] = "/tmp/maitred-file-test-XXXXXX";
static enum err whole, missing, limited, part;
static struct text text;
static char some[4];
static size_t some_n;

static void
read_all_ways(void *arg)
{
    struct text small;
    char room[16];
    int fd = *(int *) arg;

    text_init(&text, 1 << 20);
    whole = file_read(path, &text);
    text_fixed(&small, room, sizeof(room));
    limited = file_read(path, &small);
    missing = file_read("/nonexistent/file", &small);
    part = file_read_at(fd, some, sizeof(some), 99996, &some_n);
}

TEST(files_are_read_whole_and_in_parts)
{
    struct loop loop;
    char *much = malloc(100000);
    int fd = mkstemp(path);

    memset(much, 'x', 100000);
    memcpy(much + 99996, "tail", 4);
    EXPECT(fd >= 0 && write(fd, much, 100000) == 100000);
    EXPECT_EQ(loop_init(&loop, NULL, 0), OK);
    fiber_start("reader", read_all_ways, &fd);
    while (fiber_count() > 0)
        loop_once(&loop, loop.now_us + 100000);
    EXPECT_EQ(whole, OK);
    EXPECT_EQ(text.n, 100000);
    EXPECT_EQ(limited, ERR_LIMIT);
    EXPECT_EQ(missing, ERR_NOT_FOUND);
    EXPECT_EQ(part, OK);
    EXPECT_STR(slice_of(some, some_n), "tail");
    text_free(&text);
    free(much);
    offload_exit();
    loop_exit(&loop);
    close(fd);
    unlink(path);
}

static enum err made, nowhere, put, got, refused;
static char back[8];
static size_t back_n;
static bool full;

static void
write_and_read(void *arg)
{
    int fd = -1, none = -1, reader = open("/dev/full", O_RDWR);

    (void) arg;
    made = file_temporary("/tmp", &fd);
    nowhere = file_temporary("/nonexistent", &none);
    put = file_write_at(fd, "spoon", 5, 1 << 20, NULL);
    got = file_read_at(fd, back, sizeof(back), (1 << 20) - 1, &back_n);
    refused = file_write_at(reader, "x", 1, 0, &full);
    file_close(fd);
    EXPECT(fcntl(fd, F_GETFD) < 0);
    close(reader);
}

TEST(temporary_files_are_written_and_read_anywhere)
{
    struct loop loop;

    EXPECT_EQ(loop_init(&loop, NULL, 0), OK);
    fiber_start("writer", write_and_read, NULL);
    while (fiber_count() > 0)
        loop_once(&loop, loop.now_us + 100000);
    EXPECT_EQ(made, OK);
    EXPECT_EQ(nowhere, ERR_NOT_FOUND);
    EXPECT_EQ(put, OK);
    EXPECT_EQ(got, OK);
    EXPECT_EQ(back_n, 6);
    EXPECT(memcmp(back, "\0spoon", 6) == 0);
    EXPECT(refused != OK && full);
    offload_exit();
    loop_exit(&loop);
}

/* ------------------------------------------------------------------ until a deadline */

enum way { BY_RING, BY_THREAD, WAYS };

static struct loop here;
static enum way way; /* of the reads under test */
static OFFLOAD_POOL(readers, 4);
static _Atomic unsigned calls, late;

/* All of a test, once with io_uring and once without. */
static void
both_ways(fiber_run_f *run)
{
    for (way = BY_RING; way < WAYS; way++) {
        EXPECT_EQ(loop_init(&here, NULL, 0), OK);
        file_ring_allow(way == BY_RING);
        calls = late = 0;
        fiber_start("reader", run, NULL);
        while (fiber_count() > 0)
            loop_once(&here, here.now_us + 100000);
        offload_exit();
        loop_exit(&here);
    }
    file_ring_allow(true);
}

/* Of pipes as well, which know no offsets. */
static ssize_t
count_and_read(int fd, void *at, size_t n, off_t offset)
{
    ssize_t some_read;

    atomic_fetch_add(&calls, 1);
    some_read = pread(fd, at, n > 777 ? 777 : n, offset);
    return some_read < 0 && errno == ESPIPE ? read(fd, at, n) : some_read;
}

static void
count_late(struct file_reading *r)
{
    (void) r;
    atomic_fetch_add(&late, 1);
}

static struct file_reading
reading_of(int fd, void *at, size_t n, uint64_t offset)
{
    return (struct file_reading){.fd = fd,
                                 .at = at,
                                 .n = n,
                                 .offset = offset,
                                 .late = count_late,
                                 .pool = &readers,
                                 .call = count_and_read};
}

static uint64_t
in_ms(unsigned ms)
{
    return clock_monotonic_us() + ms * 1000;
}

/* False where the kernel refuses: then both ways are the same. */
static bool
has_ring(void)
{
    struct io_uring uring;

    if (io_uring_queue_init(1, &uring, 0) != 0)
        return false;
    io_uring_queue_exit(&uring);
    return true;
}

static int
file_with(size_t n)
{
    char *much = malloc(n), name[] = "/tmp/maitred-file-test-XXXXXX";
    int fd = mkostemp(name, O_CLOEXEC);

    CHECK(much && fd >= 0 && unlink(name) == 0);
    for (size_t i = 0; i < n; i++)
        much[i] = (char) (i * 7 / 3);
    CHECK(write(fd, much, n) == (ssize_t) n);
    free(much);
    return fd;
}

static bool
is_right(const char *at, size_t n, size_t offset)
{
    for (size_t i = 0; i < n; i++)
        if (at[i] != (char) ((offset + i) * 7 / 3))
            return false;
    return true;
}

static void
read_to_the_end(void *arg)
{
    int fd = file_with(200000);
    static char room[150000];
    struct file_reading r = reading_of(fd, room, sizeof(room), 0);

    (void) arg;
    EXPECT_EQ(file_read_until(&r, TIMER_NEVER), OK);
    EXPECT(r.got == sizeof(room) && is_right(room, r.got, 0));
    r.offset = 100000;
    EXPECT_EQ(file_read_until(&r, in_ms(10000)), OK);
    EXPECT(r.got == 100000 && is_right(room, r.got, 100000));
    r.offset = 200000;
    EXPECT_EQ(file_read_until(&r, TIMER_NEVER), OK);
    EXPECT_EQ(r.got, 0);
    /* Each way is the one that it says it is. */
    EXPECT(way == BY_THREAD ? calls > 250 : calls == 0 || !has_ring());
    close(fd);
}

TEST(reads_end_with_the_room_or_the_file)
{
    both_ways(read_to_the_end);
}

static void
read_badly(void *arg)
{
    int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC), folder = open("/tmp", O_RDONLY);
    char room[100];
    struct file_reading r = reading_of(memory, room, sizeof(room), 0); /* nothing is mapped there */

    (void) arg;
    EXPECT_EQ(file_read_until(&r, TIMER_NEVER), err_from_errno(EIO));
    r.fd = folder;
    EXPECT_EQ(file_read_until(&r, TIMER_NEVER), err_from_errno(EISDIR));
    close(memory);
    close(folder);
    r.fd = -1;
    EXPECT_EQ(file_read_until(&r, TIMER_NEVER), err_from_errno(EBADF));
    EXPECT_EQ(late, 0);
}

TEST(what_cannot_be_read_is_an_error)
{
    both_ways(read_badly);
}

/* ------------------------------------------------------------------ files that hang: pipes */

static int hanging[2];

/* Up to a second; the loop goes on meanwhile. */
static bool
becomes_late(unsigned wanted)
{
    for (int i = 0; i < 1000 && late != wanted; i++)
        fiber_sleep_until(loop_now_us() + 1000);
    return late == wanted;
}

static void
give_up_waiting(void *arg)
{
    static char room[10];
    static struct file_reading r; /* longer than its fiber waits */
    uint64_t began_us = clock_monotonic_us();

    (void) arg;
    CHECK(pipe2(hanging, O_CLOEXEC) == 0);
    r = reading_of(hanging[0], room, sizeof(room), 0);
    EXPECT_EQ(file_read_until(&r, in_ms(30)), ERR_TIMEOUT);
    EXPECT(clock_monotonic_us() - began_us < 5000000);
    /* A thread goes on as long as the file hangs. */
    if (way == BY_THREAD) {
        EXPECT_EQ(late, 0);
        CHECK(write(hanging[1], "0123456789", 10) == 10);
    }
    EXPECT(becomes_late(1));
    close(hanging[0]);
    close(hanging[1]);
}

TEST(who_has_waited_long_enough_goes_on)
{
    both_ways(give_up_waiting);
}

static void
write_in_pieces(void *arg)
{
    fiber_sleep_until(loop_now_us() + 5000);
    fiber_cancel(arg, ERR_CANCELLED);
    CHECK(write(hanging[1], "01234", 5) == 5);
    fiber_sleep_until(loop_now_us() + 5000);
    CHECK(write(hanging[1], "56789", 5) == 5);
}

static void
wait_although_cancelled(void *arg)
{
    char room[10];
    struct file_reading r;

    (void) arg;
    CHECK(pipe2(hanging, O_CLOEXEC) == 0);
    r = reading_of(hanging[0], room, sizeof(room), 0);
    CHECK(fiber_start("writer", write_in_pieces, fiber_self()));
    EXPECT_EQ(file_read_until(&r, in_ms(10000)), OK);
    EXPECT_STR(slice_of(room, r.got), "0123456789");
    EXPECT_EQ(fiber_self()->cancelled, ERR_CANCELLED);
    fiber_uncancel(fiber_self());
    EXPECT_EQ(late, 0);
    close(hanging[0]);
    close(hanging[1]);
}

TEST(a_cancelled_fiber_gets_its_bytes_all_the_same)
{
    both_ways(wait_although_cancelled);
}

/* ------------------------------------------------------------------ many */

static unsigned right;
static int shared_file;

static void
read_a_part(void *arg)
{
    char room[3000];
    size_t offset = (size_t) (uintptr_t) arg * 1000;
    struct file_reading r = reading_of(shared_file, room, sizeof(room), offset);

    right += file_read_until(&r, in_ms(10000)) == OK && r.got == sizeof(room) &&
             is_right(room, r.got, offset);
}

static void
read_many(void *arg)
{
    (void) arg;
    shared_file = file_with(400000);
    right = 0;
    /* From the disk, where there is one behind it. */
    (void) posix_fadvise(shared_file, 0, 0, POSIX_FADV_DONTNEED);
    for (uintptr_t i = 0; i < 300; i++)
        CHECK(fiber_start("part", read_a_part, (void *) i));
    while (fiber_count() > 1)
        fiber_sleep_until(loop_now_us() + 1000);
    EXPECT_EQ(right, 300);
    close(shared_file);
}

TEST(more_reads_at_once_than_a_ring_has_room_for)
{
    both_ways(read_many);
}

static void
leave_it_hanging(void *arg)
{
    static char room[10];
    static struct file_reading r[WAYS];

    (void) arg;
    CHECK(pipe2(hanging, O_CLOEXEC) == 0);
    r[way] = reading_of(hanging[0], room, sizeof(room), 0);
    EXPECT_EQ(file_read_until(&r[way], in_ms(5)), ERR_TIMEOUT);
}

/* Nobody waits for what hangs; a thread that comes back later finds no loop, and needs none. */
TEST(a_loop_ends_though_a_file_hangs)
{
    both_ways(leave_it_hanging);
    CHECK(write(hanging[1], "0123456789", 10) == 10);
    for (int i = 0; i < 1000 && late == 0; i++)
        usleep(1000);
    EXPECT_EQ(late, 1);
}
