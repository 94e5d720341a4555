/* SPDX-License-Identifier: Apache-2.0 */
/* upstream/fetch_test.c - answers, good and bad, of a server that says exactly what the test
 * says. */
#include "upstream/fetch.h"

#include "base/test.h"
#include "runtime/dns.h"
#include "runtime/fiber.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/un.h>
#include <unistd.h>

enum { QUICK_US = 3000000, SOON_US = 100000 };

struct server {
    const char *says;
    bool        hangs, resets;
    int         listener;
    uint16_t    port;
    pthread_t   thread;
    char        heard[4096];
    size_t      heard_n;
};

static struct server server;

/* Until an empty line, and `Content-Length: 4` more bytes if that is said. */
static bool
has_heard_all(const struct server *s)
{
    const char *end = memmem(s->heard, s->heard_n, "\r\n\r\n", 4);
    bool body = memmem(s->heard, s->heard_n, "Content-Length: 4", 17) != NULL;

    return end && (!body || s->heard + s->heard_n >= end + 8);
}

static void *
play(void *arg)
{
    struct server *s = arg;
    struct linger at_once = {1, 0};
    int fd = accept(s->listener, NULL, NULL);
    char scrap[512];
    ssize_t n;

    while (!has_heard_all(s) &&
           (n = read(fd, s->heard + s->heard_n, sizeof(s->heard) - s->heard_n)) > 0)
        s->heard_n += (size_t) n;
    (void) !send(fd, s->says, strlen(s->says), MSG_NOSIGNAL);
    if (s->resets)
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    else if (!s->hangs)
        shutdown(fd, SHUT_WR);
    while (!s->resets && read(fd, scrap, sizeof(scrap)) > 0)
        ;
    close(fd);
    return NULL;
}

/* On a Unix socket instead. */
static void
put_up_at(const char *path, const char *says)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};

    server = (struct server){.says = says};
    strcpy(at.sun_path, path);
    unlink(path);
    server.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(bind(server.listener, (struct sockaddr *) &at, sizeof(at)) == 0 &&
          listen(server.listener, 1) == 0);
}

static void
put_up(const char *says)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(at);

    server = (struct server){.says = says};
    server.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(bind(server.listener, (struct sockaddr *) &at, n) == 0 &&
          listen(server.listener, 1) == 0);
    getsockname(server.listener, (struct sockaddr *) &at, &n);
    server.port = ntohs(at.sin_port);
}

/* ------------------------------------------------------------------ asking */

struct question {
    struct fetch        f;
    struct fetch_answer a;
    enum err            e;
};

static void
run(void *arg)
{
    struct question *q = arg;

    q->f.deadline_us += loop_now_us();
    q->e = http_fetch(&q->f, &q->a);
}

static void
ask(struct question *q)
{
    struct loop loop;

    CHECK(loop_init(&loop, NULL, 0) == OK);
    fiber_start("fetch", run, q);
    while (fiber_count() > 0)
        loop_once(&loop, loop.now_us + 100000);
    loop_once(&loop, loop.now_us);
    dns_exit();
    loop_exit(&loop);
}

/* GET /a?b of the server, which is gone afterwards. */
static void
ask_server(struct question *q)
{
    char url[64];

    snprintf(url, sizeof(url), "http://127.0.0.1:%u/a?b", server.port);
    q->f.url = slice_str(url);
    if (!q->f.deadline_us)
        q->f.deadline_us = QUICK_US;
    if (!q->f.max_bytes)
        q->f.max_bytes = 100;
    CHECK(pthread_create(&server.thread, NULL, play, &server) == 0);
    ask(q);
    pthread_join(server.thread, NULL);
    close(server.listener);
}

/* ------------------------------------------------------------------ good answers */

struct good_case {
    const char *says;
    unsigned    status;
    const char *body;
};

