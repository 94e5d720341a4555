/* SPDX-License-Identifier: Apache-2.0 */
#include "exchange/grpc.h"

#include "base/check.h"
#include "base/test.h"
#include "exchange/testing.h"

static struct exchange *x;

static struct exchange *
called(const char *type)
{
    x = testing_exchange("POST", "http://h/package.Service/Method", "Content-Type", type, NULL);
    return x;
}

/* ------------------------------------------------------------------ kinds */

TEST(the_content_type_says_what_it_is)
{
    static const struct {
        const char    *type;
        enum grpc_kind kind;
        const char    *format;
    } cases[] = {
        {"application/grpc", GRPC_PLAIN, ""},
        {"application/grpc+proto", GRPC_PLAIN, "+proto"},
        {"Application/GRPC;charset=utf-8", GRPC_PLAIN, ";charset=utf-8"},
        {"application/grpc-web", GRPC_WEB, ""},
        {"application/grpc-web+json", GRPC_WEB, "+json"},
        {"application/grpc-web-text+proto; x=y", GRPC_WEB_TEXT, "+proto; x=y"},
        {"application/grpc-web-text", GRPC_WEB_TEXT, ""},
        {"application/grpc-websocket", GRPC_NONE, NULL},
        {"application/grpcx", GRPC_NONE, NULL},
        {"application/json", GRPC_NONE, NULL},
        {"", GRPC_NONE, NULL},
    };

    for (size_t i = 0; i < countof(cases); i++) {
        struct slice format = {NULL, 0};

        EXPECT_EQ(grpc_kind(slice_str(cases[i].type), &format), cases[i].kind);
        EXPECT_STR(format, cases[i].format);
    }
    EXPECT_EQ(grpc_kind((struct slice){NULL, 0}, NULL), GRPC_NONE);
}

/* ------------------------------------------------------------------ deadlines */

static uint64_t
timeout_of(const char *type, const char *value)
{
    uint64_t at;

    x = testing_exchange("POST", "http://h/s/m", "Content-Type", type, "grpc-timeout", value, NULL);
    at = grpc_deadline_us(x);
    at -= at ? x->times.started_us : 0;
    testing_exchange_free(x);
    return at;
}

TEST(a_timeout_is_a_number_and_a_unit)
{
    EXPECT_EQ(timeout_of("application/grpc", "2H"), 7200000000);
    EXPECT_EQ(timeout_of("application/grpc", "3M"), 180000000);
    EXPECT_EQ(timeout_of("application/grpc", "10S"), 10000000);
    EXPECT_EQ(timeout_of("application/grpc", "250m"), 250000);
    EXPECT_EQ(timeout_of("application/grpc", "7u"), 7);
    EXPECT_EQ(timeout_of("application/grpc", "1001n"), 2);
    EXPECT_EQ(timeout_of("application/grpc-web+proto", "1S"), 1000000);
    EXPECT_EQ(timeout_of("application/grpc", "99999999H"), 359999996400000000);
}

TEST(what_is_no_timeout_is_none)
{
    static const char *const wrong[] = {"",     "S",          "1",   "1s", "-1S",
                                        "1.5S", "100000000S", "1 S", "xS"};

    for (size_t i = 0; i < countof(wrong); i++)
        EXPECT_EQ(timeout_of("application/grpc", wrong[i]), 0);
    EXPECT_EQ(timeout_of("application/json", "1S"), 0);
    EXPECT_EQ(grpc_deadline_us(called("application/grpc")), 0);
    testing_exchange_free(x);
}

/* ------------------------------------------------------------------ refusals */

static bool
says(const char *status, const char *message)
{
    struct slice s = testing_field(x, "grpc-status"), m = testing_field(x, "grpc-message");

    return x->response.status == 200 && !x->response.body && slice_eq(s, slice_str(status)) &&
           slice_eq(m, slice_str(message));
}

TEST(a_refusal_is_a_status_in_the_head)
{
    called("application/grpc+proto");
    exchange_refuse(x, 503, REASON_NO_SERVER, "10.0.0.1 is secret");
    EXPECT(says("14", "no server is available"));
    EXPECT_STR(testing_field(x, "Content-Type"), "application/grpc");
    EXPECT_STR(testing_field(x, "Proxy-Status"), "maitred; error=destination_unavailable; "
                                                 "details=\"no server is available\"");
    EXPECT(!slice_is_present(testing_field(x, "Retry-After")));
    EXPECT_EQ(x->fault.reason, REASON_NO_SERVER);
    testing_exchange_free(x);
    called("application/grpc-web-text+proto");
    exchange_refuse(x, 403, REASON_NOT_ALLOWED, NULL);
    EXPECT(says("7", "the client's address may not use this route"));
    EXPECT_STR(testing_field(x, "Content-Type"), "application/grpc-web-text+proto");
    testing_exchange_free(x);
}

