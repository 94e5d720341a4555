/* SPDX-License-Identifier: Apache-2.0 */
#include "exchange/exchange.h"

#include "base/check.h"
#include "base/test.h"
#include "exchange/route.h"
#include "exchange/testing.h"

/* ------------------------------------------------------------------ the chain */

/* Writes its letter before and after what lies behind it, and counts in its slot. */
static void
letter_handle(const struct middleware *self, struct exchange *x)
{
    const char *letter = self->config;
    void **slot = exchange_slot(x, self);

    CHECK(*slot == NULL);
    *slot = (void *) (uintptr_t) letter;
    fields_add(&x->request.fields, FIELD_VIA, slice_str(letter));
    exchange_next(x);
    fields_add(&x->response.fields, FIELD_VIA, slice_str(*slot));
}

static const struct middleware_ops letter = {.options = {.name = "letter"},
                                             .handle = letter_handle};

static struct slice
vias(const struct exchange *x, const struct fields *fields)
{
    char *all = arena_alloc(&((struct exchange *) (uintptr_t) x)->arena, 16);
    size_t n = 0;

    for (const struct field *f = NULL; (f = fields_next(fields, f, SLICE("Via")));)
        all[n++] = f->value.at[0];
    return slice_of(all, n);
}

static const struct middleware onion[] = {
    {&letter, "a"},
    {&letter, "b"},
    {&testing_terminal, NULL},
};

TEST(middleware_is_an_onion)
{
    struct exchange *x = testing_exchange("GET", "http://h/", NULL);

    testing_run(x, onion, countof(onion));
    EXPECT_EQ(x->response.status, 200);
    EXPECT_STR(vias(x, &x->request.fields), "ab");
    EXPECT_STR(vias(x, &x->response.fields), "ba");
    EXPECT(x->next == onion);
    EXPECT_STR(testing_pull(x, x->response.body), "hello\n");
    testing_exchange_free(x);
}

TEST(a_route_is_run_with_fresh_slots)
{
    struct exchange *x = testing_exchange("GET", "http://h/", NULL);
    struct route route = {.chain = onion, .chain_length = countof(onion)};

    exchange_run(x, &route);
    EXPECT(x->route == &route);
    EXPECT_EQ(x->response.status, 200);
    EXPECT(*exchange_slot(x, &onion[1]) == onion[1].config);
    exchange_drop_response(x);
    exchange_run(x, &route);
    EXPECT_EQ(x->response.status, 200);
    testing_exchange_free(x);
}

TEST(without_a_route_there_is_nothing)
{
    struct exchange *x = testing_exchange("GET", "http://h/", NULL);

    exchange_run(x, NULL);
    EXPECT_EQ(x->response.status, 404);
    EXPECT_EQ(x->fault.reason, REASON_NO_ROUTE);
    testing_exchange_free(x);
}

/* Tries again when the first answer is an error. */
static void
retry_handle(const struct middleware *self, struct exchange *x)
{
    (void) self;
    exchange_next(x);
    if (x->response.status >= 500) {
        exchange_drop_response(x);
        exchange_next(x);
    }
}

static void
second_time_lucky(const struct middleware *self, struct exchange *x)
{
    void **slot = exchange_slot(x, self);

    if (*slot == NULL) {
        *slot = x;
        exchange_refuse(x, 502, REASON_SERVER_RESET, NULL);
    } else {
        testing_answer(x, 200, "", "");
    }
}

TEST(what_lies_behind_may_be_run_again)
{
    static const struct middleware_ops retry = {.handle = retry_handle};
    static const struct middleware_ops lucky = {.handle = second_time_lucky};
    static const struct middleware chain[] = {{&retry, NULL}, {&lucky, NULL}};
    struct exchange *x = testing_exchange("GET", "http://h/", NULL);

    testing_run(x, chain, countof(chain));
    EXPECT_EQ(x->response.status, 200);
    EXPECT(x->response.body == NULL);
    testing_exchange_free(x);
}

/* ------------------------------------------------------------------ answers of our own */

TEST(a_small_answer_is_complete)
{
    struct exchange *x = testing_exchange("GET", "http://h/", NULL);

    exchange_respond(x, 200, SLICE("text/plain"), SLICE("ok"));
    EXPECT_EQ(x->response.status, 200);
    EXPECT_STR(testing_field(x, "Content-Type"), "text/plain");
    EXPECT(!slice_is_present(testing_field(x, "Content-Length")));
    EXPECT_EQ(x->response.body->length, 2);
    exchange_respond(x, 204, SLICE("text/plain"), SLICE("ignored"));
    EXPECT_EQ(x->response.status, 204);
    EXPECT(x->response.body == NULL);
    EXPECT(!slice_is_present(testing_field(x, "Content-Type")));
    testing_exchange_free(x);
}

struct counted_body {
    struct body base;
    int         closed;
};

static void
counted_close(struct body *b)
{
    container_of(b, struct counted_body, base)->closed++;
}

TEST(an_answer_that_is_there_already_is_dropped)
{
    static const struct body_ops ops = {.close = counted_close};
    struct exchange *x = testing_exchange("GET", "http://h/", NULL);
    struct counted_body body = {.base = {.ops = &ops}};

    x->response.status = 200;
    x->response.body = &body.base;
    exchange_refuse(x, 502, REASON_RESPONSE_MALFORMED, "%s", "too many fields");
    EXPECT_EQ(body.closed, 1);
    EXPECT_EQ(x->response.status, 502);
    EXPECT(x->response.body != &body.base);
    exchange_drop_response(x);
    EXPECT_EQ(x->response.status, 0);
    EXPECT(x->response.body == NULL);
    EXPECT_EQ(body.closed, 1);
    testing_exchange_free(x);
}

