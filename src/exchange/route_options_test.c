/* SPDX-License-Identifier: Apache-2.0 */
/* Routes as a configuration has them: options, chains, warnings, explanations, error pages. */
#include "base/check.h"
#include "base/test.h"
#include "exchange/route_split.h"
#include "exchange/testing.h"

#include <errno.h>

/* ------------------------------------------------------------------ a few middleware */

static void
pass(const struct middleware *self, struct exchange *x)
{
    (void) self;
    exchange_next(x);
}

static void
answer(const struct middleware *self, struct exchange *x)
{
    const struct template *const *text = self->config;

    exchange_respond(x, 200, SLICE("text/plain"), template_render(*text, x));
}

struct limit {
    int64_t            rate;
    struct expr       *by;
    struct option_list set; /* of struct template_pair */
};

static const struct option limit_options[] = {
    {"rate", &option_int, offsetof(struct limit, rate), .preset = "7", .min = 1, .max = 100},
    {"by", &option_value, offsetof(struct limit, by), .preset = "client.ip"},
    {"set", &option_template_pairs, offsetof(struct limit, set), .flags = OPTION_MAP},
    {NULL},
};

static const struct option respond_options[] = {
    {"text", &option_template, 0, .preset = "hello"},
    {NULL},
};

struct tracer {
    int64_t          percent;
    struct template *name;
    struct expr     *when;
};

static const struct option tracer_options[] = {
    {"percent", &option_int, offsetof(struct tracer, percent), .preset = "5", .min = 1, .max = 100},
    {"name", &option_template, offsetof(struct tracer, name), .preset = "${host}${path}"},
    {"when", &option_expr, offsetof(struct tracer, when), .preset = "method in [GET, HEAD]"},
    {NULL},
};

struct fetch {
    struct slice             from;
    const struct middleware *terminal;
};

static const struct option fetch_options[] = {
    {"from", &option_string, offsetof(struct fetch, from), .flags = OPTION_REQUIRED},
    {NULL},
};

static bool
link_fetch(void *config, const struct middleware_linker *l)
{
    struct fetch *f = config;

    f->terminal = l->terminal(l, f->from, config_where(l->config, &f->from));
    return f->terminal != NULL;
}

static const struct middleware_ops limit, respond, tracer, plain;

static const struct middleware_ops limit = {
    .options = {.name = "limit",
                .size = sizeof(struct limit),
                .options = limit_options,
                .ops = &limit},
    .handle = pass,
};
static const struct middleware_ops respond = {
    .options = {.name = "respond", .size = sizeof(void *), .options = respond_options,
                .shorthand = "text", .ops = &respond},
    .handle = answer,
    .answers = true,
};
static const struct middleware_ops tracer = {
    .options = {.name = "tracer",
                .size = sizeof(struct tracer),
                .options = tracer_options,
                .ops = &tracer,
                .takes_defaults = true},
    .handle = pass,
    .by_default = true,
};
static const struct middleware_ops plain = {
    .options = {.name = "plain", .size = 1, .ops = &plain},
    .handle = pass,
    .by_default = true,
};

static const struct middleware_ops fetch = {
    .options = {.name = "fetch", .size = sizeof(struct fetch), .options = fetch_options,
                .ops = &fetch},
    .handle = pass,
    .link = link_fetch,
};

const struct option_object *const middleware_objects[] = {
    &limit.options, &respond.options, &tracer.options, &plain.options, &fetch.options, NULL,
};

static const struct middleware_ops *const by_default[] = {&tracer, &plain, NULL};

/* ------------------------------------------------------------------ a configuration */

struct site {
    struct option_list routes;
};

static const struct option site_options[] = {
    {"routes", &option_objects, offsetof(struct site, routes), .object = &route_object,
     .flags = OPTION_LIST},
    {NULL},
};

static const struct option_object site_object = {
    .name = "site", .size = sizeof(struct site), .options = site_options};

static struct config_report report;
static struct config *config;
static struct route_set *set;
static size_t terminals;

static int
read_file(void *arg, const char *path, struct text *out)
{
    (void) arg;
    if (!strstr(path, "404.html"))
        return ENOENT;
    text_literal(out, "<h1>gone</h1>");
    return 0;
}

static const char *
no_env(void *arg, const char *name)
{
    (void) arg;
    (void) name;
    return NULL;
}

static const struct config_source source = {.read = read_file, .env = no_env};

