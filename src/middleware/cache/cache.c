/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/cache/cache.c - keeps responses, and answers with them (RFC 9111).
 *
 *     use: [cache]
 *     use: [{cache: {store: pages, ttl: {200: 10m, 404: 1m}, stale_if_error: 1h}}]
 *
 * One request from the look-up to the answer, top to bottom, is handle(); what a response means and
 * where its bytes go is in the files beside this one (caching.h lists them).
 */
#include "base/check.h"
#include "http/range.h"
#include "middleware/cache/caching.h"
#include "middleware/cache/stores.h"
#include "middleware/middleware.h"
#include "runtime/fiber.h"
#include "runtime/quiesce.h"

#define DAY_US INT64_C(86400000000)

enum { FAR_PIECE_LEAST = 64 * 1024, FAR_PIECE_MAX = 1024 * 1024 };

struct caching_counts *
caching_counts(const struct caching *c)
{
    return &c->workers[loop_self()->number];
}

/* ------------------------------------------------------------------ per request */

static void
leave(struct store_object **o)
{
    if (*o)
        store_leave(take(o));
}

static void
run_next(struct visit *v)
{
    exchange_next(v->x);
}

static void
pass(struct visit *v, enum cache_forward why)
{
    caching_counts(v->c)->passed++;
    v->x->cached = CACHED_PASSED;
    v->told.forward = why;
    exchange_next(v->x);
    v->told.forward_status = v->x->response.status;
}

static void look_up(struct visit *v);

/* What was found turned out to be of a version that is no more; once. */
static void
begin_anew(struct visit *v)
{
    struct slice key = v->told.key;

    if (v->again || fiber_self()->cancelled != OK)
        return;
    exchange_drop_response(v->x);
    v->x->fault = (struct exchange_fault){0};
    v->again = true;
    v->told = (struct cache_status){.key = key};
    v->names = (struct slice){NULL, 0};
    v->key = v->primary;
    v->cut = (struct cache_cut){0};
    v->piece_bytes = v->c->piece_bytes;
    v->far = v->unfit = false;
    v->cookies.n = 0;
    look_up(v);
}

static void
serve(struct visit *v, struct store_object *o, struct cache_filling *filling)
{
    if (!cache_serve(v, o, filling))
        begin_anew(v);
}

static void
serve_found(struct visit *v)
{
    serve(v, take(&v->found), NULL);
}

/* What was fetched goes to the store, and from there to the client. */
static void
serve_new(struct visit *v)
{
    struct cache_filling *filling;

    caching_counts(v->c)->stored++;
    leave(&v->found);
    if (cache_fill(v->x, v->fresh, &filling)) {
        serve(v, take(&v->fresh), filling);
        return;
    }
    leave(&v->fresh);
    exchange_refuse(v->x, 503, REASON_OUT_OF_MEMORY, "a fetch for the cache");
}

/* The client asked for a part, and would be sent all of something that is not kept. */
static bool
is_too_much(const struct visit *v)
{
    const struct exchange *x = v->x;
    const struct body *b = x->response.body;

    return x->request.method == METHOD_GET && fields_has(&x->request.fields, FIELD_RANGE) &&
           x->response.status == 200 && b &&
           (b->length == BODY_LENGTH_UNKNOWN || (uint64_t) b->length > v->c->far_bytes);
}

/* As the client asked, once more. */
static void
ask_as_client(struct visit *v)
{
    exchange_drop_response(v->x);
    pass(v, v->told.forward);
    cache_serve_status(v);
}

/* What somebody else is filling. */
static void
serve_fresh(struct visit *v)
{
    caching_counts(v->c)->stored++;
    leave(&v->found);
    serve(v, take(&v->fresh), NULL);
}

/* Asks the origin; v->told.forward says why. */
static void
fetch(struct visit *v)
{
    bool for_whole = v->fresh != NULL;
    enum cache_fetched fetched;

    caching_counts(v->c)->misses++;
    v->x->cached = CACHED_MISS;
    if (!cache_aside_wanted(v) || !cache_fetch_aside(v, &fetched))
        fetched = cache_fetch(v, run_next);
    switch (fetched) {
    case CACHE_FETCHED_NEW:
        serve_new(v);
        break;
    case CACHE_FETCHED_ASIDE:
        serve_fresh(v);
        break;
    case CACHE_FETCHED_RENEWED:
    case CACHE_FETCHED_EXCUSED:
        serve_found(v);
        break;
    case CACHE_FETCHED_PIECE:
        ask_as_client(v);
        break;
    case CACHE_FETCHED_PASS:
        if (for_whole && is_too_much(v))
            ask_as_client(v);
        else
            cache_serve_status(v);
    }
}

