/* SPDX-License-Identifier: Apache-2.0 */
#include "base/check.h"
#include "base/test.h"
#include "middleware/buffer.h"
#include "middleware/middleware.h"
#include "middleware/testing.h"
#include "runtime/fiber.h"
#include "runtime/loop.h"

static struct loop loop;
static struct trial t;
static struct exchange *x;

/* ------------------------------------------------------------------ a server */

/* Gives chunks of its text as fast as they are pulled, or one each few milliseconds. */
static struct server {
    struct body   body;
    struct slice  text, rest;
    size_t        piece;
    uint64_t      pause_us;
    enum err      end; /* ERR_END, or how it breaks off */
    bool          knows_its_end;
    struct fields trailers;
    struct fiber *pulled_by;
    unsigned      pulls;
    bool          closed;
    enum err      waited;
} server;

static enum err
server_next(struct body *b, struct slice *chunk)
{
    server.pulls++;
    server.pulled_by = fiber_self();
    if (server.pause_us) {
        server.waited = fiber_sleep_until(loop_now_us() + server.pause_us);
        if (server.waited != OK)
            return server.waited;
    }
    if (server.rest.n == 0) {
        b->trailers = &server.trailers;
        return server.end;
    }
    *chunk = slice_first(server.rest, server.piece);
    server.rest = slice_from(server.rest, chunk->n);
    b->ended = server.knows_its_end && server.rest.n == 0;
    return OK;
}

static void
server_close(struct body *b)
{
    (void) b;
    EXPECT(!server.closed);
    server.closed = true;
}

static const struct body_ops server_ops = {.next = server_next, .close = server_close};

static void
answer(const struct middleware *self, struct exchange *e)
{
    (void) self;
    e->relay.upstream = SLICE("app");
    testing_answer(e, 200, "", "");
    server.body.ops = &server_ops;
    e->response.body = &server.body;
}

static const struct middleware_ops terminal = {
    .options = {.name = "server", .doc = "Answers."}, .handle = answer};

/* ------------------------------------------------------------------ a client */

static struct {
    size_t   n;
    bool     wrong; /* what it got is not what was sent */
    enum err end;
    size_t   fibers;      /* while it had the first chunk */
    bool     first_at_once; /* the first chunk is the server's own memory */
    bool     closed_early; /* the server was free when the first chunk was there */
    uint64_t pause_us;
    unsigned pauses;      /* behind so many chunks */
    unsigned most;        /* chunks that it takes */
} client;

static void
read_answer(void *arg)
{
    struct body *b = x->response.body;
    struct slice chunk;
    unsigned n = 0;

    (void) arg;
    while (n < client.most && (client.end = body_next(b, &chunk)) == OK) {
        CHECK(client.n + chunk.n <= server.text.n);
        client.wrong |= memcmp(server.text.at + client.n, chunk.at, chunk.n) != 0;
        client.n += chunk.n;
        if (n++ == 0) {
            client.fibers = fiber_count();
            client.first_at_once = chunk.at + chunk.n == server.rest.at;
        }
        if (client.pause_us && n <= client.pauses)
            (void) fiber_sleep_until(loop_now_us() + client.pause_us);
        if (n == 1)
            client.closed_early = server.closed;
        if (b->ended) {
            client.end = ERR_END;
            break;
        }
    }
    body_close(x->response.body);
    x->response.body = NULL;
}

static const char text[] = "The quick brown fox jumps over the lazy dog. "
                           "Pack my box with five dozen liquor jugs.";

static void
set_up(const char *item)
{
    CHECK(loop_init(&loop, NULL, 0) == OK);
    server = (struct server){
        .text = slice_str(text), .rest = slice_str(text), .piece = 10, .end = ERR_END,
        .body.length = BODY_LENGTH_UNKNOWN};
    memset(&client, 0, sizeof(client));
    client.most = client.pauses = 1000;
    trial_load(&t, &middleware_buffer, item);
    CHECK(t.config);
    x = testing_exchange("GET", "http://example.com/", NULL);
    fields_init(&server.trailers, &x->arena, 1, 1);
}

static void
run(void)
{
    trial_run(&t, x, &terminal);
    fiber_start("client", read_answer, NULL);
    while (fiber_count() > 0)
        loop_once(&loop, loop.now_us + 100000);
}

static void
tear_down(void)
{
    struct spool_counts counts;
    struct spool_limits used;

    EXPECT(server.closed);
    spool_read_counts(&counts, &used);
    EXPECT_EQ(used.memory, 0);
    EXPECT_EQ(used.file, 0);
    testing_exchange_free(x);
    trial_free(&t);
    offload_exit();
    loop_exit(&loop);
}

#define EXPECT_ALL()                                                                              \
    do {                                                                                          \
        EXPECT_EQ(client.n, server.text.n);                                                       \
        EXPECT(!client.wrong);                                                                    \
        EXPECT_EQ(client.end, ERR_END);                                                           \
    } while (0)

/* ------------------------------------------------------------------ tests */

TEST(one_chunk_costs_neither_a_copy_nor_a_fiber)
{
    set_up("buffer");
    server.piece = 1000;
    server.knows_its_end = true;
    run();
    EXPECT_ALL();
    EXPECT(client.first_at_once);
    EXPECT_EQ(client.fibers, 1);
    EXPECT_EQ(server.pulls, 1);
    tear_down();
}