/* Everybody is there but nobody. */
static const struct middleware *
find_terminal(const struct middleware_linker *l, struct slice to, struct config_mark where)
{
    static const struct middleware found = {&testing_terminal, NULL};

    terminals++;
    if (!slice_eq(to, SLICE("nobody")))
        return &found;
    config_report_add(l->report, CONFIG_ERROR, where, NULL, "no such upstream");
    return NULL;
}

static const struct middleware_linker *
linker(void)
{
    static struct middleware_linker l;

    l = (struct middleware_linker){
        .config = config, .report = &report, .terminal = find_terminal};
    return &l;
}

static struct site *
site(void)
{
    return config->root;
}

static struct route *
route(size_t i)
{
    return (struct route *) site()->routes.at + i;
}

/* False when there are errors. */
static bool
load(const char *text)
{
    config_report_init(&report);
    terminals = 0;
    config = config_load_text("site.yaml", slice_str(text), &site_object, &source, &report);
    if (config)
        set = route_set_build(&site()->routes, config, by_default, linker(), &report);
    return set != NULL;
}

static void
unload(void)
{
    route_set_free(take(&set));
    if (config)
        config_free(take(&config));
    config_report_free(&report);
}

/* The report as text holds this. */
static bool
reported(const char *part)
{
    struct text t;
    bool found;

    text_init(&t, 64 * 1024);
    config_report_print(&report, &t);
    found = slice_search(text_slice(&t), slice_str(part)) != SLICE_NOT_FOUND;
    if (!found)
        test_failed(__FILE__, __LINE__, "no \"%s\" in: %.*s", part, SLICE_ARG(text_slice(&t)));
    text_free(&t);
    return found;
}

/* ------------------------------------------------------------------ options */

TEST(everything_that_a_route_can_ask_for)
{
    struct exchange *x;

    EXPECT(load("routes:\n"
                "  - name: shop\n"
                "    host: [Example.COM, '*.example.com']\n"
                "    path: [/login, /api/]\n"
                "    path_regex: '^/[a-z]+'\n"
                "    method: [GET, HEAD]\n"
                "    header: {x-beta: '1', x-any: '*', x-re: '~^[0-9]+$'}\n"
                "    query: {debug: '1'}\n"
                "    cookie: {group: b}\n"
                "    client: [10.0.0.0/8, 192.0.2.1]\n"
                "    scheme: https\n"
                "    listener: public\n"
                "    when: method in [GET, HEAD]\n"
                "    use: [plain, {limit: {rate: 10}}]\n"
                "    to: app\n"));
    x = testing_exchange("GET", "https://www.example.com/api/x?debug=1", "X-Beta", "1", "X-Any", "",
                         "X-Re", "42", "Cookie", "group=b", NULL);
    EXPECT(route_find(set, x) == route(0));
    EXPECT_STR(route(0)->name, "shop");
    x->scheme = SLICE("http");
    EXPECT(route_find(set, x) == NULL);
    testing_exchange_free(x);
    unload();
}

TEST(a_single_value_stands_for_a_list_of_one)
{
    struct exchange *x = testing_exchange("GET", "http://h/a", NULL);

    EXPECT(load(
        "routes:\n"
             "  - {host: h, path: /a, method: GET, client: 192.0.2.0/24, use: plain, to: app}\n"));
    EXPECT(route_find(set, x) == route(0));
    EXPECT_STR(route(0)->name, "routes[0]");
    testing_exchange_free(x);
    unload();
}

struct wrong {
    const char *text, *message;
};

