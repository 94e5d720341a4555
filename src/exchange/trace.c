/* SPDX-License-Identifier: Apache-2.0 */
/* exchange/trace.c - who is traced, and how events are written down; trace_ring.c keeps them. */
#include "exchange/trace.h"

#include "base/check.h"
#include "exchange/expr.h"
#include "exchange/flight.h"
#include "exchange/route.h"
#include "exchange/trace_ring.h"
#include "runtime/loop.h"

#include <stdlib.h>

enum {
    ROOM_FIRST = 32,
    TEXT_MAX = 1024, /* of what is copied */
    DESCRIPTION_BYTES = 16 * 1024,
};

/* ------------------------------------------------------------------ memory */

struct trace *
trace_new(void)
{
    struct trace *t = calloc(1, sizeof(*t));

    if (t) {
        t->refs = 1;
        arena_init(&t->arena, NULL, 0, TRACE_BYTES_MAX);
    }
    return t;
}

struct trace *
trace_hold(struct trace *t)
{
    atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
    return t;
}

void
trace_release(struct trace *t)
{
    if (atomic_fetch_sub(&t->refs, 1) != 1)
        return;
    arena_free(&t->arena);
    free(t->events);
    free(t);
}

/* A place behind the last event; NULL: no room. */
static struct trace_event *
add_event(struct trace *t, const char *what)
{
    if (t->n == t->room && t->room < TRACE_EVENTS_MAX) {
        size_t room = t->room ? t->room * 2 : ROOM_FIRST;
        struct trace_event *grown = realloc(t->events, room * sizeof(*grown));

        if (grown) {
            t->events = grown;
            t->room = room;
        }
    }
    if (t->n == t->room) {
        t->lost++;
        return NULL;
    }
    t->events[t->n] = (struct trace_event){.at_us = clock_monotonic_us(), .what = what};
    return &t->events[t->n++];
}

/* ------------------------------------------------------------------ who is traced */

/* The client's flag decides. */
static bool
is_followed(const struct exchange *x, const struct tracing_config *tracing)
{
    switch ((enum trace_follow) tracing->follow) {
    case TRACE_FOLLOW_NOBODY: return false;
    case TRACE_FOLLOW_TRUSTED: return x->client->trusted;
    case TRACE_FOLLOW_EVERYBODY: return true;
    }
    UNREACHABLE();
}

static bool
by_chance(const struct tracing_config *tracing)
{
    return tracing->sample &&
           (dice_next(&loop_self()->dice) >> 32) * 1000000 >> 32 < tracing->sample;
}

static bool
is_wanted(struct exchange *x, const struct tracing_config *tracing,
          const struct trace_context *parent)
{
    bool wanted = parent && is_followed(x, tracing) ? parent->sampled : by_chance(tracing);

    return wanted || (tracing->when && expr_test(tracing->when, x));
}

static void
throw_id(uint8_t *out, size_t n)
{
    for (size_t i = 0; i < n; i += sizeof(uint64_t)) {
        uint64_t bits = dice_next(&loop_self()->dice) | 1; /* never all zero */

        memcpy(out + i, &bits, sizeof(bits));
    }
}

/* What we say of it to whoever comes behind us. */
static void
tell(struct exchange *x, const uint8_t span[TRACE_SPAN_BYTES])
{
    struct trace *t = x->trace;
    char text[TRACEPARENT_LENGTH];
    struct slice value;

    if (!t->propagate)
        return;
    trace_context_write(text, t->id, span, t->sampled);
    value = arena_copy(&x->arena, slice_of(text, sizeof(text)));
    if (slice_is_present(value))
        (void) fields_set_named(&x->request.fields, SLICE("traceparent"), value);
}

static void
begin_telling(struct exchange *x)
{
    struct trace *t = x->trace;

    trace_context_hex(t->id_text, t->id, sizeof(t->id));
    x->trace_id = slice_of(t->id_text, sizeof(t->id_text));
    tell(x, t->span);
}

static void
make_ids(struct exchange *x, const struct trace_context *parent)
{
    struct trace *t = x->trace;

    if (parent) {
        memcpy(t->id, parent->id, sizeof(t->id));
        memcpy(t->parent, parent->span, sizeof(t->parent));
    } else {
        throw_id(t->id, sizeof(t->id));
    }
    throw_id(t->span, sizeof(t->span));
    /* A state belongs to its parent, and goes on only if it can be read (3.2.2.5, 3.3.1). */
    if (t->propagate && (!parent || !trace_context_state_is_good(&x->request.fields)))
        (void) fields_remove_named(&x->request.fields, SLICE("tracestate"));
    begin_telling(x);
}

