/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/probe_grpc_test.c - gRPC's health check against a server that says exactly these frames.
 *
 * A server of gRPC's own is asked in tests/e2e/test_grpc.py.
 */
#include "base/check.h"
#include "base/test.h"
#include "runtime/fiber.h"
#include "upstream/probe.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

enum { QUICK_US = 3000000, SOON_US = 150000, SAYS_MAX = 4096 };

/* ------------------------------------------------------------------ frames */

enum { FRAME_DATA, FRAME_HEADERS, FRAME_RST_STREAM = 3, FRAME_SETTINGS, FRAME_GOAWAY = 7 };
enum { END_STREAM = 1, END_HEADERS = 4 };

struct says {
    char   at[SAYS_MAX];
    size_t n;
};

static void
put_frame(struct says *s, char kind, char flags, int stream, const void *payload, size_t n)
{
    const char head[9] = {0, (char) (n >> 8), (char) n, kind, flags, 0, 0, 0, (char) stream};

    CHECK(s->n + sizeof(head) + n <= sizeof(s->at));
    memcpy(s->at + s->n, head, sizeof(head));
    memcpy(s->at + s->n + sizeof(head), payload, n);
    s->n += sizeof(head) + n;
}

/* Names and values, then NULL; each a literal of HPACK that is not indexed. */
static void
put_head(struct says *s, bool last, const char *const *pairs)
{
    char block[512];
    size_t n = 0;

    for (; *pairs; pairs += 2) {
        block[n++] = 0;
        for (size_t i = 0; i < 2; i++) {
            size_t length = strlen(pairs[i]);

            CHECK(length < 127 && n + length + 2 < sizeof(block));
            block[n++] = (char) length;
            memcpy(block + n, pairs[i], length);
            n += length;
        }
    }
    put_frame(s, FRAME_HEADERS, END_HEADERS | (last ? END_STREAM : 0), 1, block, n);
}

/* A whole answer: this message, then this status. */
static struct says
answer_of(const void *message, size_t n, const char *grpc_status)
{
    struct says s = {.n = 0};

    put_frame(&s, FRAME_SETTINGS, 0, 0, "", 0);
    put_head(&s, false,
             (const char *const[]){":status", "200", "content-type", "application/grpc", NULL});
    put_frame(&s, FRAME_DATA, 0, 1, message, n);
    put_head(&s, true, (const char *const[]){"grpc-status", grpc_status, NULL});
    return s;
}

/* ------------------------------------------------------------------ the server */

struct stage {
    struct says     says;
    bool            hangs;
    int             listener;
    pthread_t       thread;
    struct upstream upstream;
    struct server   server;
    char            heard[4096];
    size_t          heard_n;
    ssize_t         last;
};

static struct stage stage;

static void *
play(void *arg)
{
    int fd = accept(stage.listener, NULL, NULL);
    ssize_t n;

    (void) arg;
    (void) !send(fd, stage.says.at, stage.says.n, MSG_NOSIGNAL);
    if (!stage.hangs)
        shutdown(fd, SHUT_WR);
    while ((n = read(fd, stage.heard + stage.heard_n, sizeof(stage.heard) - stage.heard_n)) > 0)
        stage.heard_n += (size_t) n;
    stage.last = n;
    close(fd);
    return NULL;
}

struct question {
    const struct health_config *config;
    struct probe_answer         answer;
};

static void
run_question(void *arg)
{
    struct question *q = arg;

    probe_grpc.run(q->config, &stage.server, loop_now_us() + (stage.hangs ? SOON_US : QUICK_US),
                   &q->answer);
}

static struct probe_answer
ask(const struct health_config *config, struct says says, bool hangs)
{
    struct question q = {config, {.share = -1, .state = -1}};
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(at);
    struct loop loop;

    stage = (struct stage){.says = says, .hangs = hangs};
    stage.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(bind(stage.listener, (struct sockaddr *) &at, n) == 0 && listen(stage.listener, 1) == 0);
    getsockname(stage.listener, (struct sockaddr *) &at, &n);
    stage.server.upstream = &stage.upstream;
    stage.server.address.v4 = at;
    CHECK(pthread_create(&stage.thread, NULL, play, NULL) == 0);
    CHECK(loop_init(&loop, NULL, 0) == OK);
    fiber_start("probe", run_question, &q);
    while (fiber_count() > 0)
        loop_once(&loop, loop.now_us + 100000);
    loop_once(&loop, loop.now_us);
    loop_exit(&loop);
    pthread_join(stage.thread, NULL);
    close(stage.listener);
    return q.answer;
}

static struct health_config
config_of(const char *service)
{
    struct health_config c = {.service = slice_str(service)};

    while (probe_kinds[c.kind] != &probe_grpc)
        c.kind++;
    return c;
}

static struct probe_answer
ask_plainly(struct says says)
{
    struct health_config c = config_of(NULL);

    return ask(&c, says, false);
}

#define MESSAGE(bytes) bytes, sizeof(bytes) - 1

/* ------------------------------------------------------------------ tests */

TEST(serving_passes)
{
    struct probe_answer a = ask_plainly(answer_of(MESSAGE("\0\0\0\0\2\10\1"), "0"));

    EXPECT(a.passed);
    EXPECT_STR(slice_str(a.why), "");
    EXPECT(stage.heard_n > 24 && memcmp(stage.heard, "PRI * HTTP/2.0\r\n", 16) == 0);
    EXPECT_EQ(stage.last, 0); /* it does not end by a reset */
}

