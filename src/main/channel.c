/* SPDX-License-Identifier: Apache-2.0 */
/* main/channel.c - both ends of the channel between worker and supervisor. */
#include "main/channel.h"

#include "main/files.h"
#include "runtime/sock.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* ------------------------------------------------------------------ messages with descriptors */

union control {
    struct cmsghdr header;
    char           room[CMSG_SPACE(sizeof(int) * CHANNEL_FDS_MAX)];
};

static ssize_t
send_with(int channel, const struct channel_reply *reply, const int *fds)
{
    union control control = {0};
    struct iovec iov = {(void *) reply, sizeof(*reply)};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};

    if (reply->n) {
        m.msg_control = control.room;
        m.msg_controllen = CMSG_SPACE(sizeof(int) * reply->n);
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(sizeof(int) * reply->n);
        memcpy(CMSG_DATA(&control.header), fds, sizeof(int) * reply->n);
    }
    return sendmsg(channel, &m, MSG_NOSIGNAL);
}

static ssize_t
receive_with(int channel, struct channel_reply *reply, int *fds)
{
    union control control = {0};
    struct iovec iov = {reply, sizeof(*reply)};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control.room,
                       .msg_controllen = sizeof(control.room)};
    struct cmsghdr *c;
    ssize_t n;

    do
        n = recvmsg(channel, &m, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    c = n > 0 ? CMSG_FIRSTHDR(&m) : NULL;
    if (c && c->cmsg_type == SCM_RIGHTS)
        memcpy(fds, CMSG_DATA(c), c->cmsg_len - CMSG_LEN(0));
    return n;
}

/* ------------------------------------------------------------------ worker's end */

int
channel_listen(int channel, const union address *address, int backlog, unsigned n, int *fds)
{
    struct channel_request request = {
        .kind = CHANNEL_LISTEN, .address = *address, .backlog = backlog, .n = n};
    struct channel_reply reply;

    if (send(channel, &request, sizeof(request), MSG_NOSIGNAL) != (ssize_t) sizeof(request) ||
        receive_with(channel, &reply, fds) != (ssize_t) sizeof(reply))
        return EPIPE;
    return reply.error;
}

/* About a path; 0, with descriptors in fds, or an errno. */
static int
ask(int channel, enum channel_kind kind, const char *path, int *fds)
{
    struct channel_request request = {.kind = kind};
    struct channel_reply reply;
    size_t n = strlen(path);

    if (n >= sizeof(request.path))
        return ENAMETOOLONG;
    memcpy(request.path, path, n);
    if (send(channel, &request, sizeof(request), MSG_NOSIGNAL) != (ssize_t) sizeof(request) ||
        receive_with(channel, &reply, fds) != (ssize_t) sizeof(reply))
        return EPIPE;
    return reply.error;
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
channel_tell(int channel, enum channel_kind kind, const union address *address)
{
    struct channel_request request = {.kind = kind};

    if (address)
        request.address = *address;
    (void) !send(channel, &request, sizeof(request), MSG_NOSIGNAL);
}

/* ------------------------------------------------------------------ supervisor's end */

struct kept {
    struct kept  *next;
    union address address;
    unsigned      n;
    int           fds[CHANNEL_FDS_MAX];
};

static struct kept *first;

static void
close_kept(struct kept *k)
{
    for (unsigned i = 0; i < k->n; i++)
        close(k->fds[i]);
    if (k->address.any.sa_family == AF_UNIX)
        unlink(k->address.un.sun_path);
    free(k);
}

/* One socket for each worker, so that the kernel spreads connections (SO_REUSEPORT); a Unix address
 * has one socket, which all share. */
static int
open_all(struct kept *k, const struct channel_request *request)
{
    bool shared = request->address.any.sa_family == AF_UNIX;

    /* SO_REUSEPORT would share the address with a stranger of the same user without a word. */
    if (!shared) {
        int alone = sock_listen(&request->address, 1, false);

        if (alone < 0)
            return -alone;
        close(alone);
    }
    while (k->n < request->n) {
        int fd = shared && k->n ? dup(k->fds[0])
                                : sock_listen(&request->address, request->backlog, !shared);

        if (fd < 0)
            return shared && k->n ? errno : -fd;
        k->fds[k->n++] = fd;
    }
    return 0;
}

static int
listen_on(const struct channel_request *request, struct kept **found)
{
    struct kept *k;
    int error;

    for (k = first; k; k = k->next)
        if (address_eq(&k->address, &request->address)) {
            *found = k;
            return 0;
        }
    k = calloc(1, sizeof(*k));
    if (!k)
        return ENOMEM;
    k->address = request->address;
    error = open_all(k, request);
    if (error) {
        k->address.any.sa_family = AF_UNSPEC; /* not ours to unlink */
        close_kept(k);
        return error;
    }
    k->next = first;
    first = *found = k;
    return 0;
}

static void
forget(const union address *address)
{
    for (struct kept **link = &first; *link; link = &(*link)->next)
        if (address_eq(&(*link)->address, address)) {
            struct kept *k = *link;

            *link = k->next;
            close_kept(k);
            return;
        }
}

static bool
serve_file(int channel, char *path)
{
    struct channel_reply reply = {0};
    int fd;
    bool sent;

    path[CHANNEL_PATH_MAX - 1] = '\0';
    fd = files_open(path);
    if (fd < 0)
        reply.error = -fd;
    else
        reply.n = 1;
    sent = send_with(channel, &reply, &fd) > 0;
    if (fd >= 0)
        close(fd);
    return sent;
}

static bool
serve_folder(int channel, char *path)
{
    struct channel_reply reply = {0};
    int fds[2];
    bool sent;

    path[CHANNEL_PATH_MAX - 1] = '\0';
    reply.error = files_open_folder(path, fds);
    reply.n = reply.error ? 0 : 2;
    sent = send_with(channel, &reply, fds) > 0;
    for (unsigned i = 0; i < reply.n; i++)
        close(fds[i]);
    return sent;
}

bool
channel_serve(int channel, bool *ready)
{
    struct channel_request request;
    struct channel_reply reply = {0};
    struct kept *k = NULL;
    ssize_t n = recv(channel, &request, sizeof(request), 0);

    if (n != (ssize_t) sizeof(request) || request.n > CHANNEL_FDS_MAX)
        return n < 0 && errno == EINTR;
    switch (request.kind) {
    case CHANNEL_LISTEN:
        reply.error = listen_on(&request, &k);
        reply.n = k ? k->n : 0;
        return send_with(channel, &reply, k ? k->fds : NULL) > 0;
    case CHANNEL_READ: return serve_file(channel, request.path);
    case CHANNEL_FOLDER: return serve_folder(channel, request.path);
    case CHANNEL_LOADED: files_keep(); return true;
    case CHANNEL_FORGET: forget(&request.address); return true;
    case CHANNEL_READY:
        files_restrict();
        *ready = true;
        return true;
    }
    return false;
}

void
channel_close_all(void)
{
    while (first) {
        struct kept *k = first;

        first = k->next;
        close_kept(k);
    }
}