TEST(statuses_of_http_have_their_counterparts)
{
    static const struct {
        unsigned    http;
        const char *grpc;
    } cases[] = {
        {400, "13"}, {401, "16"}, {403, "7"},  {404, "12"}, {429, "14"}, {502, "14"},
        {503, "14"}, {504, "14"}, {413, "2"},  {408, "2"},  {500, "2"},
    };

    for (size_t i = 0; i < countof(cases); i++) {
        called("application/grpc");
        exchange_refuse(x, cases[i].http, REASON_INTERNAL, NULL);
        EXPECT(says(cases[i].grpc, "an internal error"));
        testing_exchange_free(x);
    }
}

TEST(who_is_late_has_exceeded_the_deadline)
{
    called("application/grpc");
    exchange_refuse(x, 504, REASON_TOTAL_TIMEOUT, NULL);
    EXPECT(says("4", "the exchange took longer than its limit"));
    x->deadline_us = clock_monotonic_us() + 60000000;
    exchange_refuse(x, 504, REASON_CONNECT_TIMEOUT, NULL);
    EXPECT(says("14", "the server did not accept the connection in time"));
    x->deadline_us = clock_monotonic_us();
    exchange_refuse(x, 504, REASON_CONNECT_TIMEOUT, NULL);
    EXPECT(says("4", "the server did not accept the connection in time"));
    testing_exchange_free(x);
}

TEST(a_refusals_status_is_known)
{
    called("application/grpc");
    EXPECT(!x->has_grpc_status);
    exchange_refuse(x, 503, REASON_NO_SERVER, NULL);
    EXPECT(x->has_grpc_status);
    EXPECT_EQ(x->grpc_status, GRPC_UNAVAILABLE);
    testing_exchange_free(x);
}

/* Does an answer with that status tell of a server that fails? */
static bool
is_failure(const char *type, const char *status, uint64_t deadline_us)
{
    struct fields f;
    bool failed;

    called(type);
    x->deadline_us = deadline_us;
    fields_init(&f, &x->arena, 1, 1);
    if (status)
        fields_add_named(&f, SLICE("grpc-status"), slice_str(status));
    failed = grpc_server_failed(x, &f);
    testing_exchange_free(x);
    return failed;
}

TEST(statuses_tell_of_servers_or_of_calls)
{
    static const char *const bad[] = {"2", "4", "13", "14", "15"};
    static const char *const good[] = {"0", "1", "3", "5", "6", "7", "8", "9", "10", "11", "12",
                                       "16", "99", "", "-1", "14x", NULL};
    uint64_t now_us = clock_monotonic_us();

    for (size_t i = 0; i < countof(bad); i++)
        EXPECT(is_failure("application/grpc", bad[i], 0));
    for (size_t i = 0; i < countof(good); i++)
        EXPECT(!is_failure("application/grpc", good[i], 0));
    EXPECT(!is_failure("application/json", "14", 0));
    EXPECT(is_failure("application/grpc", "4", now_us + 60000000));
    EXPECT(!is_failure("application/grpc", "4", now_us + 1000));
    EXPECT(is_failure("application/grpc", "14", now_us));
}

/* grpc-message is percent-encoded: what needs it is not in there. */
TEST(sentences_need_no_encoding)
{
    for (enum reason r = REASON_NONE; r < REASON_COUNT; r++)
        for (const char *c = reason_sentence(r); *c; c++)
            EXPECT(*c >= ' ' && *c <= '~' && *c != '%');
}

/* ------------------------------------------------------------------ answers that break off */

/* Gives two chunks and then fails, or ends with trailers. */
struct source {
    struct body   body;
    struct slice  chunks[2];
    enum err      end;
    int           given;
    struct fields trailers;
    bool          closed;
};

static struct source source;

static enum err
source_next(struct body *b, struct slice *chunk)
{
    struct source *s = container_of(b, struct source, body);

    if (s->given == 2) {
        if (s->end == ERR_END)
            b->trailers = &s->trailers;
        else
            exchange_fault(x, REASON_RESPONSE_INCOMPLETE, s->end, NULL);
        return s->end;
    }
    b->ready = s->given == 0;
    *chunk = s->chunks[s->given++];
    return OK;
}

