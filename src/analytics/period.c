/* SPDX-License-Identifier: Apache-2.0 */
/* analytics/period.c - one record goes into a dozen lists. */
#include "analytics/period.h"

#include "base/check.h"
#include "base/map.h"

#include <stdlib.h>

/* What people look at longest has the most room.  A list whose keys any client can make up has a
 * filter of many cells. */
const struct dimension_info dimensions[DIMENSIONS] = {
    [DIMENSION_PATHS] = {"paths", {4096, 131072, PACKED_HOST + PACKED_PATH}},
    [DIMENSION_CLIENTS] = {"clients", {4096, 65536, PACKED_ADDRESS}},
    [DIMENSION_AGENTS] = {"agents", {2048, 32768, PACKED_AGENT}},
    [DIMENSION_REFERRERS] = {"referrers", {2048, 32768, PACKED_REFERRER}},
    [DIMENSION_HOSTS] = {"hosts", {1024, 16384, PACKED_HOST}},
    [DIMENSION_ROUTES] = {"routes", {1024, 4096, PACKED_NAME}},
    [DIMENSION_UPSTREAMS] = {"upstreams", {1024, 4096, PACKED_NAME}},
    [DIMENSION_STATUSES] = {"statuses", {256, 1024, 3}},
    [DIMENSION_COUNTRIES] = {"countries", {512, 1024, 2}},
    [DIMENSION_THREATS] = {"threats", {256, 1024, PACKED_WORD}},
    [DIMENSION_METHODS] = {"methods", {256, 1024, PACKED_WORD}},
    [DIMENSION_VERSIONS] = {"versions", {256, 1024, 8}},
};

enum dimension
dimension_find(struct slice name)
{
    unsigned d = 0;

    while (d < DIMENSIONS && !slice_eq(name, slice_str(dimensions[d].name)))
        d++;
    return (enum dimension) d;
}

/* ------------------------------------------------------------------ tallies */

void
tally_clear(struct tally *t)
{
    memset(t, 0, sizeof(*t));
}

void
tally_merge(struct tally *into, const struct tally *t)
{
    for (size_t i = 0; i < TALLY_NUMBERS; i++)
        into->numbers[i] += t->numbers[i];
    histogram_merge(&into->took, &t->took);
    histogram_merge(&into->origin, &t->origin);
    uniques_merge(&into->visitors, &t->visitors);
}

/* Without an answer, or with one that says that it is not the client's fault. */
static bool
is_error(const struct packed *r)
{
    return r->status >= 500 || r->status == 0;
}

static void
tally_add(struct tally *t, const struct packed *r)
{
    uint64_t *n = t->numbers;

    n[TALLY_REQUESTS]++;
    n[TALLY_ERRORS] += is_error(r);
    n[TALLY_CLIENT_ERRORS] += r->status >= 400 && r->status < 500;
    n[TALLY_THREATS] += r->n[TEXT_THREAT] > 0;
    n[TALLY_SECURE] += (r->flags & PACKED_SECURE) != 0;
    n[TALLY_BYTES_IN] += r->bytes_in;
    n[TALLY_BYTES_OUT] += r->bytes_out;
    n[TALLY_CLIENT_CONNECTIONS] += (r->flags & PACKED_FIRST) != 0;
    histogram_add(&t->took, r->took_us);
    if (r->flags & PACKED_HIT) {
        n[TALLY_HITS]++;
        n[TALLY_SAVED_US] += r->saved_us;
    }
    if (r->flags & PACKED_ASKED) {
        n[TALLY_SERVER_REQUESTS]++;
        n[TALLY_SERVER_CONNECTIONS] += !(r->flags & PACKED_REUSED);
        histogram_add(&t->origin, r->origin_us);
    }
}

/* ------------------------------------------------------------------ a period's memory */

static size_t
scaled(size_t n, int scale, size_t least)
{
    n = scale >= 0 ? n << scale : n >> -scale;
    return n > least ? n : least;
}

static struct top_shape
shape_of(enum dimension d, int scale, bool filtered)
{
    const struct top_shape *written = &dimensions[d].shape;
    struct top_shape shape = {.text = written->text};

    shape.entries = scaled(written->entries, scale, TOP_WAYS);
    if (filtered)
        shape.cells = scaled(written->cells, scale, shape.entries / TOP_WAYS);
    return shape;
}

