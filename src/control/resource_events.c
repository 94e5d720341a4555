/* SPDX-License-Identifier: Apache-2.0 */
/* control/resource_events.c - GET /v1/events. */
#include "control/configuration.h"
#include "control/events.h"
#include "control/operations.h"
#include "control/room.h"
#include "control/traffic.h"
#include "edge/look.h"
#include "runtime/fiber.h"
#include "runtime/quiesce.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    SECOND_US = 1000000,
    QUIET_US = 5000000,      /* between looks when nobody listens */
    KEPT = 16,               /* events that a slow reader may be behind */
    READERS_MAX = 64,
    EVENT_MAX = 8 * 1024 * 1024,
};

/* Shared by all who send it. */
struct event {
    unsigned    refs;
    struct text text;
};

static struct {
    struct event *ring[KEPT];
    uint64_t      n; /* events so far */
    unsigned      readers;
    bool          running, stopping;
    struct list   waiting; /* of struct reader */
    struct traffic_look before;
} events = {.waiting = {&events.waiting, &events.waiting}};

/* One that listens. */
struct reader {
    struct body   body;
    struct list   link; /* while it waits */
    struct fiber *fiber;
    struct event *sending;
    uint64_t      next; /* number of the event that it gets next */
};

static void
event_release(struct event *e)
{
    if (e && --e->refs == 0) {
        text_free(&e->text);
        free(e);
    }
}

static void
publish(struct event *e)
{
    struct event **place = &events.ring[events.n % KEPT];

    event_release(*place);
    *place = e;
    events.n++;
    list_each (link, &events.waiting) {
        struct reader *r = list_entry(link, struct reader, link);

        list_remove(&r->link);
        list_init(&r->link);
        fiber_resume(r->fiber);
    }
}

static struct event *
event_new(const char *name)
{
    struct event *e = calloc(1, sizeof(*e));

    if (!e)
        return NULL;
    e->refs = 1;
    text_init(&e->text, EVENT_MAX);
    text_printf(&e->text, "event: %s\ndata: ", name);
    return e;
}

static void
send_event(struct event *e)
{
    text_literal(&e->text, "\n\n");
    if (e->text.full)
        event_release(e);
    else
        publish(e);
}

void
events_changed(const char *what, struct slice who)
{
    struct event *e = events.readers ? event_new("change") : NULL;

    if (!e)
        return;
    text_printf(&e->text, "{\"what\":\"%s\",\"at\":%lld,\"who\":\"", what,
                (long long) (clock_wall_us() / 1000000));
    text_json(&e->text, who);
    text_literal(&e->text, "\"}");
    send_event(e);
}

/* ------------------------------------------------------------------ the tick */

struct counts {
    _Atomic uint64_t connections, tunnels;
};

static void
count_edge(struct edge *e, void *arg)
{
    struct counts *c = arg;
    uint64_t tunnels;

    atomic_fetch_add(&c->connections, edge_open(e, &tunnels));
    atomic_fetch_add(&c->tunnels, tunnels);
}

static double
rate(uint64_t n, uint64_t took_us)
{
    return took_us ? (double) n * SECOND_US / (double) took_us : 0;
}

static void
put_statuses(struct text *t, const struct account_sample *now, const struct account_sample *before)
{
    text_literal(t, "\"statuses\":{");
    for (unsigned i = 1; i < ACCOUNT_STATUSES; i++)
        text_printf(t, "%s\"%uxx\":%llu", i > 1 ? "," : "", i,
                    (unsigned long long) (now->statuses[i] - before->statuses[i]));
    text_literal(t, "},\"reasons\":{");
    for (unsigned i = 0, n = 0; i < REASON_COUNT; i++)
        if (now->reasons[i] != before->reasons[i])
            text_printf(t, "%s\"%s\":%llu", n++ ? "," : "", reason_code((enum reason) i),
                        (unsigned long long) (now->reasons[i] - before->reasons[i]));
    text_literal(t, "},");
}

/* Few numbers of each upstream, out of all that is known. */
static void
put_upstreams(struct text *t)
{
    struct text all;
    json_t *root, *u, *s;
    size_t i, j;

    text_init(&all, EVENT_MAX);
    text_byte(&all, '{');
    upstreams_write_status(&all);
    text_byte(&all, '}');
    root = all.full ? NULL : json_loadb(all.at, all.n, 0, NULL);
    text_free(&all);
    text_literal(t, "\"upstreams\":{");
    json_array_foreach (json_object_get(root, "upstreams"), i, u) {
        json_t *servers = json_object_get(u, "servers");
        json_int_t usable = 0, inflight = 0;

        json_array_foreach (servers, j, s) {
            usable += json_is_true(json_object_get(s, "usable"));
            inflight += json_integer_value(json_object_get(s, "inflight"));
        }
        text_printf(t, "%s\"", i ? "," : "");
        text_json(t, slice_str(json_string_value(json_object_get(u, "name"))));
        text_printf(t, "\":{\"usable\":%lld,\"of\":%zu,\"exchanges\":%lld,\"inflight\":%lld}",
                    (long long) usable, json_array_size(servers),
                    (long long) json_integer_value(json_object_get(u, "exchanges")),
                    (long long) inflight);
    }
    text_byte(t, '}');
    json_decref(root);
}

