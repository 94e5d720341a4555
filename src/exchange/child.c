/* SPDX-License-Identifier: Apache-2.0 */
/* exchange/child.c - exchanges of our own: copied, aimed at something else, run, ended. */
#include "exchange/child.h"

#include "base/check.h"
#include "exchange/route.h"
#include "exchange/trace.h"
#include "runtime/loop.h"

#include <stdlib.h>

enum {
    ARENA_MAX = 1024 * 1024,
    FIELDS_MAX = 512,
    OUR_FIELDS = 8, /* that middleware and the relay add */
};

struct child {
    struct exchange          x;
    struct client            client;
    struct exchange_timeouts timeouts;
    struct middleware_keeper keeper;
};

/* ------------------------------------------------------------------ copying */

/* What was absent stays so; false when out of memory. */
static bool
own(struct arena *arena, struct slice *s)
{
    if (slice_is_present(*s))
        *s = arena_copy(arena, *s);
    else
        return true;
    return slice_is_present(*s);
}

static bool
copy_fields(struct exchange *x, const struct fields *from)
{
    struct fields *f = &x->request.fields;
    bool good = true;

    fields_init(f, &x->arena, from->n + OUR_FIELDS, FIELDS_MAX);
    for (uint32_t i = 0; i < from->n && good; i++) {
        struct field field = from->at[i];

        good = own(&x->arena, &field.name) && own(&x->arena, &field.value) &&
               fields_append(f, field.name, field.value, field.id);
    }
    return good;
}

static bool
copy_request(struct exchange *x, const struct exchange *from)
{
    struct arena *arena = &x->arena;
    struct request *q = &x->request;
    struct target *t = &q->target;

    *q = from->request;
    q->body = NULL;
    q->upgrade = (struct slice){NULL, 0};
    q->expect_continue = q->te_trailers = false;
    if (!copy_fields(x, &from->request.fields))
        return false;
    fields_remove(&q->fields, FIELD_EXPECT);
    return own(arena, &q->method_token) && own(arena, &q->host) && own(arena, &q->authority) &&
           own(arena, &t->raw) && own(arena, &t->scheme) && own(arena, &t->authority) &&
           own(arena, &t->raw_path) && own(arena, &t->path) && own(arena, &t->query);
}

static enum err
inform_nobody(struct exchange *x, unsigned status, const struct fields *fields)
{
    (void) x;
    (void) status;
    (void) fields;
    return OK;
}

static bool
copy_exchange(struct child *c, const struct exchange *from)
{
    static const struct exchange_ops ops = {.inform = inform_nobody};
    struct exchange *x = &c->x;

    c->client = *from->client;
    c->client.tls = NULL; /* it goes with the client's connection */
    x->ops = &ops;
    x->client = &c->client;
    x->client_address = from->client_address;
    x->client_ip = from->client_ip;
    x->scheme = from->scheme;
    x->request_id = from->request_id;
    x->serial = from->serial;
    x->depth = from->depth + 1;
    x->config = from->config;
    x->routes = from->routes;
    x->route = from->route;
    c->timeouts = *from->timeouts;
    x->timeouts = &c->timeouts;
    x->chain = from->chain;
    fields_init(&x->response.fields, &x->arena, 0, FIELDS_MAX);
    return copy_request(x, from) && own(&x->arena, &x->client_ip) && own(&x->arena, &x->scheme) &&
           own(&x->arena, &x->request_id) && own(&x->arena, &c->client.peer_text) &&
           own(&x->arena, &c->client.listener);
}

struct exchange *
exchange_child(const struct exchange *x, const struct middleware_keeper *keeper)
{
    struct child *c = x->depth < EXCHANGE_DEPTH_MAX ? calloc(1, sizeof(*c)) : NULL;

    if (!c)
        return NULL;
    c->keeper = *keeper;
    keeper->hold(keeper->snapshot);
    arena_init(&c->x.arena, NULL, 0, ARENA_MAX);
    if (copy_exchange(c, x)) {
        exchange_trace_child(&c->x, x);
        return &c->x;
    }
    exchange_child_end(&c->x);
    return NULL;
}

/* ------------------------------------------------------------------ asking for something else */

/* Up to and with the last '/' (RFC 3986 5.2.3). */
static struct slice
folder_of(struct slice path)
{
    while (path.n && path.at[path.n - 1] != '/')
        path.n--;
    return path;
}

/* Another scheme than ours, or nonsense behind it: a colon in the first segment (RFC 3986 4.2). */
static bool
has_scheme(struct slice ref)
{
    size_t colon = slice_find(ref, ':');

    return colon < slice_find(ref, '/') && colon < slice_find(ref, '?');
}

