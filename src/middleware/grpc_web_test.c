/* SPDX-License-Identifier: Apache-2.0 */
#include "base/check.h"
#include "base/test.h"
#include "middleware/grpc_text.h"
#include "middleware/middleware.h"
#include "middleware/testing.h"

static struct trial t;
static struct exchange *x;

/* ------------------------------------------------------------------ bodies in pieces */

/* Gives its text in pieces of so many bytes, then ends, or breaks off. */
struct pieces {
    struct body   body;
    struct slice  rest;
    size_t        step;
    enum err      end;
    struct fields trailers;
    bool          closed;
};

static enum err
pieces_next(struct body *b, struct slice *chunk)
{
    struct pieces *p = container_of(b, struct pieces, body);

    if (p->rest.n == 0) {
        if (p->trailers.n)
            b->trailers = &p->trailers;
        return p->end;
    }
    *chunk = slice_first(p->rest, p->step);
    p->rest = slice_from(p->rest, chunk->n);
    return OK;
}

static void
pieces_close(struct body *b)
{
    container_of(b, struct pieces, body)->closed = true;
}

static const struct body_ops pieces_ops = {.next = pieces_next, .close = pieces_close};

static struct pieces sent, answered;

static struct body *
in_pieces(struct pieces *p, struct slice bytes, size_t step)
{
    *p = (struct pieces){{&pieces_ops, BODY_LENGTH_UNKNOWN}, bytes, step, ERR_END};
    fields_init(&p->trailers, &x->arena, 0, 8);
    return &p->body;
}

/* ------------------------------------------------------------------ a server */

static struct slice got, got_type, answer;
static bool         got_trailers, got_length;
static const char  *answer_type;
static enum err     answer_end, got_end;
static void       (*answer_more)(struct exchange *x);

static void
serve(const struct middleware *self, struct exchange *exchange)
{
    struct slice chunk;
    struct text all;

    (void) self;
    text_init(&all, 64 * 1024);
    got_end = ERR_END;
    while (exchange->request.body && (got_end = body_next(exchange->request.body, &chunk)) == OK)
        text_put(&all, chunk);
    got = arena_copy(&exchange->arena, text_slice(&all));
    text_free(&all);
    got_type = fields_value(&exchange->request.fields, FIELD_CONTENT_TYPE);
    got_length = fields_has(&exchange->request.fields, FIELD_CONTENT_LENGTH) &&
                 fields_get(&exchange->request.fields, FIELD_CONTENT_LENGTH);
    got_trailers = exchange->request.te_trailers;
    testing_answer(exchange, 200, "", "");
    fields_add(&exchange->response.fields, FIELD_CONTENT_TYPE, slice_str(answer_type));
    if (answer.n) {
        exchange->response.body = in_pieces(&answered, answer, 5);
        answered.end = answer_end;
    }
    if (answer_more)
        answer_more(exchange);
}

static const struct middleware_ops server = {
    .options = {.name = "server", .doc = "A gRPC server."},
    .handle = serve,
};

static void
run(const char *type, const char *accept, struct slice body, size_t step)
{
    trial_load(&t, &middleware_grpc_web, "grpc_web");
    CHECK(t.config != NULL);
    x = accept ? testing_exchange("POST", "http://h/S/M", "Content-Type", type, "Content-Length",
                                  "77", "Accept", accept, NULL)
               : testing_exchange("POST", "http://h/S/M", "Content-Type", type, "Content-Length",
                                  "77", NULL);
    x->request.body = in_pieces(&sent, body, step);
    trial_run(&t, x, &server);
}

static void
done(void)
{
    testing_exchange_free(x);
    trial_free(&t);
}

/* As a server of gRPC answers: this body, and these trailers. */
static void
answers(const char *type, struct slice bytes, void (*more)(struct exchange *))
{
    answer_type = type;
    answer = bytes;
    answer_end = ERR_END;
    answer_more = more;
}

static void
with_status(struct exchange *exchange)
{
    (void) exchange;
    fields_add_named(&answered.trailers, SLICE("Grpc-Status"), SLICE("0"));
    fields_add_named(&answered.trailers, SLICE("X-More"), SLICE("a b"));
}

static void
in_the_head(struct exchange *exchange)
{
    fields_add_named(&exchange->response.fields, SLICE("grpc-status"), SLICE("5"));
    fields_add_named(&exchange->response.fields, SLICE("grpc-message"), SLICE("not%20found"));
    fields_add_named(&exchange->response.fields, SLICE("x-more"), SLICE("stays"));
    fields_add(&exchange->response.fields, FIELD_CONTENT_LENGTH, SLICE("0"));
}

static void
refused(struct exchange *exchange)
{
    exchange_refuse(exchange, 503, REASON_NO_SERVER, NULL);
}

