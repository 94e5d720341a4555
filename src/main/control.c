/* SPDX-License-Identifier: Apache-2.0 */
/* main/control.c - packets on a Unix socket: both ends. */
#include "main/control.h"

#include "base/address.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

enum { ORDER_MS = 200 }; /* who has connected says what he wants */

static bool
set_path(const char *path, struct sockaddr_un *at)
{
    size_t n = strlen(path);

    *at = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (n == 0 || n >= sizeof(at->sun_path))
        return false;
    memcpy(at->sun_path, path, n);
    return true;
}

static int
connect_to(const struct sockaddr_un *at)
{
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), error;

    if (fd < 0)
        return -errno;
    if (connect(fd, (const struct sockaddr *) at, sizeof(*at)) == 0)
        return fd;
    error = errno;
    close(fd);
    return -error;
}

/* In the way of bind(), and nobody's. */
static void
remove_stale(const struct sockaddr_un *at)
{
    struct stat st;
    int fd;

    if (lstat(at->sun_path, &st) != 0 || !S_ISSOCK(st.st_mode))
        return;
    fd = connect_to(at);
    if (fd == -ECONNREFUSED)
        unlink(at->sun_path);
    if (fd >= 0)
        close(fd);
}

int
control_open(const char *path)
{
    struct sockaddr_un at;
    mode_t before;
    int fd, error = 0;

    if (!set_path(path, &at))
        return -ENAMETOOLONG;
    fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    remove_stale(&at);
    before = umask(0177);
    if (bind(fd, (struct sockaddr *) &at, sizeof(at)) != 0 || listen(fd, 8) != 0)
        error = errno;
    umask(before);
    if (!error)
        return fd;
    close(fd);
    return -error;
}

static void
set_patience(int fd, unsigned ms)
{
    struct timeval t = {ms / 1000, (suseconds_t) (ms % 1000) * 1000};

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
}

static bool
may_order(int fd)
{
    struct ucred who;
    socklen_t n = sizeof(who);

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) == 0 &&
           (who.uid == 0 || who.uid == geteuid());
}

int
control_accept(int listener, char text[CONTROL_BYTES])
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    ssize_t n = -1;

    if (fd < 0)
        return -1;
    set_patience(fd, ORDER_MS);
    if (may_order(fd))
        n = recv(fd, text, CONTROL_BYTES - 1, 0);
    if (n <= 0) {
        close(fd);
        return -1;
    }
    text[n] = '\0';
    return fd;
}

void
control_answer(int asker, const char *format, ...)
{
    char text[CONTROL_BYTES];
    va_list args;

    if (asker < 0)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    (void) !send(asker, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);
    close(asker);
}

int
control_ask(const char *path, const char *order, unsigned within_s, char answer[CONTROL_BYTES])
{
    struct sockaddr_un at;
    ssize_t n;
    int fd, error = 0;

    if (!set_path(path, &at))
        return ENAMETOOLONG;
    fd = connect_to(&at);
    if (fd < 0)
        return -fd;
    set_patience(fd, within_s * 1000);
    errno = 0;
    if (send(fd, order, strlen(order), MSG_NOSIGNAL) < 0 ||
        (n = recv(fd, answer, CONTROL_BYTES - 1, 0)) <= 0)
        error = errno ? errno : ECONNRESET; /* it ended without a word */
    else
        answer[n] = '\0';
    close(fd);
    return error;
}