TEST(mistakes_are_told_with_their_place)
{
    static const struct wrong wrongs[] = {
        {"routes:\n  - host: [a.com, 'b.com:80']\n    to: app\n",
         "site.yaml:2:19: error: a host is written without"},
        {"routes:\n  - path: [/a, b]\n    to: app\n", "site.yaml:2:16: error: a path starts with"},
        {"routes:\n  - method: get\n    to: app\n",
         "site.yaml:2:13: error: methods are written in capitals"},
        {"routes:\n  - header: {x: '~('}\n    to: app\n",
         "site.yaml:2:17: error: bad regular expression"},
        {"routes:\n  - when: metod == GET\n    to: app\n",
         "site.yaml:2:11: error: unknown name `metod`"},
        {"routes:\n  - when: metod == GET\n    to: app\n", "did you mean `method`?"},
        {"routes:\n  - when: method = GET\n    to: app\n", "site.yaml:2:18: error: this character"},
        {"routes:\n  - when: status == 200\n    to: app\n",
         "site.yaml:2:11: error: `when` is asked before there is a response"},
        {"routes:\n  - path_regex: 'a(b'\n    to: app\n", "site.yaml:2:21: error: bad regular"},
        {"routes:\n  - scheme: ftp\n    to: app\n", "a scheme is `http` or `https`"},
        {"routes:\n  - use: [lmit]\n    to: app\n", "did you mean `limit`?"},
        {"routes:\n  - use: {respond: 'a ${b}'}\n", "unknown name `b`"},
        {"routes:\n  - to: app\n    errors: {999: x}\n", "`999` is no error status"},
        {"routes:\n  - to: app\n    errors: {404: {type: text/plain}}\n",
         "either a `text` or a `file`"},
        {"routes:\n  - to: app\n    errors: {404: {text: x, file: y}}\n",
         "either a `text` or a `file`"},
        {"routes:\n  - to: app\n    errors: {404: {file: /missing}}\n", "site.yaml:3:26: error: "},
        {"routes:\n  - to: nobody\n", "site.yaml:2:9: error: no such upstream"},
        {"routes:\n  - to: {app: 1, nobody: 2}\n", "site.yaml:2:18: error: no such upstream"},
        {"routes:\n  - to: {app: 1, other: 0}\n",
         "site.yaml:2:25: error: must be between 1 and 65535, found `0`"},
        {"routes:\n  - to: {app: 65536}\n", "must be between 1 and 65535"},
        {"routes:\n  - to: {app: most}\n", "expected an integer, found `most`"},
        {"routes:\n  - to: {app: }\n", "expected an integer, found nothing"},
        {"routes:\n  - to: {}\n", "site.yaml:2:9: error: a route is split between 1 and"},
        {"routes:\n  - to: [app, other]\n", "expected a destination, found a list"},
        {"routes:\n  - {to: {a: 1, b: 2}, split_by: status}\n",
         "site.yaml:2:34: error: `split_by` is asked before there is a response"},
        {"routes:\n  - use: {fetch: {from: nobody}}\n    to: app\n",
         "site.yaml:2:25: error: no such upstream"},
    };

    for (size_t i = 0; i < countof(wrongs); i++) {
        if (load(wrongs[i].text))
            test_failed(__FILE__, __LINE__, "accepted: %s", wrongs[i].text);
        else
            reported(wrongs[i].message);
        unload();
    }
}

/* ------------------------------------------------------------------ chains */

TEST(a_chain_is_use_then_defaults_then_terminal)
{
    struct exchange *x = testing_exchange("GET", "http://h/", NULL);
    const struct middleware *chain;
    const struct limit *options;

    EXPECT(load("routes:\n  - {use: [{limit: {set: {x-a: '<${method}>'}}}, limit], to: app}\n"));
    chain = route(0)->chain;
    EXPECT_EQ(route(0)->chain_length, 5);
    EXPECT(chain[0].ops == &limit && chain[1].ops == &limit);
    EXPECT(chain[2].ops == &tracer && chain[3].ops == &plain && chain[4].ops == &testing_terminal);
    EXPECT_EQ(*(const int64_t *) chain[2].config, 5);
    EXPECT(chain[3].config == NULL);
    options = chain[0].config;
    EXPECT_EQ(options->rate, 7);
    EXPECT_STR(expr_text(options->by, x), "192.0.2.1");
    EXPECT_EQ(options->set.n, 1);
    EXPECT_STR(((const struct template_pair *) options->set.at)->key, "x-a");
    EXPECT_STR(template_render(((const struct template_pair *) options->set.at)->value, x),
               "<GET>");
    exchange_run(x, route_find(set, x));
    EXPECT_EQ(x->response.status, 200);
    testing_exchange_free(x);
    unload();
}

TEST(what_is_named_stands_where_it_is_named)
{
    EXPECT(load("routes:\n  - {use: [limit, {tracer: {percent: 9}}], to: app}\n"));
    EXPECT_EQ(route(0)->chain_length, 4);
    EXPECT(route(0)->chain[2].ops == &plain && route(0)->chain[1].ops == &tracer);
    EXPECT_EQ(*(const int64_t *) route(0)->chain[1].config, 9);
    unload();
}

TEST(defaults_reach_what_is_there_by_default)
{
    EXPECT(load("defaults: {tracer: {percent: 50}}\nroutes:\n  - {to: app}\n"));
    EXPECT_EQ(*(const int64_t *) route(0)->chain[0].config, 50);
    unload();
}