#define MESSAGE SLICE("\0\0\0\0\4ping")
#define BACK    SLICE("\0\0\0\0\4pong")
#define LAST    "\200\0\0\0\35grpc-status: 0\r\nx-more: a b\r\n"

static struct slice
pulled(void)
{
    return testing_pull(x, x->response.body);
}

static bool
ends(struct slice body, struct slice frame)
{
    return slice_ends(body, frame);
}

/* ------------------------------------------------------------------ bytes */

TEST(bytes_get_their_trailers_as_a_last_frame)
{
    struct slice body;

    answers("application/grpc+proto", BACK, with_status);
    run("application/grpc-web+proto", NULL, MESSAGE, 3);
    EXPECT(slice_eq(got, MESSAGE));
    EXPECT_STR(got_type, "application/grpc+proto");
    EXPECT(got_trailers);
    EXPECT_EQ(x->response.status, 200);
    EXPECT_STR(testing_field(x, "Content-Type"), "application/grpc-web+proto");
    body = pulled();
    EXPECT(slice_starts(body, BACK));
    EXPECT(slice_eq(slice_from(body, BACK.n), SLICE(LAST)));
    EXPECT(x->response.body->ended);
    EXPECT_STR(fields_value(&x->request.fields, FIELD_CONTENT_TYPE), "application/grpc-web+proto");
    done();
    EXPECT(sent.closed && answered.closed);
}

TEST(each_piece_is_passed_on_as_it_comes)
{
    struct slice chunk;

    answers("application/grpc", BACK, with_status);
    run("application/grpc-web", NULL, MESSAGE, 100);
    EXPECT_STR(got_type, "application/grpc");
    EXPECT_STR(testing_field(x, "Content-Type"), "application/grpc-web+proto");
    EXPECT_EQ(body_next(x->response.body, &chunk), OK);
    EXPECT_EQ(chunk.n, 5);
    EXPECT(!x->response.body->ended);
    EXPECT_EQ(body_next(x->response.body, &chunk), OK);
    EXPECT_EQ(chunk.n, 4);
    EXPECT_EQ(body_next(x->response.body, &chunk), OK);
    EXPECT(slice_eq(chunk, SLICE(LAST)));
    EXPECT(x->response.body->ended);
    EXPECT_EQ(body_next(x->response.body, &chunk), ERR_END);
    done();
}

/* ------------------------------------------------------------------ text */

TEST(text_is_decoded_and_encoded)
{
    answers("application/grpc", BACK, with_status);
    for (size_t step = 1; step < 14; step++) {
        run("application/grpc-web-text", NULL, SLICE("AAAAAARwaW5n"), step);
        EXPECT(slice_eq(got, MESSAGE));
        EXPECT_EQ(got_end, ERR_END);
        EXPECT(!got_length);
        EXPECT_STR(testing_field(x, "Content-Type"), "application/grpc-web-text+proto");
        /* Five bytes, four, and the last frame, each a run of its own. */
        EXPECT_STR(pulled(), "AAAAAAQ="
                             "cG9uZw=="
                             "gAAAAB1ncnBjLXN0YXR1czogMA0KeC1tb3JlOiBhIGINCg==");
        done();
    }
}

TEST(text_that_is_none_breaks_the_request_off)
{
    answers("application/grpc", BACK, with_status);
    run("application/grpc-web-text", NULL, SLICE("AAAAAARwaW5n*AAA"), 16);
    EXPECT_EQ(got_end, ERR_MALFORMED);
    done();
    run("application/grpc-web-text", NULL, SLICE("AAAAAARwaW5nAA"), 3);
    EXPECT_EQ(got_end, ERR_MALFORMED);
    done();
}

TEST(long_messages_become_text_in_parts)
{
    static char bytes[20000], letters[GRPC_TEXT_LETTERS(sizeof(bytes))];
    struct grpc_text_decoder decoder = {0};
    struct slice chunk;
    size_t n = 0;

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char) (i * 31 >> 3);
    grpc_text_encode(slice_of(bytes, sizeof(bytes)), letters);
    answers("application/grpc", slice_of(bytes, sizeof(bytes)), with_status);
    run("application/grpc-web-text", NULL, slice_of(letters, sizeof(letters)), 9999);
    EXPECT(slice_eq(got, slice_of(bytes, sizeof(bytes))));
    answered.step = sizeof(bytes);
    for (size_t part; n < sizeof(bytes); n += part) {
        static char back[20000];

        EXPECT_EQ(body_next(x->response.body, &chunk), OK);
        EXPECT(grpc_text_decode(&decoder, &chunk, back, sizeof(back), &part) && chunk.n == 0);
        EXPECT(part > 0 && memcmp(back, bytes + n, part) == 0);
    }
    EXPECT_EQ(n, sizeof(bytes));
    done();
}

