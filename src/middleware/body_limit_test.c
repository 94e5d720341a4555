/* SPDX-License-Identifier: Apache-2.0 */
#include "base/check.h"
#include "base/test.h"
#include "middleware/middleware.h"
#include "middleware/testing.h"

static struct trial t;
static struct exchange *x;

/* A client's body without Content-Length, in chunks of 4 bytes, with trailers at its end. */
struct chunks {
    struct body body;
    struct slice rest;
    struct fields trailers;
    bool closed;
};

static struct chunks chunks;

static enum err
chunks_next(struct body *b, struct slice *chunk)
{
    struct chunks *c = container_of(b, struct chunks, body);

    if (c->rest.n == 0) {
        b->trailers = &c->trailers;
        return ERR_END;
    }
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

/* Terminals: one pulls the whole body and says how long it was, the other answers before. */
static uint64_t      pulled;
static enum err      last;
static struct fields *trailers_seen;

static void
answer_after_body(const struct middleware *self, struct exchange *exchange)
{
    struct slice chunk;

    (void) self;
    for (pulled = 0; (last = body_next(exchange->request.body, &chunk)) == OK;)
        pulled += chunk.n;
    trailers_seen = exchange->request.body->trailers;
    if (last == ERR_END)
        testing_answer(exchange, 200, "", "");
    else
        exchange_refuse(exchange, 502, REASON_INTERNAL, "the body broke off");
}

static void
answer_early(const struct middleware *self, struct exchange *exchange)
{
    struct slice chunk;

    answer_after_body(self, exchange);
    testing_answer(exchange, 200, "text/plain", "done already");
    EXPECT_EQ(body_next(exchange->request.body, &chunk), ERR_LIMIT);
}

static const struct middleware_ops pulling = {
    .options = {.name = "pulling", .doc = "Pulls the body."},
    .handle = answer_after_body,
};
static const struct middleware_ops hasty = {
    .options = {.name = "hasty", .doc = "Answers whatever the body does."},
    .handle = answer_early,
};
static bool
run(const char *item, const char *text, const struct body_ops *ops,
    const struct middleware_ops *terminal)
{
    trial_load(&t, &middleware_body_limit, item);
    if (!t.config)
        return trial_complains(&t, "(it should have been taken)");
    x = testing_exchange("POST", "http://example.com/", NULL);
    if (ops) {
        chunks = (struct chunks){.body = {ops, BODY_LENGTH_UNKNOWN, NULL}, .rest = slice_str(text)};
        x->request.body = &chunks.body;
    } else if (text) {
        testing_set_body(x, text);
    }
    trial_run(&t, x, terminal);
    return true;
}

static void
done(void)
{
    testing_exchange_free(x);
    trial_free(&t);
}

TEST(a_length_above_the_limit_is_refused_at_once)
{
    EXPECT(run("body_limit: 4", "12345", NULL, &testing_terminal));
    EXPECT_EQ(x->response.status, 413);
    EXPECT_EQ(x->fault.reason, REASON_BODY_TOO_LARGE);
    EXPECT(x->fault.limit == t.chain[0].config);
    EXPECT(x->close_client);
    done();
}

TEST(a_length_up_to_the_limit_is_not)
{
    EXPECT(run("body_limit: 5", "12345", NULL, &pulling));
    EXPECT_EQ(x->response.status, 200);
    EXPECT_EQ(pulled, 5);
    EXPECT(!x->close_client);
    done();
    EXPECT(run("body_limit: 0", NULL, NULL, &testing_terminal));
    EXPECT_EQ(x->response.status, 200);
    done();
}

TEST(a_body_without_length_is_counted)
{
    EXPECT(run("body_limit: 12", "123456789012", &chunks_ops, &pulling));
    EXPECT_EQ(x->response.status, 200);
    EXPECT_EQ(pulled, 12);
    EXPECT(trailers_seen == &chunks.trailers);
    EXPECT(!x->close_client);
    done();
    EXPECT(chunks.closed);
}

TEST(and_breaks_off_at_the_first_byte_too_many)
{
    EXPECT(run("body_limit: 11", "123456789012", &chunks_ops, &pulling));
    EXPECT_EQ(last, ERR_LIMIT);
    EXPECT_EQ(pulled, 8);
    EXPECT_EQ(x->response.status, 413);
    EXPECT_EQ(x->fault.reason, REASON_BODY_TOO_LARGE);
    EXPECT(x->fault.limit == t.chain[0].config);
    EXPECT_STR(slice_str(x->fault.limit_name), "body_limit");
    EXPECT(x->close_client);
    done();
    EXPECT(chunks.closed);
}

TEST(an_answer_to_half_a_request_does_not_count)
{
    EXPECT(run("body_limit: 4", "12345678", &chunks_ops, &hasty));
    EXPECT_EQ(x->response.status, 413);
    done();
}

TEST(nothing_is_nothing)
{
    EXPECT(run("body_limit: 0", "", &chunks_ops, &pulling));
    EXPECT_EQ(x->response.status, 200);
    done();
    EXPECT(run("body_limit: 0", "1", &chunks_ops, &pulling));
    EXPECT_EQ(x->response.status, 413);
    done();
}

TEST(mistakes_are_found_when_the_configuration_is_loaded)
{
    EXPECT(is_refused(&middleware_body_limit, "body_limit: {}", "max"));
    EXPECT(is_refused(&middleware_body_limit, "body_limit: lots", "lots"));
    EXPECT(is_refused(&middleware_body_limit, "body_limit: -1", "-1"));
}