void
exchange_trace_begin(struct exchange *x, const struct tracing_config *tracing)
{
    struct trace_context context;
    bool known = tracing && trace_context_read(&x->request.fields, &context);
    struct trace *t;

    if (known)
        x->trace_id = context.id_text;
    if (!tracing || !is_wanted(x, tracing, known ? &context : NULL) || !(t = trace_new()))
        return;
    x->trace = t;
    t->sampled = true;
    t->propagate = tracing->propagate;
    t->keep = (size_t) tracing->keep;
    t->queue = tracing->otlp ? (size_t) tracing->otlp->queue : 0;
    t->began_us = x->times.received_us;
    t->began_wall_us = (int64_t) (clock_wall_us() - (clock_monotonic_us() - t->began_us));
    make_ids(x, known ? &context : NULL);
    exchange_note(x, NULL, "request", "%.*s %.*s of %.*s, from %.*s on listener %.*s",
                  SLICE_ARG(x->request.method_token), SLICE_ARG(x->request.target.raw),
                  SLICE_ARG(x->request.host), SLICE_ARG(x->client_ip),
                  SLICE_ARG(x->client->listener));
}

void
exchange_trace_child(struct exchange *c, const struct exchange *from)
{
    const struct trace *parent = from->trace;
    struct trace *t = parent ? trace_new() : NULL;

    if (!t)
        return;
    c->trace = t;
    t->is_child = true;
    t->sampled = parent->sampled;
    t->propagate = parent->propagate;
    t->keep = parent->keep;
    t->queue = parent->queue;
    t->began_us = clock_monotonic_us();
    t->began_wall_us = (int64_t) clock_wall_us();
    memcpy(t->id, parent->id, sizeof(t->id));
    memcpy(t->parent, parent->span, sizeof(t->parent));
    throw_id(t->span, sizeof(t->span));
    begin_telling(c);
}

/* ------------------------------------------------------------------ the whole, for readers */

static struct slice
copied(struct trace *t, struct slice s)
{
    return s.n ? arena_copy(&t->arena, slice_first(s, TEXT_MAX)) : (struct slice){NULL, 0};
}

void
trace_describe(struct trace *t, const struct exchange *x)
{
    char room[64];
    struct text state;

    /* However much was noted: this has room of its own. */
    t->arena.max_bytes = TRACE_BYTES_MAX + DESCRIPTION_BYTES;
    t->request_id = copied(t, x->request_id);
    t->method = copied(t, x->request.method_token);
    t->scheme = copied(t, x->scheme);
    t->target = copied(t, x->request.target.raw);
    t->host = copied(t, x->request.host);
    t->client = copied(t, x->client_ip);
    t->route = copied(t, x->route ? x->route->name : SLICE(""));
    t->upstream = copied(t, x->relay.upstream);
    t->server = copied(t, x->relay.server);
    t->reason = slice_str(reason_code(x->fault.reason));
    t->version = x->request.version;
    t->status = x->response.status;
    t->request_bytes = x->request_bytes;
    t->response_bytes = x->response_bytes;
    if (t->ended_us) {
        t->state = SLICE("done");
        return;
    }
    text_fixed(&state, room, sizeof(room));
    flight_state(x, &state);
    t->state = copied(t, text_slice(&state));
}

struct trace *
trace_copy(const struct exchange *x)
{
    const struct trace *from = x->trace;
    struct trace *t = trace_new();

    if (!t || !(t->events = malloc((from->n + 1) * sizeof(*t->events)))) {
        if (t)
            trace_release(t);
        return NULL;
    }
    memcpy(t->id, from->id, sizeof(t->id));
    memcpy(t->id_text, from->id_text, sizeof(t->id_text));
    memcpy(t->span, from->span, sizeof(t->span));
    memcpy(t->parent, from->parent, sizeof(t->parent));
    t->sampled = from->sampled;
    t->is_child = from->is_child;
    t->began_us = from->began_us;
    t->began_wall_us = from->began_wall_us;
    t->lost = from->lost;
    t->n = t->room = from->n;
    for (size_t i = 0; i < from->n; i++) {
        t->events[i] = from->events[i];
        t->events[i].detail = copied(t, from->events[i].detail);
        t->events[i].where = copied(t, from->events[i].where);
    }
    trace_describe(t, x);
    return t;
}

/* ------------------------------------------------------------------ the end */

static void
note_end(struct exchange *x)
{
    const struct exchange_fault *f = &x->fault;

    if (f->limit_name)
        exchange_note(x, f->limit, "limit", "%s was reached", f->limit_name);
    if (x->response.status)
        exchange_note(x, NULL, "end", "status %u, %llu bytes of the body sent%s%s",
                      x->response.status, (unsigned long long) x->response_bytes,
                      f->reason ? "; " : "", f->reason ? reason_sentence(f->reason) : "");
    else
        exchange_note(x, NULL, "end", "no answer: %s", reason_sentence(f->reason));
}

/* Begun later, noted earlier: what took time is noted when it is over, some of it. */
static int
by_time(const void *one, const void *two)
{
    const struct trace_event *a = one, *b = two;

    return (a->at_us > b->at_us) - (a->at_us < b->at_us);
}

void
exchange_trace_end(struct exchange *x)
{
    struct trace *t = x->trace;

    if (!t)
        return;
    note_end(x);
    x->trace = NULL;
    x->trace_id = (struct slice){NULL, 0};
    t->chain = NULL;
    t->ended_us = clock_monotonic_us();
    if (t->n)
        qsort(t->events, t->n, sizeof(*t->events), by_time);
    trace_describe(t, x);
    trace_keep(t);
}

