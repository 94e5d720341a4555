/* SPDX-License-Identifier: Apache-2.0 */
#include "base/check.h"
#include "base/test.h"
#include "middleware/buffer.h"
#include "runtime/fiber.h"
#include "runtime/file_ring.h"
#include "runtime/loop.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { KIB = 1024, BIG = 1024 * KIB };

static struct loop loop;
static struct spool_used used;
static struct buffer options;
static struct spool_disk *disk; /* of all tests */
static struct spool s;
static char *pattern; /* BIG bytes that differ wherever one looks */
static uint64_t put_total, taken_total;
static bool right;

/* Each test in a minute of its own: the folder rests for a while after trouble. */
static void
set_up(uint64_t memory, uint64_t file)
{
    static uint64_t minutes;

    clock_freeze(clock_monotonic_us() + ++minutes * 60000000, clock_wall_us());
    if (!disk)
        disk = spool_disk_open(SLICE("/tmp"));
    options = (struct buffer){
        .each = {memory, file},
        .route = {BIG, BIG},
        .total = {BIG, BIG},
        .folder = SLICE("/tmp"),
        .disk = disk,
        .used = &used,
    };
    used = (struct spool_used){0};
    pattern = malloc(BIG);
    for (size_t i = 0; i < BIG; i++)
        pattern[i] = (char) (i * 2654435761u >> 13);
    put_total = taken_total = 0;
    right = true;
    file_ring_allow(false); /* the disk that breaks is pread() below */
    CHECK(loop_init(&loop, NULL, 0) == OK);
    spool_init(&s, &options, memory);
}

static void
run(void (*body)(void *arg))
{
    fiber_start("test", body, NULL);
    while (fiber_count() > 0)
        loop_once(&loop, loop.now_us + 100000);
}

static void
free_it(void *arg)
{
    (void) arg;
    spool_free(&s);
}

static void
tear_down(void)
{
    struct spool_counts counts;
    struct spool_limits left;

    run(free_it);
    EXPECT_EQ(used.memory, 0);
    EXPECT_EQ(used.file, 0);
    spool_read_counts(&counts, &left);
    EXPECT_EQ(left.memory, 0);
    EXPECT_EQ(left.file, 0);
    offload_exit();
    loop_exit(&loop);
    free(pattern);
    clock_freeze(0, 0);
}

/* So much as there is room for, in pieces; the bytes are the pattern over and over. */
static size_t
put(size_t n, size_t piece)
{
    size_t kept = 0;

    while (kept < n) {
        size_t from = put_total % BIG, want = n - kept < piece ? n - kept : piece, some;

        if (want > BIG - from)
            want = BIG - from;
        some = spool_put(&s, slice_of(pattern + from, want));
        if (some == 0)
            break;
        kept += some;
        put_total += some;
    }
    return kept;
}

static void
note_taken(struct slice chunk)
{
    for (size_t i = 0; i < chunk.n; i++)
        right &= chunk.at[i] == pattern[(taken_total + i) % BIG];
    taken_total += chunk.n;
}

static enum err
take_up_to(uint64_t n)
{
    struct slice chunk;
    enum err e = OK;

    for (uint64_t until = taken_total + n; e == OK && taken_total < until;)
        if ((e = spool_take(&s, &chunk)) == OK)
            note_taken(chunk);
    return e;
}

/* ------------------------------------------------------------------ memory */

static void
memory_only(void *arg)
{
    (void) arg;
    EXPECT(spool_is_empty(&s));
    EXPECT_EQ(take_up_to(1), ERR_END);
    put(BIG, 10 * KIB);
    EXPECT(put_total > 40 * KIB && put_total < 64 * KIB);
    EXPECT(used.memory <= 64 * KIB);
    EXPECT(spool_is_in_memory(&s));
    EXPECT_EQ(take_up_to(BIG), ERR_END);
    EXPECT_EQ(taken_total, put_total);
    EXPECT(put(10, 10) == 10 && !spool_is_empty(&s));
    EXPECT_EQ(take_up_to(10), OK);
    EXPECT(spool_is_empty(&s));
}

TEST(without_a_file_memory_is_all_there_is)
{
    set_up(64 * KIB, 0);
    run(memory_only);
    EXPECT(right);
    EXPECT_EQ(s.fd, -1);
    tear_down();
}

/* ------------------------------------------------------------------ the file */

