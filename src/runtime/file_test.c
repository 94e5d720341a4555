/* SPDX-License-Identifier: Apache-2.0 */
/* runtime/file_test.c */
#include "runtime/file.h"

#include "base/test.h"
#include "runtime/fiber.h"
#include "runtime/loop.h"

#include <fcntl.h>
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
