/* SPDX-License-Identifier: Apache-2.0 */
/* exchange/recorded.c - reservoirs of heads, by route and by path; what is secret stays out. */
#include "exchange/recorded.h"

#include "base/check.h"
#include "base/map.h"
#include "base/text.h"
#include "exchange/route.h"
#include "runtime/quiesce.h"

#include <stdlib.h>

enum {
    BY_ROUTE = 32, /* reservoirs */
    BY_PATH = 64,
    OF_ROUTE = RECORDED_MAX / 2 / BY_ROUTE, /* heads in each */
    OF_PATH = RECORDED_MAX / 2 / BY_PATH,
    GATHERED_MAX = 64 * 1024 * 1024,
    ARENA_MAX = 64 * 1024,
    FIELDS_MAX = 256,
};

struct reservoir {
    uint64_t stretch; /* number of the stretch of time that `seen` counts */
    uint32_t seen;
};

struct kept_head {
    uint16_t n; /* 0: none yet */
    char    *at; /* malloc'd, n bytes */
};

struct recorder {
    struct reservoir routes[BY_ROUTE], paths[BY_PATH];
    struct kept_head heads[RECORDED_MAX]; /* those of the routes first */
};

static _Thread_local struct recorder *recorder;

/* ------------------------------------------------------------------ what is kept of a head */

/* Names of fields and parameters whose values may open something. */
static bool
is_secret(struct slice name)
{
    static const struct slice words[] = {
        SLICE_INIT("auth"),   SLICE_INIT("token"),    SLICE_INIT("secret"),  SLICE_INIT("key"),
        SLICE_INIT("pass"), SLICE_INIT("session"), SLICE_INIT("cred"),   SLICE_INIT("signature"),
        SLICE_INIT("jwt"),    SLICE_INIT("code"),     SLICE_INIT("otp"),
    };

    for (size_t i = 0; i < countof(words); i++)
        for (size_t at = 0; at + words[i].n <= name.n; at++)
            if (slice_starts_nocase(slice_from(name, at), words[i]))
                return true;
    return false;
}

/* "a=1; b=2" as "a=***; b=***". */
static void
put_cookies(struct text *out, struct slice value)
{
    bool first = true;

    while (slice_is_present(value)) {
        struct slice pair = slice_trim(slice_cut(&value, ';'));

        if (!pair.n)
            continue;
        if (!first)
            text_literal(out, "; ");
        text_put(out, slice_cut(&pair, '='));
        text_literal(out, "=***");
        first = false;
    }
}

static void
put_query(struct text *out, struct slice query)
{
    char mark = '?';

    while (slice_is_present(query)) {
        struct slice value = slice_cut(&query, '&'), name = slice_cut(&value, '=');

        text_byte(out, mark);
        text_put(out, name);
        if (slice_is_present(value)) {
            text_byte(out, '=');
            text_put(out, is_secret(name) ? SLICE("***") : value);
        }
        mark = '&';
    }
}

static void
put_target(struct text *out, struct slice raw)
{
    struct slice path = slice_cut(&raw, '?');

    text_put(out, path);
    put_query(out, raw);
    text_byte(out, '\0');
}

static void
put_line(struct text *out, struct slice s)
{
    text_put(out, s);
    text_byte(out, '\0');
}

static void
put_field(struct text *out, const struct field *f)
{
    size_t before = out->n;

    text_put(out, f->name);
    text_literal(out, ": ");
    if (f->id == FIELD_COOKIE)
        put_cookies(out, f->value);
    else
        text_put(out, is_secret(f->name) ? SLICE("***") : f->value);
    text_byte(out, '\0');
    /* A shorter one behind it may still find room. */
    if (out->full) {
        out->n = before;
        out->full = false;
    }
}

/* False: not even what has to be there fits. */
static bool
put_head(struct text *out, const struct exchange *x)
{
    const struct fields *f = &x->request.fields;

    put_line(out, x->request.method_token);
    put_line(out, x->scheme);
    put_line(out, x->request.authority);
    put_target(out, x->request.target.raw);
    put_line(out, x->client->listener);
    put_line(out, x->client_ip);
    if (out->full)
        return false;
    for (uint32_t i = 0; i < f->n; i++)
        put_field(out, &f->at[i]);
    return true;
}

/* ------------------------------------------------------------------ which are kept */

static void
keep(struct kept_head *to, const struct exchange *x)
{
    char stack[RECORDED_BYTES_MAX];
    struct text t;
    char *copy;

    text_fixed(&t, stack, sizeof(stack));
    if (!put_head(&t, x) || !(copy = malloc(t.n)))
        return;
    memcpy(copy, stack, t.n);
    free(to->at);
    *to = (struct kept_head){(uint16_t) t.n, copy};
}

/* Which of its `room` places the next head takes; `room` when it is not chosen.  What an earlier
 * stretch has left stays until something takes its place. */
static uint32_t
choose(struct reservoir *r, uint32_t room, uint64_t stretch, uint32_t dice)
{
    uint32_t place;

    if (r->stretch != stretch) {
        r->stretch = stretch;
        r->seen = 0;
    }
    if (r->seen < room)
        return r->seen++;
    if (r->seen < UINT32_MAX)
        r->seen++;
    place = (uint32_t) ((uint64_t) dice * r->seen >> 32);
    return place < room ? place : room;
}

static struct recorder *
recorder_self(void)
{
    if (!recorder)
        recorder = calloc(1, sizeof(*recorder));
    return recorder;
}

