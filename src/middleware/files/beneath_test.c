/* SPDX-License-Identifier: Apache-2.0 */
/* The same folder, opened in both ways: by the kernel, and by walking. */
#include "base/check.h"
#include "base/test.h"
#include "middleware/files/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char place[] = "/tmp/maitred-beneath-XXXXXX";
static int  outer, root;

static void
put(const char *name)
{
    int fd = openat(outer, name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

    CHECK(fd >= 0 && close(fd) == 0);
}

static void
set_up(void)
{
    if (root)
        return;
    CHECK(mkdtemp(place));
    outer = open(place, O_PATH | O_DIRECTORY | O_CLOEXEC);
    CHECK(mkdirat(outer, "www", 0700) == 0 && mkdirat(outer, "www/sub", 0700) == 0);
    put("secret");
    put("www/a");
    put("www/sub/b");
    CHECK(symlinkat("sub/b", outer, "www/inside") == 0);
    CHECK(symlinkat("../secret", outer, "www/outside") == 0);
    CHECK(symlinkat("/etc/passwd", outer, "www/absolute") == 0);
    CHECK(symlinkat("..", outer, "www/up") == 0);
    CHECK(symlinkat("/proc/self/fd", outer, "www/magic") == 0);
    root = openat(outer, "www", O_PATH | O_DIRECTORY | O_CLOEXEC);
    CHECK(root >= 0);
}

/* 0 or an errno. */
static int
error_of(int fd)
{
    if (fd < 0)
        return -fd;
    close(fd);
    return 0;
}

static int
by_kernel(const char *name)
{
    set_up();
    return error_of(files_open_beneath(root, name, O_RDONLY, false));
}

static int
by_walking(const char *name)
{
    set_up();
    return error_of(files_walk_beneath(root, name, O_RDONLY));
}

TEST(what_lies_below_is_opened)
{
    EXPECT_EQ(by_kernel("a"), 0);
    EXPECT_EQ(by_kernel("sub/b"), 0);
    EXPECT_EQ(by_kernel(""), 0);
    EXPECT_EQ(by_kernel("none"), ENOENT);
    EXPECT_EQ(by_kernel("a/b"), ENOTDIR);
    EXPECT_EQ(by_walking("a"), 0);
    EXPECT_EQ(by_walking("sub/b"), 0);
    EXPECT_EQ(by_walking(""), 0);
    EXPECT_EQ(by_walking("none"), ENOENT);
    EXPECT_EQ(by_walking("a/b"), ENOTDIR);
}

TEST(nothing_leads_out)
{
    static const char *const ways[] = {"../secret", "sub/../../secret", "outside", "absolute",
                                       "up/secret", "/etc/passwd",      "magic/0"};

    for (size_t i = 0; i < countof(ways); i++) {
        EXPECT(by_kernel(ways[i]) != 0);
        EXPECT(by_walking(ways[i]) != 0);
    }
    EXPECT_EQ(by_kernel("outside"), EXDEV);
}

TEST(links_inside_are_followed_by_the_kernel_only)
{
    EXPECT_EQ(by_kernel("inside"), 0);
    EXPECT_EQ(by_walking("inside"), ELOOP);
}

TEST(a_name_that_no_segment_can_have)
{
    char name[400];

    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    EXPECT_EQ(by_kernel(name), ENAMETOOLONG);
    EXPECT_EQ(by_walking(name), ENOENT);
}

/* What was just looked at is in the kernel's cache; older kernels say that they cannot know. */
TEST(what_is_cached_needs_no_disk)
{
    int e;

    EXPECT_EQ(by_kernel("sub/b"), 0);
    e = error_of(files_open_beneath(root, "sub/b", O_RDONLY, true));
    EXPECT(e == 0 || e == EAGAIN);
    e = error_of(files_open_root(place, true));
    EXPECT(e == 0 || e == EAGAIN);
    EXPECT_EQ(error_of(files_open_root("/nonexistent", false)), ENOENT);
}

TEST(nothing_is_left_behind)
{
    static const char *const names[] = {"secret",      "www/a",        "www/sub/b", "www/inside",
                                        "www/outside", "www/absolute", "www/up",    "www/magic"};

    for (size_t i = 0; i < countof(names); i++)
        EXPECT_EQ(unlinkat(outer, names[i], 0), 0);
    EXPECT_EQ(unlinkat(outer, "www/sub", AT_REMOVEDIR), 0);
    EXPECT_EQ(unlinkat(outer, "www", AT_REMOVEDIR), 0);
    EXPECT_EQ(rmdir(place), 0);
    close(root);
    close(outer);
}
