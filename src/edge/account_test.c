/* SPDX-License-Identifier: Apache-2.0 */
/* edge/account_test.c - what is counted of an exchange, by a worker that is none. */
#include "edge/account.h"

#include "base/check.h"
#include "base/test.h"
#include "edge/client.h"
#include "exchange/testing.h"

enum { START_US = 1000000, TOOK_US = 1260 };

static const struct option_object bouncer_object = {.name = "bouncer"};
static const struct middleware_ops shoes_ops = {.options = {.name = "shoes"}};
const struct option_object *const middleware_objects[] = {&bouncer_object, &shoes_ops.options,
                                                          NULL};

static struct loop loop;
static struct snapshot snapshot;
static struct listener_config listener_config;
static struct snapshot_use use = {&snapshot, 1};
static struct edge edge = {.worker = 1, .use = &use};
static struct listener listener = {.edge = &edge};
static struct route route;

/* A snapshot with a listener, and with routes that a test counts for itself. */
static void
begin(const char *name)
{
    const struct slice labels = slice_str(name);

    loop.now_us = START_US + TOOK_US;
    loop_current = &loop;
    listener_config.name = SLICE("front");
    snapshot.listeners = (struct option_list){&listener_config, 1};
    account_serve(&snapshot, true);
    edge.counters = account_begin(edge.worker);
    listener.metrics = listener_config.metrics;
    route = (struct route){.name = labels, .metrics = metrics_get(&account_routes, &labels)};
}

static void
end(void)
{
    metrics_release(take(&route.metrics));
    account_forget(&snapshot);
    loop_current = NULL;
}

/* Answered by a server; the caller changes what is to be different. */
static struct exchange *
served(unsigned status)
{
    struct exchange *x = testing_exchange("GET", "https://example.com/items", NULL);

    x->route = &route;
    x->response.status = status;
    x->request_bytes = 10;
    x->response_bytes = 1024;
    x->times.received_us = START_US;
    x->times.first_byte_us = START_US + 99;
    return x;
}

static void
finish(struct exchange *x)
{
    account_exchange(&edge, &snapshot, &listener, x);
    testing_exchange_free(x);
}

TEST(an_answer_is_counted_in_its_class)
{
    struct account_sample s;

    begin("class");
    finish(served(200));
    finish(served(204));
    finish(served(404));
    finish(served(0));
    EXPECT(account_look(SLICE("class"), &s));
    EXPECT_EQ(s.requests, 4);
    EXPECT_EQ(s.statuses[0], 1);
    EXPECT_EQ(s.statuses[2], 2);
    EXPECT_EQ(s.statuses[4], 1);
    EXPECT_EQ(s.failed, 0);
    EXPECT_EQ(s.bytes_in, 40);
    EXPECT_EQ(s.bytes_out, 4096);
    EXPECT_EQ(s.durations.count, 4);
    EXPECT_EQ(s.durations.sum, 4 * TOOK_US);
    end();
}

TEST(failed_is_what_the_client_did_not_cause)
{
    struct account_sample s;
    struct exchange *x;

    begin("failed");
    finish(served(503));
    x = served(200);
    x->fault.reason = REASON_RESPONSE_INCOMPLETE;
    finish(x);
    x = served(200);
    x->fault.reason = REASON_CLIENT_GONE;
    finish(x);
    x = served(403);
    x->fault.reason = REASON_NOT_ALLOWED;
    finish(x);
    EXPECT(account_look(SLICE("failed"), &s));
    EXPECT_EQ(s.failed, 2);
    EXPECT_EQ(s.reasons[REASON_RESPONSE_INCOMPLETE], 1);
    EXPECT_EQ(s.reasons[REASON_CLIENT_GONE], 1);
    EXPECT_EQ(s.reasons[REASON_NOT_ALLOWED], 1);
    end();
}

/* A redirect is what the route is for. */
TEST(answers_as_configured_are_no_errors)
{
    struct account_sample s;
    struct exchange *x;

    begin("wanted");
    x = served(308);
    x->fault.reason = REASON_REDIRECT;
    finish(x);
    EXPECT(account_look(SLICE("wanted"), &s));
    EXPECT_EQ(s.requests, 1);
    EXPECT_EQ(s.reasons[REASON_REDIRECT], 0);
    end();
}