static const void *closed_tunnel;

static void
note_tunnel(struct sock *tunnel)
{
    closed_tunnel = tunnel;
}

TEST(a_tunnel_that_nobody_took_is_closed)
{
    struct exchange *x = testing_exchange("GET", "http://h/", NULL);

    x->response.status = 101;
    x->response.tunnel = (struct sock *) (void *) x;
    x->response.tunnel_close = note_tunnel;
    exchange_refuse(x, 502, REASON_INTERNAL, NULL);
    EXPECT(closed_tunnel == x);
    EXPECT(x->response.tunnel == NULL);
    testing_exchange_free(x);
}

TEST(a_refusal_notes_why)
{
    struct exchange *x = testing_exchange("GET", "http://h/", NULL);

    exchange_refuse(x, 504, REASON_CONNECT_TIMEOUT, "%s after %d ms", "10.0.0.1:80", 50);
    EXPECT_EQ(x->fault.reason, REASON_CONNECT_TIMEOUT);
    EXPECT_STR(x->fault.detail, "10.0.0.1:80 after 50 ms");
    EXPECT_EQ(x->fault.err, OK);
    exchange_refuse(x, 404, REASON_NO_ROUTE, NULL);
    EXPECT_EQ(x->fault.reason, REASON_NO_ROUTE);
    EXPECT_EQ(x->fault.detail.n, 0);
    testing_exchange_free(x);
}

TEST(a_fault_that_is_known_keeps_its_details)
{
    struct exchange *x = testing_exchange("GET", "http://h/", NULL);

    exchange_fault(x, REASON_SERVER_RESET, ERR_RESET, "%s", "after 3 bytes");
    EXPECT_EQ(x->response.status, 0);
    exchange_refuse(x, 502, REASON_SERVER_RESET, NULL);
    EXPECT_EQ(x->fault.err, ERR_RESET);
    EXPECT_STR(x->fault.detail, "after 3 bytes");
    testing_exchange_free(x);
}

TEST(a_limit_is_named)
{
    struct exchange *x = testing_exchange("POST", "http://h/", NULL);
    uint64_t limit = 10;

    exchange_refuse_limit(x, 413, REASON_BODY_TOO_LARGE, &limit, "max_bytes");
    EXPECT_EQ(x->response.status, 413);
    EXPECT(x->fault.limit == &limit);
    EXPECT_STR(slice_str(x->fault.limit_name), "max_bytes");
    testing_exchange_free(x);
}

TEST(once_the_head_has_left_only_the_fault_is_noted)
{
    struct exchange *x = testing_exchange("GET", "http://h/", NULL);

    testing_answer(x, 200, "text/plain", "partial");
    x->started = true;
    exchange_refuse(x, 502, REASON_RESPONSE_INCOMPLETE, NULL);
    EXPECT_EQ(x->response.status, 200);
    EXPECT(x->response.body != NULL);
    EXPECT_EQ(x->fault.reason, REASON_RESPONSE_INCOMPLETE);
    testing_exchange_free(x);
}

TEST(out_of_memory_leaves_a_bare_status)
{
    struct exchange *x = testing_exchange("GET", "http://h/", "Accept", "text/html", NULL);
    struct arena saved = x->arena;

    arena_init(&x->arena, NULL, 0, 0);
    exchange_refuse(x, 502, REASON_SERVER_RESET, "%s", "detail");
    EXPECT(x->response.status >= 500);
    EXPECT(x->response.body == NULL);
    EXPECT_EQ(exchange_request_id(x).n, 0);
    exchange_respond(x, 200, SLICE("text/plain"), SLICE("text"));
    EXPECT_EQ(x->response.status, 503);
    EXPECT_EQ(x->fault.reason, REASON_OUT_OF_MEMORY);
    EXPECT(x->close_client);
    exchange_run(x, &(struct route){.chain = onion, .chain_length = countof(onion)});
    EXPECT_EQ(x->response.status, 503);
    x->arena = saved;
    testing_exchange_free(x);
}

/* ------------------------------------------------------------------ ids */

TEST(request_ids_are_made_once_and_differ)
{
    struct exchange *x = testing_exchange("GET", "http://h/", NULL);
    struct exchange *other = testing_exchange("GET", "http://h/", NULL);
    struct slice id = exchange_request_id(x);

    EXPECT_EQ(id.n, 32);
    for (size_t i = 0; i < id.n; i++)
        EXPECT(strchr("0123456789abcdef", id.at[i]) != NULL);
    EXPECT(slice_eq(exchange_request_id(x), id));
    EXPECT(!slice_eq(exchange_request_id(other), id));
    other->request_id = SLICE("taken-over");
    EXPECT_STR(exchange_request_id(other), "taken-over");
    testing_exchange_free(x);
    testing_exchange_free(other);
}

TEST(informing_is_recorded_for_tests)
{
    struct exchange *x = testing_exchange("GET", "http://h/", NULL);
    struct fields none = {0};

    EXPECT_EQ(testing_informed(x), 0);
    EXPECT_EQ(x->ops->inform(x, 103, &none), OK);
    EXPECT_EQ(testing_informed(x), 103);
    testing_exchange_free(x);
}
