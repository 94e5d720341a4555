/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Routes made by hand, without a configuration: what the index finds is what a linear scan finds,
 * and 10,000 routes cost what one costs.
 */
#include "base/check.h"
#include "base/test.h"
#include "exchange/route_index.h"
#include "exchange/testing.h"
#include "http/message.h"

#include <stdio.h>
#include <time.h>

enum { ROUTES_MAX = 10000 };

static struct arena arena;
static struct route routes[ROUTES_MAX];
static size_t n_routes;
static struct config_report report;

static struct route_share app = {.to = SLICE_INIT("app"), .weight = 1};
static const struct option_list to_app = {&app, 1};

static void
begin(void)
{
    arena_init(&arena, NULL, 0, (size_t) 64 << 20);
    n_routes = 0;
    config_report_init(&report);
}

static void
end(void)
{
    for (size_t i = 0; i < n_routes; i++)
        route_conditions_release(take(&routes[i].compiled));
    config_report_free(&report);
    arena_free(&arena);
}

/* "a b c" as a list of three. */
static struct option_list
words(const char *text)
{
    struct slice *at = arena_calloc(&arena, 16, sizeof(*at));
    struct slice rest = slice_str(text);
    size_t n = 0;

    CHECK(at != NULL);
    while (rest.n) {
        CHECK(n < 16);
        at[n++] = arena_copy(&arena, slice_cut(&rest, ' '));
    }
    return (struct option_list){at, n};
}

static struct option_list
pair(const char *key, const char *value)
{
    struct option_pair *at = arena_new(&arena, struct option_pair);

    CHECK(at != NULL);
    *at = (struct option_pair){slice_str(key), slice_str(value)};
    return (struct option_list){at, 1};
}

static struct route *
add(const char *hosts, const char *paths)
{
    struct route *r = &routes[n_routes++];

    CHECK(n_routes <= ROUTES_MAX);
    *r = (struct route){.hosts = words(hosts), .paths = words(paths)};
    return r;
}

static struct route_set *
built(void)
{
    struct option_list list = {routes, n_routes};
    struct route_set *s;

    for (size_t i = 0; i < n_routes; i++) {
        struct route_fault fault;

        if (!routes[i].compiled && !route_compile(&arena, &routes[i], &fault))
            test_failed(__FILE__, __LINE__, "route %zu: %s", i, fault.text);
    }
    s = route_set_build(&list, NULL, NULL, NULL, &report);
    CHECK(s != NULL);
    return s;
}

/* Index of the route that takes the request, -1 for none. */
static int
found(const struct route_set *s, const char *method, const char *url)
{
    struct exchange *x = testing_exchange(method, url, "X-Beta", "1", "X-Beta", "2", "Cookie",
                                          "group=b", NULL);
    const struct route *r = route_find(s, x);

    testing_exchange_free(x);
    return r ? (int) r->index : -1;
}

/* ------------------------------------------------------------------ by example */

TEST(hosts_are_exact_or_below)
{
    struct route_set *s;

    begin();
    add("example.com www.example.com", "");
    add("*.example.com", "");
    add("*.com", "");
    add("[2001:DB8::1] 10.0.0.1", "");
    s = built();
    EXPECT_EQ(found(s, "GET", "http://example.com/"), 0);
    EXPECT_EQ(found(s, "GET", "http://EXAMPLE.com:8080/x"), 0);
    EXPECT_EQ(found(s, "GET", "http://www.example.com/"), 0);
    EXPECT_EQ(found(s, "GET", "http://a.example.com/"), 1);
    EXPECT_EQ(found(s, "GET", "http://a.b.example.com/"), 1);
    EXPECT_EQ(found(s, "GET", "http://xexample.com/"), 2);
    EXPECT_EQ(found(s, "GET", "http://com/"), -1);
    EXPECT_EQ(found(s, "GET", "http://example.org/"), -1);
    EXPECT_EQ(found(s, "GET", "http://[2001:db8::1]/"), 3);
    EXPECT_EQ(found(s, "GET", "http://10.0.0.1/"), 3);
    EXPECT_EQ(found(s, "GET", "/"), -1);
    route_set_free(s);
    end();
}

