/* SPDX-License-Identifier: Apache-2.0 */
/* acme/dns_send.c - one question, one answer. */
#include "acme/dns_send.h"

#include "runtime/dns.h"
#include "runtime/sock.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { DATAGRAM_MAX = 512, ANSWER_MAX = 65535, AGAIN_US = 1000000 };

/* The loop may know a socket until the end of its round: so it does not lie on the stack. */
struct line {
    struct sock sock;
};

static void
line_free(struct sock *sock)
{
    free(container_of(sock, struct line, sock));
}

static void
line_close(struct line *l)
{
    l->sock.release = line_free;
    if (l->sock.fd >= 0)
        sock_close(&l->sock);
    else if (!l->sock.closing.next)
        line_free(&l->sock);
}

enum err
acme_dns_find(struct slice server, union address *to)
{
    struct dns_answer *found; /* large for a fiber's stack */
    struct slice host;
    uint16_t port;
    enum err e;

    if (!address_split(server, 53, &host, &port))
        return ERR_MALFORMED;
    if (address_parse_ip(host, port, to))
        return OK;
    found = calloc(1, sizeof(*found));
    if (!found)
        return ERR_NO_MEMORY;
    e = dns_resolve(host, port, found);
    if (e == OK)
        *to = found->addresses[0];
    free(found);
    return e;
}

/* ------------------------------------------------------------------ over UDP */

static enum err
open_datagrams(struct line *l, const union address *to)
{
    int fd = socket(to->any.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return err_from_errno(errno);
    sock_init(&l->sock, fd);
    l->sock.flags = SOCK_LEVEL;
    return connect(fd, &to->any, address_length(to)) == 0 ? OK : err_from_errno(errno);
}

/* Is it the answer that was waited for?  Whoever else could send from that address would have to
 * guess the number. */
static bool
answers(struct slice question, struct slice answer)
{
    return answer.n >= 12 && memcmp(question.at, answer.at, 2) == 0 && (answer.at[2] & 0x80);
}

static enum err
receive_datagram(struct line *l, struct slice message, uint64_t until_us, struct text *answer)
{
    for (;;) {
        enum err e = sock_wait(&l->sock, IO_READABLE, until_us);
        ssize_t n;

        if (e != OK)
            return e;
        n = recv(l->sock.fd, answer->at, answer->room, MSG_DONTWAIT);
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return err_from_errno(errno);
        if (n > 0 && answers(message, slice_of(answer->at, (size_t) n))) {
            answer->n = (size_t) n;
            return OK;
        }
    }
}

static enum err
ask_by_datagram(const union address *to, struct slice message, uint64_t deadline_us,
                struct text *answer)
{
    struct line *l = calloc(1, sizeof(*l));
    uint64_t patience_us = AGAIN_US;
    enum err e;

    if (!l)
        return ERR_NO_MEMORY;
    l->sock.fd = -1;
    e = open_datagrams(l, to);
    while (e == OK) {
        uint64_t until_us = loop_now_us() + patience_us;

        if (send(l->sock.fd, message.at, message.n, MSG_DONTWAIT) < 0 && errno != EAGAIN)
            e = err_from_errno(errno);
        else
            e = receive_datagram(l, message, until_us < deadline_us ? until_us : deadline_us,
                                 answer);
        if (e != ERR_TIMEOUT || until_us >= deadline_us)
            break;
        patience_us *= 2;
        e = OK;
    }
    line_close(l);
    return e;
}

/* ------------------------------------------------------------------ over TCP */

static enum err
receive_all(struct line *l, char *at, size_t n, uint64_t deadline_us)
{
    while (n) {
        size_t got = 0;
        enum err e = sock_recv(&l->sock, at, n, deadline_us, &got);

        if (e != OK)
            return e;
        at += got;
        n -= got;
    }
    return OK;
}

static enum err
converse(struct line *l, struct slice message, uint64_t deadline_us, struct text *answer)
{
    char length[2] = {(char) (message.n >> 8), (char) message.n};
    struct iovec iov[2] = {{length, 2}, {(char *) message.at, message.n}};
    uint64_t now_us = loop_now_us();
    enum err e;
    size_t n;

    if (now_us >= deadline_us)
        return ERR_TIMEOUT;
    e = sock_send(&l->sock, iov, 2, deadline_us - now_us);
    if (e == OK)
        e = receive_all(l, length, 2, deadline_us);
    if (e != OK)
        return e;
    n = (size_t) (unsigned char) length[0] << 8 | (unsigned char) length[1];
    e = receive_all(l, answer->at, n, deadline_us);
    answer->n = e == OK ? n : 0;
    if (e == OK && !answers(message, text_slice(answer)))
        return ERR_MALFORMED;
    return e;
}

static enum err
ask_by_stream(const union address *to, struct slice message, uint64_t deadline_us,
              struct text *answer)
{
    struct line *l = calloc(1, sizeof(*l));
    enum err e;

    if (!l)
        return ERR_NO_MEMORY;
    l->sock.fd = -1;
    e = sock_connect(&l->sock, to, NULL, deadline_us);
    if (e == OK)
        e = converse(l, message, deadline_us, answer);
    line_close(l);
    return e;
}

/* ------------------------------------------------------------------ either */

static bool
is_truncated(const struct text *answer)
{
    return answer->at[2] & 0x02;
}

enum err
acme_dns_ask(const union address *to, struct slice message, uint64_t deadline_us,
             struct text *answer)
{
    enum err e;

    if (message.n > ANSWER_MAX || !text_reserve(answer, ANSWER_MAX))
        return ERR_NO_MEMORY;
    if (message.n > DATAGRAM_MAX)
        return ask_by_stream(to, message, deadline_us, answer);
    e = ask_by_datagram(to, message, deadline_us, answer);
    if (e == OK && is_truncated(answer))
        e = ask_by_stream(to, message, deadline_us, answer);
    return e;
}
