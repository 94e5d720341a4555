/* SPDX-License-Identifier: Apache-2.0 */
#include "middleware/mirror.h"

#include "base/check.h"
#include "base/test.h"
#include "middleware/middleware.h"
#include "middleware/testing.h"
#include "runtime/fiber.h"
#include "runtime/loop.h"

static struct loop loop;
static struct trial t;
static struct exchange *x;

/* ------------------------------------------------------------------ who gets the copies */

static struct {
    size_t      n;
    char        memory[1024];
    struct text told;     /* of the last one: request line, fields, body */
    uint64_t    wait_us;  /* before it answers */
    unsigned    status;
    enum err    waited;
} shadow;

static void
note(struct exchange *copy)
{
    const struct request *q = &copy->request;
    struct slice body = testing_pull(copy, q->body);

    shadow.told.n = 0;
    text_printf(&shadow.told, "%.*s %.*s %.*s\n", SLICE_ARG(q->method_token),
                SLICE_ARG(q->target.raw), SLICE_ARG(q->host));
    for (uint32_t i = 0; i < q->fields.n; i++)
        text_printf(&shadow.told, "%.*s: %.*s\n", SLICE_ARG(q->fields.at[i].name),
                    SLICE_ARG(q->fields.at[i].value));
    text_put(&shadow.told, body);
}

static void
answer_copy(const struct middleware *self, struct exchange *copy)
{
    (void) self;
    shadow.n++;
    note(copy);
    shadow.waited = shadow.wait_us ? fiber_sleep_until(loop_now_us() + shadow.wait_us) : OK;
    if (shadow.waited == OK)
        exchange_respond(copy, shadow.status, SLICE("text/plain"), SLICE("nobody reads this"));
    if (shadow.status >= 500)
        exchange_fault(copy, REASON_NO_SERVER, OK, NULL);
}

static const struct middleware_ops answering = {
    .options = {.name = "answering", .doc = "Notes copies."},
    .handle = answer_copy,
};
static const struct middleware shadow_terminal = {&answering, NULL};

static const struct middleware *
find(const struct middleware_linker *l, struct slice to, struct config_mark where)
{
    (void) where;
    if (slice_eq(to, SLICE("shadow")))
        return &shadow_terminal;
    config_report_add(l->report, CONFIG_ERROR, where, NULL, "no upstream");
    return NULL;
}

static int held;

static void
hold(void *snapshot)
{
    ++*(int *) snapshot;
}

static void
release(void *snapshot)
{
    --*(int *) snapshot;
}

static bool
link_to(const char *item)
{
    struct middleware_linker l = {
        .report = &t.report, .keeper = {hold, release, &held}, .terminal = find};

    trial_load(&t, &middleware_mirror, item);
    l.config = t.config;
    return t.config && middleware_mirror.link((void *) t.chain[0].config, &l);
}

/* ------------------------------------------------------------------ the original */

/* Pulls the request's body, then answers. */
static void
pull_and_answer(const struct middleware *self, struct exchange *original)
{
    struct body *b = original->request.body;
    struct slice chunk;
    enum err err = OK;

    (void) self;
    while (b && err == OK)
        err = body_next(b, &chunk);
    testing_answer(original, !b || err == ERR_END ? 200 : 400, "text/plain", "original");
}

static const struct middleware_ops pulling = {
    .options = {.name = "pulling", .doc = "Pulls the body."},
    .handle = pull_and_answer,
};

/* Knows the length, and does not ask for the end: as the relay does with what came at once. */
static void
pull_once(const struct middleware *self, struct exchange *original)
{
    struct slice chunk;

    (void) self;
    testing_answer(original, body_next(original->request.body, &chunk) == OK ? 200 : 400, "", "");
}

static const struct middleware_ops hasty = {
    .options = {.name = "hasty", .doc = "Pulls one chunk."},
    .handle = pull_once,
};

/* A body without length, in chunks of 4 bytes; breaks off at its end when told so. */
struct chunks {
    struct body  body;
    struct slice rest;
    enum err     end;
    bool         closed;
};

static struct chunks chunks;

static enum err
chunks_next(struct body *b, struct slice *chunk)
{
    struct chunks *c = container_of(b, struct chunks, body);

    if (c->rest.n == 0)
        return c->end;
    *chunk = slice_first(c->rest, 4);
    c->rest = slice_from(c->rest, 4);
    return OK;
}

static void
chunks_close(struct body *b)
{
    container_of(b, struct chunks, body)->closed = true;
}

static const struct body_ops chunks_ops = {.next = chunks_next, .close = chunks_close};

static void
set_chunks(const char *text, enum err end)
{
    chunks = (struct chunks){
        .body = {&chunks_ops, BODY_LENGTH_UNKNOWN}, .rest = slice_str(text), .end = end};
    x->request.body = &chunks.body;
}