TEST(a_star_is_any_host_and_none)
{
    struct route_set *s;

    begin();
    add("example.com", "/x");
    add("b.com *", "");
    s = built();
    EXPECT_EQ(found(s, "GET", "http://example.com/y"), 1);
    EXPECT_EQ(found(s, "GET", "http://example.com/x"), 0);
    EXPECT_EQ(found(s, "GET", "/"), 1);
    route_set_free(s);
    end();
}

TEST(the_order_of_the_routes_decides_not_precision)
{
    struct route_set *s;

    begin();
    add("*.example.com", "/a/");
    add("", "/a/b");
    add("www.example.com", "");
    s = built();
    EXPECT_EQ(found(s, "GET", "http://www.example.com/a/b"), 0);
    EXPECT_EQ(found(s, "GET", "http://other.net/a/b"), 1);
    EXPECT_EQ(found(s, "GET", "http://www.example.com/c"), 2);
    route_set_free(s);
    end();
}

TEST(paths_are_exact_or_prefixes)
{
    struct route_set *s;

    begin();
    add("", "/login /api/");
    add("", "/img*");
    add("", "/.*");
    add("", "/caf%c3%a9/ /%7Euser");
    add("", "/a/../b/./c");
    s = built();
    EXPECT_EQ(found(s, "GET", "http://h/login"), 0);
    EXPECT_EQ(found(s, "GET", "http://h/login/"), -1);
    EXPECT_EQ(found(s, "GET", "http://h/api/"), 0);
    EXPECT_EQ(found(s, "GET", "http://h/api/x/y?z"), 0);
    EXPECT_EQ(found(s, "GET", "http://h/api"), -1);
    EXPECT_EQ(found(s, "GET", "http://h/x/../api/y"), 0);
    EXPECT_EQ(found(s, "GET", "http://h/img"), 1);
    EXPECT_EQ(found(s, "GET", "http://h/images/x"), -1);
    EXPECT_EQ(found(s, "GET", "http://h/imgs/x"), 1);
    EXPECT_EQ(found(s, "GET", "http://h/.git/config"), 2);
    EXPECT_EQ(found(s, "GET", "http://h/caf%C3%A9/x"), 3);
    EXPECT_EQ(found(s, "GET", "http://h/~user"), 3);
    EXPECT_EQ(found(s, "GET", "http://h/b/c"), 4);
    EXPECT_EQ(found(s, "GET", "http://h/"), -1);
    route_set_free(s);
    end();
}

TEST(a_slash_takes_everything)
{
    struct route_set *s;

    begin();
    add("h", "/");
    s = built();
    EXPECT_EQ(found(s, "GET", "http://h/"), 0);
    EXPECT_EQ(found(s, "GET", "http://h/a/b"), 0);
    route_set_free(s);
    add("*", "/*");
    s = built();
    EXPECT_EQ(found(s, "OPTIONS", "*"), 1);
    route_set_free(s);
    end();
}

