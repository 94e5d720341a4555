/* SPDX-License-Identifier: Apache-2.0 */
/* control/plan_test.c - what changes between two configurations, as people read it. */
#include "control/testing_plan.h"

#include <stdlib.h>

#define TOP                                                                                       \
    "listeners: [{address: \":8080\", name: public}]\n"                                            \
    "upstreams:\n"                                                                                \
    "  app: {servers: [10.0.0.1:80, 10.0.0.2:80]}\n"
#define SHOP "  - {name: shop, host: shop.example.com, to: app}\n"
#define API "  - {name: api, host: api.example.com, path: /v1/, to: app}\n"
#define REST "  - {name: rest, to: app}\n"

TEST(the_same_is_no_change)
{
    EXPECT(plan_says(TOP "routes:\n" SHOP API, TOP "routes:\n" SHOP API, "Nothing changes.\n"));
}

/* Units, defaults, quotes, the order of keys, single items for lists. */
TEST(what_means_the_same_is_no_change)
{
    EXPECT(plan_says("listeners: [{address: \":8080\", idle_timeout: 90s}]\n"
                     "upstreams: {app: {servers: [{address: 10.0.0.1:80, weight: 1}]}}\n"
                     "routes: [{host: A.example.com, use: [compress], to: app}]\n",
                     "routes:\n"
                     "  - to: 'app'\n"
                     "    use: compress\n"
                     "    host: [a.example.com]\n"
                     "listeners:\n"
                     "  - idle_timeout: 1m30s\n"
                     "    address: \":8080\"\n"
                     "    head_timeout: 10s\n"
                     "upstreams: {app: {servers: 10.0.0.1:80}}\n",
                     "Nothing changes.\n"));
}

TEST(servers)
{
    EXPECT(plan_says(TOP, "listeners: [{address: \":8080\", name: public}]\n"
                          "upstreams:\n"
                          "  app: {servers: [{address: 10.0.0.2:80, weight: 3}, 10.0.0.3:80]}\n"
                          "  more: {servers: 10.0.0.9:80}\n",
                     "2 added, 1 removed, 1 changed\n\n"
                     "  ~ server      app/10.0.0.2:80\n"
                     "        weight: 1 -> 3   (site.yaml:3:50)\n"
                     "  + server      app/10.0.0.3:80   (site.yaml:3:54)\n"
                     "  - server      app/10.0.0.1:80   (site.yaml:3:19)\n"
                     "  + upstream    more: {\"servers\": \"10.0.0.9:80\"}   (site.yaml:4:9)\n"));
}

TEST(limits)
{
    EXPECT(plan_says(TOP "routes:\n"
                         "  - name: shop\n"
                         "    use: [{timeouts: {response: 30s}}, {body_limit: 1MiB}]\n"
                         "    to: app\n",
                     TOP "routes:\n"
                         "  - name: shop\n"
                         "    use: [{timeouts: {response: 10s}}, {body_limit: 1024KiB}, compress]\n"
                         "    to: app\n",
                     "1 added, 1 changed\n\n"
                     "  ~ middleware  shop/timeouts\n"
                     "        response: 30s -> 10s   (site.yaml:6:33)\n"
                     "  + middleware  shop/compress   (site.yaml:6:63)\n"));
}

TEST(routes_come_and_go_with_their_hosts)
{
    EXPECT(plan_says(TOP "routes:\n" SHOP REST, TOP "routes:\n" API REST,
                     "2 added, 2 removed\n\n"
                     "  + host        api.example.com: route api   (site.yaml:5:5)\n"
                     "  - host        shop.example.com: route shop   (site.yaml:5:5)\n"
                     "  + route       api: api.example.com /v1/ to app   (site.yaml:5:5)\n"
                     "  - route       shop: shop.example.com to app   (site.yaml:5:5)\n"));
}

TEST(a_route_is_found_again_by_its_name)
{
    EXPECT(plan_says(TOP "routes:\n" SHOP REST,
                     TOP
                     "routes:\n"
                     "  - {name: shop, host: [shop.example.com, s.example.com], to: app}\n" REST,
                     "1 added, 1 changed\n\n"
                     "  + host        s.example.com: route shop   (site.yaml:5:5)\n"
                     "  ~ route       shop\n"
                     "        host: shop.example.com -> [shop.example.com, s.example.com]"
                     "   (site.yaml:5:24)\n"));
}