static void
overflow(void *arg)
{
    (void) arg;
    EXPECT_EQ(put(500 * KIB, 100 * KIB), 500 * KIB);
    EXPECT(s.fd >= 0);
    EXPECT(used.memory <= 64 * KIB && used.file >= 400 * KIB);
    EXPECT_EQ(take_up_to(BIG), ERR_END);
    EXPECT_EQ(taken_total, put_total);
    /* Caught up: memory serves again. */
    EXPECT_EQ(put(1000, 1000), 1000);
    EXPECT(spool_is_in_memory(&s));
    EXPECT_EQ(take_up_to(1000), OK);
}

TEST(what_does_not_fit_into_memory_goes_to_a_file)
{
    set_up(64 * KIB, BIG);
    run(overflow);
    EXPECT(right);
    tear_down();
}

static void
trickle(void *arg)
{
    (void) arg;
    for (int i = 0; i < 40; i++) {
        EXPECT_EQ(put(17 * KIB, 700), 17 * KIB);
        EXPECT_EQ(take_up_to(10 * KIB), OK);
        EXPECT(used.memory <= 3 * 64 * KIB);
    }
    EXPECT_EQ(take_up_to(BIG), ERR_END);
    EXPECT_EQ(taken_total, put_total);
}

TEST(small_pieces_keep_their_order_and_are_there_at_once)
{
    set_up(16 * KIB, BIG);
    run(trickle);
    EXPECT(right);
    tear_down();
}

static void
around(void *arg)
{
    (void) arg;
    EXPECT(put(BIG, 50 * KIB) <= 16 * KIB + 200 * KIB + 64 * KIB);
    for (int i = 0; i < 60; i++) {
        EXPECT_EQ(take_up_to(70 * KIB), OK);
        put(BIG, 1 + (size_t) i * 1000);
        EXPECT(used.file <= 200 * KIB);
    }
    EXPECT_EQ(take_up_to(64 * (uint64_t) BIG), ERR_END);
    EXPECT_EQ(taken_total, put_total);
    EXPECT(put_total > 3 * BIG);
}

TEST(the_file_is_used_round_and_round_and_never_grows_beyond_its_size)
{
    set_up(16 * KIB, 200 * KIB);
    run(around);
    EXPECT(right);
    tear_down();
}

/* ------------------------------------------------------------------ budgets */

static void
budgeted(void *arg)
{
    (void) arg;
    put(BIG, 30 * KIB);
    EXPECT(used.memory <= 40 * KIB && used.file <= 100 * KIB);
    EXPECT(put_total >= 100 * KIB && put_total <= 140 * KIB);
    EXPECT_EQ(take_up_to(BIG), ERR_END);
    EXPECT_EQ(taken_total, put_total);
}

TEST(the_route_and_the_process_have_budgets_too)
{
    set_up(BIG, BIG);
    options.route.memory = 40 * KIB;
    options.total.file = 100 * KIB;
    run(budgeted);
    EXPECT(right);
    tear_down();
}

/* ------------------------------------------------------------------ trouble */

static void
limited_to_memory(void *arg)
{
    (void) arg;
    put(BIG, 50 * KIB);
    EXPECT(put_total <= 64 * KIB);
    EXPECT_EQ(take_up_to(BIG), ERR_END);
    EXPECT_EQ(taken_total, put_total);
}

static uint64_t
failures(void)
{
    struct spool_counts counts;
    struct spool_limits left;

    spool_read_counts(&counts, &left);
    return counts.file_failed;
}

TEST(without_the_folder_there_is_memory)
{
    uint64_t before = failures();

    set_up(64 * KIB, BIG);
    options.folder = SLICE("/nonexistent");
    options.disk = spool_disk_open(options.folder);
    run(limited_to_memory);
    EXPECT(right);
    EXPECT_EQ(failures(), before + 1);
    EXPECT(spool_disk_rests(options.disk));
    clock_freeze(clock_monotonic_us() + 11000000, clock_wall_us());
    loop_once(&loop, 0);
    EXPECT(!spool_disk_rests(options.disk));
    spool_disk_close(options.disk);
    tear_down();
}

static void
use_the_file(void *arg)
{
    (void) arg;
    EXPECT_EQ(put(300 * KIB, 50 * KIB), 300 * KIB);
    EXPECT_EQ(take_up_to(BIG), ERR_END);
    EXPECT_EQ(taken_total, put_total);
}

