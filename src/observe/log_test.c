/* SPDX-License-Identifier: Apache-2.0 */
/* observe/log_test.c - what arrives on stderr. */
#include "observe/log.h"

#include "base/clock.h"
#include "base/test.h"

#include <fcntl.h>
#include <unistd.h>

static int saved = -1, reading = -1;
static char memory[65536];

/* From here to captured(), stderr is a pipe. */
static void
capture(void)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) != 0)
        return;
    saved = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    reading = ends[0];
}

static struct slice
captured(void)
{
    size_t n = 0;
    ssize_t got;

    dup2(saved, STDERR_FILENO);
    close(saved);
    while ((got = read(reading, memory + n, sizeof(memory) - n)) > 0)
        n += (size_t) got;
    close(reading);
    return slice_of(memory, n);
}

static size_t
lines_in(struct slice s)
{
    size_t n = 0;

    for (size_t i = 0; i < s.n; i++)
        n += s.at[i] == '\n';
    return n;
}

#define NOON_US 1795214880123456u /* 2026-11-20T22:48:00.123456Z */

TEST(a_line_has_time_level_and_text)
{
    clock_freeze(1, NOON_US);
    capture();
    log_info("ready: listening on %s", ":8080");
    log_warning("careful");
    log_error("bad");
    clock_freeze(0, 0);
    EXPECT_STR(captured(), "2026-11-20T22:48:00.123Z info  ready: listening on :8080\n"
                           "2026-11-20T22:48:00.123Z warning careful\n"
                           "2026-11-20T22:48:00.123Z error bad\n");
}

TEST(levels_are_left_out)
{
    capture();
    log_debug("not by default");
    log_set_level(LOG_LEVEL_ERROR);
    log_warning("not now");
    log_set_level(LOG_LEVEL_DEBUG);
    log_debug("now");
    log_set_level(LOG_LEVEL_INFO);
    EXPECT_EQ(lines_in(captured()), 1);
}

TEST(control_bytes_cannot_forge_lines)
{
    clock_freeze(1, NOON_US);
    capture();
    log_info("%s", "a\n2026 error fake\x1b[31m\r\x7f");
    clock_freeze(0, 0);
    EXPECT_STR(captured(),
               "2026-11-20T22:48:00.123Z info  a\\n2026 error fake\\x1b[31m\\x0d\\x7f\n");
}

static void
say(void)
{
    log_info("often");
}

TEST(a_place_is_limited_and_tells)
{
    struct slice got;

    clock_freeze(5000000, NOON_US);
    capture();
    for (int i = 0; i < 35; i++)
        say();
    clock_freeze(6000001, NOON_US);
    say();
    clock_freeze(0, 0);
    got = captured();
    EXPECT_EQ(lines_in(got), 11);
    EXPECT(slice_ends(got, SLICE("often (25 like this were suppressed)\n")));
}

TEST(a_long_message_is_cut)
{
    static char text[8000];
    struct slice got;

    memset(text, '\x01', sizeof(text) - 1);
    capture();
    log_info("%s", text);
    got = captured();
    EXPECT_EQ(lines_in(got), 1);
    EXPECT(got.n > 3000 && got.n <= 4096);
}

TEST(a_full_pipe_loses_lines_and_says_so)
{
    struct log_site site = {0};
    struct slice got;
    char byte[4096] = "";
    int flags;

    capture();
    flags = fcntl(STDERR_FILENO, F_GETFL);
    fcntl(STDERR_FILENO, F_SETFL, flags | O_NONBLOCK);
    while (write(STDERR_FILENO, byte, sizeof(byte)) > 0)
        continue;
    fcntl(STDERR_FILENO, F_SETFL, flags);
    log_write(&site, LOG_LEVEL_INFO, "lost");
    log_write(&site, LOG_LEVEL_INFO, "lost as well");
    for (int i = 0; i < 2; i++)
        if (read(reading, byte, sizeof(byte)) <= 0)
            break;
    log_write(&site, LOG_LEVEL_INFO, "here");
    got = captured();
    EXPECT(slice_ends(got, SLICE("here (2 messages were lost)\n")));
}
