/* SPDX-License-Identifier: Apache-2.0 */
/* analytics/packed.c - making a record small, on the worker that made it. */
#include "analytics/packed.h"

#include "base/address.h"
#include "base/check.h"
#include "base/map.h"

static const uint8_t most[PACKED_TEXTS] = {
    [TEXT_HOST] = PACKED_HOST,         [TEXT_PATH] = PACKED_PATH,
    [TEXT_AGENT] = PACKED_AGENT,       [TEXT_REFERRER] = PACKED_REFERRER,
    [TEXT_ROUTE] = PACKED_NAME,        [TEXT_UPSTREAM] = PACKED_NAME,
    [TEXT_METHOD] = PACKED_WORD,       [TEXT_THREAT] = PACKED_WORD,
};

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
write_address(const union address *a, uint8_t out[PACKED_ADDRESS])
{
    memset(out, 0, PACKED_ADDRESS);
    switch (a->any.sa_family) {
    case AF_INET: memcpy(out, &a->v4.sin_addr, 4); return 4;
    case AF_INET6:
        if (IN6_IS_ADDR_V4MAPPED(&a->v6.sin6_addr)) {
            memcpy(out, a->v6.sin6_addr.s6_addr + 12, 4);
            return 4;
        }
        memcpy(out, &a->v6.sin6_addr, 16);
        return 16;
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

static char *
write_text(struct packed *out, enum packed_text which, struct slice s, char *at)
{
    const size_t room = most[which];

    if (unlikely(s.n > room)) {
        write_cut(s, room, at);
        out->n[which] = (uint8_t) room;
        return at + room;
    }
    if (s.n)
        memcpy(at, s.at, s.n);
    out->n[which] = (uint8_t) s.n;
    return at + s.n;
}

size_t
packed_write(const struct analytics_fact *fact, struct packed *out)
{
    char *at = out->text;

    out->took_us = fact->took_us;
    out->origin_us = fact->origin_us;
    out->saved_us = fact->saved_us;
    out->bytes_in = fact->bytes_in;
    out->bytes_out = fact->bytes_out;
    out->status = (uint16_t) (fact->status < 1000 ? fact->status : 0);
    out->version = (uint8_t) fact->version;
    out->flags = flags_of(fact);
    out->address_n = write_address(&fact->client_address, out->address);
    at = write_text(out, TEXT_ROUTE, fact->route, at);
    at = write_text(out, TEXT_UPSTREAM, fact->upstream, at);
    at = write_text(out, TEXT_METHOD, fact->method, at);
    at = write_text(out, TEXT_THREAT, fact->threat, at);
    at = write_text(out, TEXT_HOST, fact->host, at);
    at = write_text(out, TEXT_PATH, fact->path, at);
    at = write_text(out, TEXT_AGENT, fact->agent, at);
    at = write_text(out, TEXT_REFERRER, fact->referrer, at);
    return (size_t) (at - (char *) out);
}

void
packed_texts(const struct packed *p, const char *at[PACKED_TEXTS + 1])
{
    at[0] = p->text;
    for (size_t i = 0; i < PACKED_TEXTS; i++)
        at[i + 1] = at[i] + p->n[i];
}