TEST(refusals_name_the_middleware)
{
    struct exchange *x;

    begin("refusals");
    x = served(403);
    x->fault = (struct exchange_fault){.reason = REASON_NOT_ALLOWED, .by = &shoes_ops};
    finish(x);
    x = served(502);
    x->fault = (struct exchange_fault){.reason = REASON_NO_SERVER, .by = &testing_terminal};
    finish(x);
    EXPECT_EQ(metrics_read(route.metrics, ACCOUNT_ROUTE_REFUSALS, 0), 0);
    EXPECT_EQ(metrics_read(route.metrics, ACCOUNT_ROUTE_REFUSALS, 1), 1);
    end();
}

/* A WebSocket of a week would spoil every percentile. */
TEST(tunnels_have_no_duration)
{
    struct account_sample s;
    struct exchange *x;

    begin("tunnels");
    finish(served(101));
    x = served(200);
    x->request.version = 20;
    x->request.upgrade = SLICE("websocket");
    finish(x);
    EXPECT(account_look(SLICE("tunnels"), &s));
    EXPECT_EQ(s.requests, 2);
    EXPECT_EQ(s.durations.count, 0);
    end();
}

TEST(what_no_route_took_is_counted_too)
{
    struct account_sample before, after, all, first;
    struct exchange *x;

    begin("routed");
    EXPECT(account_look(SLICE(""), &before));
    EXPECT(account_look((struct slice){NULL, 0}, &first));
    x = served(404);
    x->route = NULL;
    finish(x);
    finish(served(200));
    EXPECT(account_look(SLICE(""), &after));
    EXPECT_EQ(after.requests - before.requests, 1);
    EXPECT(account_look((struct slice){NULL, 0}, &all));
    EXPECT_EQ(all.requests - first.requests, 2);
    EXPECT(!account_look(SLICE("nobody"), &all));
    end();
}

TEST(caches_say_what_they_did)
{
    struct account_sample s;
    struct exchange *x;

    begin("cache");
    x = served(200);
    x->cached = CACHED_HIT;
    finish(x);
    finish(served(200));
    EXPECT(account_look(SLICE("cache"), &s));
    EXPECT_EQ(s.cached[CACHED_HIT], 1);
    EXPECT_EQ(s.cached[CACHED_NOT], 0);
    end();
}

TEST(listeners_count_versions_and_workers_exchanges)
{
    struct metrics *m;
    uint64_t exchanges;
    int64_t second, none;
    struct exchange *x;

    begin("versions");
    m = listener.metrics;
    second = metrics_read(m, ACCOUNT_LISTENER_REQUESTS, 2);
    none = metrics_read(m, ACCOUNT_LISTENER_REQUESTS, 3);
    exchanges = account_of(edge.worker)->exchanges;
    finish(served(200));
    x = served(200);
    x->request.version = 20;
    finish(x);
    x = served(400);
    x->request.method_token = SLICE("");
    finish(x);
    EXPECT_EQ(metrics_read(m, ACCOUNT_LISTENER_REQUESTS, 2) - second, 1);
    EXPECT_EQ(metrics_read(m, ACCOUNT_LISTENER_REQUESTS, 3) - none, 1);
    EXPECT_EQ(account_of(edge.worker)->exchanges - exchanges, 3);
    EXPECT(account_of(edge.worker + 1) == NULL);
    end();
}

TEST(off_means_that_nothing_is_counted)
{
    struct account_sample s;

    begin("off");
    end();
    account_serve(&snapshot, false);
    loop_current = &loop;
    listener.metrics = listener_config.metrics;
    EXPECT(listener.metrics == NULL && snapshot.unrouted == NULL);
    finish(served(200));
    EXPECT(account_look(SLICE("off"), &s));
    EXPECT_EQ(s.requests, 0);
    account_forget(&snapshot);
}
