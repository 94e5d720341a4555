/* SPDX-License-Identifier: Apache-2.0 */
/* observe/outlet.c - files, standard streams and syslog as destinations of lines. */
#include "observe/outlet.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/text.h"
#include "http/date.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FILE_MODE 0640
#define SYSLOG_PATH "/dev/log"
#define SYSLOG_PORT 514
#define SYSLOG_PRIORITY "<190>" /* local7.info: 23 * 8 + 6 */
#define SYSLOG_BATCH 32         /* datagrams for one system call */

/* ------------------------------------------------------------------ files */

static int
file_open(const struct outlet *o)
{
    /* O_NONBLOCK means nothing to a regular file; a FIFO must not make the writer wait. */
    int fd = open(o->to, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
                  FILE_MODE);

    return fd < 0 ? -errno : fd;
}

static ssize_t
written(ssize_t n)
{
    if (n >= 0)
        return n;
    return errno == EAGAIN || errno == EINTR ? 0 : -errno;
}

static ssize_t
file_write(struct outlet *o, struct slice lines)
{
    return written(write(o->fd, lines.at, lines.n));
}

static const struct outlet_kind kind_file = {file_open, file_write, true};

/* ------------------------------------------------------------------ stdout and stderr */

static int
standard_open(const struct outlet *o)
{
    int fd = fcntl(strcmp(o->to, "stderr") == 0 ? STDERR_FILENO : STDOUT_FILENO, F_DUPFD_CLOEXEC,
                   3);

    return fd < 0 ? -errno : fd;
}

/* A pipe, socket or terminal that we share with whoever started us: O_NONBLOCK would be seen by
 * them. */
static bool
must_step(int fd)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return true;
    return !S_ISREG(st.st_mode) && !(S_ISCHR(st.st_mode) && !isatty(fd));
}

/* So many bytes of whole lines as a pipe takes without waiting, once it says that it is writable.
 */
static size_t
one_step(struct slice lines)
{
    const char *end;

    if (lines.n <= PIPE_BUF)
        return lines.n;
    end = memrchr(lines.at, '\n', PIPE_BUF);
    return end ? (size_t) (end - lines.at) + 1 : PIPE_BUF;
}

static ssize_t
standard_write(struct outlet *o, struct slice lines)
{
    struct pollfd ready = {.fd = o->fd, .events = POLLOUT};

    if (!o->step)
        return file_write(o, lines);
    if (poll(&ready, 1, 0) <= 0)
        return 0;
    return written(write(o->fd, lines.at, one_step(lines)));
}

static const struct outlet_kind kind_standard = {standard_open, standard_write, false};

/* ------------------------------------------------------------------ syslog */

static int
syslog_open(const struct outlet *o)
{
    int fd = socket(o->address.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int error;

    if (fd < 0)
        return -errno;
    if (connect(fd, &o->address.any, address_length(&o->address)) == 0)
        return fd;
    error = errno;
    close(fd);
    return -error;
}

/* RFC 3164 4.1.2, local time and no host name: what syslogd expects on its own socket. */
static void
put_local_header(struct text *t)
{
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t now = (time_t) (clock_wall_us() / 1000000u);
    struct tm tm;

    localtime_r(&now, &tm);
    text_printf(t, SYSLOG_PRIORITY "%s %2d %02d:%02d:%02d maitred[%d]: ", months[tm.tm_mon],
                tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int) getpid());
}

/* RFC 5424 6: version, time, host, application, process, message id, no structured data. */
static void
put_rfc5424_header(struct text *t)
{
    char date[ISO_DATE_LENGTH], host[256] = "";

    gethostname(host, sizeof(host) - 1);
    iso_date_write(date, clock_wall_us());
    text_literal(t, SYSLOG_PRIORITY "1 ");
    text_put(t, slice_of(date, sizeof(date)));
    text_printf(t, " %s maitred %d access - ", host[0] ? host : "-", (int) getpid());
}

/* The datagrams of one system call: all begin with the same header. */
struct batch {
    struct mmsghdr messages[SYSLOG_BATCH];
    struct iovec   parts[SYSLOG_BATCH][2];
    size_t         n;
};