/* ------------------------------------------------------------------ events */

static struct slice
place(struct exchange *x, const void *setting, bool is_object)
{
    struct config_mark m = {0};

    if (setting && x->config)
        m = is_object ? config_where_object(x->config, setting) : config_where(x->config, setting);
    if (m.line == 0)
        return (struct slice){NULL, 0};
    return arena_printf(&x->trace->arena, "%.*s:%u:%u",
                        SLICE_ARG(x->config->files[m.file].path), m.line, m.column);
}

/* A detail that finds no room takes its event along. */
static void
fill(struct exchange *x, struct trace_event *e, const char *format, va_list args)
{
    e->detail = arena_vprintf(&x->trace->arena, format, args);
    if (!slice_is_present(e->detail)) {
        x->trace->lost++;
        e->detail = SLICE("(no room)");
    }
}

void
exchange_note_now(struct exchange *x, const void *setting, const char *what, uint64_t since_us,
                  const char *format, ...)
{
    struct trace_event *e = add_event(x->trace, what);
    va_list args;

    if (!e)
        return;
    if (since_us && since_us < e->at_us) {
        e->took_us = e->at_us - since_us;
        e->at_us = since_us;
    }
    e->where = place(x, setting, false);
    va_start(args, format);
    fill(x, e, format, args);
    va_end(args);
}

void
exchange_note_object(struct exchange *x, const void *object, const char *what, const char *format,
                     ...)
{
    struct trace_event *e = x->trace ? add_event(x->trace, what) : NULL;
    va_list args;

    if (!e)
        return;
    e->where = place(x, object, true);
    va_start(args, format);
    fill(x, e, format, args);
    va_end(args);
}

size_t
exchange_trace_open(struct exchange *x, const void *object, const char *what)
{
    struct trace_event *e = add_event(x->trace, what);

    if (!e)
        return SIZE_MAX;
    e->where = place(x, object, true);
    return (size_t) (e - x->trace->events);
}

static struct trace_event *
opened(struct exchange *x, size_t event)
{
    struct trace_event *e;

    if (event == SIZE_MAX)
        return NULL;
    CHECK(event < x->trace->n);
    e = &x->trace->events[event];
    e->took_us = clock_monotonic_us() - e->at_us;
    return e;
}

void
exchange_trace_close(struct exchange *x, size_t event, const char *format, ...)
{
    struct trace_event *e = opened(x, event);
    va_list args;

    if (!e)
        return;
    va_start(args, format);
    fill(x, e, format, args);
    va_end(args);
}

size_t
exchange_trace_attempt(struct exchange *x)
{
    size_t event = exchange_trace_open(x, NULL, "attempt");
    struct trace_event *e;

    if (event == SIZE_MAX)
        return event;
    e = &x->trace->events[event];
    e->is_span = true;
    throw_id(e->span, sizeof(e->span));
    tell(x, e->span);
    return event;
}

void
exchange_trace_attempted(struct exchange *x, size_t event, unsigned status, const char *format,
                         ...)
{
    struct trace_event *e = opened(x, event);
    va_list args;

    if (!e)
        return;
    e->status = status;
    va_start(args, format);
    fill(x, e, format, args);
    va_end(args);
}

/* ------------------------------------------------------------------ the chain */

/* What the call has come to, seen from outside. */
static void
tell_verdict(struct exchange *x, size_t event, const struct middleware *m, bool passed,
             unsigned before)
{
    const char *name = m->ops->options.name;
    unsigned status = x->response.status;

    if (!passed && x->fault.reason != REASON_NONE)
        exchange_trace_close(x, event, "%s answered %u itself: %s", name, status,
                             reason_code(x->fault.reason));
    else if (!passed)
        exchange_trace_close(x, event, "%s answered %u", name, status);
    else if (status != before)
        exchange_trace_close(x, event, "%s passed it on, and made %u of the answer %u", name,
                             status, before);
    else
        exchange_trace_close(x, event, "%s passed it on", name);
}

/* Around each call; the wrapper's config is the member that it stands for. */
static void
run_and_tell(const struct middleware *wrapper, struct exchange *x)
{
    const struct middleware *m = wrapper->config;
    size_t event = exchange_trace_open(x, m->config, "middleware");
    struct trace *t = x->trace;
    bool passed;

    t->deepest = m;
    m->ops->handle(m, x);
    passed = t->deepest > m;
    tell_verdict(x, event, m, passed, t->inner_status);
    t->inner_status = x->response.status;
}

static const struct middleware_ops wrapper_ops = {
    .options = {.name = "trace", .doc = "Notes what the middleware behind it does."},
    .handle = run_and_tell,
};

const struct middleware *
exchange_trace_chain(struct exchange *x, const struct middleware *chain, size_t n)
{
    struct middleware *wrappers = arena_calloc(&x->arena, n, sizeof(*wrappers));

    for (size_t i = 0; wrappers && i < n; i++)
        wrappers[i] = (struct middleware){&wrapper_ops, &chain[i]};
    x->trace->chain = wrappers;
    return wrappers;
}
