/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exchange/route_explain.c - why a request gets the route it gets, for `maitred explain`.
 *
 * Asks the routes one after the other, without the index: it is as much a second opinion as an
 * explanation.
 */
#include "base/check.h"
#include "exchange/route_index.h"
#include "exchange/trace.h"
#include "http/message.h"

enum { LISTED_MAX = 5, LINES_MAX = 100, FEW_ROUTES = 20 };

/* ------------------------------------------------------------------ what was wanted */

/* "a", "a or b", "a, b or c"; long lists are cut. */
static void
put_choices(struct text *out, const struct slice *at, size_t n)
{
    for (size_t i = 0; i < n && i < LISTED_MAX; i++) {
        if (i)
            text_put(out, i + 1 == n ? SLICE(" or ") : SLICE(", "));
        text_put(out, at[i]);
    }
    if (n > LISTED_MAX)
        text_printf(out, " or %zu others", n - LISTED_MAX);
}

static void
put_given(struct text *out, const char *what, struct slice given)
{
    if (given.n)
        text_printf(out, "%s is %.*s, wants ", what, SLICE_ARG(given));
    else
        text_printf(out, "there is no %s, wants ", what);
}

static void
put_clients(struct text *out, const struct route *r)
{
    const struct network *networks = r->clients.at;
    size_t n = r->clients.n;

    for (size_t i = 0; i < n && i < LISTED_MAX; i++) {
        union address a = {.v6 = {.sin6_family = AF_INET6}};
        char text[ADDRESS_TEXT_MAX];
        unsigned bits = networks[i].bits;

        text_put(out, i == 0 ? SLICE("") : i + 1 == n ? SLICE(" or ") : SLICE(", "));
        if (bits == NETWORK_UNIX) {
            text_literal(out, "unix");
            continue;
        }
        memcpy(&a.v6.sin6_addr, networks[i].bytes, sizeof(networks[i].bytes));
        if (bits >= 96) {
            address_unmap(&a);
            bits -= a.any.sa_family == AF_INET ? 96 : 0;
        }
        text_put(out, slice_of(text, address_write_ip(&a, text)));
        text_printf(out, "/%u", bits);
    }
    if (n > LISTED_MAX)
        text_printf(out, " or %zu others", n - LISTED_MAX);
}

static struct slice
given_value(const struct pair_condition *p, struct exchange *x)
{
    const struct field *f;

    switch (p->source) {
    case PAIR_HEADER:
        f = fields_find(&x->request.fields, p->name);
        return f ? f->value : (struct slice){NULL, 0};
    case PAIR_QUERY:
        if (!x->request.target.query.n)
            return (struct slice){NULL, 0};
        return query_value(x->request.target.query, p->name, &x->arena);
    case PAIR_COOKIE: return fields_cookie(&x->request.fields, p->name);
    }
    UNREACHABLE();
}

static void
put_pair(struct text *out, const struct pair_condition *p, struct exchange *x)
{
    static const char *const names[] = {
        [PAIR_HEADER] = "header", [PAIR_QUERY] = "query parameter", [PAIR_COOKIE] = "cookie"};
    struct slice given = given_value(p, x);

    if (slice_is_present(given))
        text_printf(out, "%s %.*s is '%.*s', wants ", names[p->source], SLICE_ARG(p->name),
                    SLICE_ARG(given));
    else
        text_printf(out, "there is no %s %.*s, wants ", names[p->source], SLICE_ARG(p->name));
    switch (p->test) {
    case PAIR_PRESENT: text_literal(out, "any"); break;
    case PAIR_EQUAL: text_printf(out, "'%.*s'", SLICE_ARG(p->value)); break;
    case PAIR_MATCHES: text_printf(out, "a match of %.*s", SLICE_ARG(p->value)); break;
    }
}

static void
put_rest(struct text *out, const struct route *r, struct exchange *x)
{
    const struct pair_condition *pair;

    switch (route_rest_fails(r, x, &pair)) {
    case CONDITION_NONE: text_literal(out, "matches"); break;
    case CONDITION_METHOD:
        put_given(out, "method", x->request.method_token);
        put_choices(out, r->methods.at, r->methods.n);
        break;
    case CONDITION_SCHEME:
        put_given(out, "scheme", x->scheme);
        text_put(out, r->scheme);
        break;
    case CONDITION_LISTENER:
        put_given(out, "listener", x->client->listener);
        text_put(out, r->listener);
        break;
    case CONDITION_CLIENT:
        put_given(out, "client", x->client_ip);
        put_clients(out, r);
        break;
    case CONDITION_PAIR: put_pair(out, pair, x); break;
    case CONDITION_PATH_REGEX:
        put_given(out, "path", x->request.target.path);
        text_printf(out, "a match of %.*s", SLICE_ARG(regex_source(r->path_regex)));
        break;
    case CONDITION_WHEN:
        text_printf(out, "not true that %.*s", SLICE_ARG(expr_source(r->when)));
        break;
    }
}

/* ------------------------------------------------------------------ lines */

/* "routes[3] example.com (site.yaml:12:5): " */
static void
put_route(struct text *out, const struct route_set *s, const struct route *r, struct exchange *x)
{
    struct slice place = route_place(s, r, &x->arena);

    text_put(out, r->name);
    text_byte(out, ' ');
    if (route_conditions(r)->any_host)
        text_literal(out, "any host");
    else
        put_choices(out, r->hosts.at, r->hosts.n);
    if (place.n)
        text_printf(out, " (%.*s)", SLICE_ARG(place));
    text_literal(out, ": ");
}

static void
put_verdict(struct text *out, const struct route *r, struct exchange *x)
{
    if (!route_host_holds(r, x)) {
        put_given(out, "host", x->request.host);
        put_choices(out, r->hosts.at, r->hosts.n);
    } else if (!route_path_holds(r, x)) {
        put_given(out, "path", x->request.target.path);
        put_choices(out, r->paths.at, r->paths.n);
    } else {
        put_rest(out, r, x);
    }
}

void
route_note(const struct route *r, struct exchange *x)
{
    char room[400];
    struct text verdict;

    text_fixed(&verdict, room, sizeof(room));
    put_verdict(&verdict, r, x);
    exchange_note_object(x, r, "route", "%.*s: %.*s", SLICE_ARG(r->name),
                         SLICE_ARG(text_slice(&verdict)));
}

static bool
takes(const struct route *r, struct exchange *x)
{
    return route_host_holds(r, x) && route_path_holds(r, x) && route_rest_holds(r, x);
}

void
route_explain(const struct route_set *s, struct exchange *x, struct text *out)
{
    size_t lines = 0, left_out = 0;
    bool found = false;

    for (size_t i = 0; i < s->n && !found; i++) {
        const struct route *r = &s->routes[i];

        found = takes(r, x);
        /* Routes of other hosts are only of interest where there are few. */
        if (!found && (lines == LINES_MAX || (s->n > FEW_ROUTES && !route_host_holds(r, x)))) {
            left_out++;
            continue;
        }
        lines++;
        put_route(out, s, r, x);
        put_verdict(out, r, x);
        text_byte(out, '\n');
    }
    if (left_out)
        text_printf(out, "(%zu more routes do not match, most of them for other hosts)\n",
                    left_out);
    if (!found)
        text_literal(out, "no route matches\n");
}