static const struct middleware_ops *terminal;

static void
run(void *arg)
{
    (void) arg;
    trial_run(&t, x, terminal);
}

static void
until_quiet(void)
{
    for (int i = 0; i < 1000 && fiber_count() > 0; i++)
        loop_once(&loop, loop.now_us + 10000);
}

static bool
begin(const char *item, const char *method)
{
    shadow.n = 0;
    shadow.wait_us = 0;
    shadow.status = 200;
    text_fixed(&shadow.told, shadow.memory, sizeof(shadow.memory));
    terminal = &pulling;
    held = 0;
    if (loop_init(&loop, NULL, 3) != OK || !link_to(item))
        return false;
    dice_init(&loop.dice, 7);
    x = testing_exchange(method, "http://example.com/a%2Fb?q=1", "Host", "example.com", "X-A",
                         "1", "X-A", "2", NULL);
    return true;
}

/* The original only: copies run when the loop comes round. */
static void
go(void)
{
    fiber_start("original", run, NULL);
    loop_once(&loop, loop.now_us);
}

static void
forget_original(void)
{
    testing_exchange_free(take(&x));
}

static void
end(void)
{
    if (x)
        forget_original();
    until_quiet();
    EXPECT_EQ(held, 0);
    trial_free(&t);
    loop_exit(&loop);
}

static const struct mirror_counts *
counts(void)
{
    return mirror_counts(t.chain[0].config);
}

/* ------------------------------------------------------------------ copies */

TEST(a_request_is_copied_whole)
{
    EXPECT(begin("mirror: shadow", "GET"));
    go();
    EXPECT_EQ(x->response.status, 200);
    EXPECT_STR(testing_pull(x, x->response.body), "original");
    until_quiet();
    EXPECT_EQ(shadow.n, 1);
    EXPECT_STR(text_slice(&shadow.told), "GET /a%2Fb?q=1 example.com\n"
                                         "Host: example.com\nX-A: 1\nX-A: 2\nX-Mirrored: 1\n");
    EXPECT_EQ(counts()->answered, 1);
    EXPECT_EQ(counts()->in_flight, 0);
    end();
}

TEST(a_copy_outlives_its_original)
{
    EXPECT(begin("mirror: shadow", "GET"));
    shadow.wait_us = 3000;
    go();
    EXPECT_EQ(held, 1);
    forget_original();
    until_quiet();
    EXPECT_EQ(shadow.n, 1);
    EXPECT_EQ(held, 0);
    EXPECT_EQ(counts()->answered, 1);
    end();
}

TEST(the_original_is_untouched)
{
    EXPECT(begin("mirror: shadow", "GET"));
    shadow.status = 503;
    go();
    until_quiet();
    EXPECT_EQ(shadow.n, 1);
    EXPECT_EQ(x->response.status, 200);
    EXPECT_EQ(x->fault.reason, REASON_NONE);
    EXPECT(fields_find(&x->request.fields, SLICE("X-Mirrored")) == NULL);
    EXPECT_EQ(counts()->failed, 1);
    EXPECT_EQ(counts()->answered, 0);
    end();
}

TEST(a_time_out_ends_it)
{
    uint64_t began_us = clock_monotonic_us();

    EXPECT(begin("mirror: {to: shadow, timeout: 20ms}", "GET"));
    shadow.wait_us = 60000000;
    go();
    until_quiet();
    EXPECT_EQ(shadow.waited, ERR_CANCELLED);
    EXPECT_EQ(counts()->failed, 1);
    EXPECT(clock_monotonic_us() - began_us < 5000000);
    end();
}

TEST(tunnels_are_not_mirrored)
{
    EXPECT(begin("mirror: shadow", "GET"));
    x->request.upgrade = SLICE("websocket");
    go();
    until_quiet();
    EXPECT_EQ(shadow.n, 0);
    end();
}

TEST(so_many_are_in_flight_and_no_more)
{
    EXPECT(begin("mirror: {to: shadow, most: 2}", "GET"));
    shadow.wait_us = 20000;
    for (int i = 0; i < 5; i++) {
        go();
        forget_original();
        x = testing_exchange("GET", "http://example.com/", NULL);
    }
    EXPECT_EQ(counts()->in_flight, 2);
    EXPECT_EQ(counts()->too_many, 3);
    until_quiet();
    EXPECT_EQ(shadow.n, 2);
    EXPECT_EQ(counts()->in_flight, 0);
    end();
}

