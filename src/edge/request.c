/* SPDX-License-Identifier: Apache-2.0 */
/*
 * edge/request.c - from a parsed head, of whatever version, to the request of an exchange.
 *
 * The target is normalised once, here, for matching; hop-by-hop fields end here (RFC 9110 7.6.1).
 */
#include "edge/client.h"

enum {
    OUR_FIELDS = 32, /* that we and middleware add to the client's */
    HOPS_MAX = 10,   /* of us behind each other */
};

static bool
refuse(struct serving *s, unsigned status, enum reason reason, const char *words)
{
    exchange_refuse(&s->x, status, reason, "%s", words);
    s->x.close_client = true;
    return false;
}

/* Max-Forwards (RFC 9110 7.6.2): at zero we are the final recipient of TRACE and OPTIONS. */
static bool
count_forwards(struct serving *s)
{
    struct request *q = &s->x.request;
    struct field *f;
    uint64_t left;

    if (q->method != METHOD_OPTIONS && q->method != METHOD_TRACE)
        return true;
    f = fields_get(&q->fields, FIELD_MAX_FORWARDS);
    if (!f || !slice_to_u64(f->value, 1000, &left))
        return true;
    if (left == 0) {
        exchange_respond(&s->x, 200, (struct slice){NULL, 0}, (struct slice){NULL, 0});
        return false;
    }
    f->value = arena_printf(&s->x.arena, "%llu", (unsigned long long) left - 1);
    return true;
}

/* A request that has been through so many of us goes round in a circle (RFC 9110 7.6.3). */
static bool
goes_round(const struct fields *f)
{
    const struct field *via = NULL;
    unsigned times = 0;

    if (!fields_has(f, FIELD_VIA))
        return false;
    while ((via = fields_next(f, via, SLICE("Via")))) {
        struct slice rest = via->value;
        size_t at;

        while ((at = slice_search(rest, SLICE("maitred"))) != SLICE_NOT_FOUND) {
            times++;
            rest = slice_from(rest, at + 7);
        }
    }
    return times >= HOPS_MAX;
}

static bool
is_harmless(struct slice protocol)
{
    return !slice_starts_nocase(protocol, SLICE("h2")) &&
           !slice_starts_nocase(protocol, SLICE("http")) &&
           !slice_starts_nocase(protocol, SLICE("tls"));
}

/* A switch to another HTTP, or to TLS, would lead past all routes and middleware ("h2c smuggling",
 * Bishop Fox 2020): these are left out, as RFC 9110 7.8 allows.  Absent when nothing is left. */
static struct slice
harmless_upgrade(struct exchange *x, struct slice upgrade)
{
    struct slice rest = upgrade, protocol, kept = {NULL, 0};
    bool all = true;

    while (slice_next_element(&rest, &protocol)) {
        if (!is_harmless(protocol))
            all = false;
        else if (!kept.n)
            kept = protocol;
        else
            kept = arena_printf(&x->arena, "%.*s, %.*s", SLICE_ARG(kept), SLICE_ARG(protocol));
    }
    return all ? upgrade : kept;
}

static bool
make_target(struct serving *s)
{
    struct request *q = &s->x.request;
    struct authority authority;
    enum err e = target_parse(q->target.raw, q->method == METHOD_CONNECT,
                              q->method == METHOD_OPTIONS, &s->x.arena, &q->target);

    if (e == ERR_NO_MEMORY)
        return refuse(s, 503, REASON_OUT_OF_MEMORY, "target");
    if (e != OK)
        return refuse(s, 400, REASON_BAD_REQUEST, "malformed request target");
    if (q->authority.n == 0)
        return true;
    e = authority_parse(q->authority, &s->x.arena, &authority);
    if (e != OK)
        return refuse(s, 400, REASON_BAD_REQUEST, "malformed host");
    q->host = authority.host;
    q->port = authority.port;
    return true;
}

/* The absolute form's authority is what Host must say (RFC 9112 3.2.2). */
static void
fix_host(struct serving *s)
{
    struct request *q = &s->x.request;
    struct field *host = fields_get(&q->fields, FIELD_HOST);

    if (host && slice_is_present(q->target.authority) && q->method != METHOD_CONNECT)
        host->value = q->target.authority;
}

bool
request_complete(struct serving *s)
{
    struct exchange *x = &s->x;
    struct request *q = &x->request;

    x->times.started_us = loop_now_us();
    q->fields.max += OUR_FIELDS;
    if (slice_is_present(q->upgrade))
        q->upgrade = harmless_upgrade(x, q->upgrade);
    x->client_address = s->facts.peer;
    x->client_ip = s->facts.peer_text;
    x->scheme = s->facts.secure ? SLICE("https") : SLICE("http");
    if (!make_target(s))
        return false;
    if (q->method == METHOD_CONNECT)
        return refuse(s, 501, REASON_UNSUPPORTED, "CONNECT makes no sense to a reverse proxy");
    if (goes_round(&q->fields))
        return refuse(s, 508, REASON_LOOP, "see the Via field of the request");
    fix_host(s);
    q->te_trailers = fields_has(&q->fields, FIELD_TE) &&
                     fields_list_has(&q->fields, FIELD_TE, SLICE("trailers"));
    if (!fields_remove_hop_by_hop(&q->fields))
        return refuse(s, 400, REASON_BAD_REQUEST, h1_fault_words(H1_BAD_CONNECTION));
    if (fields_has(&q->fields, FIELD_EXPECT) && !q->expect_continue) {
        struct slice expect = fields_value(&q->fields, FIELD_EXPECT);

        if (slice_is_present(expect) && !slice_eq_nocase(expect, SLICE("100-continue")))
            return refuse(s, 417, REASON_UNSUPPORTED, "unknown expectation");
        fields_remove(&q->fields, FIELD_EXPECT);
    }
    if (!s->ops->take_body(s))
        return refuse(s, 503, REASON_OUT_OF_MEMORY, "body");
    return count_forwards(s);
}