TEST(a_folder_in_trouble_leaves_the_others_alone)
{
    struct spool_disk *gone = spool_disk_open(SLICE("/nonexistent")), *again;
    struct buffer other;

    set_up(64 * KIB, BIG);
    other = options;
    other.folder = SLICE("/nonexistent");
    other.disk = gone;
    spool_disk_failed(&other, "it is gone");
    again = spool_disk_open(SLICE("/nonexistent"));
    EXPECT(again == gone && spool_disk_rests(again));
    EXPECT(!spool_disk_rests(disk));
    run(use_the_file);
    EXPECT(right);
    spool_disk_close(gone);
    EXPECT(spool_disk_rests(again));
    spool_disk_close(again);
    again = spool_disk_open(SLICE("/nonexistent"));
    EXPECT(!spool_disk_rests(again));
    spool_disk_close(again);
    tear_down();
}

static void
fill_the_disk(void *arg)
{
    (void) arg;
    put(BIG, 50 * KIB);
    EXPECT(put_total >= 100 * KIB && put_total <= 64 * KIB + 128 * KIB);
    EXPECT_EQ(take_up_to(BIG), ERR_END);
    EXPECT_EQ(taken_total, put_total);
}

/* As full as a disk can be without being root: no file may be longer. */
TEST(a_full_disk_loses_nothing)
{
    struct rlimit old, small;

    getrlimit(RLIMIT_FSIZE, &old);
    small = (struct rlimit){128 * KIB, old.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    set_up(64 * KIB, BIG);
    setrlimit(RLIMIT_FSIZE, &small);
    run(fill_the_disk);
    setrlimit(RLIMIT_FSIZE, &old);
    EXPECT(right);
    EXPECT(s.no_file);
    tear_down();
}

/* ------------------------------------------------------------------ a slow disk, a broken one */

static atomic_bool disk_is_slow, disk_is_broken;

/* In place of libc's, for this program; the clock stands still but for this. */
ssize_t
pwrite64(int fd, const void *at, size_t n, off_t offset)
{
    if (atomic_load(&disk_is_slow))
        clock_freeze(clock_monotonic_us() + 3000000, clock_wall_us());
    return syscall(SYS_pwrite64, fd, at, n, offset);
}

ssize_t
pread64(int fd, void *at, size_t n, off_t offset)
{
    if (atomic_load(&disk_is_broken)) {
        errno = EIO;
        return -1;
    }
    return syscall(SYS_pread64, fd, at, n, offset);
}

static void
meet_slow_disk(void *arg)
{
    (void) arg;
    atomic_store(&disk_is_slow, true);
    EXPECT_EQ(put(100 * KIB, 50 * KIB), 50 * KIB + 50 * KIB);
}

static void
avoid_slow_disk(void *arg)
{
    (void) arg;
    atomic_store(&disk_is_slow, false);
    EXPECT(spool_disk_rests(disk));
    EXPECT_EQ(put(50 * KIB, 50 * KIB), 0);
    EXPECT(!s.no_file);
    clock_freeze(clock_monotonic_us() + 11000000, clock_wall_us());
}

static void
use_it_again(void *arg)
{
    (void) arg;
    EXPECT_EQ(put(50 * KIB, 50 * KIB), 50 * KIB);
    EXPECT_EQ(take_up_to(BIG), ERR_END);
    EXPECT_EQ(taken_total, put_total);
}

TEST(a_slow_disk_is_left_alone_for_a_while)
{
    uint64_t before = failures();

    set_up(64 * KIB, BIG);
    run(meet_slow_disk);
    EXPECT_EQ(failures(), before + 1);
    loop_once(&loop, 0);
    run(avoid_slow_disk);
    loop_once(&loop, 0);
    run(use_it_again);
    EXPECT(right);
    tear_down();
}

static void
lose_what_is_written(void *arg)
{
    (void) arg;
    EXPECT_EQ(put(300 * KIB, 50 * KIB), 300 * KIB);
    atomic_store(&disk_is_broken, true);
    EXPECT_EQ(take_up_to(BIG), ERR_IO);
    atomic_store(&disk_is_broken, false);
    EXPECT(taken_total > 0 && taken_total <= 64 * KIB);
}

TEST(what_cannot_be_read_again_is_an_error_and_not_something_else)
{
    set_up(64 * KIB, BIG);
    run(lose_what_is_written);
    EXPECT(right);
    tear_down();
}
