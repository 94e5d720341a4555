/* SPDX-License-Identifier: Apache-2.0 */
/* analytics/tell.c - sketches as JSON. */
#include "analytics/tell.h"

#include "base/address.h"
#include "base/check.h"

/* What each number of a tally is called. */
static const char *const names[TALLY_NUMBERS] = {
    [TALLY_REQUESTS] = "requests",
    [TALLY_ERRORS] = "errors",
    [TALLY_CLIENT_ERRORS] = "client_errors",
    [TALLY_THREATS] = "threats",
    [TALLY_SECURE] = "secure",
    [TALLY_BYTES_IN] = "bytes_in",
    [TALLY_BYTES_OUT] = "bytes_out",
    [TALLY_HITS] = "hits",
    [TALLY_SAVED_US] = "saved_us",
    [TALLY_CLIENT_CONNECTIONS] = "client_connections",
    [TALLY_SERVER_REQUESTS] = "server_requests",
    [TALLY_SERVER_CONNECTIONS] = "server_connections",
    [TALLY_MISSED] = "missed",
};

static void
number(struct text *out, const char *name, uint64_t value)
{
    text_printf(out, ",\"%s\":%llu", name, (unsigned long long) value);
}

/* No more visitors than requests: with few, an estimate may say so. */
static uint64_t
visitors(const struct tally *t)
{
    uint64_t n = uniques_count(&t->visitors), requests = t->numbers[TALLY_REQUESTS];

    return n < requests ? n : requests;
}

static void
numbers(const struct tally *t, struct text *out)
{
    number(out, "visitors", visitors(t));
    for (size_t i = 0; i < TALLY_NUMBERS; i++)
        number(out, names[i], t->numbers[i]);
}

static uint64_t
mean(const struct histogram *h)
{
    return h->count ? h->sum / h->count : 0;
}

static void
percentiles(const struct histogram *h, struct text *out)
{
    text_printf(out, "\"mean_us\":%llu", (unsigned long long) mean(h));
    number(out, "p50_us", histogram_percentile(h, 0.5));
    number(out, "p90_us", histogram_percentile(h, 0.9));
    number(out, "p99_us", histogram_percentile(h, 0.99));
}

static void
distribution(const struct histogram *h, const char *name, struct text *out)
{
    text_printf(out, ",\"%s\":{", name);
    percentiles(h, out);
    number(out, "p999_us", histogram_percentile(h, 0.999));
    text_byte(out, '}');
}

void
tell_totals(const struct tally *t, struct text *out)
{
    uint64_t connections = t->numbers[TALLY_SERVER_CONNECTIONS];

    if (connections)
        text_printf(out, "{\"multiplexing\":%.2f",
                    (double) t->numbers[TALLY_SERVER_REQUESTS] / (double) connections);
    else
        text_literal(out, "{\"multiplexing\":null");
    numbers(t, out);
    distribution(&t->took, "took", out);
    distribution(&t->origin, "origin", out);
    text_byte(out, '}');
}

void
tell_point(const struct tally *t, int64_t at_s, struct text *out)
{
    text_printf(out, "{\"at\":%lld", (long long) at_s);
    numbers(t, out);
    text_byte(out, ',');
    percentiles(&t->took, out);
    text_byte(out, '}');
}

/* ------------------------------------------------------------------ lists */

/* Addresses are kept as bytes. */
static void
address(struct slice key, struct text *out)
{
    union address a = {.v4 = {.sin_family = AF_INET}};
    char written[ADDRESS_TEXT_MAX];

    if (key.n == 4) {
        memcpy(&a.v4.sin_addr, key.at, 4);
    } else {
        a.v6 = (struct sockaddr_in6){.sin6_family = AF_INET6};
        memcpy(&a.v6.sin6_addr, key.at, key.n < 16 ? key.n : 16);
    }
    text_put(out, slice_of(written, address_write_ip(&a, written)));
}

static void
item(const struct top_entry *e, enum dimension d, struct text *out)
{
    text_literal(out, "{\"name\":\"");
    if (d == DIMENSION_CLIENTS)
        address(top_key(e), out);
    else
        text_json(out, top_key(e));
    text_byte(out, '"');
    number(out, "requests", e->counts.requests);
    number(out, "within", e->within);
    number(out, "errors", e->counts.errors);
    number(out, "bytes", e->counts.bytes);
    number(out, "mean_us", e->counts.requests ? e->counts.took_us / e->counts.requests : 0);
    text_byte(out, '}');
}

void
tell_list(struct period *p, enum dimension d, size_t most, struct text *out)
{
    size_t all = top_list(&p->tops[d], p->order), n = all < most ? all : most;

    text_printf(out, "{\"unseen\":%llu,\"items\":[",
                (unsigned long long) top_unseen(&p->tops[d], p->order, all, n));
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            text_byte(out, ',');
        item(p->order[i], d, out);
    }
    text_literal(out, "]}");
}