TEST(nor_does_one_whose_length_says_so)
{
    set_up("buffer");
    server.piece = 1000;
    server.body.length = (int64_t) strlen(text);
    run();
    EXPECT_ALL();
    EXPECT(client.first_at_once);
    EXPECT_EQ(client.fibers, 1);
    tear_down();
}

TEST(more_is_read_ahead_and_the_server_set_free)
{
    set_up("buffer");
    client.pause_us = 5000;
    run();
    EXPECT_ALL();
    EXPECT(client.closed_early);
    tear_down();
}

TEST(what_trickles_is_taken_as_it_comes)
{
    set_up("buffer");
    server.pause_us = 2000;
    server.knows_its_end = true;
    run();
    EXPECT_ALL();
    EXPECT(!client.closed_early);
    EXPECT_EQ(server.pulls, (strlen(text) + 9) / 10);
    tear_down();
}

TEST(without_any_room_chunks_pass_one_by_one)
{
    uint64_t passed = 0;
    struct spool_counts counts;
    struct spool_limits used;

    set_up("buffer: {memory: 0, file: 0}");
    spool_read_counts(&counts, &used);
    passed = counts.passed;
    client.pause_us = 1000;
    run();
    EXPECT_ALL();
    EXPECT(!client.closed_early);
    spool_read_counts(&counts, &used);
    EXPECT_EQ(counts.passed, passed + (strlen(text) + 9) / 10);
    tear_down();
}

/* Eighty times as much as there is memory. */
static uint64_t
files_for_large_text(uint64_t pause_us)
{
    static char large[5 * 1024 * 1024];
    struct spool_counts before, after;
    struct spool_limits used;

    for (size_t i = 0; i < sizeof(large); i++)
        large[i] = (char) (i * 2654435761u >> 13);
    set_up("buffer: {memory: 64KiB, folder: /tmp}");
    server.text = server.rest = slice_of(large, sizeof(large));
    server.piece = 50000;
    client.pause_us = pause_us;
    client.pauses = 2;
    spool_read_counts(&before, &used);
    run();
    spool_read_counts(&after, &used);
    return after.files - before.files;
}

TEST(a_client_that_keeps_up_needs_no_file)
{
    EXPECT_EQ(files_for_large_text(0), 0);
    EXPECT_ALL();
    tear_down();
}

TEST(one_that_stops_for_a_moment_does)
{
    EXPECT_EQ(files_for_large_text(60000), 1);
    EXPECT_ALL();
    tear_down();
}

TEST(a_break_comes_after_what_was_there)
{
    set_up("buffer");
    server.end = ERR_RESET;
    client.pause_us = 3000;
    run();
    EXPECT_EQ(client.n, server.text.n);
    EXPECT(!client.wrong);
    EXPECT_EQ(client.end, ERR_RESET);
    tear_down();
}

TEST(who_closes_stops_the_server)
{
    set_up("buffer");
    server.pause_us = 60000000;
    server.rest = slice_str(text);
    client.most = 0; /* it leaves before it has anything */
    run();
    tear_down();
    set_up("buffer");
    server.pause_us = 20000;
    client.most = 1;
    run();
    EXPECT_EQ(server.waited, ERR_CANCELLED);
    tear_down();
}

static bool
passes_as_it_is(const char *name, const char *value)
{
    bool passes;

    answer(NULL, x);
    server.closed = false;
    fields_add_named(&x->response.fields, slice_str(name), slice_str(value));
    spool_response(t.chain[0].config, x);
    passes = x->response.body == &server.body;
    exchange_drop_response(x);
    return passes;
}

TEST(event_streams_and_those_who_ask_pass_as_they_are)
{
    set_up("buffer");
    EXPECT(!passes_as_it_is("Content-Type", "text/html"));
    EXPECT(passes_as_it_is("Content-Type", "text/event-stream; charset=utf-8"));
    EXPECT(passes_as_it_is("content-type", "application/grpc+proto"));
    EXPECT(passes_as_it_is("x-accel-buffering", "no"));
    EXPECT(!passes_as_it_is("X-Accel-Buffering", "yes"));
    tear_down();
}

static void
answer_from_memory(const struct middleware *self, struct exchange *e)
{
    answer(self, e);
    e->relay.upstream = (struct slice){NULL, 0};
}

static const struct middleware_ops local = {
    .options = {.name = "local", .doc = "Answers by itself."}, .handle = answer_from_memory};

TEST(what_no_server_has_made_passes_too)
{
    set_up("buffer");
    trial_run(&t, x, &local);
    EXPECT(x->response.body == &server.body);
    exchange_drop_response(x);
    tear_down();
}

TEST(mistakes_are_found_when_the_configuration_is_loaded)
{
    EXPECT(is_refused(&middleware_buffer, "buffer: {memory: lots}", "lots"));
    EXPECT(is_refused(&middleware_buffer, "buffer: {request: off, response: off}", "nothing"));
    EXPECT(is_refused(&middleware_buffer, "buffer: {total: {disk: 1}}", "disk"));
}