TEST(a_route_that_nobody_answers_refuses)
{
    struct exchange *x = testing_exchange("GET", "http://h/", NULL);

    EXPECT(load("routes:\n  - {use: limit}\n"));
    EXPECT_EQ(report.warnings, 1);
    EXPECT(reported("site.yaml:2:5: warning: nobody answers"));
    exchange_run(x, route(0));
    EXPECT_EQ(x->response.status, 500);
    EXPECT_EQ(x->fault.reason, REASON_MISCONFIGURED);
    testing_exchange_free(x);
    unload();
}

TEST(a_route_that_answers_by_itself_needs_no_server)
{
    struct exchange *x = testing_exchange("GET", "http://h/", NULL);

    EXPECT(load("routes:\n  - use: {respond: 'from ${host}'}\n"));
    EXPECT_EQ(report.warnings, 0);
    EXPECT_EQ(terminals, 0);
    exchange_run(x, route(0));
    EXPECT_STR(testing_pull(x, x->response.body), "from h");
    testing_exchange_free(x);
    unload();
}

TEST(options_that_name_somebody_are_linked_once)
{
    const struct fetch *f;

    EXPECT(load("routes:\n  - {use: {fetch: {from: app}}, to: app}\n"));
    f = route(0)->chain[0].config;
    EXPECT(f->terminal && f->terminal->ops == &testing_terminal);
    EXPECT_EQ(terminals, 2);
    unload();
}

TEST(one_share_is_no_split)
{
    EXPECT(load("routes:\n  - {to: {app: 7}}\n"));
    EXPECT(route(0)->chain[route(0)->chain_length - 1].ops == &testing_terminal);
    unload();
    EXPECT(load("routes:\n  - {to: {app: 7}, split_by: client.ip}\n"));
    EXPECT_EQ(report.warnings, 1);
    EXPECT(reported("site.yaml:2:30: warning: `split_by` without anything to split"));
    unload();
}

TEST(several_shares_end_in_a_split)
{
    const struct middleware *last;
    const struct route_split *split;

    EXPECT(load("routes:\n  - {to: {app: 95, canary: 4, 'http://10.0.0.1:80': 1}, "
                "split_by: \"cookie('user')\"}\n"));
    EXPECT_EQ(report.warnings, 0);
    EXPECT_EQ(terminals, 3);
    last = &route(0)->chain[route(0)->chain_length - 1];
    EXPECT(last->ops == &route_split);
    split = last->config;
    EXPECT_EQ(split->n, 3);
    EXPECT_EQ(split->total, 100);
    EXPECT_STR(split->branches[1].to, "canary");
    EXPECT_EQ(split->branches[1].weight, 4);
    EXPECT_STR(split->branches[2].to, "http://10.0.0.1:80");
    EXPECT_STR(expr_source(split->by), "cookie('user')");
    unload();
}

TEST(a_set_may_be_built_again)
{
    EXPECT(load("routes:\n  - {to: app}\n"));
    route_set_free(take(&set));
    EXPECT(route(0)->chain == NULL && route(0)->name.n == 0);
    set = route_set_build(&site()->routes, config, NULL, linker(), &report);
    EXPECT(set != NULL);
    EXPECT_STR(route(0)->name, "routes[0]");
    EXPECT_EQ(route(0)->chain_length, 1);
    unload();
}

TEST(no_routes_are_no_error)
{
    struct exchange *x = testing_exchange("GET", "http://h/", NULL);

    EXPECT(load("{}"));
    EXPECT(route_find(set, x) == NULL);
    testing_exchange_free(x);
    unload();
}

/* ------------------------------------------------------------------ warnings */

static size_t
warnings_for(const char *text)
{
    size_t n = load(text) ? report.warnings : 1000;

    unload();
    return n;
}

TEST(a_shadowed_route_is_warned_of)
{
    EXPECT(load("routes:\n"
                "  - {host: '*.example.com', to: app}\n"
                "  - {name: late, host: www.example.com, path: /a/, to: app}\n"));
    EXPECT_EQ(report.warnings, 1);
    EXPECT(reported(
        "site.yaml:3:5: warning: this route never matches: routes[0] at site.yaml:2:5 takes all"));
    unload();
}