TEST(the_other_conditions_all_have_to_hold)
{
    struct route_set *s;
    struct expr_error error;
    struct network *client;

    begin();
    add("", "")->methods = words("POST PURGE");
    add("", "")->scheme = SLICE("https");
    add("", "")->listener = SLICE("private");
    add("", "")->headers = pair("x-beta", "3");
    add("", "/any")->headers = pair("x-none", "*");
    add("", "/any")->headers = pair("x-beta", "*");
    add("", "/two")->headers = pair("X-BETA", "2");
    add("", "/re")->headers = pair("x-beta", "~^[0-9]$");
    add("", "")->queries = pair("debug", "1");
    add("", "/cookie")->cookies = pair("group", "b");
    add("", "/when")->when = expr_compile(&arena, SLICE("query('a') == 'b c'"), EXPR_BOOL, &error);
    client = arena_new(&arena, struct network);
    CHECK(network_parse(SLICE("192.0.2.0/24"), client));
    add("", "/client")->clients = (struct option_list){client, 1};
    s = built();
    EXPECT_EQ(found(s, "POST", "http://h/"), 0);
    EXPECT_EQ(found(s, "PURGE", "http://h/"), 0);
    EXPECT_EQ(found(s, "PUT", "http://h/"), -1);
    EXPECT_EQ(found(s, "OTHER", "http://h/"), -1);
    EXPECT_EQ(found(s, "GET", "https://h/"), 1);
    EXPECT_EQ(found(s, "GET", "http://h/any"), 5);
    EXPECT_EQ(found(s, "GET", "http://h/two"), 6);
    EXPECT_EQ(found(s, "GET", "http://h/re"), 7);
    EXPECT_EQ(found(s, "GET", "http://h/?x&debug=%31"), 8);
    EXPECT_EQ(found(s, "GET", "http://h/?debug=2"), -1);
    EXPECT_EQ(found(s, "GET", "http://h/cookie"), 9);
    EXPECT_EQ(found(s, "GET", "http://h/when?a=b+c"), 10);
    EXPECT_EQ(found(s, "GET", "http://h/when?a=b"), -1);
    EXPECT_EQ(found(s, "GET", "http://h/client"), 11);
    route_set_free(s);
    end();
}

TEST(a_path_regex_is_asked_beside_the_path)
{
    struct route_set *s;
    char why[100];
    size_t offset;
    struct route *r;

    begin();
    r = add("", "/u/");
    r->path_regex = regex_compile(SLICE("^/u/[0-9]+$"), why, sizeof(why), &offset);
    s = built();
    EXPECT_EQ(found(s, "GET", "http://h/u/42"), 0);
    EXPECT_EQ(found(s, "GET", "http://h/u/x"), -1);
    EXPECT_EQ(found(s, "GET", "http://h/42"), -1);
    route_set_free(s);
    regex_free(take(&r->path_regex));
    end();
}

struct wrong {
    const char *hosts, *paths, *methods, *message;
};

TEST(patterns_that_can_never_match_are_refused)
{
    static const struct wrong wrongs[] = {
        {"example.com:80", "", "", "without a port"},
        {"[::1]:80", "", "", "without a port"},
        {"*.example.com:80", "", "", "without a port"},
        {"::1", "", "", "no host name"},
        {"www.*.com", "", "", "in front"},
        {"*example.com", "", "", "in front"},
        {"*.*", "", "", "in front"},
        {"*.", "", "", "no host name"},
        {"*.[::1]", "", "", "nothing below"},
        {"a/b", "", "", "no host name"},
        {"", "api/", "", "starts with"},
        {"", "*", "", "starts with"},
        {"", "/a*b", "", "at its end"},
        {"", "/a**", "", "at its end"},
        {"", "/a?b=c", "", "no `?`"},
        {"", "/a#b", "", "no path"},
        {"", "/a%2*", "", "no path"},
        {"", "/a%zz", "", "no path"},
        {"", "/../a", "", "no path"},
        {"", "", "G(T", "no method"},
        {"", "", "get", "capitals"},
    };

    for (size_t i = 0; i < countof(wrongs); i++) {
        struct route_fault fault;
        struct route *r;

        begin();
        r = add(wrongs[i].hosts, wrongs[i].paths);
        r->methods = words(wrongs[i].methods);
        if (route_compile(&arena, r, &fault))
            test_failed(__FILE__, __LINE__, "accepted: %s%s%s", wrongs[i].hosts, wrongs[i].paths,
                        wrongs[i].methods);
        else if (!strstr(fault.text, wrongs[i].message))
            test_failed(__FILE__, __LINE__, "%s%s%s: %s", wrongs[i].hosts, wrongs[i].paths,
                        wrongs[i].methods, fault.text);
        end();
    }
}

