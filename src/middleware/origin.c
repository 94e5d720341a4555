/* SPDX-License-Identifier: Apache-2.0 */
/* middleware/origin.c - see origin.h. */
#include "middleware/origin.h"

#include "base/check.h"
#include "exchange/exchange.h"
#include "upstream/upstream.h"

/* ------------------------------------------------------------------ names of the server */

struct name {
    struct slice host; /* empty: this one says nothing */
    uint16_t     port; /* 0: any */
};

static bool
same_host(struct slice a, struct slice b)
{
    union address x, y;

    if (a.n && a.at[a.n - 1] == '.')
        a.n--;
    if (b.n && b.at[b.n - 1] == '.')
        b.n--;
    if (slice_eq_nocase(a, b))
        return a.n > 0;
    return address_parse_ip(a, 0, &x) && address_parse_ip(b, 0, &y) && address_same_ip(&x, &y);
}

/* Port 0 where the text has none. */
static bool
split(struct slice text, struct slice *host, uint16_t *port)
{
    if (!address_split(text, 0, host, port)) {
        if (!address_split(text, 80, host, port))
            return false;
        *port = 0;
    }
    return host->n > 0;
}

/* The servers that the route's upstream has, those of this exchange among them; NULL without
 * one. */
static const struct option_list *
configured_servers(const struct exchange *x)
{
    const struct upstream_terminal *terminal;

    if (!x->relay.terminal)
        return NULL;
    terminal = x->relay.terminal->config;
    return terminal->config ? &terminal->config->servers : NULL;
}

/* The i-th name, from 0; false behind the last. */
static bool
name_at(const struct exchange *x, size_t i, struct name *name)
{
    const struct option_list *servers = configured_servers(x);
    const struct server_config *server;
    struct slice text;

    if (i == 0) {
        text = x->relay.server;
    } else if (i == 1) {
        text = fields_value(&x->request.fields, FIELD_HOST);
    } else {
        if (!servers || i - 2 >= servers->n)
            return false;
        server = servers->at;
        text = server[i - 2].address;
    }
    if (!split(text, &name->host, &name->port) ||
        (i == 1 && same_host(name->host, x->request.host))) /* the client's word, handed on */
        name->host = SLICE("");
    return true;
}

/* port 0: the text that names the host gives none. */
static bool
is_origin(const struct exchange *x, struct slice host, uint16_t port)
{
    struct name name;

    for (size_t i = 0; name_at(x, i, &name); i++)
        if (same_host(name.host, host) && (port == 0 || name.port == 0 || name.port == port))
            return true;
    return false;
}

/* ------------------------------------------------------------------ URIs */

/* An absolute URI or a reference that starts with "//", cut into pieces of the text. */
struct pieces {
    struct slice scheme; /* "http:", or empty */
    struct slice authority;
    struct slice rest; /* path, query and fragment */
};

static bool
has_http_scheme(struct slice uri, size_t *n)
{
    static const struct slice schemes[] = {SLICE_INIT("http:"), SLICE_INIT("https:"),
                                           SLICE_INIT("")};

    for (size_t i = 0; i < countof(schemes); i++) {
        *n = schemes[i].n;
        if (slice_starts_nocase(uri, schemes[i]) && slice_starts(slice_from(uri, *n), SLICE("//")))
            return true;
    }
    return false;
}

static bool
cut_uri(struct slice uri, struct pieces *p)
{
    size_t n, end = 0;

    if (!has_http_scheme(uri, &n))
        return false;
    p->scheme = slice_first(uri, n);
    uri = slice_from(uri, n + 2);
    while (end < uri.n && !strchr("/?#\\", uri.at[end]))
        end++;
    p->authority = slice_first(uri, end);
    p->rest = slice_from(uri, end);
    return true;
}

/* What follows the userinfo. */
static struct slice
host_and_port(struct slice authority)
{
    size_t at;

    while ((at = slice_find(authority, '@')) != SLICE_NOT_FOUND)
        authority = slice_from(authority, at + 1);
    return authority;
}

/* For a client that gave no host, HTTP/1.0 that is, only a relative reference can be right. */
static struct slice
public_uri(struct exchange *x, const struct pieces *p)
{
    struct slice authority = x->request.authority;
    const char *slash = slice_starts(p->rest, SLICE("/")) ? "" : "/";

    if (authority.n == 0)
        return arena_printf(&x->arena, "%s%.*s", slash, SLICE_ARG(p->rest));
    if (p->scheme.n == 0)
        return arena_printf(&x->arena, "//%.*s%.*s", SLICE_ARG(authority), SLICE_ARG(p->rest));
    return arena_printf(&x->arena, "%.*s://%.*s%.*s", SLICE_ARG(x->scheme), SLICE_ARG(authority),
                        SLICE_ARG(p->rest));
}

