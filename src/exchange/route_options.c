/* SPDX-License-Identifier: Apache-2.0 */
/* exchange/route_options.c - the options of a route. */
#include "exchange/route_conditions.h"

/* ------------------------------------------------------------------ scheme */

static bool
parse_scheme(struct config_bind *b, const struct option *o, const struct config_node *node,
             void *out)
{
    struct slice *scheme = out;

    if (!option_scalar(b, o, node))
        return false;
    if (!slice_eq(node->text, SLICE("http")) && !slice_eq(node->text, SLICE("https")))
        return option_error(b, node, NULL, "a scheme is `http` or `https`");
    *scheme = node->text;
    return true;
}

static void
scheme_schema(const struct option *o, struct text *out)
{
    (void) o;
    text_literal(out, "{\"type\":\"string\",\"enum\":[\"http\",\"https\"]}");
}

static const struct option_kind option_scheme = {
    .name = "scheme",
    .syntax = "`http` or `https`",
    .size = sizeof(struct slice),
    .parse = parse_scheme,
    .schema = scheme_schema,
};

/* ------------------------------------------------------------------ who answers */

static const struct option weight_option = {
    .name = "weight", .kind = &option_int, .min = 1, .max = ROUTE_WEIGHT_MAX};

static bool
parse_shares(struct config_bind *b, const struct config_node *map, struct option_list *shares)
{
    struct route_share *share = shares->at;
    bool good = true;

    for (const struct config_node *m = map->first; m; m = m->next, share++) {
        share->to = m->key;
        share->where = m->key_mark;
        /* What failed in a faulty one has been told already. */
        good &= !m->faulty && option_int.parse(b, &weight_option, m, &share->weight);
    }
    return good;
}

static size_t
count_members(const struct config_node *node)
{
    size_t n = 0;

    for (const struct config_node *m = node->first; m; m = m->next)
        n++;
    return n;
}

/* A name or URL stands for a map of one. */
static bool
parse_to(struct config_bind *b, const struct option *o, const struct config_node *node, void *out)
{
    bool map = node->kind == CONFIG_MAP;
    struct option_list shares = {NULL, map ? count_members(node) : 1};
    struct route_share *share;

    if (!map && !option_scalar(b, o, node))
        return false;
    if (shares.n == 0 || shares.n > ROUTE_SHARES_MAX)
        return option_error(b, node, "such as {app: 95, canary: 5}",
                            "a route is split between 1 and %d, found %zu", ROUTE_SHARES_MAX,
                            shares.n);
    share = shares.at = arena_calloc(config_bind_arena(b), shares.n, sizeof(*share));
    if (!share)
        return option_error(b, node, NULL, "out of memory");
    if (!map)
        *share = (struct route_share){node->text, 1, node->mark};
    else if (!parse_shares(b, node, &shares))
        return false;
    *(struct option_list *) out = shares;
    return true;
}

static void
to_schema(const struct option *o, struct text *out)
{
    (void) o;
    text_literal(out, "{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"object\",\"minProperties\":1,"
                      "\"additionalProperties\":");
    option_int.schema(&weight_option, out);
    text_literal(out, "}]}");
}

static const struct option_kind option_to = {
    .name = "destination",
    .syntax = "`app`, `http://10.0.0.1:8080`, `{app: 95, canary: 5}`",
    .size = sizeof(struct option_list),
    .parse = parse_to,
    .schema = to_schema,
};

/* ------------------------------------------------------------------ the route */

static bool
check_route(struct config_bind *b, void *object)
{
    struct route *r = object;
    struct route_fault fault;
    bool good = route_compile(config_bind_arena(b), r, &fault);

    if (r->compiled && route_conditions_need_release(r->compiled) &&
        !config_bind_cleanup(b, route_conditions_release, r->compiled))
        return config_bind_error(b, r, NULL, "out of memory");
    if (!good)
        return config_bind_error(b, fault.field, fault.hint, "%s", fault.text);
    if (r->split_by && r->to.n < 2)
        config_bind_warning(b, &r->split_by, "say `to: {app: 95, canary: 5}`, or leave it out",
                            "`split_by` without anything to split");
    return true;
}

#define AT(member) offsetof(struct route, member)

static const struct option route_options[] = {
    {"name", &option_string, AT(name),
     .doc = "Its name in logs and metrics; `routes[N]` when absent."},
    {"host", &option_string, AT(hosts), .flags = OPTION_LIST,
     .doc =
         "Host names, without port.  `*.example.com` is every name below example.com, `*` is any "
         "host."},
    {"path", &option_string, AT(paths), .flags = OPTION_LIST,
     .doc = "Paths.  What ends in `/` or `*` is a prefix (without the star), all else is exact."},
    {"path_regex", &option_regex, AT(path_regex),
     .doc = "A regular expression that the path matches."},
    {"method", &option_string, AT(methods), .flags = OPTION_LIST, .doc = "Methods, such as `GET`."},
    {"header", &option_pairs, AT(headers), .flags = OPTION_MAP,
     .doc = "Fields of the request, all of which match: `name: value`; `'*'` is any value, "
            "`'~...'` a regular expression."},
    {"query", &option_pairs, AT(queries), .flags = OPTION_MAP,
     .doc = "Query parameters, written like `header`."},
    {"cookie", &option_pairs, AT(cookies), .flags = OPTION_MAP,
     .doc = "Cookies, written like `header`."},
    {"client", &option_network, AT(clients), .flags = OPTION_LIST,
     .doc = "Networks or addresses that the client is in."},
    {"scheme", &option_scheme, AT(scheme), .doc = "Only http, or only https."},
    {"listener", &option_string, AT(listener),
     .doc = "Only requests that came to the listener of this name."},
    {"when", &option_request_expr, AT(when), .doc = "A condition over anything in the request."},
    {"use", &option_variants, AT(use), .variants = middleware_objects, .flags = OPTION_LIST,
     .doc = "The middleware that requests pass through, the outermost first."},
    {"to", &option_to, AT(to),
     .doc = "Who answers: the name of an upstream, or a server such as `http://10.0.0.1:8080`. "
            "With a map, several, each of them as much of the requests as its number (1 to 65535) "
            "has of their sum."},
    {"split_by", &option_value, AT(split_by),
     .doc = "With several in `to`: requests for which this is the same go to the same one. Those "
            "for which it is empty, and all without it, are drawn by lot."},
    {"errors", &option_objects, AT(errors), .object = &route_errors_object, .flags = OPTION_MAP,
     .doc =
         "Pages for errors that maitred itself answers with, by status: `404`, `5xx`, `default`."},
    {NULL},
};

const struct option_object route_object = {
    .name = "route",
    .doc = "Which requests it takes, what they pass through, and who answers.  Routes are tried in "
           "their order; all conditions of one have to hold.",
    .size = sizeof(struct route),
    .options = route_options,
    .check = check_route,
    .takes_defaults = true,
};