TEST(a_route_is_found_again_by_its_conditions)
{
    EXPECT(plan_says(TOP "routes:\n  - {host: a.example.com, method: GET, to: app}\n"
                         "  - {host: a.example.com, to: app}\n",
                     TOP "routes:\n  - {host: a.example.com, method: GET, use: compress, to: app}\n"
                         "  - {host: a.example.com, name: all, to: app}\n",
                     "1 added, 1 changed\n\n"
                     "  + middleware  routes[0]/compress (a.example.com GET)"
                     "   (site.yaml:5:45)\n"
                     "  ~ route       all\n"
                     "        name: (not set) -> all   (site.yaml:6:33)\n"));
}

TEST(a_route_is_found_again_by_its_neighbours)
{
    EXPECT(plan_says(TOP "routes:\n" SHOP "  - {host: old.example.com, to: app}\n" API,
                     TOP "routes:\n" SHOP "  - {host: new.example.com, to: app}\n" API,
                     "1 added, 1 removed, 1 changed\n\n"
                     "  + host        new.example.com: route new.example.com   (site.yaml:6:5)\n"
                     "  - host        old.example.com: route old.example.com   (site.yaml:6:5)\n"
                     "  ~ route       routes[1] (new.example.com)\n"
                     "        host: old.example.com -> new.example.com   (site.yaml:6:12)\n"));
}

/* Only the one that moved, not all that it passed. */
TEST(routes_that_move)
{
    EXPECT(plan_says(TOP "routes:\n" SHOP API "  - {name: x, path: /x, to: app}\n",
                     TOP "routes:\n  - {name: x, path: /x, to: app}\n" SHOP API,
                     "1 moved\n\n"
                     "  > route       x: behind api -> first   (site.yaml:5:5)\n"));
}

TEST(routes_that_cannot_match_any_more)
{
    EXPECT(plan_says(TOP "routes:\n" SHOP REST, TOP "routes:\n" REST SHOP,
                     "1 moved, 1 unreachable\n\n"
                     "  > route       rest: behind shop -> first   (site.yaml:5:5)\n"
                     "  ! route       shop: never matches any more, rest takes all its requests"
                     "   (site.yaml:6:5)\n"));
    /* One that never could is no news. */
    EXPECT(plan_says(TOP "routes:\n" REST SHOP, TOP "routes:\n" REST SHOP, "Nothing changes.\n"));
}

TEST(middleware_in_another_order)
{
    EXPECT(plan_says(TOP "routes: [{name: a, use: [compress, {headers: {request: {set: "
                         "{x-a: 1}}}}, {headers: {request: {set: {x-b: 1}}}}]}]\n",
                     TOP "routes: [{name: a, use: [{headers: {request: {set: {x-a: 1}}}}, "
                         "compress, {headers: {request: {set: {x-b: 2}}}}]}]\n",
                     "1 changed, 1 moved\n\n"
                     "  ~ middleware  a/headers#2\n"
                     "        request/set: {x-b: 1} -> {x-b: 2}   (site.yaml:4:95)\n"
                     "  > route       a: compress, headers, headers#2 -> headers, compress, "
                     "headers#2   (site.yaml:4:65)\n"));
}

TEST(secrets_are_not_shown)
{
    EXPECT(plan_says(TOP "token: hunter2\n", TOP "token: hunter3\n",
                     "1 changed\n\n"
                     "  ~ option      token\n"
                     "        *** -> ***   (site.yaml:4:8)\n"));
}

TEST(what_is_read_at_the_start_only)
{
    EXPECT(plan_says(TOP, TOP "threads: 4\n",
                     "1 changed\n\n"
                     "  ~ option      threads\n"
                     "        2 -> 4   (site.yaml:4:10)\n"));
    plan_begin(TOP, TOP "threads: 4\n");
    EXPECT(slice_ends(plan_text(),
                      SLICE("warning: `threads` is read at the start only: it needs a restart\n")));
    plan_end();
}