TEST(whole_bodies_however_they_are_framed)
{
    static const struct good_case cases[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "hello"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello and more", 200, "hello"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
         200, "hello"},
        {"HTTP/1.1 200 OK\r\n\r\nhello", 200, "hello"},
        {"HTTP/1.0 404 Not Found\r\n\r\n", 404, ""},
        {"HTTP/1.1 204 No Content\r\n\r\n", 204, ""},
        {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 x\r\nA: b\r\n\r\nHTTP/1.1 201 Created\r\n"
         "Content-Length: 2\r\n\r\nok", 201, "ok"},
    };

    for (size_t i = 0; i < countof(cases); i++) {
        struct question q = {.e = OK};
        unsigned status;
        bool same;

        put_up(cases[i].says);
        ask_server(&q);
        status = q.a.status;
        same = slice_eq(q.a.body, slice_str(cases[i].body));
        fetch_answer_free(&q.a);
        EXPECT_EQ(q.e, OK);
        EXPECT_EQ(status, cases[i].status);
        EXPECT(same);
    }
}

TEST(the_request_says_what_it_should)
{
    const struct field field = {.name = SLICE("Accept"), .value = SLICE("x/y")};
    struct question q = {.f = {.fields = &field, .n_fields = 1, .body = SLICE("body")}};
    char wanted[400];

    put_up("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: y\r\n\r\n");
    ask_server(&q);
    EXPECT_EQ(q.e, OK);
    EXPECT_STR(fields_find(&q.a.fields, SLICE("x"))->value, "y");
    fetch_answer_free(&q.a);
    snprintf(wanted, sizeof(wanted),
             "POST /a?b HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nUser-Agent: maitred/" MAITRED_VERSION
             "\r\nConnection: close\r\nAccept: x/y\r\nContent-Length: 4\r\n\r\nbody", server.port);
    EXPECT_STR(slice_of(server.heard, server.heard_n), wanted);
}