TEST(a_share_is_drawn)
{
    EXPECT(begin("mirror: {to: shadow, share: 20%, most: 100000}", "GET"));
    for (int i = 0; i < 2000; i++) {
        go();
        forget_original();
        x = testing_exchange("GET", "http://example.com/", NULL);
    }
    until_quiet();
    EXPECT(shadow.n > 320 && shadow.n < 480);
    end();
}

/* ------------------------------------------------------------------ bodies */

TEST(a_body_is_copied_while_it_passes)
{
    EXPECT(begin("mirror: shadow", "POST"));
    set_chunks("0123456789", ERR_END);
    go();
    EXPECT_EQ(x->response.status, 200);
    until_quiet();
    EXPECT_EQ(shadow.n, 1);
    EXPECT(slice_ends(text_slice(&shadow.told), SLICE("X-Mirrored: 1\n0123456789")));
    EXPECT(!chunks.closed);
    forget_original();
    EXPECT(chunks.closed);
    end();
}

TEST(a_body_that_is_not_asked_for_its_end_is_copied_too)
{
    EXPECT(begin("mirror: shadow", "POST"));
    terminal = &hasty;
    testing_set_body(x, "whole");
    x->request.body->ready = true;
    go();
    EXPECT(x->request.body->length == 5);
    until_quiet();
    EXPECT_EQ(shadow.n, 1);
    EXPECT(slice_ends(text_slice(&shadow.told), SLICE("\nwhole")));
    end();
}

TEST(an_empty_body_is_no_reason_to_wait)
{
    EXPECT(begin("mirror: shadow", "POST"));
    testing_set_body(x, "");
    terminal = &testing_terminal;
    go();
    until_quiet();
    EXPECT_EQ(shadow.n, 1);
    end();
}

TEST(large_bodies_are_not_mirrored)
{
    EXPECT(begin("mirror: {to: shadow, max_body: 8}", "POST"));
    testing_set_body(x, "123456789");
    go();
    EXPECT_EQ(x->response.status, 200);
    EXPECT_EQ(counts()->too_large, 1);
    forget_original();
    x = testing_exchange("POST", "http://example.com/", NULL);
    set_chunks("123456789", ERR_END);
    go();
    EXPECT_EQ(x->response.status, 200);
    EXPECT_EQ(counts()->too_large, 2);
    until_quiet();
    EXPECT_EQ(shadow.n, 0);
    forget_original();
    x = testing_exchange("POST", "http://example.com/", NULL);
    set_chunks("12345678", ERR_END);
    go();
    until_quiet();
    EXPECT_EQ(shadow.n, 1);
    end();
}

TEST(half_a_body_is_not_sent)
{
    EXPECT(begin("mirror: shadow", "POST"));
    set_chunks("01234567", ERR_RESET);
    go();
    EXPECT_EQ(x->response.status, 400);
    EXPECT_EQ(counts()->broken, 1);
    forget_original();
    /* Nobody asks for it: somebody refuses, say. */
    x = testing_exchange("POST", "http://example.com/", NULL);
    set_chunks("01234567", ERR_END);
    terminal = &testing_terminal;
    go();
    EXPECT_EQ(held, 1);
    forget_original();
    EXPECT_EQ(counts()->broken, 2);
    until_quiet();
    EXPECT_EQ(shadow.n, 0);
    end();
}

TEST(trailers_and_flags_pass)
{
    static struct fields trailers;
    struct slice chunk;

    EXPECT(begin("mirror: shadow", "POST"));
    set_chunks("0123", ERR_END);
    terminal = &testing_terminal;
    chunks.body.ready = true;
    go();
    EXPECT(x->request.body != &chunks.body && x->request.body->ready);
    chunks.body.ready = false;
    EXPECT_EQ(body_next(x->request.body, &chunk), OK);
    EXPECT(!x->request.body->ready);
    chunks.body.trailers = &trailers;
    EXPECT_EQ(body_next(x->request.body, &chunk), ERR_END);
    EXPECT(x->request.body->trailers == &trailers);
    EXPECT_EQ(body_next(x->request.body, &chunk), ERR_END);
    until_quiet();
    EXPECT_EQ(shadow.n, 1);
    end();
}

/* ------------------------------------------------------------------ options */

TEST(mistakes_are_found_when_the_configuration_is_loaded)
{
    EXPECT(is_refused(&middleware_mirror, "mirror: {}", "to"));
    EXPECT(is_refused(&middleware_mirror, "mirror: {to: a, share: 101%}", "share"));
    EXPECT(is_refused(&middleware_mirror, "mirror: {to: a, max_body: 1GiB}", "max_body"));
    EXPECT(is_refused(&middleware_mirror, "mirror: {to: a, most: 0}", "most"));
    EXPECT(!link_to("mirror: nobody"));
    EXPECT_EQ(t.report.errors, 1);
    trial_free(&t);
}