static void
refuse_unavailable(struct visit *v)
{
    exchange_refuse(v->x, 504, REASON_NOT_CACHED, "the client asked for nothing else");
    cache_serve_status(v);
}

/* Known not to be for the store; it may have changed its mind. */
static void
fetch_past(struct visit *v, enum cache_forward why)
{
    struct exchange *x = v->x;

    if (!cache_fetch_allowed(&v->c->rules, &v->asked)) {
        refuse_unavailable(v);
        return;
    }
    v->told.collapsed = false;
    cache_find_moment(v);
    v->times.asked_us = loop_now_us();
    pass(v, why);
    v->times.answered_us = loop_now_us();
    v->times.answered_unix_s = (int64_t) (clock_wall_us() / 1000000);
    if (v->keep && x->response.status >= 200 && cache_fetch_take(v) == CACHE_FETCHED_NEW)
        serve_new(v);
    else
        cache_serve_status(v);
}

/* The first range of the request begins there; length: of the whole, or a bound that no whole
 * reaches.  false: it wants the whole, or the end of what nobody knows the length of. */
static bool
wants_from(const struct visit *v, uint64_t length, uint64_t *offset)
{
    struct slice value = fields_value(&v->x->request.fields, FIELD_RANGE);
    struct range_set set;

    if (!value.n || v->x->request.method != METHOD_GET ||
        range_parse(value, length, &set) != RANGE_PARTS)
        return false;
    *offset = set.at[0].offset;
    return *offset < INT64_MAX / 2;
}

/* What somebody else fetches has not come near to it yet. */
static bool
is_far_from(const struct visit *v)
{
    int64_t length = store_length(v->found);
    uint64_t offset;

    return length >= 0 && !kept_of(v->found)->cut.total &&
           wants_from(v, (uint64_t) length, &offset) &&
           cache_fill_is_far(v->found, offset, v->c->far_bytes);
}

/* The range lies far behind: only what it needs is fetched, or it is passed on as it is. */
static void
begin_far(struct visit *v)
{
    if (v->c->far_piece_bytes && !cache_fetch_is_unfit(v)) {
        v->piece_bytes = v->c->far_piece_bytes;
        v->far = true;
    } else {
        store_break(v->fresh);
        leave(&v->fresh);
    }
}

static void
miss(struct visit *v)
{
    uint64_t offset;

    v->told.forward =
        slice_is_present(v->names) ? CACHE_FORWARD_VARY_MISS : CACHE_FORWARD_URI_MISS;
    if (v->fresh && !v->piece_bytes && wants_from(v, INT64_MAX, &offset) &&
        offset > v->c->far_bytes)
        begin_far(v);
    if (!v->fresh) {
        fetch_past(v, v->told.forward);
        return;
    }
    if (cache_fetch_allowed(&v->c->rules, &v->asked)) {
        fetch(v);
        return;
    }
    store_break(v->fresh);
    leave(&v->fresh);
    refuse_unavailable(v);
}

/* A HEAD is sent as one; when its answer disagrees with what is kept, that is stale (4.3.5). */
static bool
head_disagrees(const struct visit *v)
{
    const struct response *r = &v->x->response;
    const struct kept *k = kept_of(v->found);
    int64_t length = kept_length(v->found, k);
    struct fields kept;

    /* What is still arriving may not have said how long it will be. */
    if (r->status != 200 || length < 0)
        return false;
    fields_init(&kept, &v->x->arena, k->fields_n, 256);
    return kept_fields(k, &kept) && !cache_head_confirms(&kept, (uint64_t) length, &r->fields);
}

static void
ask_head(struct visit *v, enum cache_forward why)
{
    pass(v, why);
    if (head_disagrees(v))
        store_purge_key(v->c->store, v->key, true);
    leave(&v->found);
    cache_serve_status(v);
}

static void
validate(struct visit *v, enum cache_cause cause)
{
    enum cache_forward why = cause == CACHE_CAUSE_STALE || cause == CACHE_CAUSE_NO_CACHE
                                 ? CACHE_FORWARD_STALE
                                 : CACHE_FORWARD_REQUEST;

    v->told.detail = cache_cause_name(cause);
    /* A 304 would change what is kept for others. */
    if (v->odd) {
        leave(&v->found);
        fetch_past(v, why);
        return;
    }
    if (v->x->request.method == METHOD_HEAD) {
        ask_head(v, why);
        return;
    }
    switch (cache_find_anew(v)) {
    case CACHE_NOTHING:
        v->told.forward = why;
        fetch(v);
        break;
    case CACHE_FOUND:
        serve_found(v);
        break;
    case CACHE_PASS:
        fetch_past(v, why);
        break;
    case CACHE_GONE:
        break;
    }
}