TEST(what_shadows_and_what_does_not)
{
    EXPECT_EQ(warnings_for("routes: [{to: app}, {to: app}]"), 1);
    EXPECT_EQ(warnings_for("routes: [{to: app}, {host: a.com, to: app}]"), 1);
    EXPECT_EQ(warnings_for("routes: [{host: a.com, to: app}, {to: app}]"), 0);
    EXPECT_EQ(warnings_for("routes: [{host: a.com, to: app}, {host: '*.a.com', to: app}]"), 0);
    EXPECT_EQ(warnings_for("routes: [{host: '*.a.com', to: app}, {host: '*.b.a.com', to: app}]"),
              1);
    EXPECT_EQ(warnings_for("routes: [{host: '*.a.com', to: app}, {host: '*.a.com', to: app}]"), 1);
    EXPECT_EQ(warnings_for("routes: [{host: [a.com, b.com], to: app}, {host: b.com, to: app}]"), 1);
    EXPECT_EQ(warnings_for("routes: [{host: a.com, to: app}, {host: [a.com, b.com], to: app}]"), 0);
    EXPECT_EQ(warnings_for("routes: [{path: /a/, to: app}, {path: /a/b, to: app}]"), 1);
    EXPECT_EQ(warnings_for("routes: [{path: /a/, to: app}, {path: /a/b/, to: app}]"), 1);
    EXPECT_EQ(warnings_for("routes: [{path: /a, to: app}, {path: '/a*', to: app}]"), 0);
    EXPECT_EQ(warnings_for("routes: [{path: /a/b/, to: app}, {path: /a/, to: app}]"), 0);
    EXPECT_EQ(warnings_for("routes: [{path: /a, to: app}, {path: /a, to: app}]"), 1);
    EXPECT_EQ(warnings_for("routes: [{method: GET, to: app}, {method: GET, to: app}]"), 1);
    EXPECT_EQ(warnings_for("routes: [{method: GET, to: app}, {method: POST, to: app}]"), 0);
    EXPECT_EQ(warnings_for("routes: [{method: GET, to: app}, {to: app}]"), 0);
    EXPECT_EQ(warnings_for("routes: [{to: app}, {method: GET, when: path == /x, to: app}]"), 1);
    EXPECT_EQ(warnings_for("routes: [{when: path == /x, to: app}, {when: path == /x, to: app}]"),
              1);
    EXPECT_EQ(
        warnings_for("routes: [{header: {a: b}, to: app}, {header: {A: b}, path: /x, to: app}]"),
        1);
    EXPECT_EQ(warnings_for("routes: [{header: {a: b}, to: app}, {header: {a: c}, to: app}]"), 0);
    EXPECT_EQ(
        warnings_for("routes: [{client: 10.0.0.0/8, to: app}, {client: 10.0.0.0/8, to: app}]"), 1);
    EXPECT_EQ(warnings_for("routes: [{path_regex: a, to: app}, {path_regex: a, to: app}]"), 1);
    EXPECT_EQ(warnings_for("routes: [{path_regex: a, to: app}, {path: /a, to: app}]"), 0);
    EXPECT_EQ(warnings_for("routes: [{scheme: http, to: app}, {scheme: https, to: app}]"), 0);
    EXPECT_EQ(warnings_for("routes: [{listener: a, to: app}, {listener: a, to: app}]"), 1);
}

/* ------------------------------------------------------------------ explanations */

static const char explained_site[] =
    "routes:\n"
    "  - {host: other.com, to: app}\n"
    "  - {host: example.com, path: [/api/, /login], to: app}\n"
    "  - {host: [example.com, b.com], method: [PUT, POST, PATCH], to: app}\n"
    "  - {scheme: https, to: app}\n"
    "  - {listener: private, to: app}\n"
    "  - {client: [10.0.0.0/8, 'fd00::/8', unix], to: app}\n"
    "  - {header: {x-beta: '1'}, to: app}\n"
    "  - {header: {x-none: '*'}, to: app}\n"
    "  - {query: {debug: '~^1$'}, to: app}\n"
    "  - {cookie: {group: b}, to: app}\n"
    "  - {path_regex: '^/u/', to: app}\n"
    "  - {when: port == 1, to: app}\n"
    "  - {name: last, host: example.com, to: app}\n"
    "  - {name: unseen, to: app}\n";

