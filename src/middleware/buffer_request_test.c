/* SPDX-License-Identifier: Apache-2.0 */
#include "base/check.h"
#include "base/test.h"
#include "middleware/buffer.h"
#include "middleware/middleware.h"
#include "middleware/testing.h"
#include "runtime/fiber.h"
#include "runtime/loop.h"

enum { LARGE = 300 * 1024 };

static struct loop loop;
static struct trial t;
static struct exchange *x;
static char large[LARGE];

/* A client's body, in pieces. */
static struct upload {
    struct body   body;
    struct slice  rest;
    size_t        piece;
    enum err      end;
    struct fields trailers;
    unsigned      pulls;
} upload;

static enum err
upload_next(struct body *b, struct slice *chunk)
{
    upload.pulls++;
    if (upload.rest.n == 0) {
        if (upload.trailers.n)
            b->trailers = &upload.trailers;
        return upload.end;
    }
    *chunk = slice_first(upload.rest, upload.piece);
    upload.rest = slice_from(upload.rest, chunk->n);
    return OK;
}

static void
upload_close(struct body *b)
{
    (void) b;
}

static const struct body_ops upload_ops = {.next = upload_next, .close = upload_close};

/* ------------------------------------------------------------------ a server */

static struct {
    unsigned     asked;
    int64_t      length;
    bool         ready, expects;
    struct slice first;   /* chunk */
    unsigned     pulls;   /* of the client's body before the server was asked */
    uint64_t     got;
    bool         wrong;
    enum err     end;
    size_t       trailers;
} server;

static void
answer(const struct middleware *self, struct exchange *e)
{
    struct body *b = e->request.body;
    struct slice chunk;

    (void) self;
    server.asked++;
    server.length = b->length;
    server.ready = b->ready;
    server.expects = e->request.expect_continue || fields_has(&e->request.fields, FIELD_EXPECT);
    server.pulls = upload.pulls;
    while ((server.end = body_next(b, &chunk)) == OK) {
        if (server.got == 0)
            server.first = chunk;
        server.wrong |= memcmp(large + server.got, chunk.at, chunk.n) != 0;
        server.got += chunk.n;
    }
    server.trailers = b->trailers ? b->trailers->n : 0;
    testing_answer(e, 200, "", "");
}

static const struct middleware_ops terminal = {
    .options = {.name = "server", .doc = "Answers."}, .handle = answer};

/* ------------------------------------------------------------------ */

static void
set_up(const char *item, size_t n, size_t piece)
{
    for (size_t i = 0; i < LARGE; i++)
        large[i] = (char) (i * 2654435761u >> 13);
    CHECK(loop_init(&loop, NULL, 0) == OK);
    upload = (struct upload){.body = {.ops = &upload_ops, .length = BODY_LENGTH_UNKNOWN},
                             .rest = slice_of(large, n),
                             .piece = piece,
                             .end = ERR_END};
    memset(&server, 0, sizeof(server));
    trial_load(&t, &middleware_buffer, item);
    CHECK(t.config);
    x = testing_exchange("POST", "http://example.com/", "Expect", "100-continue", NULL);
    x->request.expect_continue = true;
    x->request.body = &upload.body;
}

static void
serve(void *arg)
{
    (void) arg;
    trial_run(&t, x, &terminal);
    body_close(x->request.body);
    x->request.body = NULL;
}

static void
run(void)
{
    fiber_start("exchange", serve, NULL);
    while (fiber_count() > 0)
        loop_once(&loop, loop.now_us + 100000);
}

static void
tear_down(void)
{
    struct spool_counts counts;
    struct spool_limits used;

    spool_read_counts(&counts, &used);
    EXPECT_EQ(used.memory, 0);
    EXPECT_EQ(used.file, 0);
    testing_exchange_free(x);
    trial_free(&t);
    offload_exit();
    loop_exit(&loop);
}

#define EXPECT_ALL(n)                                                                             \
    do {                                                                                          \
        EXPECT_EQ(server.got, n);                                                                 \
        EXPECT(!server.wrong);                                                                    \
        EXPECT_EQ(server.end, ERR_END);                                                           \
    } while (0)

TEST(one_chunk_stays_where_it_is)
{
    set_up("buffer", 5000, 5000);
    upload.body.length = 5000;
    run();
    EXPECT_ALL(5000);
    EXPECT(server.first.at == large && server.ready && !server.expects);
    EXPECT_EQ(server.pulls, 1);
    tear_down();
}

TEST(many_become_one_that_can_be_sent_again)
{
    set_up("buffer", 200000, 1000);
    run();
    EXPECT_ALL(200000);
    EXPECT_EQ(server.length, 200000);
    EXPECT_EQ(server.first.n, 200000);
    EXPECT(server.ready && !server.expects);
    EXPECT_EQ(server.pulls, 201);
    tear_down();
}

TEST(what_does_not_fit_into_memory_follows_from_the_file)
{
    set_up("buffer: {memory: 64KiB, folder: /tmp}", LARGE, 7000);
    run();
    EXPECT_ALL(LARGE);
    EXPECT_EQ(server.length, LARGE);
    EXPECT_EQ(server.first.n, 64 * 1024);
    tear_down();
    set_up("buffer: {memory: 0, folder: /tmp}", LARGE, 70000);
    run();
    EXPECT_ALL(LARGE);
    tear_down();
}

TEST(without_room_the_rest_is_pulled_as_it_is_wanted)
{
    set_up("buffer: {memory: 64KiB, file: 100KiB, folder: /tmp}", LARGE, 7000);
    run();
    EXPECT_ALL(LARGE);
    EXPECT_EQ(server.length, BODY_LENGTH_UNKNOWN);
    EXPECT(server.pulls >= 164 / 7 && server.pulls < 300 / 7);
    EXPECT(server.expects);
    tear_down();
}

TEST(trailers_keep_their_body_without_a_length)
{
    set_up("buffer", 3000, 1000);
    fields_init(&upload.trailers, &x->arena, 1, 1);
    fields_add_named(&upload.trailers, SLICE("X-Sum"), SLICE("1"));
    run();
    EXPECT_ALL(3000);
    EXPECT_EQ(server.length, BODY_LENGTH_UNKNOWN);
    EXPECT_EQ(server.trailers, 1);
    tear_down();
}

TEST(nothing_is_nothing)
{
    set_up("buffer", 0, 1);
    run();
    EXPECT_ALL(0);
    EXPECT_EQ(server.length, 0);
    tear_down();
}

static bool
is_answered(enum err end, unsigned status, enum reason reason)
{
    bool good;

    set_up("buffer", 3000, 1000);
    upload.end = end;
    run();
    good = server.asked == 0 && x->response.status == status && x->fault.reason == reason &&
           x->close_client;
    tear_down();
    return good;
}

TEST(what_breaks_off_reaches_no_server)
{
    EXPECT(is_answered(ERR_TIMEOUT, 408, REASON_BODY_TIMEOUT));
    EXPECT(is_answered(ERR_MALFORMED, 400, REASON_BAD_REQUEST));
    EXPECT(is_answered(ERR_RESET, 400, REASON_CLIENT_GONE));
}

TEST(grpc_and_upgrades_are_left_alone)
{
    set_up("buffer", 3000, 1000);
    fields_add_named(&x->request.fields, SLICE("Content-Type"), SLICE("application/grpc"));
    run();
    EXPECT_EQ(server.pulls, 0);
    EXPECT(server.expects);
    tear_down();
    set_up("buffer", 3000, 1000);
    x->request.upgrade = SLICE("websocket");
    run();
    EXPECT_EQ(server.pulls, 0);
    tear_down();
}
