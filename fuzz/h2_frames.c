/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz/h2_frames.c - bytes of a client on an HTTP/2 connection, through the whole edge: gate,
 * nghttp2, streams on fibers, routes that answer by themselves, and what is sent.
 *
 * The first byte of the input says in what pieces the others arrive.  Whatever comes, what the
 * client gets are frames that it may get, nothing on a stream that is over, and in the end the
 * connection is gone with all its fibers.
 */
#include "base/check.h"
#include "edge/client.h"
#include "http/h2_walk.h"
#include "main/app.h"
#include "observe/log.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    ROUNDS = 4,
    ROUNDS_TO_END = 2000,
    STREAMS = 1024, /* whose ends are remembered */
    FRAME_BYTES = 16384,
    LONG_BYTES = 60000,
};

enum {
    DATA,
    HEADERS,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    PUSH_PROMISE,
    PING,
    GOAWAY,
    WINDOW_UPDATE,
    CONTINUATION
};

static const char config[] =
    "listeners:\n"
    "  - {address: '127.0.0.1:1', http2: {max_streams: 20, resets: 20/m, control_frames: 200/m}}\n"
    "routes:\n"
    "  - {path: /long, use: [{respond: {status: 200, text: '${string}'}}]}\n"
    "  - {path: /none, use: [{respond: {status: 204}}]}\n"
    "  - {path: /, use: [{respond: {status: 200, text: hello}}]}\n";

static struct loop loop;
static struct edge *edge;
static struct listener listener = {.refs = 1u << 30, .name_text = "fuzz"};

/* ------------------------------------------------------------------ the proxy */

static void
load(void)
{
    static char text[sizeof(config) + LONG_BYTES];
    const char *hole = strstr(config, "${string}");
    struct app_source source = {.reader = &config_source_system};
    struct config_report report;
    struct app *app;
    size_t before = (size_t) (hole - config);

    /* Two answers of this size are more than the first window. */
    memcpy(text, config, before);
    memset(text + before, 'x', LONG_BYTES);
    memcpy(text + before + LONG_BYTES, hole + 9, strlen(hole + 9));
    source.text = slice_of(text, strlen(text));
    config_report_init(&report);
    app = app_load(&source, &report);
    CHECK(app != NULL);
    config_report_free(&report);
    edge_use(edge, &app->snapshot, (const int[]){-1});
    listener.config = app->snapshot.listeners.at;
}

static void
begin_once(void)
{
    if (edge)
        return;
    log_set_level(LOG_LEVEL_ERROR);
    CHECK(loop_init(&loop, NULL, 0) == OK);
    edge = edge_new(0, 1000, UINT64_MAX);
    CHECK(edge != NULL);
    listener.edge = edge;
    listener.name = slice_of(listener.name_text, 4);
    list_init(&listener.link);
    load();
}

static void
connect_client(int fd)
{
    struct client_conn *c = calloc(1, sizeof(*c));
    union address none = {.un = {.sun_family = AF_UNIX}};

    CHECK(c != NULL);
    sock_init(&c->sock, fd);
    c->listener = &listener;
    c->proxied = true;
    listener.refs++;
    client_set_peer(c, &none, &none);
    list_push(&edge->serving, &c->link);
    edge->counters->open++;
    c->buffer = buffer_take(BUFFER_SMALL);
    CHECK(c->buffer && fiber_start("fuzz", client_serve, c));
}

/* ------------------------------------------------------------------ what the client gets */

static struct h2_walk walk;
static uint32_t fields_of; /* a stream whose field block goes on; 0: none does */
static bool began;
static uint8_t ended[STREAMS / 8];

static void
check_stream(const struct h2_frame *f)
{
    uint32_t at = f->stream / 2;
    bool over = at < STREAMS && ended[at / 8] >> at % 8 & 1;

    CHECK(f->stream % 2 == 1);
    CHECK(!over || f->type == RST_STREAM || f->type == WINDOW_UPDATE);
    if (at < STREAMS && (f->type == RST_STREAM || (f->type <= HEADERS && f->flags & 1)))
        ended[at / 8] |= (uint8_t) (1 << at % 8);
}

static void
check_frame(const struct h2_frame *f)
{
    CHECK(f->length <= FRAME_BYTES && f->type <= CONTINUATION);
    CHECK(f->type != PRIORITY && f->type != PUSH_PROMISE);
    CHECK(began || f->type == SETTINGS);
    CHECK(fields_of ? f->type == CONTINUATION && f->stream == fields_of : f->type != CONTINUATION);
    began = true;
    if (f->type == HEADERS || f->type == CONTINUATION)
        fields_of = f->flags & 4 ? 0 : f->stream;
    if (f->type == SETTINGS || f->type == PING || f->type == GOAWAY)
        CHECK(f->stream == 0);
    else if (f->type != WINDOW_UPDATE || f->stream)
        check_stream(f);
}

/* True: the connection goes on. */
static bool
take_answers(int fd)
{
    static char answers[65536];
    struct h2_frame frame;
    ssize_t n;

    while ((n = recv(fd, answers, sizeof(answers), MSG_DONTWAIT)) > 0) {
        struct slice bytes = slice_of(answers, (size_t) n);

        while (h2_walk_next(&walk, &bytes, &frame))
            check_frame(&frame);
    }
    return n < 0;
}

static bool
let_it_work(int fd)
{
    for (unsigned i = 0; i < ROUNDS; i++) {
        loop_once(&loop, 0);
        if (!take_answers(fd))
            return false;
    }
    return true;
}

/* ------------------------------------------------------------------ one connection */

static const char start[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";

static void
send_pieces(int fd, struct slice bytes, size_t most)
{
    while (bytes.n) {
        struct slice piece = slice_first(bytes, most);
        ssize_t n = send(fd, piece.at, piece.n, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (!let_it_work(fd) || (n < 0 && errno != EAGAIN))
            return;
        if (n > 0)
            bytes = slice_from(bytes, (size_t) n);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const size_t pieces[] = {1 << 20, 1, 7, 100};
    struct slice bytes = {(const char *) data, size};
    int fds[2];

    if (size == 0 || size > 65536)
        return 0;
    begin_once();
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
    h2_walk_begin(&walk, 0);
    memset(ended, 0, sizeof(ended));
    began = false;
    fields_of = 0;
    connect_client(fds[0]);
    send_pieces(fds[1], slice_of(start, data[0] & 4 ? H2_PREFACE_BYTES : sizeof(start) - 1),
                1 << 20);
    send_pieces(fds[1], slice_from(bytes, 1), pieces[data[0] & 3]);
    shutdown(fds[1], SHUT_WR);
    for (unsigned i = 0; edge->counters->open || fiber_count(); i++) {
        CHECK(i < ROUNDS_TO_END);
        (void) let_it_work(fds[1]);
    }
    close(fds[1]);
    return 0;
}