static void
put_tick(struct text *t, const struct traffic_look *now, const struct traffic_look *before)
{
    const struct account_sample *n = &now->sample, *b = &before->sample;
    uint64_t took_us = now->at_us - before->at_us, requests = n->requests - b->requests;
    struct histogram h = n->durations;
    struct counts counts = {0};

    histogram_since(&h, &b->durations);
    (void) control_host()->each_edge(count_edge, &counts);
    text_printf(t, "{\"at\":%lld,\"requests\":%llu,\"rate\":%.1f,\"errors\":%llu,",
                (long long) (clock_wall_us() / 1000000), (unsigned long long) n->requests,
                rate(requests, took_us), (unsigned long long) (n->failed - b->failed));
    text_printf(t, "\"p50_us\":%llu,\"p90_us\":%llu,\"p99_us\":%llu,",
                (unsigned long long) histogram_percentile(&h, 0.5),
                (unsigned long long) histogram_percentile(&h, 0.9),
                (unsigned long long) histogram_percentile(&h, 0.99));
    text_printf(t, "\"bytes_in\":%.0f,\"bytes_out\":%.0f,",
                rate(n->bytes_in - b->bytes_in, took_us),
                rate(n->bytes_out - b->bytes_out, took_us));
    text_printf(t, "\"connections\":%llu,\"tunnels\":%llu,",
                (unsigned long long) counts.connections, (unsigned long long) counts.tunnels);
    text_printf(t, "\"hits\":%llu,\"misses\":%llu,",
                (unsigned long long) (n->cached[CACHED_HIT] + n->cached[CACHED_STALE] -
                                      b->cached[CACHED_HIT] - b->cached[CACHED_STALE]),
                (unsigned long long) (n->cached[CACHED_MISS] - b->cached[CACHED_MISS]));
    put_statuses(t, n, b);
    put_upstreams(t);
    text_byte(t, '}');
}

static void
tick(void)
{
    const struct traffic_look *now = traffic_look();
    struct event *e = events.readers && events.before.at_us ? event_new("tick") : NULL;

    if (e) {
        put_tick(&e->text, now, &events.before);
        send_event(e);
    }
    events.before = *now;
}

static void
run(void *arg)
{
    uint64_t looked_us = 0;

    (void) arg;
    while (!events.stopping) {
        if (events.readers || loop_now_us() >= looked_us + QUIET_US) {
            looked_us = loop_now_us();
            tick();
        }
        (void) fiber_sleep_until(loop_now_us() + SECOND_US);
    }
    events.running = false;
}

void
events_start(void)
{
    if (!events.running && !events.stopping)
        events.running = fiber_start("events", run, NULL);
}

/* Readers see the end of their stream. */
void
events_stop(void)
{
    events.stopping = true;
    list_each (link, &events.waiting)
        fiber_resume(list_entry(link, struct reader, link)->fiber);
}

/* ------------------------------------------------------------------ one reader */

static enum err
reader_next(struct body *b, struct slice *chunk)
{
    struct reader *r = container_of(b, struct reader, body);

    event_release(take(&r->sending));
    while (r->next == events.n && !events.stopping && fiber_self()->cancelled == OK) {
        r->fiber = fiber_self();
        if (list_is_empty(&r->link))
            list_append(&events.waiting, &r->link);
        fiber_suspend();
    }
    list_remove(&r->link);
    list_init(&r->link);
    if (fiber_self()->cancelled != OK)
        return ERR_CANCELLED;
    if (r->next == events.n)
        return ERR_END;
    if (events.n - r->next > KEPT) /* it is too slow: it misses some */
        r->next = events.n - KEPT;
    r->sending = events.ring[r->next++ % KEPT];
    r->sending->refs++;
    *chunk = text_slice(&r->sending->text);
    return OK;
}

static void
reader_close(struct body *b)
{
    struct reader *r = container_of(b, struct reader, body);

    list_remove(&r->link);
    event_release(take(&r->sending));
    events.readers--;
}

static const struct body_ops reader_ops = {.next = reader_next, .close = reader_close};

static void
events_get(struct api_call *c)
{
    struct reader *r = arena_new(&c->x->arena, struct reader);

    if (!r || events.readers == READERS_MAX) {
        api_problem(c, 503, "busy", "%d dashboards are listening already", READERS_MAX);
        return;
    }
    *r = (struct reader){.body = {.ops = &reader_ops, .length = BODY_LENGTH_UNKNOWN},
                         .next = events.n};
    list_init(&r->link);
    if (!events.readers++)
        events.before = *traffic_look();
    exchange_respond(c->x, 200, SLICE(""), SLICE(""));
    exchange_fault(c->x, REASON_RESPOND, OK, NULL);
    c->x->response.body = &r->body;
    fields_add(&c->x->response.fields, FIELD_CONTENT_TYPE, SLICE("text/event-stream"));
    fields_add(&c->x->response.fields, FIELD_CACHE_CONTROL, SLICE("no-store"));
}

const struct api_operation operations_event[] = {
    {METHOD_GET, "/v1/events", API_READ, events_get,
     .summary = "What happens, as server-sent events: `tick` each second, `change`.",
     .type = "text/event-stream"},
    {0},
};

const struct api_schema schemas_event[] = {{0}};
