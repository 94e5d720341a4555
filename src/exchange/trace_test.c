/* SPDX-License-Identifier: Apache-2.0 */
/* Traces: who is traced, what a chain of middleware leaves in one, how they are kept and found. */
#include "base/check.h"
#include "base/test.h"
#include "exchange/child.h"
#include "exchange/flight.h"
#include "exchange/route.h"
#include "exchange/testing.h"
#include "exchange/trace.h"
#include "runtime/fiber.h"
#include "runtime/quiesce.h"

#include <stdlib.h>

#define ID "0af7651916cd43dd8448eb211c80319c"
#define PARENT(flag) "00-" ID "-b7ad6b7169203331-" flag

static struct loop loop;

static void
begin(void)
{
    CHECK(loop_init(&loop, NULL, 3) == OK);
    workers_join(&loop);
}

static void (*inside)(void);

static void
run_inside(void *arg)
{
    (void) arg;
    inside();
    workers_leave(&loop);
    loop_stop(&loop);
}

/* The body of a test that reads: on a fiber of the one worker. */
static void
end_with(void (*body)(void))
{
    inside = body;
    CHECK(fiber_start("test", run_inside, NULL) != NULL);
    loop_run(&loop);
    trace_exit();
    loop_exit(&loop);
}

static void
nothing(void)
{
}

static struct exchange *
request(const char *parent)
{
    return parent ? testing_exchange("GET", "http://example.com/a", "Traceparent", parent, NULL)
                  : testing_exchange("GET", "http://example.com/a", NULL);
}

static void
finish(struct exchange *x)
{
    exchange_trace_end(x);
    testing_exchange_free(x);
}

/* ------------------------------------------------------------------ who */

static bool
is_traced(const struct tracing_config *tracing, const char *parent, bool trusted)
{
    struct exchange *x = request(parent);
    bool traced;

    ((struct client *) x->client)->trusted = trusted;
    exchange_trace_begin(x, tracing);
    traced = x->trace != NULL;
    finish(x);
    return traced;
}

TEST(the_flag_of_those_who_may_decides)
{
    struct tracing_config c = {.follow = TRACE_FOLLOW_TRUSTED};

    begin();
    EXPECT(!is_traced(NULL, PARENT("01"), true));
    EXPECT(!is_traced(&c, NULL, true));
    EXPECT(is_traced(&c, PARENT("01"), true));
    EXPECT(!is_traced(&c, PARENT("01"), false));
    c.follow = TRACE_FOLLOW_EVERYBODY;
    EXPECT(is_traced(&c, PARENT("01"), false));
    c.sample = 1000000;
    EXPECT(!is_traced(&c, PARENT("00"), false));
    EXPECT(is_traced(&c, NULL, false));
    c.follow = TRACE_FOLLOW_NOBODY;
    EXPECT(is_traced(&c, PARENT("00"), true));
    end_with(nothing);
}

TEST(chance_is_as_frequent_as_it_should_be)
{
    struct tracing_config c = {.sample = 100000};
    unsigned n = 0;

    begin();
    for (int i = 0; i < 5000; i++)
        n += is_traced(&c, NULL, false);
    EXPECT(n > 350 && n < 650); /* 500, seven standard deviations */
    end_with(nothing);
}

TEST(the_id_goes_on_with_a_span_of_ours)
{
    struct tracing_config c = {.sample = 1000000, .propagate = true};
    struct exchange *x;
    struct trace_context told;

    begin();
    x = testing_exchange("GET", "/", "Traceparent", PARENT("00"), "Tracestate", "a=1", NULL);
    exchange_trace_begin(x, &c);
    CHECK(x->trace != NULL);
    EXPECT_STR(x->trace_id, ID);
    EXPECT(trace_context_read(&x->request.fields, &told));
    EXPECT_STR(told.id_text, ID);
    EXPECT(told.sampled);
    EXPECT(memcmp(told.span, x->trace->span, sizeof(told.span)) == 0);
    EXPECT(fields_find(&x->request.fields, SLICE("tracestate")) != NULL);
    (void) exchange_trace_attempt(x);
    EXPECT(trace_context_read(&x->request.fields, &told));
    EXPECT(memcmp(told.span, x->trace->events[x->trace->n - 1].span, sizeof(told.span)) == 0);
    finish(x);
    end_with(nothing);
}