/* The text is the same on both sides. */
TEST(what_a_variable_stands_for)
{
    struct app *other;

    setenv("PLAN_TEST_WEIGHT", "1", 1);
    plan_begin("listeners: [\":8080\"]\nthreads: ${env:PLAN_TEST_WEIGHT}\n",
               "listeners: [\":8080\"]\n");
    setenv("PLAN_TEST_WEIGHT", "5", 1);
    other = testing_app("listeners: [\":8080\"]\nthreads: ${env:PLAN_TEST_WEIGHT}\n");
    testing_app_free(testing_after);
    testing_after = other;
    EXPECT(slice_search(plan_text(), SLICE("${env:PLAN_TEST_WEIGHT} -> ${env:PLAN_TEST_WEIGHT} "
                                           "(what it stands for changed)")) != SLICE_NOT_FOUND);
    plan_end();
}

TEST(defaults_count_as_what_they_give)
{
    EXPECT(plan_says(TOP "defaults: {listener: {idle_timeout: 10s}}\n",
                     TOP "defaults: {listener: {idle_timeout: 20s}}\n",
                     "1 changed\n\n"
                     "  ~ listener    public\n"
                     "        idle_timeout: 10s -> 20s   (site.yaml:4:37)\n"));
}

/* ------------------------------------------------------------------ requests */

TEST(requests_that_go_another_way)
{
    struct slice text;

    plan_begin(TOP "routes:\n" SHOP REST,
               TOP "routes:\n  - {name: cart, host: shop.example.com, path: /cart/, "
                   "use: compress, to: {app: 1, other: 3}}\n" SHOP REST);
    for (int i = 0; i < 3; i++) {
        record("http://shop.example.com/cart/1");
        record("http://shop.example.com/");
        record("http://example.com/");
    }
    text = plan_text();
    EXPECT_STR(slice_from(text, slice_search(text, SLICE("\nOf "))),
               "\nOf 9 recent requests 3 would be treated differently:\n"
               "  3 x GET http://shop.example.com/cart/1\n"
               "        before  route shop, to app\n"
               "        after   route cart, compress, to app 1, other 3\n");
    plan_end();
}

TEST(the_most_frequent_come_first)
{
    struct slice text;

    plan_begin(TOP "routes:\n" SHOP REST, TOP "routes:\n  - {name: new, to: other}\n");
    record("http://shop.example.com/");
    record("http://example.com/a");
    record("http://example.com/b");
    text = plan_text();
    EXPECT_STR(slice_from(text, slice_search(text, SLICE("\nOf "))),
               "\nOf 3 recent requests 3 would be treated differently:\n"
               "  2 x GET http://example.com/a\n"
               "        before  route rest, to app\n"
               "        after   route new, to other\n"
               "  1 x GET http://shop.example.com/\n"
               "        before  route shop, to app\n"
               "        after   route new, to other\n");
    plan_end();
}

TEST(requests_that_nobody_takes_any_more)
{
    struct slice text;

    plan_begin(TOP "routes:\n" SHOP REST, TOP "routes:\n" SHOP);
    record("http://shop.example.com/");
    record("http://example.com/a");
    record("http://example.com/b");
    text = plan_text();
    EXPECT_STR(slice_from(text, slice_search(text, SLICE("\nOf "))),
               "\nOf 3 recent requests 2 would be treated differently:\n"
               "  2 x GET http://example.com/a\n"
               "        before  route rest, to app\n"
               "        after   no route matches\n");
    plan_end();
}

/* The same way, but one on it does something else. */
TEST(middleware_that_decides_otherwise)
{
    struct slice text;

    plan_begin(TOP "routes: [{name: old, use: [{redirect: {to: 'https://a.example.com'}}]}]\n",
               TOP "routes: [{name: old, use: [{redirect: {to: 'https://b.example.com'}}]}]\n");
    record("http://example.com/a");
    record("http://example.com/b");
    text = plan_text();
    EXPECT_STR(slice_from(text, slice_search(text, SLICE("\nOf "))),
               "\nOf 2 recent requests 2 would be treated differently:\n"
               "  2 x GET http://example.com/a\n"
               "        before  route old, redirect: redirect answers 308, go to "
               "https://a.example.com\n"
               "        after   route old, redirect: redirect answers 308, go to "
               "https://b.example.com\n");
    plan_end();
}