TEST(bad_names_and_patterns_are_refused)
{
    struct route_fault fault;
    struct route *r;

    begin();
    r = add("", "");
    r->headers = pair("x y", "1");
    EXPECT(!route_compile(&arena, r, &fault));
    EXPECT(strstr(fault.text, "no name of a field") != NULL);
    r = add("", "");
    r->cookies = pair("x", "~(");
    EXPECT(!route_compile(&arena, r, &fault));
    EXPECT(strstr(fault.text, "bad regular expression") != NULL);
    EXPECT(fault.field == r->cookies.at);
    end();
}

/* ------------------------------------------------------------------ against a linear scan */

static const char *const host_patterns[] = {
    "", "*", "a.com", "b.com", "x.a.com", "y.x.a.com", "*.a.com", "*.x.a.com", "*.com", "*.org",
    "a.com b.com", "*.a.com a.com", "c.org *.com", "y.x.a.com *.b.com",
};
static const char *const hosts[] = {
    "a.com", "b.com",   "x.a.com", "y.x.a.com", "z.y.x.a.com", "q.b.com",
    "c.org", "d.c.org", "com",     "net",       "xa.com",      "",
};
static const char *const path_patterns[] = {
    "",     "/",         "/a",        "/a/",      "/a/b",    "/a/b/", "/a*", "/a/b*",
    "/ab*", "/a/b/c /a", "/img* /a/", "/x /y /z", "/a/b/c/", "/abc",  "/*",
};
static const char *const paths[] = {
    "/",    "/a", "/a/", "/a/b",   "/a/b/",    "/a/b/c", "/ab",
    "/abc", "/x", "/y",  "/img/1", "/a/b/c/d", "/q",
};
static const char *const methods[] = {"GET", "POST", "PURGE"};

static size_t
one_of(struct dice *d, size_t n)
{
    return dice_next(d) % n;
}

static void
add_random(struct dice *d)
{
    struct route *r = add(host_patterns[one_of(d, countof(host_patterns))],
                          path_patterns[one_of(d, countof(path_patterns))]);

    if (one_of(d, 3) == 0)
        r->methods = words(methods[one_of(d, countof(methods))]);
    if (one_of(d, 4) == 0)
        r->queries = pair("q", one_of(d, 2) ? "1" : "2");
    if (one_of(d, 6) == 0)
        r->scheme = SLICE("https");
}

/* The definition, written down once more and as simply as can be. */
static bool
naive_host(struct slice patterns, struct slice host)
{
    bool any = patterns.n == 0;

    while (patterns.n) {
        struct slice p = slice_cut(&patterns, ' ');

        if (slice_eq(p, SLICE("*")) || slice_eq(p, host))
            any = true;
        if (slice_starts(p, SLICE("*.")) && slice_ends(host, slice_from(p, 1)))
            any = true;
    }
    return any;
}

static bool
naive_path(struct slice patterns, struct slice path)
{
    bool any = patterns.n == 0;

    while (patterns.n) {
        struct slice p = slice_cut(&patterns, ' ');
        bool star = slice_ends(p, SLICE("*"));

        if (star)
            p.n--;
        if (star || slice_ends(p, SLICE("/")) ? slice_starts(path, p) : slice_eq(path, p))
            any = true;
    }
    return any;
}

static struct slice
joined(const struct option_list *list)
{
    const struct slice *at = list->at;
    struct slice all = list->n ? at[0] : SLICE("");

    for (size_t i = 1; i < list->n; i++)
        all = arena_printf(&arena, "%.*s %.*s", SLICE_ARG(all), SLICE_ARG(at[i]));
    return all;
}

static bool
naive_match(const struct route *r, struct exchange *x)
{
    const struct option_pair *query = r->queries.at;
    const struct slice *method = r->methods.at;

    return naive_host(joined(&r->hosts), x->request.host) &&
           naive_path(joined(&r->paths), x->request.target.path) &&
           (!r->methods.n || slice_eq(*method, x->request.method_token)) &&
           (!r->scheme.n || slice_eq(r->scheme, x->scheme)) &&
           (!r->queries.n ||
            slice_eq(query->value, query_value(x->request.target.query, SLICE("q"), &x->arena)));
}

