/* SPDX-License-Identifier: Apache-2.0 */
/* main/sockets.c - listening sockets by address: made, adopted, lent, closed. */
#include "main/sockets.h"

#include "runtime/sock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

struct kept {
    struct kept        *next;
    union address       address;
    enum sockets_origin origin;
    bool                wanted; /* somebody has asked for it */
    unsigned            n;
    int                 fds[SOCKETS_MAX];
};

static struct kept *first;
static bool lent_out;

static void
close_kept(struct kept *k)
{
    for (unsigned i = 0; i < k->n; i++)
        close(k->fds[i]);
    if (k->address.any.sa_family == AF_UNIX && k->origin == SOCKETS_OURS && !lent_out)
        unlink(k->address.un.sun_path);
    free(k);
}

static bool
is_any(const union address *a)
{
    return a->any.sa_family == AF_INET6 ? IN6_IS_ADDR_UNSPECIFIED(&a->v6.sin6_addr)
                                        : a->v4.sin_addr.s_addr == INADDR_ANY;
}

/* Somebody else's `80` is [::]:80, ours 0.0.0.0:80 or the other way round: all addresses are
 * meant. */
static bool
means_the_same(const struct kept *k, const union address *address)
{
    const union address *a = &k->address;

    if (address_eq(a, address))
        return true;
    return k->origin == SOCKETS_ACTIVATED && a->any.sa_family != AF_UNIX &&
           address->any.sa_family != AF_UNIX && address_port(a) == address_port(address) &&
           (address_same_ip(a, address) || (is_any(a) && is_any(address)));
}

static struct kept *
find(const union address *address)
{
    for (struct kept *k = first; k; k = k->next)
        if (means_the_same(k, address))
            return k;
    return NULL;
}

static struct kept *
add(const union address *address, enum sockets_origin origin)
{
    struct kept *k = calloc(1, sizeof(*k));

    if (!k)
        return NULL;
    k->address = *address;
    k->origin = origin;
    k->next = first;
    first = k;
    return k;
}

static void
remove_kept(struct kept *k)
{
    for (struct kept **link = &first; *link; link = &(*link)->next)
        if (*link == k) {
            *link = k->next;
            close_kept(k);
            return;
        }
}

/* ------------------------------------------------------------------ making */

/* A Unix address has one socket, and so have those of somebody else: all workers share it. */
static bool
is_shared(const struct kept *k)
{
    return k->address.any.sa_family == AF_UNIX || k->origin == SOCKETS_ACTIVATED;
}

/* One socket for each worker, so that the kernel spreads connections (SO_REUSEPORT). */
static int
make_more(struct kept *k, int backlog, unsigned n)
{
    /* SO_REUSEPORT would share the address with a stranger of the same user without a word. */
    if (k->n == 0 && !is_shared(k)) {
        int alone = sock_listen(&k->address, 1, false);

        if (alone < 0)
            return -alone;
        close(alone);
    }
    while (k->n < n) {
        int fd = is_shared(k) && k->n ? fcntl(k->fds[0], F_DUPFD_CLOEXEC, 0)
                                      : sock_listen(&k->address, backlog, !is_shared(k));

        if (fd < 0)
            return is_shared(k) && k->n ? errno : -fd;
        k->fds[k->n++] = fd;
    }
    return 0;
}

int
sockets_listen(const union address *address, int backlog, unsigned n, int fds[SOCKETS_MAX],
               unsigned *found)
{
    struct kept *k = find(address);
    bool is_new = !k;
    int error;

    if (n > SOCKETS_MAX)
        return EINVAL;
    if (!k)
        k = add(address, SOCKETS_OURS);
    if (!k)
        return ENOMEM;
    error = make_more(k, backlog, n);
    if (error && is_new) {
        k->origin = SOCKETS_ACTIVATED; /* the file is not ours to remove */
        remove_kept(k);
    }
    if (error)
        return error;
    k->wanted = true;
    *found = is_shared(k) ? n : k->n;
    memcpy(fds, k->fds, *found * sizeof(*fds));
    return 0;
}

/* ------------------------------------------------------------------ inheriting */

/* A listening stream socket; its address. */
static bool
get_listening(int fd, union address *address)
{
    int listens = 0, type = 0;
    socklen_t n = sizeof(listens), m = sizeof(type), a = sizeof(*address);

    *address = (union address){0};
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &n) == 0 && listens &&
           getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &m) == 0 && type == SOCK_STREAM &&
           getsockname(fd, &address->any, &a) == 0;
}

bool
sockets_adopt(int fd, enum sockets_origin origin)
{
    union address address;
    struct kept *k = NULL;

    if (get_listening(fd, &address)) {
        k = find(&address);
        if (!k)
            k = add(&address, origin);
    }
    if (!k || k->n == SOCKETS_MAX || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 ||
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) != 0) {
        close(fd);
        return false;
    }
    k->fds[k->n++] = fd;
    return true;
}

void
sockets_forget(const union address *address)
{
    struct kept *k = find(address);

    if (!k)
        return;
    k->wanted = false;
    /* Whoever made it keeps it open, and it may be wanted again. */
    if (k->origin == SOCKETS_OURS)
        remove_kept(k);
}

void
sockets_forget_unwanted(void (*drop)(const union address *address))
{
    for (struct kept *k = first, *next; k; k = next) {
        next = k->next;
        if (k->wanted || k->origin == SOCKETS_ACTIVATED)
            continue;
        drop(&k->address);
        remove_kept(k);
    }
}

void
sockets_each(void (*visit)(void *arg, int fd, enum sockets_origin origin), void *arg)
{
    /* Of a shared one the copies are made again. */
    for (const struct kept *k = first; k; k = k->next)
        for (unsigned i = 0; i < (is_shared(k) ? 1 : k->n); i++)
            visit(arg, k->fds[i], k->origin);
}

void
sockets_lend(bool lent)
{
    lent_out = lent;
}

void
sockets_close_all(void)
{
    while (first)
        remove_kept(first);
}

void
sockets_leave(void)
{
    bool lent = lent_out;

    sockets_lend(true);
    sockets_close_all();
    sockets_lend(lent);
}