TEST(a_state_without_a_good_parent_does_not_go_on)
{
    struct tracing_config c = {.sample = 1000000, .propagate = true};
    struct exchange *x;

    begin();
    x = testing_exchange("GET", "/", "Traceparent", "00-nonsense", "Tracestate", "a=1", NULL);
    exchange_trace_begin(x, &c);
    EXPECT(fields_find(&x->request.fields, SLICE("tracestate")) == NULL);
    finish(x);
    x = testing_exchange("GET", "/", "Traceparent", PARENT("01"), "Tracestate", "A=1", NULL);
    exchange_trace_begin(x, &c);
    EXPECT(fields_find(&x->request.fields, SLICE("tracestate")) == NULL);
    finish(x);
    end_with(nothing);
}

TEST(who_is_not_traced_still_has_the_id_of_its_client)
{
    struct tracing_config c = {.sample = 0, .propagate = true};
    struct exchange *x;

    begin();
    x = request(PARENT("01"));
    exchange_trace_begin(x, &c);
    EXPECT(x->trace == NULL);
    EXPECT_STR(x->trace_id, ID);
    EXPECT_STR(fields_find(&x->request.fields, SLICE("traceparent"))->value, PARENT("01"));
    finish(x);
    end_with(nothing);
}

/* ------------------------------------------------------------------ what */

static void
pass(const struct middleware *self, struct exchange *x)
{
    (void) self;
    *exchange_slot(x, self) = x; /* slots are those of the chain, not of the wrappers */
    EXPECT(exchange_at_work(x) == self);
    exchange_next(x);
}

static void
change(const struct middleware *self, struct exchange *x)
{
    EXPECT(*exchange_slot(x, self) == NULL);
    exchange_note(x, NULL, "thought", "about %d things", 3);
    exchange_next(x);
    x->response.status = 204;
}

static void
refuse(const struct middleware *self, struct exchange *x)
{
    (void) self;
    exchange_refuse(x, 403, REASON_NOT_ALLOWED, "not %s", "you");
}

static const struct middleware_ops passing = {.options = {.name = "passing"}, .handle = pass};
static const struct middleware_ops changing = {.options = {.name = "changing"}, .handle = change};
static const struct middleware_ops refusing = {.options = {.name = "refusing"}, .handle = refuse};

static void
run(struct exchange *x, const struct middleware *chain, size_t n)
{
    struct route *route = arena_new(&x->arena, struct route);

    CHECK(route != NULL);
    route->name = SLICE("shop");
    route->chain = chain;
    route->chain_length = n;
    exchange_run(x, route);
}

/* Detail of the i-th event of that kind; absent when there is none. */
static struct slice
event(const struct trace *t, const char *what, size_t i)
{
    for (size_t n = 0; n < t->n; n++)
        if (strcmp(t->events[n].what, what) == 0 && i-- == 0)
            return t->events[n].detail;
    return (struct slice){NULL, 0};
}

static const struct tracing_config all = {.sample = 1000000, .keep = 10};

static void
read_chains(void)
{
    struct trace *t = trace_find(SLICE(ID));

    CHECK(t != NULL);
    EXPECT_EQ(t->status, 204);
    EXPECT_STR(t->route, "shop");
    EXPECT_STR(t->state, "done");
    EXPECT_STR(t->method, "GET");
    EXPECT_STR(t->target, "/a");
    EXPECT_STR(event(t, "middleware", 0), "passing passed it on");
    EXPECT_STR(event(t, "middleware", 1), "changing passed it on, and made 204 of the answer 200");
    EXPECT_STR(event(t, "middleware", 2), "testing_terminal answered 200");
    EXPECT_STR(event(t, "thought", 0), "about 3 things");
    EXPECT(slice_starts(event(t, "end", 0), SLICE("status 204")));
    for (size_t i = 1; i < t->n; i++)
        EXPECT(t->events[i].at_us >= t->events[i - 1].at_us);
    trace_release(t);
}

TEST(a_chain_tells_what_it_did)
{
    static const struct middleware chain[] = {
        {&passing, NULL}, {&changing, NULL}, {&testing_terminal, NULL}};
    struct exchange *x;

    begin();
    x = request(PARENT("01"));
    exchange_trace_begin(x, &all);
    run(x, chain, countof(chain));
    finish(x);
    end_with(read_chains);
}

