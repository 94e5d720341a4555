/* SPDX-License-Identifier: Apache-2.0 */
/* analytics/packed.c - making a record small, on the worker that made it. */
#include "analytics/packed.h"

#include "base/address.h"
#include "base/map.h"

static const uint8_t most[PACKED_TEXTS] = {
    [TEXT_HOST] = PACKED_HOST,         [TEXT_PATH] = PACKED_PATH,
    [TEXT_AGENT] = PACKED_AGENT,       [TEXT_REFERRER] = PACKED_REFERRER,
    [TEXT_ROUTE] = PACKED_NAME,        [TEXT_UPSTREAM] = PACKED_NAME,
    [TEXT_METHOD] = PACKED_WORD,       [TEXT_THREAT] = PACKED_WORD,
};

static void
list_texts(const struct analytics_fact *fact, struct slice texts[PACKED_TEXTS])
{
    texts[TEXT_HOST] = fact->host;
    texts[TEXT_PATH] = fact->path;
    texts[TEXT_AGENT] = fact->agent;
    texts[TEXT_REFERRER] = fact->referrer;
    texts[TEXT_ROUTE] = fact->route;
    texts[TEXT_UPSTREAM] = fact->upstream;
    texts[TEXT_METHOD] = fact->method;
    texts[TEXT_THREAT] = fact->threat;
}

size_t
packed_bytes(const struct analytics_fact *fact)
{
    struct slice texts[PACKED_TEXTS];
    size_t n = sizeof(struct packed);

    list_texts(fact, texts);
    for (size_t i = 0; i < PACKED_TEXTS; i++)
        n += texts[i].n < most[i] ? texts[i].n : most[i];
    return n;
}

/* Too long: its beginning, and what tells it from others that begin so. */
static void
write_cut(struct slice s, size_t room, char *out)
{
    static const char digits[] = "0123456789abcdef";
    uint64_t hash = hash_stable(s);

    memcpy(out, s.at, room - 9);
    out[room - 9] = '~';
    for (size_t i = room - 8; i < room; i++, hash >>= 4)
        out[i] = digits[hash & 15];
}

static uint8_t
write_address(const union address *from, uint8_t out[PACKED_ADDRESS])
{
    union address a = *from;

    address_unmap(&a);
    switch (a.any.sa_family) {
    case AF_INET: memcpy(out, &a.v4.sin_addr, 4); return 4;
    case AF_INET6: memcpy(out, &a.v6.sin6_addr, 16); return 16;
    default: return 0;
    }
}

static uint8_t
flags_of(const struct analytics_fact *f)
{
    return (uint8_t) ((f->secure ? PACKED_SECURE : 0) | (f->cache_hit ? PACKED_HIT : 0) |
                      (f->asked_server ? PACKED_ASKED : 0) | (f->reused ? PACKED_REUSED : 0) |
                      (f->first ? PACKED_FIRST : 0));
}

void
packed_write(const struct analytics_fact *fact, struct packed *out)
{
    struct slice texts[PACKED_TEXTS];
    char *at = out->text;

    *out = (struct packed){
        .took_us = fact->took_us,
        .origin_us = fact->origin_us,
        .saved_us = fact->saved_us,
        .bytes_in = fact->bytes_in,
        .bytes_out = fact->bytes_out,
        .status = (uint16_t) (fact->status < 1000 ? fact->status : 0),
        .version = (uint8_t) fact->version,
        .flags = flags_of(fact),
    };
    out->address_n = write_address(&fact->client_address, out->address);
    list_texts(fact, texts);
    for (size_t i = 0; i < PACKED_TEXTS; i++) {
        if (texts[i].n > most[i])
            write_cut(texts[i], most[i], at);
        else if (texts[i].n)
            memcpy(at, texts[i].at, texts[i].n);
        out->n[i] = (uint8_t) (texts[i].n < most[i] ? texts[i].n : most[i]);
        at += out->n[i];
    }
}

void
packed_texts(const struct packed *p, const char *at[PACKED_TEXTS + 1])
{
    at[0] = p->text;
    for (size_t i = 0; i < PACKED_TEXTS; i++)
        at[i + 1] = at[i] + p->n[i];
}
