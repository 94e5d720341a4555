/* SPDX-License-Identifier: Apache-2.0 */
/* exchange/testing.c - exchanges for unit tests: exchange, client and connection in one piece of
 * memory. */
#include "exchange/testing.h"

#include "base/check.h"
#include "base/text.h"

#include <stdlib.h>

enum { ARENA_MAX = 4 * 1024 * 1024, FIELDS_MAX = 256, BODY_MAX = 1024 * 1024 };

struct testing {
    struct exchange x;
    struct client   client;
    unsigned        informed;
    char            ip[ADDRESS_TEXT_MAX];
};

static const struct exchange_timeouts timeouts = {
    .connect_us = 1000000,
    .response_us = 1000000,
    .send_us = 1000000,
    .body_us = 1000000,
    .tunnel_us = 1000000,
};

static struct slice
kept(struct exchange *x, const char *text)
{
    struct slice copy = arena_copy(&x->arena, slice_str(text));

    CHECK(copy.at != NULL);
    return copy;
}

static struct testing *
testing_of(struct exchange *x)
{
    return container_of(x, struct testing, x);
}

static enum err
note_inform(struct exchange *x, unsigned status, const struct fields *fields)
{
    (void) fields;
    testing_of(x)->informed = status;
    return OK;
}

static const struct exchange_ops ops = {.inform = note_inform};

void
testing_set_client(struct exchange *x, const char *ip)
{
    struct testing *t = testing_of(x);

    CHECK(address_parse_ip(slice_str(ip), 40000, &t->client.peer));
    t->client.peer_text = slice_of(t->ip, address_write_ip(&t->client.peer, t->ip));
    x->client_address = t->client.peer;
    x->client_ip = t->client.peer_text;
}

/* Splits "scheme://authority/path" and leaves the target in *url. */
static void
set_authority(struct exchange *x, struct slice *url)
{
    struct authority authority;
    size_t n = 0;

    if (slice_starts(*url, SLICE("https://"))) {
        x->scheme = SLICE("https");
        testing_of(x)->client.secure = true;
    }
    n = slice_search(*url, SLICE("://"));
    if (n == SLICE_NOT_FOUND || url->at[0] == '/')
        return;
    *url = slice_from(*url, n + 3);
    n = slice_find(*url, '/');
    CHECK(n != SLICE_NOT_FOUND);
    x->request.authority = slice_first(*url, n);
    *url = slice_from(*url, n);
    CHECK(authority_parse(x->request.authority, &x->arena, &authority) == OK);
    x->request.host = authority.host;
    x->request.port = authority.port;
}

static void
set_target(struct exchange *x, struct slice url)
{
    CHECK(target_parse(url, false, true, &x->arena, &x->request.target) == OK);
}

struct exchange *
testing_exchange(const char *method, const char *url, ...)
{
    struct testing *t = calloc(1, sizeof(*t));
    struct exchange *x;
    struct slice rest;
    const char *name;
    va_list args;

    CHECK(t != NULL);
    x = &t->x;
    arena_init(&x->arena, NULL, 0, ARENA_MAX);
    x->ops = &ops;
    x->client = &t->client;
    x->timeouts = &timeouts;
    x->serial = t->client.id = 1;
    x->scheme = SLICE("http");
    t->client.listener = SLICE("public");
    x->request.version = 11;
    x->request.method_token = kept(x, method);
    x->request.method = method_from(x->request.method_token);
    x->times.received_us = x->times.started_us = clock_monotonic_us();
    testing_set_client(x, "192.0.2.1");
    rest = kept(x, url);
    set_authority(x, &rest);
    set_target(x, rest);
    fields_init(&x->request.fields, &x->arena, 8, FIELDS_MAX);
    va_start(args, url);
    while ((name = va_arg(args, const char *))) {
        struct slice value = kept(x, va_arg(args, const char *));

        CHECK(fields_add_named(&x->request.fields, kept(x, name), value));
    }
    va_end(args);
    return x;
}

void
testing_exchange_free(struct exchange *x)
{
    if (!x)
        return;
    exchange_drop_response(x);
    body_close(take(&x->request.body));
    arena_free(&x->arena);
    free(testing_of(x));
}

void
testing_set_body(struct exchange *x, const char *text)
{
    body_close(take(&x->request.body));
    x->request.body = body_from_slice(&x->arena, slice_str(text));
    CHECK(x->request.body != NULL);
}

void
testing_answer(struct exchange *x, unsigned status, const char *type, const char *text)
{
    exchange_respond(x, status, slice_str(type), slice_str(text));
}

static void
answer(const struct middleware *self, struct exchange *x)
{
    const char *text = self->config ? self->config : "hello\n";

    testing_answer(x, 200, "text/plain", text);
}

const struct middleware_ops testing_terminal = {
    .options = {.name = "testing_terminal", .doc = "Answers 200."},
    .handle = answer,
};

void
testing_run(struct exchange *x, const struct middleware *chain, size_t n)
{
    x->slots = arena_calloc(&x->arena, n, sizeof(*x->slots));
    CHECK(x->slots != NULL);
    x->chain = x->next = chain;
    exchange_next(x);
    CHECK(x->response.status != 0);
}

struct slice
testing_field(const struct exchange *x, const char *name)
{
    struct field *f = fields_find(&x->response.fields, slice_str(name));

    return f ? f->value : (struct slice){NULL, 0};
}

struct slice
testing_pull(struct exchange *x, struct body *b)
{
    struct text all;
    struct slice chunk, copy;
    enum err e = ERR_END;

    text_init(&all, BODY_MAX);
    while (b && (e = body_next(b, &chunk)) == OK)
        text_put(&all, chunk);
    copy = e == ERR_END && !all.full ? arena_copy(&x->arena, text_slice(&all))
                                     : (struct slice){NULL, 0};
    text_free(&all);
    return copy;
}

unsigned
testing_informed(const struct exchange *x)
{
    return container_of(x, const struct testing, x)->informed;
}