TEST(accept_chooses_what_comes_back)
{
    answers("application/grpc", BACK, with_status);
    run("application/grpc-web+proto", "*/*, application/grpc-web-text", MESSAGE, 99);
    EXPECT_STR(testing_field(x, "Content-Type"), "application/grpc-web-text+proto");
    done();
    run("application/grpc-web-text", "application/grpc-web+proto", SLICE("AAAA"), 99);
    EXPECT_STR(testing_field(x, "Content-Type"), "application/grpc-web+proto");
    EXPECT(ends(pulled(), SLICE(LAST)));
    done();
    run("application/grpc-web-text", "*/*", SLICE("AAAA"), 99);
    EXPECT_STR(testing_field(x, "Content-Type"), "application/grpc-web-text+proto");
    done();
}

/* ------------------------------------------------------------------ failures */

TEST(a_head_alone_becomes_a_last_frame)
{
    answers("application/grpc", (struct slice){NULL, 0}, in_the_head);
    run("application/grpc-web+proto", NULL, MESSAGE, 99);
    EXPECT_EQ(x->response.status, 200);
    EXPECT(
        slice_eq(pulled(), SLICE("\200\0\0\0\53grpc-status: 5\r\ngrpc-message: not%20found\r\n")));
    EXPECT(!slice_is_present(testing_field(x, "grpc-status")));
    EXPECT(!slice_is_present(testing_field(x, "grpc-message")));
    EXPECT(!slice_is_present(testing_field(x, "Content-Length")));
    EXPECT_STR(testing_field(x, "x-more"), "stays");
    done();
}

TEST(so_do_our_own_refusals)
{
    answers("application/grpc", (struct slice){NULL, 0}, refused);
    run("application/grpc-web-text", NULL, SLICE("AAAA"), 99);
    EXPECT_EQ(x->response.status, 200);
    EXPECT_EQ(x->fault.reason, REASON_NO_SERVER);
    EXPECT_STR(pulled(),
               "gAAAADdncnBjLXN0YXR1czogMTQNCmdycGMtbWVzc2FnZTogbm8gc2VydmVyIGlzIGF2YWlsYW"
               "JsZQ0K");
    EXPECT(!slice_is_present(testing_field(x, "grpc-status")));
    done();
}

TEST(an_answer_without_a_status_gets_one)
{
    answers("application/grpc", BACK, NULL);
    run("application/grpc-web+proto", NULL, MESSAGE, 99);
    EXPECT(slice_search(pulled(), SLICE("grpc-status: 2\r\n")) != SLICE_NOT_FOUND);
    done();
}

TEST(an_answer_that_breaks_off_does_so_here_too)
{
    answers("application/grpc", BACK, with_status);
    answer_end = ERR_RESET;
    run("application/grpc-web+proto", NULL, MESSAGE, 99);
    EXPECT(!slice_is_present(pulled()));
    done();
}

TEST(pages_pass_as_they_are)
{
    answers("text/html", SLICE("<p>no</p>"), NULL);
    run("application/grpc-web+proto", NULL, MESSAGE, 99);
    EXPECT_STR(testing_field(x, "Content-Type"), "text/html");
    EXPECT_STR(pulled(), "<p>no</p>");
    done();
}

/* ------------------------------------------------------------------ other requests */

TEST(other_requests_pass_as_they_are)
{
    static const char *const types[] = {"application/grpc+proto", "application/json"};

    for (size_t i = 0; i < countof(types); i++) {
        answers("application/grpc", BACK, with_status);
        run(types[i], NULL, SLICE("AAAA"), 99);
        EXPECT_STR(got_type, types[i]);
        EXPECT_STR(got, "AAAA");
        EXPECT(got_length && !got_trailers);
        EXPECT_STR(testing_field(x, "Content-Type"), "application/grpc");
        EXPECT(slice_eq(pulled(), BACK));
        done();
    }
}

/* Who stands in front of it may try again. */
TEST(a_second_run_does_not_decode_again)
{
    answers("application/grpc", BACK, with_status);
    run("application/grpc-web-text", NULL, SLICE("AAAAAARwaW5n"), 99);
    EXPECT(slice_eq(got, MESSAGE));
    exchange_drop_response(x);
    sent.rest = SLICE("AAAAAARwaW5n");
    x->next = x->chain;
    exchange_next(x);
    EXPECT(slice_eq(got, MESSAGE));
    EXPECT_STR(pulled(), "AAAAAAQ="
                         "cG9uZw=="
                         "gAAAAB1ncnBjLXN0YXR1czogMA0KeC1tb3JlOiBhIGINCg==");
    done();
}