static int
naive_find(struct exchange *x)
{
    for (size_t i = 0; i < n_routes; i++)
        if (naive_match(&routes[i], x))
            return (int) i;
    return -1;
}

static struct exchange *
random_request(struct dice *d)
{
    const char *host = hosts[one_of(d, countof(hosts))];
    char url[200];

    snprintf(url, sizeof(url), "%s%s%s%s", *host ? one_of(d, 2) ? "http://" : "https://" : "", host,
             paths[one_of(d, countof(paths))], one_of(d, 2) ? "?q=1" : "?q=2");
    return testing_exchange(methods[one_of(d, countof(methods))], url, NULL);
}

static bool
try_one(const struct route_set *s, struct dice *d)
{
    struct exchange *x = random_request(d);
    const struct route *r = route_find(s, x);
    int got = r ? (int) r->index : -1, want = naive_find(x);
    struct text explained;
    bool same;

    text_init(&explained, 64 * 1024);
    route_explain(s, x, &explained);
    same = (slice_search(text_slice(&explained), SLICE(": matches\n")) != SLICE_NOT_FOUND) ==
           (want >= 0);
    text_free(&explained);
    if (got != want || !same)
        test_failed(__FILE__, __LINE__, "%.*s %.*s %.*s: found %d, expected %d",
                    SLICE_ARG(x->request.method_token), SLICE_ARG(x->request.host),
                    SLICE_ARG(x->request.target.raw), got, want);
    testing_exchange_free(x);
    return got == want && same;
}

TEST(the_index_finds_what_a_linear_scan_finds)
{
    struct dice d;

    dice_init(&d, 20261120);
    for (int round = 0; round < 200; round++) {
        size_t n = 1 + one_of(&d, round % 4 ? 20 : 150);
        struct route_set *s;
        bool good = true;

        begin();
        while (n--)
            add_random(&d);
        s = built();
        for (int i = 0; good && i < 100; i++)
            good = try_one(s, &d);
        route_set_free(s);
        end();
        if (!good)
            return;
    }
}

/* A route that lint warns of is never found. */
TEST(shadowed_routes_are_indeed_never_found)
{
    struct dice d;

    dice_init(&d, 7);
    for (int round = 0; round < 100; round++) {
        bool shadowed[64] = {false};
        struct route_set *s;

        begin();
        for (size_t i = 0; i < 30; i++)
            add_random(&d);
        s = built();
        for (const struct config_message *m = report.messages; m; m = m->next) {
            if (m->severity == CONFIG_WARNING &&
                slice_search(m->text, SLICE("never")) != SLICE_NOT_FOUND)
                shadowed[0] = true;
        }
        for (int i = 0; i < 100 && shadowed[0]; i++) {
            struct exchange *x = random_request(&d);
            const struct route *r = route_find(s, x);

            for (const struct config_message *m = report.messages; m && r; m = m->next) {
                char name[40];

                snprintf(name, sizeof(name), "%.*s never matches", SLICE_ARG(r->name));
                EXPECT(slice_search(m->text, slice_str(name)) == SLICE_NOT_FOUND);
            }
            testing_exchange_free(x);
        }
        route_set_free(s);
        end();
    }
}

/* ------------------------------------------------------------------ many routes */

/* Of this thread, so that a busy machine does not spoil the figures. */
static uint64_t
cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t) t.tv_sec * 1000000000 + (uint64_t) t.tv_nsec;
}

/* Nanoseconds of one route_find. */
static double
cost(const struct route_set *s, const char *url)
{
    enum { TIMES = 200000 };
    struct exchange *x = testing_exchange("GET", url, NULL);
    uint64_t before = cpu_ns();

    for (int i = 0; i < TIMES; i++) {
        if (!route_find(s, x))
            test_failed(__FILE__, __LINE__, "no route for %s", url);
        __asm__ volatile("" ::: "memory");
    }
    before = cpu_ns() - before;
    testing_exchange_free(x);
    return (double) before / TIMES;
}

