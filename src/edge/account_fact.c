/* SPDX-License-Identifier: Apache-2.0 */
/* edge/account_fact.c - what analytics hear of an exchange. */
#include "analytics/analytics.h"
#include "edge/client.h"

/* Whoever runs into one of these may be trying something. */
static const bool threats[REASON_COUNT] = {
    [REASON_BAD_REQUEST] = true,     [REASON_HEAD_TOO_LARGE] = true,
    [REASON_TARGET_TOO_LONG] = true, [REASON_BODY_TOO_LARGE] = true,
    [REASON_HEAD_TIMEOUT] = true,    [REASON_BODY_TIMEOUT] = true,
    [REASON_NOT_ALLOWED] = true,     [REASON_LOOP] = true,
};

/* As the client asked, whatever a rewrite has made of it. */
static struct slice
path_of(const struct request *q)
{
    struct slice path = q->forward_path ? q->target.raw : q->target.path;

    return slice_first(path, slice_find(path, '?'));
}

static uint64_t
origin_us(const struct exchange_times *t)
{
    return t->connected_us && t->first_byte_us > t->connected_us
               ? t->first_byte_us - t->connected_us
               : 0;
}

/* Of a tunnel, until it was one. */
static uint64_t
took_us(const struct exchange *x)
{
    uint64_t end_us = account_is_tunnel(x) ? x->times.first_byte_us : x->times.done_us;

    return end_us > x->times.received_us ? end_us - x->times.received_us : 0;
}

/* Both in one go. */
static void
find_fields(const struct fields *f, struct analytics_fact *fact)
{
    for (uint32_t i = 0; i < f->n; i++) {
        if (f->at[i].id == FIELD_USER_AGENT)
            fact->agent = f->at[i].value;
        else if (f->at[i].id == FIELD_REFERER)
            fact->referrer = f->at[i].value;
    }
}

void
account_record(unsigned worker, const struct exchange *x)
{
    enum reason reason = x->fault.reason;
    struct analytics_fact fact = {
        .host = x->request.host,
        .path = path_of(&x->request),
        .client = x->client_ip,
        .route = x->route ? x->route->name : (struct slice){0},
        .upstream = x->relay.upstream,
        .method = x->request.method_token,
        .threat = threats[reason] ? slice_str(reason_code(reason)) : (struct slice){0},
        .client_address = x->client_address,
        .status = x->response.status,
        .version = x->request.version,
        .secure = x->client->secure,
        .first = x->client->earlier == 0,
        .cache_hit = x->cached >= CACHED_HIT && x->cached <= CACHED_SHARED,
        .asked_server = slice_is_present(x->relay.server),
        .reused = x->relay.reused,
        .took_us = took_us(x),
        .origin_us = origin_us(&x->times),
        .saved_us = x->saved_us,
        .bytes_in = x->request_bytes,
        .bytes_out = x->response_bytes,
    };

    find_fields(&x->request.fields, &fact);
    analytics_record(worker, &fact);
}