TEST(an_answer_to_head_has_no_body)
{
    struct question q = {.f = {.method = METHOD_HEAD}};

    put_up("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    server.hangs = true;
    ask_server(&q);
    fetch_answer_free(&q.a);
    EXPECT_EQ(q.e, OK);
}

/* ------------------------------------------------------------------ by a socket, as it comes */

TEST(a_unix_socket)
{
    struct question q = {
        .f = {.deadline_us = QUICK_US, .max_bytes = 9, .url = SLICE("http://h/x")}};
    char path[64];

    snprintf(path, sizeof(path), "/tmp/maitred-fetch-test-%d.sock", (int) getpid());
    put_up_at(path, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    q.f.socket = path;
    CHECK(pthread_create(&server.thread, NULL, play, &server) == 0);
    ask(&q);
    pthread_join(server.thread, NULL);
    close(server.listener);
    EXPECT_EQ(q.e, OK);
    EXPECT_STR(q.a.body, "ok");
    EXPECT(memmem(server.heard, server.heard_n, "GET /x HTTP/1.1\r\nHost: h\r\n", 26) != NULL);
    fetch_answer_free(&q.a);
    unlink(path);
    ask(&q);
    EXPECT_EQ(q.e, ERR_NOT_FOUND);
    EXPECT(strstr(q.a.why, path) != NULL);
    fetch_answer_free(&q.a);
}

TEST(a_unix_socket_whose_path_is_too_long)
{
    struct question q = {
        .f = {.deadline_us = QUICK_US, .max_bytes = 9, .url = SLICE("http://h/x")}};
    char path[200] = "/";

    memset(path + 1, 'x', sizeof(path) - 2);
    q.f.socket = path;
    ask(&q);
    EXPECT_EQ(q.e, ERR_LIMIT);
    fetch_answer_free(&q.a);
}

struct heard {
    char   at[64];
    size_t n, enough;
};

static bool
hear(void *arg, const struct fetch_answer *a, struct slice bytes)
{
    struct heard *h = arg;

    CHECK(a->status == 200 && h->n + bytes.n <= sizeof(h->at));
    memcpy(h->at + h->n, bytes.at, bytes.n);
    h->n += bytes.n;
    return h->n < h->enough;
}

TEST(a_body_as_it_comes)
{
    static const char *const cases[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello there",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n "
        "there\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\nhello there",
    };

    for (size_t i = 0; i < countof(cases); i++) {
        struct heard h = {.enough = 100};
        struct question q = {.f = {.max_bytes = 1, .receive = hear, .receive_arg = &h}};

        put_up(cases[i]);
        ask_server(&q);
        EXPECT_EQ(q.e, OK);
        EXPECT_EQ(q.a.body.n, 0);
        EXPECT_STR(slice_of(h.at, h.n), "hello there");
        fetch_answer_free(&q.a);
    }
}

/* Whoever has heard enough does not wait for the rest. */
TEST(a_body_that_is_cut)
{
    struct heard h = {.enough = 3};
    struct question q = {.f = {.receive = hear, .receive_arg = &h}};

    put_up("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello");
    server.hangs = true;
    ask_server(&q);
    EXPECT_EQ(q.e, OK);
    EXPECT_STR(slice_of(h.at, h.n), "hello");
    fetch_answer_free(&q.a);
}

/* ------------------------------------------------------------------ bad ones */

struct bad_case {
    const char *says;
    bool        hangs, resets;
    enum err    e;
    const char *why;
};

TEST(answers_that_are_none)
{
    static const struct bad_case cases[] = {
        {"", false, false, ERR_END, "no answer from"},
        {"HTTP/1.1 200", false, false, ERR_END, "in the middle of the answer"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", false, false, ERR_END,
         "in the middle of the answer"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe", false, false, ERR_END,
         "in the middle of the answer"},
        {"HTTP/1.1 200 OK\r\n\r\nhel", false, true, ERR_RESET, "in the middle of the answer"},
        {"SSH-2.0-x\r\n\r\n", false, false, ERR_MALFORMED, "malformed HTTP"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", false, false,
         ERR_MALFORMED, "malformed HTTP"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", false, false,
         ERR_MALFORMED, "malformed HTTP"},
        {"", true, false, ERR_TIMEOUT, "no answer from"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", true, false, ERR_TIMEOUT,
         "in the middle of the answer"},
    };

    for (size_t i = 0; i < countof(cases); i++) {
        struct question q = {.f = {.deadline_us = cases[i].hangs ? SOON_US : QUICK_US}};

        put_up(cases[i].says);
        server.hangs = cases[i].hangs;
        server.resets = cases[i].resets;
        ask_server(&q);
        fetch_answer_free(&q.a);
        EXPECT_EQ(q.e, cases[i].e);
        EXPECT(strstr(q.a.why, cases[i].why) != NULL);
    }
}

TEST(an_answer_is_no_longer_than_it_may_be)
{
    static const char *const cases[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\nhello",
    };

    for (size_t i = 0; i < countof(cases); i++) {
        struct question q = {.f = {.max_bytes = 4}};

        put_up(cases[i]);
        ask_server(&q);
        fetch_answer_free(&q.a);
        EXPECT_EQ(q.e, ERR_LIMIT);
    }
}

TEST(nobody_listens)
{
    struct question q = {.f = {.deadline_us = QUICK_US, .max_bytes = 9}};
    char url[64];

    put_up("");
    close(server.listener);
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/", server.port);
    q.f.url = slice_str(url);
    ask(&q);
    fetch_answer_free(&q.a);
    EXPECT_EQ(q.e, ERR_REFUSED);
}

TEST(addresses_that_are_none)
{
    static const char *const urls[] = {
        "", "ftp://x/", "http://", "http://a b/", "http:///x", "http://x/\r\nA: b", "http://x/#y",
        "/x", "http://x:99999/",
    };

    for (size_t i = 0; i < countof(urls); i++) {
        struct question q = {.f = {.deadline_us = QUICK_US, .max_bytes = 9}};

        q.f.url = slice_str(urls[i]);
        ask(&q);
        fetch_answer_free(&q.a);
        EXPECT_EQ(q.e, ERR_MALFORMED);
        EXPECT(q.a.why[0] != '\0');
    }
}

TEST(fields_cannot_smuggle_others)
{
    const struct field field = {.name = SLICE("A"), .value = SLICE("b\r\nC: d")};
    struct question q = {.f = {.fields = &field, .n_fields = 1}};

    put_up("");
    ask_server(&q);
    fetch_answer_free(&q.a);
    EXPECT_EQ(q.e, ERR_MALFORMED);
    EXPECT_EQ(server.heard_n, 0);
}
