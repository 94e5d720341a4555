/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runtime/dns_message.c - SRV records out of a DNS message (RFC 1035 section 4, RFC 2782).
 *
 * c-ares reads them too, but the version in Debian 12 keeps their TTL to itself, and without it
 * nobody knows when to ask again.  Compressed names, the dangerous part, are left to c-ares.
 */
#include "runtime/dns.h"

#include <ares.h>
#include <arpa/nameser.h>

enum {
    HEADER_BYTES = 12,
    QUESTION_BYTES = 4, /* behind its name: type, class */
    RECORD_BYTES = 10,  /* behind its name: type, class, TTL, length */
    SRV_BYTES = 6,      /* before the target's name: priority, weight, port */
};

struct reader {
    const unsigned char *at, *end;
    struct slice         message;
};

static uint16_t
get_16(const unsigned char *at)
{
    return (uint16_t) (at[0] << 8 | at[1]);
}

static uint32_t
get_32(const unsigned char *at)
{
    return (uint32_t) get_16(at) << 16 | get_16(at + 2);
}

/* n bytes, NULL when there are fewer. */
static const unsigned char *
take_bytes(struct reader *r, size_t n)
{
    const unsigned char *at = r->at;

    if (n > (size_t) (r->end - at))
        return NULL;
    r->at += n;
    return at;
}

/* Over a name: labels up to the empty one, or up to a pointer, which is its last part. */
static bool
skip_name(struct reader *r)
{
    const unsigned char *length;

    while ((length = take_bytes(r, 1))) {
        if (*length == 0)
            return true;
        if ((*length & NS_CMPRSFLGS) == NS_CMPRSFLGS)
            return take_bytes(r, 1);
        if (*length & NS_CMPRSFLGS || !take_bytes(r, *length))
            return false;
    }
    return false;
}

/* A name as text; the root is an empty one. */
static bool
read_name(const struct reader *r, const unsigned char *at, char *out)
{
    char *name = NULL;
    long length;
    bool fits;

    if (ares_expand_name(at, (const unsigned char *) r->message.at, (int) r->message.n, &name,
                         &length) != ARES_SUCCESS)
        return false;
    fits = strlen(name) <= DNS_NAME_MAX;
    if (fits)
        memcpy(out, name, strlen(name) + 1);
    ares_free_string(name);
    return fits;
}

static int
compare(const struct dns_srv_target *a, const struct dns_srv_target *b)
{
    int order;

    if (a->priority != b->priority)
        return a->priority < b->priority ? -1 : 1;
    order = strcmp(a->name, b->name);
    return order ? order : (int) a->port - (int) b->port;
}

/* In its order; when there is no room for all, the last gives way. */
static void
insert(struct dns_srv_answer *answer, const struct dns_srv_target *target)
{
    size_t i = answer->n;

    if (i == DNS_SRV_MAX && compare(target, &answer->targets[--i]) >= 0)
        return;
    while (i > 0 && compare(target, &answer->targets[i - 1]) < 0)
        i--;
    if (answer->n < DNS_SRV_MAX)
        answer->n++;
    memmove(&answer->targets[i + 1], &answer->targets[i],
            (answer->n - 1 - i) * sizeof(answer->targets[0]));
    answer->targets[i] = *target;
}

static bool
read_srv(const struct reader *r, const unsigned char *data, size_t n,
         struct dns_srv_answer *answer)
{
    struct dns_srv_target target;

    if (n <= SRV_BYTES || !read_name(r, data + SRV_BYTES, target.name))
        return false;
    target.priority = get_16(data);
    target.weight = get_16(data + 2);
    target.port = get_16(data + 4);
    if (target.name[0] && target.port) /* "." says that there is no such service */
        insert(answer, &target);
    return true;
}

/* Aliases (CNAME) on the way to the records bound their time too.  *found counts SRV records. */
static bool
read_record(struct reader *r, struct dns_srv_answer *answer, size_t *found)
{
    const unsigned char *head, *data;
    uint32_t ttl_s;

    if (!skip_name(r) || !(head = take_bytes(r, RECORD_BYTES)) ||
        !(data = take_bytes(r, get_16(head + 8))))
        return false;
    ttl_s = get_32(head + 4);
    if (ttl_s > INT32_MAX)
        ttl_s = 0; /* RFC 2181 section 8 */
    if (ttl_s < answer->ttl_s)
        answer->ttl_s = ttl_s;
    if (get_16(head) != ns_t_srv || get_16(head + 2) != ns_c_in)
        return true;
    ++*found;
    return read_srv(r, data, get_16(head + 8), answer);
}

enum err
dns_srv_read(struct slice message, struct dns_srv_answer *answer)
{
    const unsigned char *start = (const unsigned char *) message.at;
    struct reader r = {start, start + message.n, message};
    const unsigned char *header = take_bytes(&r, HEADER_BYTES);
    size_t found = 0;

    answer->n = 0;
    answer->ttl_s = UINT32_MAX;
    if (!header || message.n > NS_MAXMSG)
        return ERR_MALFORMED;
    for (uint16_t i = get_16(header + 4); i > 0; i--)
        if (!skip_name(&r) || !take_bytes(&r, QUESTION_BYTES))
            return ERR_MALFORMED;
    for (uint16_t i = get_16(header + 6); i > 0; i--)
        if (!read_record(&r, answer, &found))
            return ERR_MALFORMED;
    return found ? OK : ERR_NOT_FOUND;
}