static size_t
aligned(size_t n)
{
    return (n + 63) & ~(size_t) 63;
}

static size_t
order_bytes(int scale)
{
    return aligned(shape_of(DIMENSION_PATHS, scale, false).entries * sizeof(void *));
}

size_t
period_bytes(int scale, bool filtered)
{
    size_t n = aligned(sizeof(struct period)) + order_bytes(scale);

    for (unsigned d = 0; d < DIMENSIONS; d++) {
        struct top_shape shape = shape_of(d, scale, filtered);

        n += aligned(top_bytes(&shape));
    }
    return n;
}

struct period *
period_new(int scale, bool filtered)
{
    size_t bytes = period_bytes(scale, filtered);
    struct period *p = calloc(1, bytes);
    char *at = (char *) p + aligned(sizeof(*p));

    if (!p)
        return NULL;
    p->bytes = bytes;
    p->order = (void *) at;
    at += order_bytes(scale);
    for (unsigned d = 0; d < DIMENSIONS; d++) {
        struct top_shape shape = shape_of(d, scale, filtered);

        top_init(&p->tops[d], &shape, at);
        at += aligned(top_bytes(&shape));
    }
    return p;
}

void
period_free(struct period *p)
{
    free(p);
}

void
period_clear(struct period *p)
{
    tally_clear(&p->tally);
    memset(p->combinations, 0, sizeof(p->combinations));
    for (unsigned d = 0; d < DIMENSIONS; d++)
        top_clear(&p->tops[d]);
}

bool
period_is_empty(const struct period *p)
{
    return p->tally.numbers[TALLY_REQUESTS] == 0 && p->tally.numbers[TALLY_MISSED] == 0;
}

/* ------------------------------------------------------------------ a record */

static struct slice
version_name(unsigned version)
{
    switch (version) {
    case 10: return SLICE("HTTP/1.0");
    case 11: return SLICE("HTTP/1.1");
    case 20: return SLICE("HTTP/2");
    case 30: return SLICE("HTTP/3");
    default: return SLICE("");
    }
}

static struct slice
status_name(unsigned status, char out[3])
{
    out[0] = (char) ('0' + status / 100 % 10);
    out[1] = (char) ('0' + status / 10 % 10);
    out[2] = (char) ('0' + status % 10);
    return slice_of(out, 3);
}

/* An empty key is not counted. */
static void
add(struct period *p, enum dimension d, struct slice key, const struct top_counts *counts)
{
    if (key.n)
        top_add(&p->tops[d], key, counts);
}

/* What was counted of a combination goes into its lists. */
static void
settle(void *arg, struct combination *c)
{
    static const enum dimension lists[COMBINATION_TEXTS] = {
        [TEXT_ROUTE] = DIMENSION_ROUTES,   [TEXT_UPSTREAM] = DIMENSION_UPSTREAMS,
        [TEXT_METHOD] = DIMENSION_METHODS, [TEXT_THREAT] = DIMENSION_THREATS,
        [TEXT_HOST] = DIMENSION_HOSTS,
    };
    struct period *p = arg;
    const char *at = c->texts;
    char status[3];

    for (size_t i = 0; i < COMBINATION_TEXTS; at += c->head.n[i++])
        add(p, lists[i], slice_of(at, c->head.n[i]), &c->counts);
    if (c->head.status)
        add(p, DIMENSION_STATUSES, status_name(c->head.status, status), &c->counts);
    add(p, DIMENSION_VERSIONS, version_name(c->head.version), &c->counts);
    c->hash = 0;
}

void
period_settle(struct period *p)
{
    for (size_t i = 0; i < COMBINATIONS; i++)
        if (p->combinations[i].hash)
            settle(p, &p->combinations[i]);
}

/* What is cut is zero bytes: a key still tells by its length of which kind the address is. */
static struct slice
client_key(const struct packed *r, enum analytics_anonymize anonymize, uint8_t out[PACKED_ADDRESS])
{
    memcpy(out, r->address, PACKED_ADDRESS);
    if (anonymize == ANALYTICS_ADDRESSES_CUT && r->address_n == 4)
        out[3] = 0;
    if (anonymize == ANALYTICS_ADDRESSES_CUT && r->address_n == 16)
        memset(out + 6, 0, 10);
    return slice_of((const char *) out, r->address_n);
}