/* The client's own host, with the port that the server listens on: it knows the one from Host and
 * the other from its own configuration (nginx does so by default). */
static bool
is_our_host_at_its_port(const struct exchange *x, struct slice host, uint16_t port)
{
    struct slice served;
    uint16_t served_port;

    return port != 0 && same_host(host, x->request.host) &&
           split(x->relay.server, &served, &served_port) && served_port == port;
}

struct slice
origin_publish_uri(struct exchange *x, struct slice uri)
{
    struct pieces p;
    struct slice named, host;
    uint16_t port;

    if (!cut_uri(uri, &p))
        return uri;
    named = host_and_port(p.authority);
    if (slice_eq_nocase(named, x->request.authority) || !split(named, &host, &port) ||
        !(is_origin(x, host, port) || is_our_host_at_its_port(x, host, port)))
        return uri;
    return public_uri(x, &p);
}

static size_t
search_nocase(struct slice s, struct slice what)
{
    for (size_t i = 0; i + what.n <= s.n; i++)
        if (slice_starts_nocase(slice_from(s, i), what))
            return i;
    return SLICE_NOT_FOUND;
}

struct slice
origin_publish_refresh(struct exchange *x, struct slice value)
{
    size_t start = search_nocase(value, SLICE("url=")), length;
    struct slice rest, uri;

    if (start == SLICE_NOT_FOUND)
        return value;
    start += strlen("url=");
    while (start < value.n && strchr(" \t\"'", value.at[start]))
        start++;
    rest = slice_from(value, start);
    for (length = 0; length < rest.n && !strchr("\"'", rest.at[length]);)
        length++;
    uri = origin_publish_uri(x, slice_first(rest, length));
    if (uri.at == rest.at || !slice_is_present(uri))
        return uri.at ? value : uri;
    return arena_printf(&x->arena, "%.*s%.*s%.*s", SLICE_ARG(slice_first(value, start)),
                        SLICE_ARG(uri), SLICE_ARG(slice_from(rest, length)));
}

/* ------------------------------------------------------------------ cookies */

/* RFC 6265 5.1.3: the host itself, or a name below the domain. */
static bool
domain_matches(struct slice host, struct slice domain)
{
    union address ip;

    if (same_host(host, domain))
        return true;
    return host.n > domain.n && host.at[host.n - domain.n - 1] == '.' &&
           slice_eq_nocase(slice_from(host, host.n - domain.n), domain) &&
           !address_parse_ip(host, 0, &ip);
}

static struct slice
strip(struct slice s, char c)
{
    if (s.n && s.at[0] == c)
        s = slice_from(s, 1);
    if (s.n && s.at[s.n - 1] == c)
        s.n--;
    return s;
}

static bool
domain_is_origin(const struct exchange *x, struct slice domain)
{
    struct name name;
    struct slice host;
    uint16_t port;

    domain = strip(strip(domain, '"'), '.');
    if (address_split(domain, 80, &host, &port)) /* servers that give a port, against the rules */
        domain = host;
    if (domain.n == 0 || domain_matches(x->request.host, domain))
        return false;
    for (size_t i = 0; name_at(x, i, &name); i++)
        if (domain_matches(name.host, domain))
            return true;
    return false;
}

static bool
attribute_is_origin(const struct exchange *x, struct slice attribute)
{
    struct slice name = slice_cut(&attribute, '=');

    return slice_is_present(attribute) && slice_eq_nocase(slice_trim(name), SLICE("Domain")) &&
           domain_is_origin(x, slice_trim(attribute));
}

static struct slice
without_origin(struct exchange *x, struct slice value)
{
    char *out = arena_alloc(&x->arena, value.n + 1), *end = out;
    struct slice rest = value;
    struct slice part = slice_cut(&rest, ';');

    if (!out)
        return (struct slice){NULL, 0};
    end = mempcpy(end, part.at, part.n);
    while (slice_is_present(rest)) {
        part = slice_cut(&rest, ';');
        if (attribute_is_origin(x, part))
            continue;
        *end++ = ';';
        end = mempcpy(end, part.at, part.n);
    }
    return slice_of(out, (size_t) (end - out));
}

struct slice
origin_publish_cookie(struct exchange *x, struct slice value)
{
    struct slice rest = value;

    slice_cut(&rest, ';'); /* name and value: a cookie called Domain is none of our business */
    while (slice_is_present(rest))
        if (attribute_is_origin(x, slice_cut(&rest, ';')))
            return without_origin(x, value);
    return value;
}