TEST(a_new_name_is_no_other_way)
{
    plan_begin(TOP "routes:\n" SHOP, TOP "routes:\n  - {host: shop.example.com, to: app}\n");
    record("http://shop.example.com/");
    EXPECT(slice_ends(plan_text(), SLICE("All of 1 recent requests would be treated as "
                                         "before.\n")));
    plan_end();
}

TEST(requests_of_a_listener_that_goes)
{
    struct slice text;

    plan_begin("listeners: [{address: \":1\", name: public}]\nroutes: [{name: a, use: "
               "[{respond: 200}]}]\n",
               "listeners: [{address: \":1\", name: private}]\nroutes: [{name: a, use: "
               "[{respond: 200}]}]\n");
    record("http://example.com/");
    text = plan_text();
    EXPECT(slice_search(text, SLICE("after   there is no such listener")) != SLICE_NOT_FOUND);
    plan_end();
}

/* ------------------------------------------------------------------ many, and strange ones */

TEST(ten_thousand_routes)
{
    struct text before, after;
    uint64_t began_us, took_us;

    text_init(&before, 8 << 20);
    text_init(&after, 8 << 20);
    text_literal(&before, TOP "routes:\n");
    text_literal(&after, TOP "routes:\n");
    for (int i = 0; i < 10000; i++) {
        text_printf(&before, "  - {host: h%d.example.com, to: app}\n", i);
        text_printf(&after, "  - {host: h%d.example.com, to: app%s}\n", i,
                    i == 5000 ? ", use: compress" : "");
    }
    text_byte(&before, '\0');
    text_byte(&after, '\0');
    plan_begin(before.at, after.at);
    began_us = clock_monotonic_us();
    EXPECT(slice_starts(plan_text(), SLICE("1 added\n\n  + middleware  routes[5000]/compress")));
    took_us = clock_monotonic_us() - began_us;
    printf("# a plan of 10,000 routes took %llu us\n", (unsigned long long) took_us);
    EXPECT(took_us < 2000000 * TEST_SLOWDOWN);
    plan_end();
    text_free(&before);
    text_free(&after);
}

TEST(all_of_ten_thousand_changed)
{
    struct text before, after;

    text_init(&before, 8 << 20);
    text_init(&after, 8 << 20);
    text_literal(&before, TOP "routes:\n");
    text_literal(&after, TOP "routes:\n");
    for (int i = 0; i < 10000; i++) {
        text_printf(&before, "  - {host: h%d.example.com, to: app}\n", i);
        text_printf(&after, "  - {host: h%d.example.com, to: other}\n", i);
    }
    text_byte(&before, '\0');
    text_byte(&after, '\0');
    plan_begin(before.at, after.at);
    EXPECT(slice_starts(plan_text(), SLICE("10000 changed\n\n")));
    EXPECT(slice_ends(text_slice(&testing_text),
                      SLICE("warning: 8000 more changes are not listed\n")));
    plan_end();
    text_free(&before);
    text_free(&after);
}

TEST(what_is_no_plan_is_not_printed)
{
    struct text out;

    text_init(&out, 1024);
    EXPECT(!plan_print(SLICE(""), NULL, &out));
    EXPECT(!plan_print(SLICE("[]"), NULL, &out));
    EXPECT(!plan_print(SLICE("{\"changes\": 1}"), NULL, &out));
    EXPECT(plan_print(SLICE("{\"changes\": [{}, 1], \"different\": [2], \"differing\": 1, "
                            "\"replayed\": 1, \"warnings\": [3]}"),
                      NULL, &out));
    text_free(&out);
    text_init(&out, 1024);
    EXPECT(plan_print(SLICE("{\"changes\": [{\"kind\": \"added\", \"name\": \"\\u001b[2J\"}]}"),
                      NULL, &out));
    EXPECT(slice_find(text_slice(&out), '\x1b') == SLICE_NOT_FOUND);
    text_free(&out);
    text_init(&out, 1024);
    EXPECT(plan_print(SLICE("{\"changes\": [{\"where\": \"request body:1:2\"}]}"), "new.yaml",
                      &out));
    EXPECT(slice_search(text_slice(&out), SLICE("(new.yaml:1:2)")) != SLICE_NOT_FOUND);
    text_free(&out);
}