static void
read_refusal(void)
{
    struct trace *t = trace_find(SLICE(ID));

    CHECK(t != NULL);
    EXPECT_EQ(t->status, 403);
    EXPECT_STR(t->reason, "not_allowed");
    EXPECT(slice_starts(event(t, "refused", 0), SLICE("403 not_allowed")));
    EXPECT(slice_ends(event(t, "refused", 0), SLICE("; not you")));
    EXPECT_STR(event(t, "middleware", 0), "passing passed it on");
    EXPECT_STR(event(t, "middleware", 1), "refusing answered 403 itself: not_allowed");
    trace_release(t);
}

TEST(a_refusal_says_who_and_why)
{
    static const struct middleware chain[] = {
        {&passing, NULL}, {&refusing, NULL}, {&testing_terminal, NULL}};
    struct exchange *x;

    begin();
    x = request(PARENT("01"));
    exchange_trace_begin(x, &all);
    run(x, chain, countof(chain));
    finish(x);
    end_with(read_refusal);
}

static void
read_large(void)
{
    struct trace *t = trace_find(SLICE(ID));

    CHECK(t != NULL);
    EXPECT_EQ(t->n, TRACE_EVENTS_MAX);
    EXPECT(t->lost >= 1000 - TRACE_EVENTS_MAX);
    EXPECT(t->arena.used < 2 * (size_t) TRACE_BYTES_MAX);
    EXPECT_STR(t->host, "example.com"); /* however much was noted */
    trace_release(t);
}

TEST(what_does_not_fit_is_counted)
{
    static char long_text[1000];
    struct exchange *x;

    memset(long_text, 'x', sizeof(long_text) - 1);
    begin();
    x = request(PARENT("01"));
    exchange_trace_begin(x, &all);
    for (int i = 0; i < 1000; i++)
        exchange_note(x, NULL, "much", "%s", long_text);
    finish(x);
    end_with(read_large);
}

static unsigned visited;
static uint64_t last_us;

static void
count(void *arg, struct trace *t)
{
    (void) arg;
    EXPECT(!last_us || t->began_us <= last_us);
    last_us = t->began_us;
    visited++;
}

static unsigned
how_many(const struct trace_query *q)
{
    visited = 0;
    last_us = 0;
    trace_each(q, count, NULL);
    return visited;
}

/* ------------------------------------------------------------------ children */

static void
hold(void *snapshot)
{
    (void) snapshot;
}

static void
read_family(void)
{
    static const struct middleware_keeper keeper = {hold, hold, NULL};
    static const struct middleware chain[] = {{&testing_terminal, NULL}};
    struct exchange *x = request(PARENT("01")), *child;
    struct trace *t;

    exchange_trace_begin(x, &all);
    CHECK(x->trace != NULL);
    child = exchange_child(x, &keeper);
    CHECK(child && child->trace && child->trace != x->trace);
    EXPECT(memcmp(child->trace->id, x->trace->id, sizeof(x->trace->id)) == 0);
    EXPECT(memcmp(child->trace->parent, x->trace->span, sizeof(x->trace->span)) == 0);
    EXPECT(memcmp(child->trace->span, x->trace->span, sizeof(x->trace->span)) != 0);
    x->response.status = 200;
    finish(x); /* the child lives longer */
    run(child, chain, countof(chain));
    exchange_child_end(child);
    EXPECT_EQ(how_many(&(struct trace_query){0}), 2);
    t = trace_find(SLICE(ID));
    CHECK(t != NULL);
    EXPECT(!t->is_child);
    trace_release(t);
}

TEST(exchanges_of_our_own_are_in_the_same_trace)
{
    begin();
    end_with(read_family);
}

/* ------------------------------------------------------------------ kept and found */

static void
leave_some(unsigned n, const struct tracing_config *tracing)
{
    for (unsigned i = 0; i < n; i++) {
        struct exchange *x = request(NULL);

        exchange_trace_begin(x, tracing);
        x->response.status = i % 2 ? 200 : 503;
        finish(x);
    }
}

static void
read_rings(void)
{
    static const struct tracing_config fewer = {.sample = 1000000, .keep = 3};
    static const struct tracing_config none = {.sample = 1000000};

    EXPECT_EQ(how_many(&(struct trace_query){0}), 10);
    EXPECT_EQ(how_many(&(struct trace_query){.most = 4}), 4);
    EXPECT_EQ(how_many(&(struct trace_query){.status = 5}), 5);
    EXPECT_EQ(how_many(&(struct trace_query){.status = 200}), 5);
    EXPECT_EQ(how_many(&(struct trace_query){.route = SLICE("shop")}), 0);
    leave_some(1, &fewer);
    EXPECT_EQ(how_many(&(struct trace_query){0}), 3);
    leave_some(2, &all);
    EXPECT_EQ(how_many(&(struct trace_query){0}), 5);
    leave_some(1, &none);
    EXPECT_EQ(how_many(&(struct trace_query){0}), 0);
    EXPECT(trace_find(SLICE("nothing")) == NULL);
    EXPECT(trace_find(SLICE("")) == NULL);
}

