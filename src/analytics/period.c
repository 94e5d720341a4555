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

/* A visitor is an address with an agent.  The hash is the same in every process, for visitors of
 * different minutes are compared. */
static uint64_t
visitor_of(const struct packed *r, struct slice agent)
{
    struct {
        uint8_t  address[PACKED_ADDRESS];
        uint64_t agent;
    } who;

    memcpy(who.address, r->address, sizeof(who.address));
    who.agent = hash_stable(agent);
    return hash_stable(slice_of((const char *) &who, sizeof(who)));
}

static void
tally_add(struct tally *t, const struct packed *r, struct slice agent)
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
    uniques_add(&t->visitors, visitor_of(r, agent));
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
    size_t scheme = referrer.n ? slice_search(referrer, SLICE("://")) : SLICE_NOT_FOUND;
    struct slice rest, name;
    size_t end = 0;

    while (end < referrer.n && referrer.at[end] != '?' && referrer.at[end] != '#')
        end++;
    referrer.n = end;
    if (scheme == SLICE_NOT_FOUND || scheme + 3 >= end)
        return referrer;
    rest = slice_from(referrer, scheme + 3);
    name = slice_cut(&rest, '/');
    if (slice_eq_nocase(name, host))
        return SLICE("");
    name = slice_first(name, host.n + 1);
    if (name.n == host.n + 1 && name.at[host.n] == ':' &&
        slice_eq_nocase(slice_first(name, host.n), host))
        return SLICE("");
    return referrer;
}

/* Every key of a record; one that it does not have is empty. */
static void
find_keys(const struct packed *r, struct slice keys[DIMENSIONS])
{
    const char *at[PACKED_TEXTS + 1];
    struct slice texts[PACKED_TEXTS];

    packed_texts(r, at);
    for (size_t i = 0; i < PACKED_TEXTS; i++)
        texts[i] = slice_of(at[i], r->n[i]);
    keys[DIMENSION_PATHS] = slice_of(at[TEXT_HOST], texts[TEXT_HOST].n + texts[TEXT_PATH].n);
    keys[DIMENSION_AGENTS] = texts[TEXT_AGENT];
    keys[DIMENSION_REFERRERS] = referrer_key(texts[TEXT_REFERRER], texts[TEXT_HOST]);
    keys[DIMENSION_HOSTS] = texts[TEXT_HOST];
    keys[DIMENSION_ROUTES] = texts[TEXT_ROUTE];
    keys[DIMENSION_UPSTREAMS] = texts[TEXT_UPSTREAM];
    keys[DIMENSION_THREATS] = texts[TEXT_THREAT];
    keys[DIMENSION_METHODS] = texts[TEXT_METHOD];
    keys[DIMENSION_VERSIONS] = version_name(r->version);
}

/* Lists in which hardly two records in a row have the same key come first. */
static bool
is_various(unsigned d)
{
    return d <= DIMENSION_REFERRERS;
}

void
period_add(struct period *p, const struct packed *r, struct slice country,
           enum analytics_anonymize anonymize)
{
    const struct top_counts counts = {1, is_error(r), r->bytes_out, r->took_us};
    struct slice keys[DIMENSIONS];
    uint64_t hints[DIMENSION_REFERRERS + 1];
    uint8_t address[PACKED_ADDRESS];
    char status[3];

    find_keys(r, keys);
    keys[DIMENSION_CLIENTS] = client_key(r, anonymize, address);
    keys[DIMENSION_STATUSES] = r->status ? status_name(r->status, status) : SLICE("");
    keys[DIMENSION_COUNTRIES] = country;
    for (unsigned d = 0; is_various(d); d++)
        hints[d] = keys[d].n ? top_hint(&p->tops[d], keys[d]) : 0;
    tally_add(&p->tally, r, keys[DIMENSION_AGENTS]);
    for (unsigned d = 0; d < DIMENSIONS; d++) {
        if (keys[d].n == 0)
            continue;
        if (is_various(d))
            top_add_hinted(&p->tops[d], keys[d], hints[d], &counts);
        else
            top_add(&p->tops[d], keys[d], &counts);
    }
}

/* ------------------------------------------------------------------ merging */

void
period_merge(struct period *into, const struct period *from)
{
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