void
recorded_take(const struct exchange *x)
{
    struct recorder *r = recorder_self();
    uint64_t stretch = loop_now_us() / RECORDED_STRETCH_US + 1;
    uint64_t dice = dice_next(&loop_self()->dice);
    size_t route = x->route ? x->route->index % BY_ROUTE : BY_ROUTE - 1;
    size_t path = hash_bytes(x->request.target.path) % BY_PATH;
    uint32_t place;

    if (!r)
        return;
    place = choose(&r->routes[route], OF_ROUTE, stretch, (uint32_t) dice);
    if (place < OF_ROUTE) {
        keep(&r->heads[route * OF_ROUTE + place], x);
        return;
    }
    place = choose(&r->paths[path], OF_PATH, stretch, (uint32_t) (dice >> 32));
    if (place < OF_PATH)
        keep(&r->heads[RECORDED_MAX / 2 + path * OF_PATH + place], x);
}

void
recorded_exit(void)
{
    for (size_t i = 0; recorder && i < RECORDED_MAX; i++)
        free(recorder->heads[i].at);
    free(take(&recorder));
}

/* ------------------------------------------------------------------ reading */

struct recorded_gather {
    pthread_mutex_t lock; /* of the text */
    struct text     all;  /* heads, each with its length in two bytes in front */
};

/* On each worker. */
static void
collect(void *arg)
{
    struct recorded_gather *g = arg;

    pthread_mutex_lock(&g->lock);
    for (size_t i = 0; recorder && i < RECORDED_MAX; i++) {
        const struct kept_head *h = &recorder->heads[i];

        if (!h->n || !text_reserve(&g->all, sizeof(h->n) + h->n))
            continue;
        text_put(&g->all, slice_of((const char *) &h->n, sizeof(h->n)));
        text_put(&g->all, slice_of(h->at, h->n));
    }
    pthread_mutex_unlock(&g->lock);
}

void
recorded_each(void (*visit)(void *arg, struct slice head), void *arg)
{
    struct recorded_gather g = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct slice rest;
    uint16_t n;

    text_init(&g.all, GATHERED_MAX);
    if (workers_meet(collect, &g))
        for (rest = text_slice(&g.all); rest.n; rest = slice_from(rest, n)) {
            memcpy(&n, rest.at, sizeof(n));
            rest = slice_from(rest, sizeof(n));
            visit(arg, slice_first(rest, n));
        }
    text_free(&g.all);
}

/* ------------------------------------------------------------------ imagining */

static enum err
inform_nobody(struct exchange *x, unsigned status, const struct fields *fields)
{
    (void) x;
    (void) status;
    (void) fields;
    return OK;
}

/* The next line without its end; absent when there is none. */
static struct slice
next_line(struct slice *rest)
{
    size_t end = slice_find(*rest, '\0');
    struct slice line = {NULL, 0};

    if (end == SLICE_NOT_FOUND)
        return line;
    line = slice_first(*rest, end);
    *rest = slice_from(*rest, end + 1);
    return line;
}

static bool
take_authority(struct exchange *x, struct slice text)
{
    struct authority a;

    if (!text.n)
        return true;
    if (authority_parse(text, &x->arena, &a) != OK)
        return false;
    x->request.authority = text;
    x->request.host = a.host;
    x->request.port = a.port;
    return true;
}

static bool
take_fields(struct exchange *x, struct slice rest)
{
    struct fields *f = &x->request.fields;

    fields_init(f, &x->arena, 16, FIELDS_MAX);
    while (rest.n) {
        struct slice value = next_line(&rest), name;

        if (!slice_is_present(value))
            return false;
        name = slice_cut(&value, ':');
        if (!is_token(name) || !fields_add_named(f, name, slice_trim(value)))
            return false;
    }
    return true;
}

static bool
take_client(struct imagined_exchange *e, struct slice listener, struct slice ip)
{
    struct exchange *x = &e->x;

    x->client = &e->client;
    e->client.listener = listener;
    e->client.peer_text = x->client_ip = ip;
    e->client.secure = slice_eq(x->scheme, SLICE("https"));
    if (address_parse_ip(ip, 0, &e->client.peer)) {
        x->client_address = e->client.peer;
        return true;
    }
    /* A Unix socket's client has none. */
    return slice_is_present(listener) && slice_is_present(ip);
}

bool
recorded_imagine(struct slice head, const struct route_set *routes, const struct config *config,
                 struct imagined_exchange *out)
{
    static const struct exchange_ops ops = {.inform = inform_nobody};
    struct exchange *x = &out->x;
    struct slice rest, authority, target, listener;

    memset(out, 0, sizeof(*out));
    arena_init(&x->arena, NULL, 0, ARENA_MAX);
    x->ops = &ops;
    x->config = config;
    x->routes = routes;
    x->timeouts = &exchange_default_timeouts;
    x->request.version = 11;
    fields_init(&x->response.fields, &x->arena, 0, FIELDS_MAX);
    rest = arena_copy(&x->arena, head);
    x->request.method_token = next_line(&rest);
    x->request.method = method_from(x->request.method_token);
    x->scheme = next_line(&rest);
    authority = next_line(&rest);
    target = next_line(&rest);
    listener = next_line(&rest);
    return target.n && is_token(x->request.method_token) &&
           target_parse(target, false, x->request.method == METHOD_OPTIONS, &x->arena,
                        &x->request.target) == OK &&
           take_authority(x, authority) && take_client(out, listener, next_line(&rest)) &&
           take_fields(x, rest);
}

void
recorded_forget(struct imagined_exchange *e)
{
    arena_free(&e->x.arena);
}
