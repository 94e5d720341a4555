/* SPDX-License-Identifier: Apache-2.0 */
/* main/notify.c - the datagrams of sd_notify(3). */
#include "main/notify.h"

#include "base/clock.h"
#include "base/slice.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void
send_lines(const char *lines)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    size_t n = path ? strlen(path) : 0;
    int fd;

    if (n < 2 || n >= sizeof(at.sun_path) || (path[0] != '/' && path[0] != '@'))
        return;
    memcpy(at.sun_path, path, n);
    if (path[0] == '@')
        at.sun_path[0] = '\0'; /* an abstract name */
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    /* A manager that does not read must not hold us up. */
    (void) !sendto(fd, lines, strlen(lines), MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *) &at,
                   (socklen_t) (offsetof(struct sockaddr_un, sun_path) + n));
    close(fd);
}

void
notify_ready(const char *status)
{
    char lines[512];

    snprintf(lines, sizeof(lines), "READY=1\nSTATUS=%s\n", status);
    send_lines(lines);
}

void
notify_reloading(void)
{
    char lines[128];

    snprintf(lines, sizeof(lines), "RELOADING=1\nMONOTONIC_USEC=%llu\nSTATUS=Loading\n",
             (unsigned long long) clock_monotonic_us());
    send_lines(lines);
}

void
notify_stopping(void)
{
    send_lines("STOPPING=1\nSTATUS=Waiting for exchanges in flight\n");
}

void
notify_status(const char *format, ...)
{
    char lines[512] = "STATUS=";
    va_list args;

    va_start(args, format);
    vsnprintf(lines + strlen(lines), sizeof(lines) - strlen(lines), format, args);
    va_end(args);
    send_lines(lines);
}

void
notify_main(pid_t pid)
{
    char lines[64];

    snprintf(lines, sizeof(lines), "MAINPID=%d\nREADY=1\n", (int) pid);
    send_lines(lines);
}

void
notify_watchdog(void)
{
    send_lines("WATCHDOG=1\n");
}

uint64_t
notify_watchdog_us(void)
{
    const char *interval = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    uint64_t us = 0, who = 0;

    if (!interval || !slice_to_u64(slice_str(interval), UINT64_MAX / 2, &us))
        return 0;
    if (pid && (!slice_to_u64(slice_str(pid), UINT32_MAX, &who) || (pid_t) who != getpid()))
        return 0;
    return us;
}
