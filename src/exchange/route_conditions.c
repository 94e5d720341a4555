/* SPDX-License-Identifier: Apache-2.0 */
/* exchange/route_conditions.c - do the conditions of a route hold for an exchange? */
#include "exchange/route_conditions.h"

#include "http/message.h"

/* ------------------------------------------------------------------ host and path */

bool
host_pattern_takes(struct slice pattern, struct slice host)
{
    if (pattern.n == 0 || pattern.at[0] != '*')
        return slice_eq(pattern, host);
    pattern = slice_from(pattern, 1);
    return pattern.n == 0 || (host.n > pattern.n && slice_ends(host, pattern));
}

bool
path_pattern_takes(const struct path_pattern *pattern, struct slice path)
{
    return pattern->prefix ? slice_starts(path, pattern->text) : slice_eq(path, pattern->text);
}

bool
route_host_holds(const struct route *r, const struct exchange *x)
{
    const struct slice *hosts = r->hosts.at;

    if (route_conditions(r)->any_host)
        return true;
    for (size_t i = 0; i < r->hosts.n; i++)
        if (host_pattern_takes(hosts[i], x->request.host))
            return true;
    return false;
}

bool
route_path_holds(const struct route *r, const struct exchange *x)
{
    const struct route_conditions *c = route_conditions(r);

    if (c->any_path)
        return true;
    for (size_t i = 0; i < c->n_paths; i++)
        if (path_pattern_takes(&c->paths[i], x->request.target.path))
            return true;
    return false;
}

/* ------------------------------------------------------------------ the others */

static bool
method_holds(const struct route *r, const struct exchange *x)
{
    const struct slice *methods = r->methods.at;

    if (r->methods.n == 0)
        return true;
    if (x->request.method != METHOD_OTHER)
        return route_conditions(r)->methods >> x->request.method & 1;
    for (size_t i = 0; i < r->methods.n; i++)
        if (slice_eq(methods[i], x->request.method_token))
            return true;
    return false;
}

static bool
client_holds(const struct route *r, const struct exchange *x)
{
    const struct network *networks = r->clients.at;

    for (size_t i = 0; i < r->clients.n; i++)
        if (network_has(&networks[i], &x->client_address))
            return true;
    return r->clients.n == 0;
}

static bool
value_holds(const struct pair_condition *p, struct slice value)
{
    switch (p->test) {
    case PAIR_PRESENT: return slice_is_present(value);
    case PAIR_EQUAL: return slice_is_present(value) && slice_eq(value, p->value);
    case PAIR_MATCHES: return slice_is_present(value) && regex_matches(p->regex, value);
    }
    return false;
}

/* Any field of that name will do. */
static bool
header_holds(const struct pair_condition *p, const struct exchange *x)
{
    for (const struct field *f = NULL; (f = fields_next(&x->request.fields, f, p->name));)
        if (value_holds(p, f->value))
            return true;
    return false;
}

static bool
pair_holds(const struct pair_condition *p, struct exchange *x)
{
    struct slice query = x->request.target.query;

    switch (p->source) {
    case PAIR_HEADER: return header_holds(p, x);
    case PAIR_QUERY: return query.n && value_holds(p, query_value(query, p->name, &x->arena));
    case PAIR_COOKIE: return value_holds(p, fields_cookie(&x->request.fields, p->name));
    }
    return false;
}

static const struct pair_condition *
failing_pair(const struct route_conditions *c, struct exchange *x)
{
    for (size_t i = 0; i < c->n_pairs; i++)
        if (!pair_holds(&c->pairs[i], x))
            return &c->pairs[i];
    return NULL;
}

enum route_condition
route_rest_fails(const struct route *r, struct exchange *x, const struct pair_condition **pair)
{
    const struct route_conditions *c = route_conditions(r);

    *pair = NULL;
    if (!method_holds(r, x))
        return CONDITION_METHOD;
    if (r->scheme.n && !slice_eq(r->scheme, x->scheme))
        return CONDITION_SCHEME;
    if (r->listener.n && !slice_eq(r->listener, x->client->listener))
        return CONDITION_LISTENER;
    if (!client_holds(r, x))
        return CONDITION_CLIENT;
    if ((*pair = failing_pair(c, x)))
        return CONDITION_PAIR;
    if (r->path_regex && !regex_matches(r->path_regex, x->request.target.path))
        return CONDITION_PATH_REGEX;
    if (r->when && !expr_test(r->when, x))
        return CONDITION_WHEN;
    return CONDITION_NONE;
}