/* Something is kept: is it good enough? */
static void
found(struct visit *v)
{
    struct cache_decision d = cache_decide(&v->c->rules, &v->life, &v->asked, loop_now_us());

    if (v->told.collapsed && is_far_from(v)) {
        leave(&v->found);
        fetch_past(v, CACHE_FORWARD_MISS);
        return;
    }
    /* What was just fetched for somebody is good for who waited for it. */
    if (v->told.collapsed && !v->life.always_validate &&
        (d.use == CACHE_VALIDATE || d.use == CACHE_REFRESH))
        d.use = CACHE_SERVE;
    switch (d.use) {
    case CACHE_REFRESH:
        if (!v->odd && store_refill(v->found, &v->fresh) == STORE_MISS)
            cache_refresh(v);
        leave(&v->fresh);
        break;
    case CACHE_VALIDATE:
        validate(v, d.cause);
        return;
    case CACHE_UNAVAILABLE:
        leave(&v->found);
        refuse_unavailable(v);
        return;
    default:
        break;
    }
    if (d.cause != CACHE_CAUSE_FRESH)
        v->told.detail = cache_cause_name(d.cause);
    serve_found(v);
}

static void
look_up(struct visit *v)
{
    switch (cache_find(v)) {
    case CACHE_FOUND:
        found(v);
        break;
    case CACHE_NOTHING:
        miss(v);
        break;
    case CACHE_PASS:
        fetch_past(v, CACHE_FORWARD_MISS);
        break;
    case CACHE_GONE:
        break;
    }
}

static bool
may_keep(const struct visit *v)
{
    return v->x->request.method == METHOD_GET &&
           (v->c->ignore_requests || !cache_control_says(&v->asked, CACHE_NO_STORE));
}

static bool
begin(struct visit *v, const struct middleware *self, struct exchange *x)
{
    const struct caching *c = self->config;

    *v = (struct visit){.c = c, .self = self, .x = x, .piece_bytes = c->piece_bytes};
    if (!cache_find_begin(v))
        return false;
    cache_control_of_request(&x->request.fields, &v->asked);
    v->keep = may_keep(v);
    v->odd = cache_find_host_is_odd(x);
    /* Others could hardly use what this one gets: they do not wait for it. */
    v->fill = v->keep && !v->odd && !fields_has(&x->request.fields, FIELD_AUTHORIZATION);
    return true;
}

/* `Content-Length: 0` says that there is none. */
static bool
has_body(const struct exchange *x)
{
    return x->request.body && x->request.body->length != 0;
}

static void
cache_handle(const struct middleware *self, struct exchange *x)
{
    const struct caching *c = self->config;
    struct visit v;

    if (slice_is_present(x->request.upgrade) || !begin(&v, self, x)) {
        exchange_next(x);
        return;
    }
    if (cache_purge_wanted(c, x)) {
        cache_purge(&v);
    } else if (has_body(x) && cache_serves_method(x->request.method)) {
        pass(&v, CACHE_FORWARD_BYPASS); /* which is not in the key */
        cache_serve_status(&v);
    } else if (cache_serves_method(x->request.method)) {
        look_up(&v);
    } else {
        pass(&v, CACHE_FORWARD_METHOD);
        cache_purge_after(&v);
        cache_serve_status(&v);
    }
    /* What was found, and then replaced by what the origin said, or by nothing. */
    leave(&v.found);
}

static void
cache_explain(const struct middleware *self, struct exchange *x, struct text *out)
{
    const struct caching *c = self->config;

    if (cache_serves_method(x->request.method))
        text_printf(out, "looks in the store `%.*s`", SLICE_ARG(c->store_name));
    else if (cache_purge_wanted(c, x))
        text_literal(out, "purges");
    else
        text_literal(out, "lets it pass: only GET and HEAD are answered from the store");
}

/* ------------------------------------------------------------------ at load */

/* "404", "4xx". */
static bool
read_statuses(struct slice s, uint16_t *first, uint16_t *last)
{
    uint64_t n;

    if (s.n == 3 && slice_ends(s, SLICE("xx")) && s.at[0] >= '2' && s.at[0] <= '5') {
        *first = (uint16_t) ((s.at[0] - '0') * 100);
        *last = *first + 99;
        return true;
    }
    if (!slice_to_u64(s, 599, &n) || n < 200 || n == 206 || n == 304)
        return false;
    *first = *last = (uint16_t) n;
    return true;
}

