/* SPDX-License-Identifier: Apache-2.0 */
/* main/channel.c - both ends of the channel between worker and supervisor. */
#include "main/channel.h"

#include "main/files.h"
#include "main/handover.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

/* ------------------------------------------------------------------ messages with descriptors */

union control {
    struct cmsghdr header;
    char           room[CMSG_SPACE(sizeof(int) * CHANNEL_FDS_MAX)];
};

static bool
send_with(int channel, const void *bytes, size_t n_bytes, const int *fds, unsigned n)
{
    union control control = {0};
    struct iovec iov = {(void *) bytes, n_bytes};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};

    if (n) {
        m.msg_control = control.room;
        m.msg_controllen = CMSG_SPACE(sizeof(int) * n);
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(sizeof(int) * n);
        memcpy(CMSG_DATA(&control.header), fds, sizeof(int) * n);
    }
    return sendmsg(channel, &m, MSG_NOSIGNAL) == (ssize_t) n_bytes;
}

/* *n: how many descriptors came with it, CHANNEL_FDS_MAX at most. */
static ssize_t
receive_with(int channel, void *bytes, size_t n_bytes, int *fds, unsigned *n)
{
    union control control = {0};
    struct iovec iov = {bytes, n_bytes};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control.room,
                       .msg_controllen = sizeof(control.room)};
    struct cmsghdr *c;
    ssize_t got;

    do
        got = recvmsg(channel, &m, MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    c = got > 0 ? CMSG_FIRSTHDR(&m) : NULL;
    *n = 0;
    if (c && c->cmsg_type == SCM_RIGHTS) {
        *n = (unsigned) ((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(fds, CMSG_DATA(c), *n * sizeof(int));
    }
    return got;
}

/* ------------------------------------------------------------------ worker's end */

/* The reply, with descriptors in fds; its error may be EPIPE. */
static struct channel_reply
exchange_messages(int channel, const struct channel_request *request, int *fds)
{
    struct channel_reply reply = {.error = EPIPE};
    unsigned n;

    if (send(channel, request, sizeof(*request), MSG_NOSIGNAL) != (ssize_t) sizeof(*request) ||
        receive_with(channel, &reply, sizeof(reply), fds, &n) != (ssize_t) sizeof(reply))
        reply = (struct channel_reply){.error = EPIPE};
    return reply;
}

int
channel_listen(int channel, const union address *address, int backlog, unsigned n,
               int fds[SOCKETS_MAX], unsigned *found)
{
    struct channel_request request = {
        .kind = CHANNEL_LISTEN, .address = *address, .backlog = backlog, .n = n};
    struct channel_reply reply = exchange_messages(channel, &request, fds);

    *found = reply.n;
    return reply.error;
}

void
channel_recall(int channel, struct tls_tickets *tickets)
{
    struct channel_request request = {.kind = CHANNEL_RECALL};
    int none[CHANNEL_FDS_MAX];

    *tickets = exchange_messages(channel, &request, none).tickets;
}

/* About a path; 0, with descriptors in fds, or an errno. */
static int
ask(int channel, enum channel_kind kind, const char *path, int *fds)
{
    struct channel_request request = {.kind = kind};
    size_t n = strlen(path);

    if (n >= sizeof(request.path))
        return ENAMETOOLONG;
    memcpy(request.path, path, n);
    return exchange_messages(channel, &request, fds).error;
}

int
channel_read(int channel, const char *path)
{
    int fds[CHANNEL_FDS_MAX];
    int error = ask(channel, CHANNEL_READ, path, fds);

    return error ? -error : fds[0];
}

int
channel_folder(int channel, const char *path, int fds[2])
{
    int all[CHANNEL_FDS_MAX];
    int error = ask(channel, CHANNEL_FOLDER, path, all);

    if (!error)
        memcpy(fds, all, 2 * sizeof(int));
    return error;
}

void
channel_tell(int channel, enum channel_kind kind, const union address *address, const char *text)
{
    struct channel_request request = {.kind = kind};

    if (address)
        request.address = *address;
    if (text)
        snprintf(request.path, sizeof(request.path), "%s", text);
    (void) !send(channel, &request, sizeof(request), MSG_NOSIGNAL);
}

void
channel_keep_tickets(int channel, const struct tls_tickets *tickets)
{
    struct channel_request request = {.kind = CHANNEL_TICKETS, .tickets = *tickets};

    (void) !send(channel, &request, sizeof(request), MSG_NOSIGNAL);
}

bool
channel_keep(int channel, int fd)
{
    struct channel_request request = {.kind = CHANNEL_KEEP};

    return send_with(channel, &request, sizeof(request), &fd, 1);
}

int
channel_overrides(int channel)
{
    struct channel_request request = {.kind = CHANNEL_OVERRIDES};
    int fds[CHANNEL_FDS_MAX];
    int error = exchange_messages(channel, &request, fds).error;

    return error ? -error : fds[0];
}

/* One about upgrades: 0, or an errno. */
static int
ask_upgrade(int channel, enum channel_kind kind, unsigned within_s, struct control_upgrade *out)
{
    struct channel_request request = {.kind = kind, .n = within_s};
    int none[CHANNEL_FDS_MAX];
    struct channel_reply reply = exchange_messages(channel, &request, none);

    *out = reply.upgrade;
    return reply.error;
}

int
channel_upgrade(int channel, unsigned within_s, struct control_upgrade *now)
{
    return ask_upgrade(channel, CHANNEL_UPGRADE, within_s, now);
}

int
channel_upgraded(int channel, struct control_upgrade *last)
{
    return ask_upgrade(channel, CHANNEL_UPGRADED, 0, last);
}

/* ------------------------------------------------------------------ supervisor's end */

/* fds: as many as the reply says. */
static bool
answer(int channel, const struct channel_reply *reply, const int *fds)
{
    return send_with(channel, reply, sizeof(*reply), fds, reply->n);
}

static bool
serve_file(int channel, const char *path)
{
    struct channel_reply reply = {0};
    int fd;
    bool sent;

    fd = files_open(path);
    if (fd < 0)
        reply.error = -fd;
    else
        reply.n = 1;
    sent = answer(channel, &reply, &fd);
    if (fd >= 0)
        close(fd);
    return sent;
}

static bool
serve_folder(int channel, const char *path)
{
    struct channel_reply reply = {0};
    int fds[2];
    bool sent;

    reply.error = files_open_folder(path, fds);
    reply.n = reply.error ? 0 : 2;
    sent = answer(channel, &reply, fds);
    for (unsigned i = 0; i < reply.n; i++)
        close(fds[i]);
    return sent;
}

static bool
serve_sockets(int channel, const struct channel_request *request)
{
    struct channel_reply reply = {0};
    int fds[SOCKETS_MAX];

    reply.error =
        sockets_listen(&request->address, request->backlog, request->n, fds, &reply.n);
    return answer(channel, &reply, fds);
}

static bool
serve_tickets(int channel, const struct channel_news *news)
{
    struct channel_reply reply = {.tickets = news->tickets};

    return answer(channel, &reply, NULL);
}

static bool
serve_overrides(int channel, const struct channel_news *news)
{
    struct channel_reply reply = {.n = news->overrides >= 0};

    reply.error = reply.n ? 0 : ENOENT;
    return answer(channel, &reply, &news->overrides);
}

static bool
serve_upgraded(int channel, const struct channel_news *news)
{
    struct channel_reply reply = {.upgrade = news->upgraded};

    return answer(channel, &reply, NULL);
}

void
channel_answer_upgrade(int channel, const struct control_upgrade *now)
{
    struct channel_reply reply = {.error = now->state == UPGRADE_RUNNING ? 0 : EBUSY,
                                  .upgrade = *now};

    (void) answer(channel, &reply, NULL);
}

static bool
want_upgrade(struct channel_news *news, unsigned within_s)
{
    news->within_s = within_s;
    return news->upgrade = true;
}

static void
on_ready(struct channel_news *news, const char *status)
{
    files_restrict();
    news->ready = true;
    snprintf(news->status, sizeof(news->status), "%.*s", (int) sizeof(news->status) - 1, status);
}

/* Descriptors that nobody expects are closed, not collected. */
static void
take_descriptors(struct channel_news *news, bool wanted, const int *fds, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (!wanted || i > 0)
            close(fds[i]);
    if (!wanted || n == 0)
        return;
    if (news->overrides >= 0)
        close(news->overrides);
    news->overrides = fds[0];
}

bool
channel_serve(int channel, struct channel_news *news)
{
    struct channel_request request = {0};
    int fds[CHANNEL_FDS_MAX];
    unsigned n;
    bool whole = receive_with(channel, &request, sizeof(request), fds, &n) ==
                 (ssize_t) sizeof(request);

    take_descriptors(news, whole && request.kind == CHANNEL_KEEP, fds, n);
    if (!whole)
        return false;
    request.path[CHANNEL_PATH_MAX - 1] = '\0';
    switch (request.kind) {
    case CHANNEL_LISTEN: return serve_sockets(channel, &request);
    case CHANNEL_READ: return serve_file(channel, request.path);
    case CHANNEL_FOLDER: return serve_folder(channel, request.path);
    case CHANNEL_OVERRIDES: return serve_overrides(channel, news);
    case CHANNEL_KEEP: return true;
    case CHANNEL_RECALL: return serve_tickets(channel, news);
    case CHANNEL_UPGRADE: return want_upgrade(news, request.n);
    case CHANNEL_UPGRADED: return serve_upgraded(channel, news);
    case CHANNEL_FORGET: handover_drop(&request.address); return true;
    case CHANNEL_LOADED: files_keep(); return news->loaded = true;
    case CHANNEL_REFUSED: return news->refused = true;
    case CHANNEL_TICKETS: news->tickets = request.tickets; return true;
    case CHANNEL_READY: on_ready(news, request.path); return true;
    case CHANNEL_ALIVE: return news->alive = true;
    }
    return false;
}
