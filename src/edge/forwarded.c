/* SPDX-License-Identifier: Apache-2.0 */
/*
 * edge/forwarded.c - who the client is, and what servers are told of it.
 *
 * X-Forwarded-* and Forwarded (RFC 7239) are set from scratch, unless the peer is in
 * trusted_proxies: then lists are appended to and the rest is kept, and the client is the last
 * address of the list that is not a trusted proxy itself.
 */
#include "edge/client.h"

bool
listener_trusts(const struct listener_config *config, const union address *a)
{
    const struct network *n = config->trusted_proxies.at;

    for (size_t i = 0; i < config->trusted_proxies.n; i++)
        if (network_has(&n[i], a))
            return true;
    return false;
}

/* The last element of a comma-separated list, which is cut off. */
static struct slice
cut_last(struct slice *list)
{
    size_t n = list->n;
    struct slice last;

    while (n > 0 && list->at[n - 1] != ',')
        n--;
    last = slice_trim(slice_from(*list, n));
    *list = slice_of(list->at, n ? n - 1 : 0);
    return last;
}

/* "1.2.3.4", "1.2.3.4:80", "[::1]:80", "::1" */
static bool
parse_element(struct slice text, union address *a)
{
    struct slice host;
    uint16_t port;

    if (address_parse_ip(text, 0, a))
        return true;
    return address_split(text, 1, &host, &port) && address_parse_ip(host, 0, a);
}

/* A list field that came in several lines, as one (RFC 9110 5.3); absent when there is none. */
static struct slice
join(struct exchange *x, enum field_id id)
{
    struct fields *f = &x->request.fields;
    struct field *first = fields_get(f, id), *more = first;
    struct slice all = first ? first->value : (struct slice){NULL, 0};

    while (first && (more = fields_next(f, more, field_name(id))))
        all = arena_printf(&x->arena, "%.*s, %.*s", SLICE_ARG(all), SLICE_ARG(more->value));
    return all;
}

/* Walks X-Forwarded-For from its end, through our own proxies, to the client. */
static void
find_client(struct serving *s, const struct listener_config *config)
{
    struct exchange *x = &s->x;
    struct slice list = join(x, FIELD_X_FORWARDED_FOR);
    char text[ADDRESS_TEXT_MAX];

    while (list.n) {
        union address a;

        if (!parse_element(cut_last(&list), &a))
            break;
        address_unmap(&a);
        x->client_address = a;
        if (!listener_trusts(config, &a))
            break;
    }
    x->client_ip = arena_copy(&x->arena,
                              slice_of(text, address_write_ip(&x->client_address, text)));
}

static void
keep_trusted(struct serving *s, const struct listener_config *config)
{
    struct exchange *x = &s->x;
    struct slice proto = fields_value(&x->request.fields, FIELD_X_FORWARDED_PROTO);

    s->facts.trusted = true;
    if (fields_has(&x->request.fields, FIELD_X_FORWARDED_FOR))
        find_client(s, config);
    if (slice_eq_nocase(proto, SLICE("https")))
        x->scheme = SLICE("https");
    else if (slice_eq_nocase(proto, SLICE("http")))
        x->scheme = SLICE("http");
}

static void
drop_untrusted(struct fields *f)
{
    static const enum field_id ids[] = {FIELD_X_FORWARDED_FOR,  FIELD_X_FORWARDED_HOST,
                                        FIELD_X_FORWARDED_PORT, FIELD_X_FORWARDED_PROTO,
                                        FIELD_FORWARDED,        FIELD_X_REAL_IP};

    for (size_t i = 0; i < countof(ids); i++)
        if (fields_has(f, ids[i]))
            fields_remove(f, ids[i]);
}

/* Adds an element to a list field, or the field. */
static bool
append(struct exchange *x, enum field_id id, struct slice element)
{
    struct fields *f = &x->request.fields;
    struct slice old = fields_has(f, id) ? join(x, id) : (struct slice){NULL, 0};

    if (!old.n)
        return fields_set(f, id, element);
    element = arena_printf(&x->arena, "%.*s, %.*s", SLICE_ARG(old), SLICE_ARG(element));
    return slice_is_present(element) && fields_set(f, id, element);
}

static bool
add_missing(struct fields *f, enum field_id id, struct slice value)
{
    return fields_has(f, id) || value.n == 0 || fields_add(f, id, value);
}

/* for=1.2.3.4;host="example.com:8080";proto=http (RFC 7239 4) */
static struct slice
forwarded_element(struct serving *s)
{
    struct exchange *x = &s->x;
    struct slice peer = s->facts.peer_text;
    bool v6 = s->facts.peer.any.sa_family == AF_INET6, un = s->facts.peer.any.sa_family == AF_UNIX;
    struct text t;
    char *room = arena_alloc(&x->arena, 96 + x->request.authority.n);

    if (!room)
        return (struct slice){NULL, 0};
    text_fixed(&t, room, 96 + x->request.authority.n);
    text_put(&t, v6 ? SLICE("for=\"[") : SLICE("for="));
    text_put(&t, un ? SLICE("unknown") : peer);
    if (v6)
        text_literal(&t, "]\"");
    if (x->request.authority.n) {
        text_literal(&t, ";host=\"");
        text_put(&t, x->request.authority);
        text_literal(&t, "\"");
    }
    text_put(&t, s->facts.secure ? SLICE(";proto=https") : SLICE(";proto=http"));
    return text_slice(&t);
}

static struct slice
port_text(struct exchange *x, uint16_t port)
{
    char *out = arena_alloc(&x->arena, 8);

    return out ? slice_of(out, text_format_u64(out, port)) : (struct slice){NULL, 0};
}

bool
forwarded_apply(struct serving *s, const struct listener_config *config)
{
    struct exchange *x = &s->x;
    struct fields *f = &x->request.fields;
    bool unix_peer = s->facts.peer.any.sa_family == AF_UNIX, good = true;

    if (config->trusted_proxies.n && listener_trusts(config, &s->facts.peer))
        keep_trusted(s, config);
    else
        drop_untrusted(f);
    if (!unix_peer)
        good = append(x, FIELD_X_FORWARDED_FOR, s->facts.peer_text);
    good = good && add_missing(f, FIELD_X_FORWARDED_PROTO, x->scheme) &&
           add_missing(f, FIELD_X_FORWARDED_HOST, x->request.authority) &&
           (unix_peer ||
            add_missing(f, FIELD_X_FORWARDED_PORT, port_text(x, s->conn->local_port))) &&
           append(x, FIELD_FORWARDED, forwarded_element(s));
    if (!good) {
        exchange_refuse(x, 431, REASON_HEAD_TOO_LARGE, "no room for forwarded fields");
        x->close_client = true;
    }
    return good;
}