static bool
make_defaults(struct config_bind *b, struct caching *c)
{
    const struct cache_ttl *ttl = c->defaults.at;
    struct cache_default *d = arena_calloc(config_bind_arena(b), c->defaults.n + 1, sizeof(*d));

    if (!d)
        return config_bind_error(b, c, NULL, "out of memory");
    for (size_t i = 0; i < c->defaults.n; i++) {
        d[i].fresh_s = (int64_t) (ttl[i].fresh_us / 1000000);
        if (!read_statuses(ttl[i].status, &d[i].first, &d[i].last))
            return config_bind_error(b, &ttl[i].fresh_us, "write a status, or `4xx`",
                                     "`%.*s` is no status whose responses are kept",
                                     SLICE_ARG(ttl[i].status));
    }
    c->rules.defaults = d;
    c->rules.defaults_n = c->defaults.n;
    return true;
}

static void
drop_store(void *what)
{
    store_drop(what);
}

static bool
cache_check(struct config_bind *b, void *object)
{
    struct caching *c = object;

    c->rules.targets = c->targets.at;
    c->rules.targets_n = c->targets.n;
    c->rules.heuristic_percent = (uint32_t) (c->heuristic / 10000);
    c->rules.heuristic_max_s = (int64_t) (c->heuristic_max_us / 1000000);
    c->rules.while_revalidate_s = (int64_t) (c->while_revalidate_us / 1000000);
    c->rules.if_error_s = (int64_t) (c->if_error_us / 1000000);
    c->rules.ignore_requests = c->ignore_requests;
    c->rules.share_cookies = c->share_cookies;
    c->workers = arena_calloc(config_bind_arena(b), WORKERS_MAX, sizeof(*c->workers));
    c->store = store_open(c->store_name, NULL);
    if (!c->workers || !c->store || !config_bind_cleanup(b, drop_store, c->store))
        return config_bind_error(b, c, NULL, "out of memory");
    return make_defaults(b, c);
}

/* As large as `far`, within reason; 0: the store does not take them. */
static uint64_t
far_piece(uint64_t far_bytes, uint64_t max_bytes)
{
    uint64_t piece = far_bytes < FAR_PIECE_MAX ? far_bytes : FAR_PIECE_MAX;

    if (piece > max_bytes)
        piece = max_bytes;
    return piece < FAR_PIECE_LEAST ? 0 : piece;
}

static bool
cache_link(void *config, const struct middleware_linker *l)
{
    struct caching *c = config;

    c->keeper = l->keeper;
    if (cache_stores_know(l->stores, c->store_name)) {
        uint64_t max_bytes = cache_stores_object_max(l->stores, c->store_name);

        c->far_piece_bytes = far_piece(c->far_bytes, max_bytes);
        if (c->piece_bytes <= max_bytes)
            return true;
        config_report_add(l->report, CONFIG_ERROR, config_where(l->config, &c->piece_bytes),
                          "make it smaller, or the store's `max_object` larger",
                          "pieces of this size are not kept: the store takes %llu bytes at most",
                          (unsigned long long) max_bytes);
        return false;
    }
    config_report_add(l->report, CONFIG_ERROR, config_where(l->config, &c->store_name),
                      "add it to `stores:`, or leave `store` out", "there is no store `%.*s`",
                      SLICE_ARG(c->store_name));
    return false;
}

/* ------------------------------------------------------------------ the table */

static const struct option ttl_options[] = {
    {"status", &option_string, offsetof(struct cache_ttl, status), .flags = OPTION_KEY,
     .doc = "A status such as 404, or `4xx`."},
    {"fresh", &option_duration, offsetof(struct cache_ttl, fresh_us), .flags = OPTION_REQUIRED,
     .max = 365 * DAY_US, .doc = "How long such responses stay fresh; 0: not at all."},
    {NULL},
};

static const struct option_object ttl_object = {
    .name = "cache_ttl",
    .doc = "How long responses of a status stay fresh when the origin does not say.",
    .size = sizeof(struct cache_ttl),
    .options = ttl_options,
    .shorthand = "fresh",
};