static size_t
map_bytes(const struct map *m)
{
    return m->room * sizeof(*m->slots);
}

static size_t
index_bytes(const struct route_index *index)
{
    size_t bytes = map_bytes(&index->hosts) + map_bytes(&index->wildcards);

    for (const struct path_index *p = index->path_indexes; p; p = p->next)
        bytes += map_bytes(&p->exact) + map_bytes(&p->prefixes);
    return bytes;
}

/* What is needed beside the routes themselves, and how long it takes. */
static struct route_set *
built_and_measured(const char *what, size_t *bytes)
{
    struct route_set *s = built();
    uint64_t took_ns;

    route_set_free(s);
    took_ns = cpu_ns();
    s = built();
    took_ns = cpu_ns() - took_ns;
    *bytes = s->arena.used + index_bytes(&s->index);
    printf("# %s: %zu KiB, built in %.1f ms\n", what, *bytes / 1024, (double) took_ns / 1e6);
    return s;
}

/* The number goes between the two halves of the host, or else of the path. */
static void
add_numbered(const char *host, const char *domain, const char *path, const char *end_of_path)
{
    for (unsigned i = 0; i < ROUTES_MAX; i++) {
        char whole_host[64], whole_path[64], number[16];

        snprintf(number, sizeof(number), "%u", i);
        snprintf(whole_host, sizeof(whole_host), "%s%s%s", host, *domain ? number : "", domain);
        snprintf(whole_path, sizeof(whole_path), "%s%s%s", path, *end_of_path ? number : "",
                 end_of_path);
        add(whole_host, whole_path)->to = to_app;
    }
}

TEST(ten_thousand_hosts_are_small_and_fast)
{
    struct route_set *s;
    size_t bytes;

    begin();
    add_numbered("host", ".example.com", "", "");
    s = built_and_measured("10,000 hosts", &bytes);
    EXPECT(bytes < (size_t) 3 << 20);
    EXPECT_EQ(found(s, "GET", "http://host9999.example.com/"), 9999);
    EXPECT_EQ(found(s, "GET", "http://host10000.example.com/"), -1);
    printf("# exact host among 10,000: %.1f ns\n", cost(s, "http://host7777.example.com/a/b"));
    route_set_free(s);
    end();
}

TEST(ten_thousand_wildcards_are_fast)
{
    struct route_set *s;
    size_t bytes;

    begin();
    add_numbered("*.host", ".example.com", "/a/", "");
    s = built_and_measured("10,000 wildcards", &bytes);
    EXPECT_EQ(found(s, "GET", "http://www.host9999.example.com/a/"), 9999);
    printf("# wildcard among 10,000: %.1f ns\n", cost(s, "http://www.host7777.example.com/a/b"));
    route_set_free(s);
    end();
}

TEST(ten_thousand_paths_of_one_host_are_fast)
{
    struct route_set *s;
    size_t bytes;

    begin();
    add_numbered("example.com", "", "/api/v1/resource", "/");
    s = built_and_measured("10,000 prefixes", &bytes);
    EXPECT_EQ(found(s, "GET", "http://example.com/api/v1/resource9999/x"), 9999);
    EXPECT_EQ(found(s, "GET", "http://example.com/api/v1/resource9999"), -1);
    printf("# prefix among 10,000: %.1f ns\n",
           cost(s, "http://example.com/api/v1/resource5555/a/b"));
    route_set_free(s);
    end();
}

TEST(one_route_costs_next_to_nothing)
{
    struct route_set *s;

    begin();
    add("", "")->to = to_app;
    s = built();
    printf("# one route: %.1f ns\n", cost(s, "http://example.com/a/b"));
    route_set_free(s);
    end();
    begin();
    add("example.com", "/a/")->to = to_app;
    s = built();
    printf("# one route with host and prefix: %.1f ns\n", cost(s, "http://example.com/a/b"));
    route_set_free(s);
    end();
}