TEST(the_service_is_asked_for)
{
    struct health_config c = config_of("shop.Cart");
    const char wanted[] = "\0\0\0\0\13\12\11shop.Cart";

    EXPECT(ask(&c, answer_of(MESSAGE("\0\0\0\0\2\10\1"), "0"), false).passed);
    EXPECT(slice_search(slice_of(stage.heard, stage.heard_n),
                        slice_of(wanted, sizeof(wanted) - 1)) != SLICE_NOT_FOUND);
}

TEST(fields_that_are_not_known_are_skipped)
{
    EXPECT(ask_plainly(answer_of(MESSAGE("\0\0\0\0\12\22\3abc\10\1\30\200\1"), "0")).passed);
    EXPECT(ask_plainly(answer_of(MESSAGE("\0\0\0\0\13\31\0\0\0\0\0\0\0\0\10\1"), "0")).passed);
    EXPECT(ask_plainly(answer_of(MESSAGE("\0\0\0\0\7\45\0\0\0\0\10\1"), "0")).passed);
}

TEST(everything_else_fails_and_says_why)
{
    static const struct {
        const char *message;
        size_t      n;
        const char *grpc_status, *why;
    } cases[] = {
        {MESSAGE("\0\0\0\0\2\10\2"), "0", "the server says NOT_SERVING"},
        {MESSAGE("\0\0\0\0\0"), "0", "the server says UNKNOWN"},
        {MESSAGE("\0\0\0\0\2\10\3"), "0", "the server says SERVICE_UNKNOWN"},
        {MESSAGE("\0\0\0\0\2\10\11"), "0", "the server says something unknown"},
        {MESSAGE("\0\0\0\0\2\10\1"), "5", "grpc-status 5"},
        {MESSAGE("\1\0\0\0\2\10\1"), "0", "malformed answer"},
        {MESSAGE("\0\0\0\0\3\10\1"), "0", "malformed answer"},
        {MESSAGE("\0\0\0\0\2\10\201"), "0", "malformed answer"},
        {MESSAGE("\0\0\0\0\3\22\5a"), "0", "malformed answer"},
        {MESSAGE("\0\0\0\0\2\13\1"), "0", "malformed answer"},
        {MESSAGE("\0\0"), "0", "malformed answer"},
        {MESSAGE(""), "0", "malformed answer"},
        {MESSAGE("\0\0\0\0\2\10\1"), "none", "the answer has no grpc-status"},
    };

    for (size_t i = 0; i < countof(cases); i++) {
        struct probe_answer a =
            ask_plainly(answer_of(cases[i].message, cases[i].n, cases[i].grpc_status));

        EXPECT(!a.passed && !a.undecided);
        EXPECT_STR(slice_str(a.why), cases[i].why);
    }
}

TEST(a_head_alone_may_say_it)
{
    struct says s = {.n = 0};
    struct probe_answer a;

    put_frame(&s, FRAME_SETTINGS, 0, 0, "", 0);
    put_head(&s, true, (const char *const[]){":status", "200", "grpc-status", "12", "grpc-message",
                                             "no such service", NULL});
    a = ask_plainly(s);
    EXPECT(!a.passed);
    EXPECT_STR(slice_str(a.why), "grpc-status 12: no such service");
}

#define ENDED "the server does not speak HTTP/2, or ended the connection"

TEST(what_is_no_grpc_fails)
{
    struct says page = {.n = 0}, reset = {.n = 0}, goaway = {.n = 0}, long_one, h1 = {.n = 0};
    struct health_config c = config_of(NULL);
    char much[400] = {0};

    put_frame(&page, FRAME_SETTINGS, 0, 0, "", 0);
    put_head(&page, true, (const char *const[]){":status", "404", NULL});
    EXPECT_STR(slice_str(ask_plainly(page).why), "status 404");

    put_frame(&reset, FRAME_SETTINGS, 0, 0, "", 0);
    put_frame(&reset, FRAME_RST_STREAM, 0, 1, "\0\0\0\7", 4);
    EXPECT_STR(slice_str(ask_plainly(reset).why), "the server gave up: REFUSED_STREAM");

    put_frame(&goaway, FRAME_SETTINGS, 0, 0, "", 0);
    put_frame(&goaway, FRAME_GOAWAY, 0, 0, "\0\0\0\0\0\0\0\1", 8);
    EXPECT_STR(slice_str(ask_plainly(goaway).why), "the server gave up: REFUSED_STREAM");

    long_one = answer_of(much, sizeof(much), "0");
    EXPECT(slice_starts(slice_str(ask_plainly(long_one).why), SLICE("malformed answer: ")));

    memcpy(h1.at, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", h1.n = 47);
    EXPECT_STR(slice_str(ask(&c, h1, true).why), ENDED);
}

TEST(silence_fails_at_the_deadline)
{
    struct health_config c = config_of(NULL);
    struct says s = {.n = 0};
    struct probe_answer a = ask(&c, s, true);

    EXPECT(!a.passed && !a.undecided);
    EXPECT_STR(slice_str(a.why), "no answer: the deadline has passed");
    a = ask_plainly(s);
    EXPECT_STR(slice_str(a.why), "no answer: the peer has finished sending");
}