/* Where visitors come from: scheme, host and path of another site; what links inside of a site tell
 * is in the paths already, and queries are nobody's business. */
static struct slice
referrer_key(struct slice referrer, struct slice host)
{
    const bool secure = slice_starts(referrer, SLICE("https://"));
    struct slice key, rest, name;

    if (!secure && !slice_starts(referrer, SLICE("http://")))
        return SLICE("");
    key = slice_first(referrer, slice_find(referrer, '?'));
    key = slice_first(key, slice_find(key, '#'));
    rest = slice_from(key, secure ? 8 : 7);
    name = slice_cut(&rest, '/');
    if (slice_starts_nocase(name, host) && (name.n == host.n || name.at[host.n] == ':'))
        return SLICE("");
    return key;
}

static struct slice
text_at(const struct packed *r, const char *const at[PACKED_TEXTS + 1], enum packed_text which)
{
    return slice_of(at[which], r->n[which]);
}

/* A visitor is an address with an agent. */
static void
add_visitor(struct period *p, const struct packed *r, struct slice agent, uint64_t agent_hash)
{
    struct agent_hashes *known = &p->agents[agent_hash & (AGENTS_REMEMBERED - 1)];
    struct {
        uint8_t  address[PACKED_ADDRESS];
        uint64_t agent;
    } who;

    if (known->own != agent_hash)
        *known = (struct agent_hashes){agent_hash, hash_stable(agent)};
    memcpy(who.address, r->address, sizeof(who.address));
    who.agent = known->stable;
    uniques_add(&p->tally.visitors, hash_stable(slice_of((const char *) &who, sizeof(who))));
}

static void
add_combination(struct period *p, const struct packed *r)
{
    struct combination *c = combination_find(p->combinations, r, settle, p);

    c->counts.requests++;
    c->counts.errors += is_error(r);
    c->counts.bytes += r->bytes_out;
    c->counts.took_us += r->took_us;
}

/* The lists of which the memory has to come from far are told first what is wanted. */
void
period_add(struct period *p, const struct packed *r, struct slice country,
           enum analytics_anonymize anonymize)
{
    const struct top_counts counts = {1, is_error(r), r->bytes_out, r->took_us};
    const char *at[PACKED_TEXTS + 1];
    uint8_t address[PACKED_ADDRESS];
    struct slice path, client, agent;
    uint64_t path_hint, client_hint, agent_hint;

    packed_texts(r, at);
    path = slice_of(at[TEXT_HOST], (size_t) r->n[TEXT_HOST] + r->n[TEXT_PATH]);
    client = client_key(r, anonymize, address);
    agent = text_at(r, at, TEXT_AGENT);
    path_hint = top_hint(&p->tops[DIMENSION_PATHS], path);
    client_hint = top_hint(&p->tops[DIMENSION_CLIENTS], client);
    agent_hint = top_hint(&p->tops[DIMENSION_AGENTS], agent);
    tally_add(&p->tally, r);
    add_combination(p, r);
    add_visitor(p, r, agent, agent_hint);
    if (path.n)
        top_add_hinted(&p->tops[DIMENSION_PATHS], path, path_hint, &counts);
    if (client.n)
        top_add_hinted(&p->tops[DIMENSION_CLIENTS], client, client_hint, &counts);
    if (agent.n)
        top_add_hinted(&p->tops[DIMENSION_AGENTS], agent, agent_hint, &counts);
    if (r->n[TEXT_REFERRER])
        add(p, DIMENSION_REFERRERS,
            referrer_key(text_at(r, at, TEXT_REFERRER), text_at(r, at, TEXT_HOST)), &counts);
    add(p, DIMENSION_COUNTRIES, country, &counts);
}

/* ------------------------------------------------------------------ merging */

void
period_merge(struct period *into, struct period *from)
{
    period_settle(from);
    tally_merge(&into->tally, &from->tally);
    for (unsigned d = 0; d < DIMENSIONS; d++) {
        const struct top *t = &from->tops[d];
        size_t n = top_list(t, from->order);

        top_merge_begin(&into->tops[d], top_unseen(t, from->order, n, n));
        for (size_t i = 0; i < n; i++)
            top_merge(&into->tops[d], top_key(from->order[i]), &from->order[i]->counts,
                      from->order[i]->within);
        top_merge_end(&into->tops[d]);
    }
}