static void
fill_batch(struct batch *b, struct slice header, struct slice lines)
{
    for (b->n = 0; b->n < SYSLOG_BATCH && lines.n; b->n++) {
        struct slice line = slice_cut(&lines, '\n');
        struct iovec *parts = b->parts[b->n];

        parts[0] = (struct iovec){(void *) header.at, header.n};
        parts[1] = (struct iovec){(void *) line.at, line.n};
        b->messages[b->n] = (struct mmsghdr){.msg_hdr = {.msg_iov = parts, .msg_iovlen = 2}};
    }
}

static ssize_t
syslog_write(struct outlet *o, struct slice lines)
{
    char memory[400];
    struct text header;
    struct batch batch;
    ssize_t taken = 0;
    int sent;

    text_fixed(&header, memory, sizeof(memory));
    if (o->rfc5424)
        put_rfc5424_header(&header);
    else
        put_local_header(&header);
    fill_batch(&batch, text_slice(&header), lines);
    sent = sendmmsg(o->fd, batch.messages, (unsigned) batch.n, MSG_NOSIGNAL);
    if (sent < 0 && errno == EMSGSIZE) {
        o->lost++;
        sent = 1;
    }
    if (sent < 0)
        return written(-1);
    for (int i = 0; i < sent; i++)
        taken += (ssize_t) batch.parts[i][1].iov_len + 1;
    return taken;
}

static const struct outlet_kind kind_syslog = {syslog_open, syslog_write, false};

/* ------------------------------------------------------------------ all of them */

static bool
find_syslog(struct outlet *o, struct slice where)
{
    struct slice host;
    uint16_t port;

    o->kind = &kind_syslog;
    if (slice_starts(where, SLICE("/"))) {
        o->address.un.sun_family = AF_UNIX;
        memcpy(o->address.un.sun_path, where.at,
               where.n < sizeof(o->address.un.sun_path) ? where.n : 0);
        return where.n < sizeof(o->address.un.sun_path);
    }
    o->rfc5424 = true;
    return address_split(where, SYSLOG_PORT, &host, &port) &&
           address_parse_ip(host, port, &o->address);
}

bool
outlet_init(struct outlet *o, struct slice to, char *error, size_t error_room)
{
    static const struct slice remote = SLICE_INIT("syslog://");

    *o = (struct outlet){.kind = &kind_file, .fd = -1};
    if (slice_eq(to, SLICE("stdout")) || slice_eq(to, SLICE("stderr"))) {
        o->kind = &kind_standard;
    } else if (slice_eq(to, SLICE("syslog"))) {
        o->kind = &kind_syslog;
        o->address.un = (struct sockaddr_un){.sun_family = AF_UNIX, .sun_path = SYSLOG_PATH};
    } else if (slice_starts(to, remote)) {
        if (!find_syslog(o, slice_from(to, remote.n))) {
            snprintf(error, error_room,
                     "\"%.*s\" is not syslog:// with a numeric address or a socket's path",
                     SLICE_ARG(to));
            return false;
        }
    }
    if (to.n == 0 || slice_find(to, '\0') != SLICE_NOT_FOUND || !(o->to = strndup(to.at, to.n))) {
        snprintf(error, error_room, to.n ? "not the path of a file" : "the path is empty");
        return false;
    }
    return true;
}

void
outlet_free(struct outlet *o)
{
    outlet_close(o);
    free(take(&o->to));
}

int
outlet_open(struct outlet *o)
{
    int fd = o->kind->open(o);

    if (fd < 0)
        return -fd;
    outlet_close(o);
    o->fd = fd;
    o->step = o->kind == &kind_standard && must_step(fd);
    return 0;
}

void
outlet_close(struct outlet *o)
{
    if (o->fd >= 0)
        close(o->fd);
    o->fd = -1;
}

bool
outlet_may_come(const struct outlet *o, int error)
{
    struct stat st;

    return o->kind == &kind_file && error == ENXIO && stat(o->to, &st) == 0 && S_ISFIFO(st.st_mode);
}