TEST(each_route_says_why_it_does_not_match)
{
    struct exchange *x = testing_exchange("GET", "http://example.com/x?debug=2", "X-Beta", "2",
                                          NULL);
    struct text t;

    EXPECT(load(explained_site));
    text_init(&t, 64 * 1024);
    route_explain(set, x, &t);
    EXPECT_STR(
        text_slice(&t),
        "routes[0] other.com (site.yaml:2:5): host is example.com, wants other.com\n"
        "routes[1] example.com (site.yaml:3:5): path is /x, wants /api/ or /login\n"
        "routes[2] example.com or b.com (site.yaml:4:5): method is GET, wants PUT, POST or PATCH\n"
        "routes[3] any host (site.yaml:5:5): scheme is http, wants https\n"
        "routes[4] any host (site.yaml:6:5): listener is public, wants private\n"
        "routes[5] any host (site.yaml:7:5): client is 192.0.2.1, wants 10.0.0.0/8, fd00::/8 or "
        "unix\n"
        "routes[6] any host (site.yaml:8:5): header x-beta is '2', wants '1'\n"
        "routes[7] any host (site.yaml:9:5): there is no header x-none, wants any\n"
        "routes[8] any host (site.yaml:10:5): query parameter debug is '2', wants a match of ^1$\n"
        "routes[9] any host (site.yaml:11:5): there is no cookie group, wants 'b'\n"
        "routes[10] any host (site.yaml:12:5): path is /x, wants a match of ^/u/\n"
        "routes[11] any host (site.yaml:13:5): not true that port == 1\n"
        "last example.com (site.yaml:14:5): matches\n");
    text_free(&t);
    testing_exchange_free(x);
    unload();
}

TEST(no_match_is_said)
{
    struct exchange *x = testing_exchange("GET", "/", NULL);
    struct text t;

    EXPECT(
        load("routes:\n  - {host: [a.com, b.com, c.com, d.com, e.com, f.com, g.com], to: app}\n"));
    text_init(&t, 4096);
    route_explain(set, x, &t);
    EXPECT_STR(
        text_slice(&t),
        "routes[0] a.com, b.com, c.com, d.com, e.com or 2 others (site.yaml:2:5): there is no "
        "host, wants a.com, b.com, c.com, d.com, e.com or 2 others\n"
        "no route matches\n");
    text_free(&t);
    testing_exchange_free(x);
    unload();
}

TEST(routes_of_other_hosts_are_only_counted_when_there_are_many)
{
    struct exchange *x = testing_exchange("GET", "http://h7/", NULL);
    struct text yaml, t;

    text_init(&yaml, 64 * 1024);
    text_literal(&yaml, "routes:\n");
    for (int i = 0; i < 30; i++)
        text_printf(&yaml, "  - {host: h%d, to: app}\n", i);
    text_byte(&yaml, '\0');
    EXPECT(load(yaml.at));
    text_init(&t, 4096);
    route_explain(set, x, &t);
    EXPECT_STR(text_slice(&t), "routes[7] h7 (site.yaml:9:5): matches\n"
                               "(7 more routes do not match, most of them for other hosts)\n");
    text_free(&t);
    text_free(&yaml);
    testing_exchange_free(x);
    unload();
}

/* ------------------------------------------------------------------ error pages */

TEST(error_pages_come_from_text_and_files)
{
    struct exchange *x = testing_exchange("GET", "http://h/", NULL);

    EXPECT(load("routes:\n"
                "  - to: app\n"
                "    errors:\n"
                "      404: {file: /srv/404.html}\n"
                "      5xx: {text: 'sorry ${host}', type: text/plain}\n"
                "      default: oh\n"));
    x->route = route(0);
    exchange_refuse(x, 404, REASON_NO_ROUTE, NULL);
    EXPECT_STR(testing_pull(x, x->response.body), "<h1>gone</h1>");
    EXPECT_STR(testing_field(x, "Content-Type"), "text/html; charset=utf-8");
    exchange_refuse(x, 502, REASON_SERVER_RESET, NULL);
    EXPECT_STR(testing_pull(x, x->response.body), "sorry h");
    EXPECT_STR(testing_field(x, "Content-Type"), "text/plain");
    exchange_refuse(x, 403, REASON_NOT_ALLOWED, NULL);
    EXPECT_STR(testing_pull(x, x->response.body), "oh");
    testing_exchange_free(x);
    unload();
}

/* ------------------------------------------------------------------ generated texts */

TEST(schema_and_reference_can_be_written)
{
    struct text t;

    text_init(&t, 1024 * 1024);
    config_write_schema(&site_object, "site", &t);
    EXPECT(slice_search(text_slice(&t), SLICE("path_regex")) != SLICE_NOT_FOUND);
    text_free(&t);
    config_write_reference(&site_object, &t);
    EXPECT(slice_search(text_slice(&t), SLICE("path_regex")) != SLICE_NOT_FOUND);
    text_free(&t);
}