TEST(the_newest_are_kept)
{
    begin();
    leave_some(25, &all);
    end_with(read_rings);
}

static void
read_queue(void)
{
    uint64_t dropped;
    size_t n;
    struct trace **taken = trace_take(&n, &dropped);

    EXPECT_EQ(n, 4);
    EXPECT_EQ(dropped, 3);
    for (size_t i = 0; i < n; i++)
        trace_release(taken[i]);
    free(taken);
    taken = trace_take(&n, &dropped);
    EXPECT(taken == NULL && n == 0 && dropped == 0);
    EXPECT_EQ(how_many(&(struct trace_query){0}), 7); /* readers have them all the same */
}

TEST(the_queue_for_the_exporter_is_bounded)
{
    struct otlp_config otlp = {.queue = 4};
    struct tracing_config c = all;

    c.otlp = &otlp;
    begin();
    leave_some(7, &c);
    end_with(read_queue);
}

/* ------------------------------------------------------------------ in flight */

static struct exchange *flyer;

static void
read_odd_texts(void)
{
    static char long_text[400];
    struct flight f;

    for (size_t i = 0; i + 2 < sizeof(long_text); i += 2)
        memcpy(long_text + i, "\xc3\xa9", 2);
    flight_enter(flyer);
    flyer->request_id = SLICE("odd");
    flyer->request.target.raw = slice_of(long_text, sizeof(long_text) - 2);
    flyer->request.host = SLICE("a\xff" "b");
    EXPECT(flight_find(0, SLICE("odd"), &f));
    EXPECT_EQ(strlen(f.target), 198); /* of 199 bytes, but no half characters */
    EXPECT(strcmp(f.host, "a?b") == 0);
    flight_leave(flyer);
}

TEST(what_is_told_of_a_flight_is_text)
{
    begin();
    flyer = request(NULL);
    end_with(read_odd_texts);
    testing_exchange_free(flyer);
}

static void
read_flights(void)
{
    struct exchange *x = flyer;
    struct trace *t;
    struct flight f, *all_of_them;
    size_t n;

    flight_enter(x);
    x->request_id = SLICE("abc");
    x->times.received_us = loop_now_us();
    all_of_them = flights(100, &n);
    EXPECT_EQ(n, 1);
    EXPECT(all_of_them && strcmp(all_of_them[0].target, "/a") == 0);
    EXPECT(all_of_them && strcmp(all_of_them[0].state, "reading") == 0);
    free(all_of_them);
    EXPECT(flight_find(0, SLICE("abc"), &f));
    EXPECT_EQ(f.id & 127, 3); /* the worker's number */
    EXPECT(flight_find(f.id, (struct slice){NULL, 0}, &f));
    EXPECT(!flight_find(f.id + 128, (struct slice){NULL, 0}, &f));
    t = trace_find(SLICE("abc"));
    CHECK(t != NULL);
    EXPECT_STR(t->state, "reading");
    EXPECT_EQ(t->ended_us, 0);
    trace_release(t);
    EXPECT_EQ(how_many(&(struct trace_query){.in_flight = true}), 1);
    EXPECT_EQ(how_many(&(struct trace_query){0}), 0);
    EXPECT(flight_cancel(f.id, (struct slice){NULL, 0}));
    EXPECT_EQ(fiber_self()->cancelled, ERR_CANCELLED);
    EXPECT_EQ(x->fault.reason, REASON_CANCELLED);
    fiber_uncancel(fiber_self());
    flight_leave(x);
    flight_leave(x);
    EXPECT(!flight_cancel(f.id, (struct slice){NULL, 0}));
    EXPECT(flights(100, &n) == NULL && n == 0);
}

TEST(those_in_flight_are_seen_and_ended)
{
    begin();
    flyer = request(NULL);
    exchange_trace_begin(flyer, &all);
    end_with(read_flights);
    /* The ring is gone with the worker: this one finds no reader. */
    loop_current = &loop;
    finish(flyer);
    trace_exit();
    loop_current = NULL;
}