static const struct option cache_options[] = {
    {"store", &option_string, offsetof(struct caching, store_name), .preset = "default",
     .doc = "Where responses are kept: a name of `stores`. `default` is there always."},
    {"key", &option_template, offsetof(struct caching, key),
     .doc = "What makes two requests the same, such as `${host}${path}`; by default scheme, host, "
            "port, path and query. What the response's Vary names is added by itself."},
    {"ttl", &option_objects, offsetof(struct caching, defaults), .object = &ttl_object,
     .flags = OPTION_MAP,
     .doc = "How long responses of a status stay fresh when the origin does not say: `{200: 10m, "
            "404: 1m}`."},
    {"heuristic", &option_percent, offsetof(struct caching, heuristic), .preset = "10%",
     .max = 1000000,
     .doc = "Without any of this, a response stays fresh for this part of its age since "
            "Last-Modified (RFC 9111 4.2.2)."},
    {"heuristic_max", &option_duration, offsetof(struct caching, heuristic_max_us),
     .preset = "1d", .max = 365 * DAY_US, .doc = "But no longer than this."},
    {"stale_while_revalidate", &option_duration, offsetof(struct caching, while_revalidate_us),
     .preset = "0", .max = 365 * DAY_US,
     .doc = "So long after it became stale a response is still served, while a new one is fetched "
            "behind it; where the origin does not say (RFC 5861)."},
    {"stale_if_error", &option_duration, offsetof(struct caching, if_error_us), .preset = "0",
     .max = 365 * DAY_US,
     .doc = "So long after it became stale a response is served rather than an error of the "
            "origin; where the origin does not say (RFC 5861)."},
    {"targets", &option_string, offsetof(struct caching, targets), .preset = "CDN-Cache-Control",
     .flags = OPTION_LIST,
     .doc = "Fields that say for us what Cache-Control says for all, the first that is there "
            "(RFC 9213)."},
    {"ignore_requests", &option_bool, offsetof(struct caching, ignore_requests),
     .preset = "false",
     .doc = "Cache-Control of requests does not count: clients cannot make us ask the origin."},
    {"share_cookies", &option_bool, offsetof(struct caching, share_cookies), .preset = "false",
     .doc = "Keeps responses that set cookies even when the origin does not say that they are for "
            "all."},
    {"strict_paths", &option_bool, offsetof(struct caching, strict_paths), .preset = "true",
     .doc = "Keeps nothing whose path could mean another thing to the origin (encoded slashes, "
            "`;x.css`), and no document under the name of a static file: an attacker could have "
            "somebody's private page kept so."},
    {"pass", &option_duration, offsetof(struct caching, pass_us), .preset = "2m", .max = DAY_US,
     .doc = "So long it is remembered that responses from a URI are not to be kept, so that "
            "nobody waits for another's."},
    {"slice", &option_bytes, offsetof(struct caching, piece_bytes), .preset = "0",
     .max = INT64_C(1) << 30,
     .doc = "Responses larger than this are fetched and kept in pieces of this size, each when "
            "somebody reads as far, where the origin has ranges and a strong validator (ETag); 0: "
            "everything whole. 1MiB is a good size for videos and downloads."},
    {"far", &option_bytes, offsetof(struct caching, far_bytes), .preset = "1MiB",
     .max = INT64_C(1) << 50,
     .doc = "Without `slice`: for a range that begins further than this behind, only what it needs "
            "is fetched, in pieces of that size (64KiB to 1MiB), as with `slice`; where the origin "
            "has no strong validator, or somebody just fetches the whole, the request is passed on "
            "and what comes is not kept."},
    {"wait", &option_duration, offsetof(struct caching, wait_us), .preset = "30s", .min = 1000,
     .max = 600000000,
     .doc = "How long a request waits for the head of a response that another one fetches, "
            "before it goes by itself."},
    {"purge", &option_network, offsetof(struct caching, purgers), .flags = OPTION_LIST,
     .doc = "Clients that may send PURGE requests; nobody by default."},
    {"cache_status", &option_bool, offsetof(struct caching, tell), .preset = "true",
     .doc = "Says in the response's Cache-Status what the cache did and why (RFC 9211)."},
    {"show_key", &option_bool, offsetof(struct caching, tell_key), .preset = "false",
     .doc = "Cache-Status also shows the key."},
    {NULL},
};

const struct middleware_ops middleware_cache = {
    .options =
        {
            .name = "cache",
            .doc = "Keeps responses and answers with them, as HTTP says (RFC 9111): one fetch is "
                   "shared by all who ask meanwhile, stale ones are made fresh in the "
                   "background or stand in for errors.",
            .size = sizeof(struct caching),
            .options = cache_options,
            .check = cache_check,
            .ops = &middleware_cache,
        },
    .handle = cache_handle,
    .explain = cache_explain,
    .link = cache_link,
};