static void
source_close(struct body *b)
{
    container_of(b, struct source, body)->closed = true;
}

static const struct body_ops source_ops = {.next = source_next, .close = source_close};

static void
answered(const char *type, enum err end)
{
    exchange_respond(x, 200, (struct slice){NULL, 0}, (struct slice){NULL, 0});
    fields_add(&x->response.fields, FIELD_CONTENT_TYPE, slice_str(type));
    source = (struct source){
        .body = {&source_ops, BODY_LENGTH_UNKNOWN},
        .chunks = {SLICE("\0\0\0\0\3a"), SLICE("bc\0\0\0\0\0")},
        .end = end,
    };
    fields_init(&source.trailers, &x->arena, 0, 8);
    x->response.body = &source.body;
    grpc_finish(x);
}

static struct slice
trailer(const char *name)
{
    const struct field *f = x->response.body->trailers
                                ? fields_find(x->response.body->trailers, slice_str(name))
                                : NULL;

    return f ? f->value : (struct slice){NULL, 0};
}

TEST(a_broken_answer_ends_with_a_status)
{
    struct slice chunk;

    called("application/grpc");
    answered("application/grpc", ERR_RESET);
    EXPECT_EQ(body_next(x->response.body, &chunk), OK);
    EXPECT(x->response.body->ready);
    EXPECT_EQ(body_next(x->response.body, &chunk), OK);
    EXPECT(!x->response.body->ready);
    EXPECT_EQ(body_next(x->response.body, &chunk), ERR_END);
    EXPECT_STR(trailer("grpc-status"), "14");
    EXPECT_STR(trailer("grpc-message"), "the server's answer broke off");
    EXPECT_EQ(body_next(x->response.body, &chunk), ERR_END);
    EXPECT_EQ(x->response.body->trailers->n, 2);
    testing_exchange_free(x);
    EXPECT(source.closed);
}

TEST(half_a_message_stays_broken)
{
    static const struct slice halves[] = {
        SLICE_INIT("bc\0"),
        SLICE_INIT("bc\0\0\0\0"),
        SLICE_INIT("b"),
        SLICE_INIT("bc\0\0\0\0\1"),
        SLICE_INIT("bc\0\0\0\1\0abcd"),
        SLICE_INIT("bc\1\0\0\0\1x\0\0\0\0\2y"),
    };
    struct slice chunk;

    for (size_t i = 0; i < countof(halves); i++) {
        called("application/grpc");
        answered("application/grpc", ERR_RESET);
        source.chunks[1] = halves[i];
        EXPECT_EQ(body_next(x->response.body, &chunk), OK);
        EXPECT_EQ(body_next(x->response.body, &chunk), OK);
        EXPECT_EQ(body_next(x->response.body, &chunk), ERR_RESET);
        EXPECT_EQ(body_next(x->response.body, &chunk), ERR_RESET);
        testing_exchange_free(x);
    }
}

TEST(a_whole_one_keeps_its_own)
{
    called("application/grpc");
    answered("application/grpc", ERR_END);
    fields_add_named(&source.trailers, SLICE("grpc-status"), SLICE("0"));
    EXPECT(slice_eq(testing_pull(x, x->response.body), SLICE("\0\0\0\0\3abc\0\0\0\0\0")));
    EXPECT_STR(trailer("grpc-status"), "0");
    testing_exchange_free(x);
}

TEST(at_the_deadline_it_says_so)
{
    struct slice chunk;

    called("application/grpc");
    x->deadline_us = 1;
    answered("application/grpc", ERR_TIMEOUT);
    EXPECT_EQ(body_next(x->response.body, &chunk), OK);
    EXPECT_EQ(body_next(x->response.body, &chunk), OK);
    EXPECT_EQ(body_next(x->response.body, &chunk), ERR_END);
    EXPECT_STR(trailer("grpc-status"), "4");
    testing_exchange_free(x);
}

TEST(other_answers_stay_as_they_are)
{
    called("application/grpc");
    answered("text/html", ERR_RESET);
    EXPECT(x->response.body == &source.body);
    testing_exchange_free(x);
    called("text/plain");
    answered("application/grpc", ERR_RESET);
    EXPECT(x->response.body == &source.body);
    testing_exchange_free(x);
    called("application/grpc");
    answered("application/grpc", ERR_CANCELLED);
    EXPECT(!slice_is_present(testing_pull(x, x->response.body)));
    testing_exchange_free(x);
}