/* RFC 3986 5.2; a fragment is left out.  Absent: it cannot be. */
static struct slice
resolve(struct exchange *c, struct slice ref)
{
    const struct target *t = &c->request.target;
    struct slice scheme, authority, rest;
    size_t at = slice_find(ref, '#');

    if (at != SLICE_NOT_FOUND)
        ref.n = at;
    if (target_split_absolute(ref, &scheme, &authority, &rest) || slice_starts(ref, SLICE("/")))
        return slice_starts(ref, SLICE("//"))
                   ? arena_printf(&c->arena, "%.*s:%.*s", SLICE_ARG(c->scheme), SLICE_ARG(ref))
                   : arena_copy(&c->arena, ref);
    if (has_scheme(ref))
        return (struct slice){NULL, 0};
    if (ref.n == 0 && slice_is_present(t->query))
        return arena_printf(&c->arena, "%.*s?%.*s", SLICE_ARG(t->raw_path), SLICE_ARG(t->query));
    if (ref.n == 0 || ref.at[0] == '?')
        return arena_printf(&c->arena, "%.*s%.*s", SLICE_ARG(t->raw_path), SLICE_ARG(ref));
    return arena_printf(&c->arena, "%.*s%.*s", SLICE_ARG(folder_of(t->raw_path)), SLICE_ARG(ref));
}

static bool
take_authority(struct exchange *c, struct slice text)
{
    struct request *q = &c->request;
    struct authority a;

    if (authority_parse(text, &c->arena, &a) != OK)
        return false;
    q->authority = text;
    q->host = a.host;
    q->port = a.port;
    return fields_set(&q->fields, FIELD_HOST, text);
}

/* They concern the representation, or the body, of what was asked for first. */
static void
drop_fields_of_target(struct fields *f)
{
    static const enum field_id gone[] = {
        FIELD_IF_MATCH,          FIELD_IF_NONE_MATCH,
        FIELD_IF_MODIFIED_SINCE, FIELD_IF_UNMODIFIED_SINCE,
        FIELD_IF_RANGE,     FIELD_RANGE,          FIELD_CONTENT_LENGTH,    FIELD_CONTENT_TYPE,
        FIELD_CONTENT_ENCODING, FIELD_CONTENT_RANGE, FIELD_TRANSFER_ENCODING, FIELD_TRAILER,
    };

    for (size_t i = 0; i < countof(gone); i++)
        fields_remove(f, gone[i]);
}

bool
exchange_child_target(struct exchange *c, struct slice reference)
{
    struct request *q = &c->request;
    struct slice raw = resolve(c, reference);

    if (!slice_is_present(raw) || target_parse(raw, false, false, &c->arena, &q->target) != OK)
        return false;
    q->method = METHOD_GET;
    q->method_token = SLICE("GET");
    q->forward_path = false;
    drop_fields_of_target(&q->fields);
    return !slice_is_present(q->target.authority) || take_authority(c, q->target.authority);
}

bool
exchange_child_body(struct exchange *c, struct slice bytes)
{
    c->request.body = body_from_slice(&c->arena, bytes);
    return c->request.body != NULL;
}

/* ------------------------------------------------------------------ running */

static void
note_start(struct exchange *c)
{
    c->times.received_us = c->times.started_us = loop_now_us();
}

static void
make_sure_of_an_answer(struct exchange *c)
{
    if (c->response.status == 0)
        exchange_refuse(c, 500, REASON_MISCONFIGURED, "nobody answered");
}

void
exchange_child_run(struct exchange *c)
{
    note_start(c);
    c->timeouts = &exchange_default_timeouts;
    exchange_run(c, route_find(c->routes, c));
    make_sure_of_an_answer(c);
}

static void
run_from(struct exchange *c, const struct middleware *first, size_t slots)
{
    c->slots = arena_calloc(&c->arena, slots, sizeof(*c->slots));
    if (!c->slots) {
        exchange_refuse(c, 503, REASON_OUT_OF_MEMORY, NULL);
        return;
    }
    note_start(c);
    c->next = first;
    exchange_next(c);
    make_sure_of_an_answer(c);
}

void
exchange_child_run_behind(struct exchange *c, const struct middleware *after)
{
    CHECK(after >= c->chain && after < c->chain + c->route->chain_length);
    run_from(c, after + 1, c->route->chain_length);
}

void
exchange_child_run_terminal(struct exchange *c, const struct middleware *terminal)
{
    c->chain = terminal;
    run_from(c, terminal, 1);
}

void
exchange_child_end(struct exchange *x)
{
    struct child *c = container_of(x, struct child, x);
    struct middleware_keeper keeper = c->keeper;

    exchange_trace_end(x);
    exchange_drop_response(x);
    body_close(take(&x->request.body));
    arena_free(&x->arena);
    free(c);
    keeper.release(keeper.snapshot);
}
