/* SPDX-License-Identifier: Apache-2.0 */
/* config/load_test.c - what a whole configuration becomes, and every message on the way. */
#include "config/testing_load.h"

/* ------------------------------------------------------------------ values */

TEST(nothing_at_all_gives_the_defaults)
{
    static const char *const texts[] = {"", "# just a remark\n", "---\n", "{}", "~"};

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        EXPECT(load(texts[i]));
        EXPECT_EQ(root->listen.n, 1);
        EXPECT_EQ(address_port(root->listen.at), 80);
        EXPECT_EQ(root->cache_bytes, 64 << 20);
        EXPECT_EQ(root->timeout_us, 90000000);
        EXPECT(root->admin);
        EXPECT(!slice_is_present(root->password));
        EXPECT(root->free == NULL);
        EXPECT_EQ(root->routes.n, 0);
    }
    unload();
}

TEST(every_kind_is_read)
{
    EXPECT(
        load("listen: ['127.0.0.1:8080', unix:/run/x]\n"
             "cache_size: 1.5GiB\n"
             "timeout: 250ms\n"
             "admin: no\n"
             "password: no\n"
             "threads: -2\n"
             "header: {X-A: 1.10}\n"
             "free: {a: [1, 2]}\n" ROUTE
             "[{to: a, share: 0.5%, clients: [10.0.0.0/8, '::1', unix], set: {A: yes, B: 0777}}]"));
    EXPECT_EQ(root->listen.n, 2);
    EXPECT_EQ(((union address *) root->listen.at)[1].any.sa_family, AF_UNIX);
    EXPECT_EQ(root->cache_bytes, 3ull << 29);
    EXPECT_EQ(root->timeout_us, 250000);
    EXPECT(!root->admin);
    EXPECT_STR(root->password, "no");
    EXPECT_EQ(root->threads, -2);
    EXPECT_STR(root->header.key, "X-A");
    EXPECT_STR(root->header.value, "1.10");
    EXPECT_EQ(root->free->kind, CONFIG_MAP);
    EXPECT_STR(config_node_get(root->free, SLICE("a"))->first->next->text, "2");
    EXPECT_EQ(route(0)->share, 5000);
    EXPECT_EQ(route(0)->clients.n, 3);
    EXPECT_EQ(((struct network *) route(0)->clients.at)[0].bits, 104);
    EXPECT_EQ(route(0)->set.n, 2);
    EXPECT_STR(((struct option_pair *) route(0)->set.at)[0].value, "yes");
    EXPECT_STR(((struct option_pair *) route(0)->set.at)[1].value, "0777");
    unload();
}

TEST(texts_end_in_a_zero_byte)
{
    EXPECT(load("password: plain # remark\nheader: {k: \"quoted\"}"));
    EXPECT_EQ(strlen(root->password.at), root->password.n);
    EXPECT_EQ(strlen(root->header.key.at), 1);
    EXPECT_EQ(strlen(root->header.value.at), 6);
    unload();
}

TEST(booleans_have_three_pairs_of_names)
{
    EXPECT(load("admin: true") && root->admin);
    EXPECT(load("admin: yes") && root->admin);
    EXPECT(load("admin: 'on'") && root->admin);
    EXPECT(load("admin: false") && !root->admin);
    EXPECT(load("admin: no") && !root->admin);
    EXPECT(load("admin: \"off\"") && !root->admin);
    EXPECT_STR(complaint("admin: True"), "c.yaml:1:8: error: expected true or false, found `True`; "
                                         "hint: did you mean `true`?");
    EXPECT_STR(complaint("admin: [yes]"), "c.yaml:1:8: error: expected a boolean, found a list");
    unload();
}

TEST(nothing_and_null_mean_absent)
{
    EXPECT(load(
        "admin:\ntimeout: ~\ncache_size: null\nroutes: \nupstreams: {a: {servers: x, health: }}"));
    EXPECT(root->admin);
    EXPECT_EQ(root->timeout_us, 90000000);
    EXPECT(upstream(0)->health == NULL);
    EXPECT(load("password: ''"));
    EXPECT(slice_is_present(root->password) && root->password.n == 0);
    EXPECT(load("password: 'null'"));
    EXPECT_STR(root->password, "null");
    unload();
}

TEST(values_that_cannot_be_read)
{
    EXPECT_STR(complaint("timeout: 10"),
               "c.yaml:1:10: error: expected a duration, found `10`; hint: did you mean `10s`?");
    EXPECT_STR(
        complaint("timeout: soon"),
        "c.yaml:1:10: error: expected a duration, found `soon`; hint: such as `250ms`, `10s`, "
        "`1m30s`, `2h`, `7d`");
    EXPECT_STR(complaint("timeout: [1s]"), "c.yaml:1:10: error: expected a duration, found a list");
    EXPECT_STR(complaint("timeout: {a: b}"),
               "c.yaml:1:10: error: expected a duration, found a map");
    EXPECT_STR(complaint("threads: x"),
               "c.yaml:1:10: error: expected an integer, found `x`; hint: such as `42`");
    EXPECT_STR(
        complaint("cache_size: 10M"),
        "c.yaml:1:13: error: expected a size, found `10M`; hint: write `10MiB` (powers of 1024) "
        "or `10MB` (powers of 1000)");
    EXPECT_STR(
        complaint("cache_size: 10k"),
        "c.yaml:1:13: error: expected a size, found `10k`; hint: write `10KiB` (powers of 1024) "
        "or `10kB` (powers of 1000)");
    EXPECT_STR(
        complaint("cache_size: ''"),
        "c.yaml:1:13: error: expected a size, found ``; hint: such as `512`, `16KiB`, `64MiB`, "
        "`10GB`");
    EXPECT_STR(complaint("listen: 8080"),
               "c.yaml:1:9: error: expected an address, found `8080`; hint: did you mean `:8080`?");
    EXPECT_STR(complaint("listen: 10.0.0.1"), "c.yaml:1:9: error: expected an address, found "
                                              "`10.0.0.1`; hint: did you mean `10.0.0.1:80`?");
    EXPECT_STR(complaint("listen: ::1"),
               "c.yaml:1:9: error: expected an address, found `::1`; hint: "
               "did you mean `[::1]:80`?");
    EXPECT_STR(complaint("listen: /run/x"),
               "c.yaml:1:9: error: expected an address, found `/run/x`; "
               "hint: did you mean `unix:/run/x`?");
    EXPECT_STR(complaint("listen: localhost:80"),
               "c.yaml:1:9: error: expected an address, found `localhost:80`; hint: such as `:80`, "
               "`127.0.0.1:80`, `[::1]:80`, `unix:/path`");
    EXPECT_STR(complaint("header: x"),
               "c.yaml:1:9: error: expected a map with one key, found `x`");
    EXPECT_STR(complaint("header: {a: b, c: d}"),
               "c.yaml:1:9: error: expected a map with one key, found several or none");
    unload();
}

TEST(values_in_routes_that_cannot_be_read)
{
    EXPECT_STR(complaint(ROUTE "{to: a, share: 5}"),
               "c.yaml:2:24: error: expected a percentage, found `5`; hint: did you mean `5%`?");
    EXPECT_STR(complaint(ROUTE "{to: a, share: 101%}"),
               "c.yaml:2:24: error: must be between 0% and 100%, found `101%`");
    EXPECT_STR(complaint(ROUTE "{to: a, clients: 10.1.2.3/8}"),
               "c.yaml:2:26: error: expected a network, found `10.1.2.3/8`; hint: did you mean "
               "`10.0.0.0/8`?");
    EXPECT_STR(complaint(ROUTE "{to: a, clients: 2001:db8::1/32}"),
               "c.yaml:2:26: error: expected a network, found `2001:db8::1/32`; hint: did you mean "
               "`2001:db8::/32`?");
    EXPECT_STR(complaint(ROUTE "{to: a, clients: 10.0.0.0/33}"),
               "c.yaml:2:26: error: expected a network, found `10.0.0.0/33`; hint: such as "
               "`10.0.0.0/8`, `2001:db8::/32`, `192.0.2.1`, `unix`");
    EXPECT_STR(complaint(ROUTE "{to: a, use: {rate_limit: 5}}"),
               "c.yaml:2:35: error: expected a rate, found `5`; hint: did you mean `5/s`?");
    EXPECT_STR(complaint(ROUTE "{to: a, set: [x]}"),
               "c.yaml:2:22: error: expected a map, found a list");
    EXPECT_STR(complaint(ROUTE "{to: a, set: {x: [y]}}"),
               "c.yaml:2:26: error: expected a string, found a list");
    unload();
}

TEST(bounds_are_told_in_the_unit_of_the_value)
{
    EXPECT_STR(complaint("timeout: 2h"),
               "c.yaml:1:10: error: must be between 1ms and 1h, found `2h`");
    EXPECT_STR(complaint("timeout: 0"),
               "c.yaml:1:10: error: must be between 1ms and 1h, found `0`");
    EXPECT_STR(complaint("cache_size: 10"),
               "c.yaml:1:13: error: must be between 1MiB and 1TiB, found `10`");
    EXPECT_STR(complaint("retry: {attempts: 11}"),
               "c.yaml:1:19: error: must be between 1 and 10, found `11`");
    EXPECT_STR(complaint("threads: 65"), "c.yaml:1:10: error: must be at most 64, found `65`");
    EXPECT_STR(complaint(ROUTE "{to: a, use: {rate_limit: {rate: 5/s, burst: -1}}}"),
               "c.yaml:2:54: error: must be at least 0, found `-1`");
    EXPECT_STR(complaint(ROUTE "{to: a, use: {rate_limit: 0/s}}"),
               "c.yaml:2:35: error: must be between 1 and 1000000, found `0/s`");
    EXPECT(load("threads: 64\ntimeout: 1h\ncache_size: 1MiB"));
    unload();
}

TEST(choices)
{
    EXPECT(load("upstreams: {a: {servers: x, balance: off}, b: {servers: x, balance: 2}}"));
    EXPECT_EQ(upstream(0)->balance, 2);
    EXPECT_EQ(upstream(1)->balance, 3);
    EXPECT_STR(complaint("upstreams: {a: {servers: x, balance: least_connection}}"),
               "c.yaml:1:38: error: unknown `least_connection` for `balance`; hint: did you mean "
               "`least_connections`?");
    EXPECT_STR(complaint("upstreams: {a: {servers: x, balance: fair}}"),
               "c.yaml:1:38: error: unknown `fair` for `balance`; hint: one of `round_robin`, "
               "`least_connections`, `off`, `2`");
    unload();
}

/* ------------------------------------------------------------------ shapes */

TEST(one_item_stands_for_a_list_of_one)
{
    EXPECT(load(ROUTE "{host: one.example, to: a}"));
    EXPECT_EQ(root->routes.n, 1);
    EXPECT_EQ(route(0)->hosts.n, 1);
    EXPECT_STR(string_at(route(0)->hosts, 0), "one.example");
    EXPECT(load(ROUTE "[{host: [one.example, two.example], to: a}, {to: a}]"));
    EXPECT_EQ(root->routes.n, 2);
    EXPECT_STR(string_at(route(0)->hosts, 1), "two.example");
    EXPECT_EQ(route(1)->hosts.n, 0);
    EXPECT(load("listen: []"));
    EXPECT_EQ(root->listen.n, 0);
    unload();
}

TEST(a_shorthand_stands_for_its_option)
{
    const struct sample_server *s;

    EXPECT(load("upstreams:\n  a: x:1\n  b: [x:1, {address: y:2, weight: 7}]\n"
                "  c: {servers: z:3, health: /up}\n"));
    EXPECT_EQ(root->upstreams.n, 3);
    EXPECT_STR(upstream(0)->name, "a");
    EXPECT_EQ(upstream(1)->servers.n, 2);
    s = upstream(1)->servers.at;
    EXPECT_STR(s[0].address, "x:1");
    EXPECT_EQ(s[0].weight, 1);
    EXPECT_STR(s[1].address, "y:2");
    EXPECT_EQ(s[1].weight, 7);
    EXPECT_STR(upstream(2)->health->path, "/up");
    EXPECT_EQ(upstream(2)->health->every_us, 5000000);
    EXPECT_STR(complaint("retry: 5"), "c.yaml:1:8: error: expected a map, found `5`");
    EXPECT_STR(complaint("retry: [5]"), "c.yaml:1:8: error: expected a map, found a list");
    unload();
}

TEST(a_pointer_is_null_without_its_key)
{
    EXPECT(load("upstreams: {a: {servers: x}, b: {servers: x, health: {}}}"));
    EXPECT(upstream(0)->health == NULL);
    EXPECT(upstream(1)->health != NULL);
    EXPECT_STR(upstream(1)->health->path, "/");
    EXPECT(!upstream(1)->health->strict);
    unload();
}

TEST(variants_are_names_or_maps_of_one)
{
    const struct option_variant *use;
    const struct sample_compress *compress;

    EXPECT(load(ROUTE "{to: a, use: [deny, compress, rate_limit: {rate: 5/s, burst: 2}, "
                      "{compress: [gzip, br]}, {compress: }]}"));
    EXPECT_EQ(route(0)->use.n, 5);
    use = route(0)->use.at;
    EXPECT(use[0].object == &sample_deny_object);
    EXPECT(use[1].object == &sample_compress_object);
    compress = use[1].value;
    EXPECT_EQ(compress->encodings.n, 2);
    EXPECT_EQ(((int *) compress->encodings.at)[0], 2);
    EXPECT_EQ(compress->min_bytes, 1024);
    EXPECT_EQ(((struct sample_limit *) use[2].value)->rate.count, 5);
    EXPECT_EQ(((struct sample_limit *) use[2].value)->burst, 2);
    compress = use[3].value;
    EXPECT_EQ(((int *) compress->encodings.at)[0], 0);
    EXPECT(use[4].object == &sample_compress_object);
    EXPECT(use[4].value != use[1].value);
    unload();
}

TEST(faulty_variants)
{
    EXPECT_STR(complaint(ROUTE "{to: a, use: [compres]}"),
               "c.yaml:2:23: error: unknown `compres` in `use`; hint: did you mean `compress`?");
    EXPECT_STR(
        complaint(ROUTE "{to: a, use: [{cache: {size: 1}}]}"),
        "c.yaml:2:24: error: unknown `cache` in `use`; hint: one of `compress`, `rate_limit`, "
        "`deny`");
    EXPECT_STR(
        complaint(ROUTE "{to: a, use: {compress: gzip, deny: {}}}"),
        "c.yaml:2:39: error: expected one name, found `compress` and `deny`; hint: start every "
        "item of the list with a dash");
    EXPECT_STR(complaint("store: {compress: gzip, deny: {}}"),
               "c.yaml:1:25: error: expected one name, found `compress` and `deny`");
    EXPECT_STR(complaint("store: {}"), "c.yaml:1:8: error: expected a name, found an empty map");
    EXPECT_STR(complaint("store: [deny]"),
               "c.yaml:1:8: error: expected a name, or a map with one, found a list");
    EXPECT_STR(complaint(ROUTE "{to: a, use: [rate_limit]}"),
               "c.yaml:2:23: error: missing key `rate`; hint: `rate`: Requests per time.");
    EXPECT_STR(complaint(ROUTE "{to: a, use: [{deny: {x: y}}]}"),
               "c.yaml:2:31: error: unknown key `x`; hint: there are no keys here");
    unload();
}

TEST(presets_of_structure_are_bound_in_every_object)
{
    EXPECT(load("retry: {}"));
    EXPECT(root->store.object == &sample_compress_object);
    EXPECT_EQ(((int *) ((struct sample_compress *) root->store.value)->encodings.at)[0], 0);
    EXPECT_EQ(root->retry.attempts, 3);
    EXPECT(load(""));
    EXPECT_EQ(root->retry.attempts, 4);
    EXPECT_EQ(root->retry.timeout_us, 2000000);
    unload();
}

TEST(an_empty_item_is_a_slip)
{
    EXPECT_STR(complaint("listen:\n  - :80\n  -\n"),
               "c.yaml:3:3: error: an item of the list is empty");
    EXPECT_STR(complaint("listen: [~]"), "c.yaml:1:10: error: an item of the list is empty");
    EXPECT_STR(complaint(ROUTE "\n  - \n"), "c.yaml:3:3: error: an item of the list is empty");
    unload();
}

TEST(a_map_may_name_an_object_without_options)
{
    EXPECT_STR(complaint("upstreams:\n  a:\n"),
               "c.yaml:2:3: error: missing key `servers`; hint: `servers`: Who answers.");
    EXPECT_STR(complaint("upstreams: [a]"), "c.yaml:1:12: error: expected a map, found a list");
    EXPECT(load(ROUTE "{to: a, set: {A: , B: x}}"));
    EXPECT_EQ(route(0)->set.n, 1);
    unload();
}

/* ------------------------------------------------------------------ keys */

TEST(unknown_keys)
{
    EXPECT_STR(complaint("upstreams: {a: {servers: x, helath: {}}}"),
               "c.yaml:1:29: error: unknown key `helath`; hint: did you mean `health`?");
    EXPECT_STR(
        complaint("upstreams: {a: {servers: x, zzz: {}}}"),
        "c.yaml:1:29: error: unknown key `zzz`; hint: the keys here are `servers`, `balance`, "
        "`health`");
    EXPECT_STR(complaint("inclde: x"),
               "c.yaml:1:1: error: unknown key `inclde`; hint: did you mean `include`?");
    EXPECT_STR(complaint("default: x"),
               "c.yaml:1:1: error: unknown key `default`; hint: did you mean `defaults`?");
    EXPECT_STR(
        complaint(ROUTE "{to: a, secret_swich: on}"),
        "c.yaml:2:17: error: unknown key `secret_swich`; hint: the keys here are `host`, `path`, "
        "`to`, `use`, `clients`, `set`, `share`, `retry`, `routes`");
    unload();
}

TEST(a_key_given_by_the_map_is_not_given_again)
{
    EXPECT_STR(complaint("upstreams: {a: {servers: x, name: b}}"),
               "c.yaml:1:29: error: `name` is already given by the key `a`");
    unload();
}

TEST(missing_keys)
{
    EXPECT_STR(complaint(ROUTE "\n  - host: x\n"),
               "c.yaml:3:5: error: missing key `to`; hint: `to`: The upstream.");
    EXPECT_STR(complaint(ROUTE "{to: }"),
               "c.yaml:2:9: error: missing key `to`; hint: `to`: The upstream.");
    unload();
}

TEST(duplicate_keys_name_both_places)
{
    char text[4096] = "free:\n";

    EXPECT_STR(complaint("admin: yes\ntimeout: 1s\nadmin: no\n"),
               "c.yaml:3:1: error: key `admin` is already defined at c.yaml:1:1");
    for (int i = 0; i < 30; i++)
        snprintf(text + strlen(text), 20, "  k%d: x\n", i);
    EXPECT(load(text));
    strcat(text, "  k3: y\n");
    EXPECT_STR(complaint(text), "c.yaml:32:3: error: key `k3` is already defined at c.yaml:5:3");
    unload();
}

/* ------------------------------------------------------------------ checks */

TEST(every_check_runs_once_and_at_the_end)
{
    EXPECT(load(ROUTE "[{to: a}, {to: a, retry: {attempts: 2}}]"));
    EXPECT_EQ(route(0)->retry.checked, 1);
    EXPECT_EQ(route(1)->retry.checked, 1);
    EXPECT_EQ(root->retry.checked, 1);
    unload();
}

TEST(a_check_complains_where_the_value_was_set)
{
    EXPECT_STR(complaint("retry:\n  timeout: 50m\n  attempts: 9\n"),
               "c.yaml:3:13: error: so many attempts take too long; hint: lower one of the two");
    EXPECT_STR(complaint(ROUTE "\n  - host: x\n    to: nowhere\n"),
               "c.yaml:4:9: error: there is no upstream `nowhere`");
    unload();
}

TEST(warnings_do_not_fail)
{
    EXPECT(load("retry: {attempts: 1}"));
    EXPECT_EQ(report.warnings, 1);
    EXPECT(slice_starts(text_slice(&printed),
                        SLICE("c.yaml:1:19: warning: one attempt means no retry\n")));
    unload();
}

TEST(all_mistakes_are_found_at_once)
{
    EXPECT(
        !load("timeout: x\ncache_size: y\nfoo: z\n" ROUTE "[{to: nowhere, use: [zip]}, {to: a}]"));
    EXPECT_EQ(report.errors, 5);
    unload();
}

TEST(a_broken_object_is_not_checked)
{
    EXPECT(!load("routes: [{host: x}]"));
    EXPECT_EQ(report.errors, 1);
    unload();
}

/* ------------------------------------------------------------------ defaults */

TEST(defaults_fill_what_is_absent)
{
    EXPECT(load("defaults:\n"
                "  route: {path: /d, retry: {attempts: 7}, use: [deny], set: {A: 1, B: 2}}\n"
                "  server: {weight: 9}\n"
                "  upstream: {health: {path: /h}}\n"
                "  compress: {min_size: 5}\n" ROUTE
                "[{to: a}, {to: a, path: /own, retry: {timeout: 1s}, use: [compress], "
                "set: {B: 3, C: 4}}]"));
    EXPECT_STR(route(0)->path, "/d");
    EXPECT_EQ(route(0)->retry.attempts, 7);
    EXPECT_EQ(route(0)->retry.timeout_us, 2000000);
    EXPECT_EQ(route(0)->set.n, 2);
    EXPECT_EQ(route(0)->use.n, 1);
    EXPECT_STR(route(1)->path, "/own");
    EXPECT_EQ(route(1)->retry.attempts, 7);
    EXPECT_EQ(route(1)->retry.timeout_us, 1000000);
    EXPECT_EQ(route(1)->use.n, 1);
    EXPECT(((struct option_variant *) route(1)->use.at)->object == &sample_compress_object);
    EXPECT_EQ(
        ((struct sample_compress *) ((struct option_variant *) route(1)->use.at)->value)->min_bytes,
        5);
    EXPECT_EQ(route(1)->set.n, 3);
    EXPECT_EQ(((struct sample_server *) upstream(0)->servers.at)->weight, 9);
    EXPECT_STR(upstream(0)->health->path, "/h");
    EXPECT(config_node_get(config->tree, SLICE("defaults")) == NULL);
    EXPECT_EQ(config_where(config, &route(0)->path).line, 2);
    unload();
}

TEST(null_undoes_a_default)
{
    EXPECT(load("defaults: {route: {path: /d}, upstream: {health: {}}}\n"
                "upstreams: {a: {servers: x, health: ~}}\nroutes: {to: a, path: }"));
    EXPECT(upstream(0)->health == NULL);
    EXPECT_STR(route(0)->path, "/");
    unload();
}

TEST(defaults_may_supply_what_is_required)
{
    EXPECT(load("defaults: {upstream: x:1, route: {to: a}}\nupstreams: {a: }\nroutes: {host: x}") ==
           false);
    EXPECT(load("defaults: {upstream: {servers: x:1}, route: {to: a}}\nupstreams: {a: }\n"
                "routes: {host: x}"));
    EXPECT_STR(route(0)->to, "a");
    EXPECT_EQ(upstream(0)->servers.n, 1);
    unload();
}

TEST(defaults_reach_objects_inside_objects)
{
    EXPECT(load("defaults: {route: {share: 7%}}\n" ROUTE
                "{to: a, routes: [{to: b}, {to: c, share: 1%}]}"));
    EXPECT_EQ(((struct sample_route *) route(0)->routes.at)[0].share, 70000);
    EXPECT_EQ(((struct sample_route *) route(0)->routes.at)[1].share, 10000);
    unload();
}

TEST(objects_do_not_share_what_they_took)
{
    EXPECT(load("defaults: {route: {use: [compress]}}\n" ROUTE "[{to: a}, {to: a}]"));
    EXPECT(((struct option_variant *) route(0)->use.at)->value !=
           ((struct option_variant *) route(1)->use.at)->value);
    unload();
}

TEST(faulty_defaults)
{
    EXPECT_STR(
        complaint("defaults: {rout: {}}"),
        "c.yaml:1:12: error: unknown object `rout` in `defaults`; hint: did you mean `route`?");
    EXPECT_STR(
        complaint("defaults: {foo: {}}"),
        "c.yaml:1:12: error: unknown object `foo` in `defaults`; hint: defaults are there for "
        "`upstream`, `server`, `route`, `compress`");
    EXPECT_STR(complaint("defaults: {retry: {}}"),
               "c.yaml:1:12: error: `retry` takes no defaults; hint: defaults are there for "
               "`upstream`, `server`, `route`, `compress`");
    EXPECT_STR(complaint("defaults: {route: [x]}"),
               "c.yaml:1:19: error: expected a map, found a list");
    EXPECT_STR(complaint("defaults: x"), "c.yaml:1:11: error: expected a map, found `x`");
    EXPECT_STR(complaint("defaults: {server: {wieght: 3}}"),
               "c.yaml:1:21: error: unknown key `wieght`; hint: did you mean `weight`?");
    EXPECT(!load("defaults: {route: {share: x}}\n" ROUTE "[{to: a}, {to: a}, {to: a}]"));
    EXPECT_EQ(report.errors, 1);
    unload();
}

/* ------------------------------------------------------------------ places */

TEST(it_is_known_where_a_value_was_set)
{
    struct arena arena;

    arena_init(&arena, NULL, 0, 4096);
    EXPECT(load(
        "timeout: 5s\nupstreams:\n  app: {servers: [x:1]}\nroutes:\n  - host: [a, b]\n    to: "
        "app\n"));
    EXPECT_EQ(config_where(config, &root->timeout_us).line, 1);
    EXPECT_EQ(config_where(config, &root->timeout_us).column, 10);
    EXPECT_EQ(config_where(config, &root->cache_bytes).line, 0);
    EXPECT_EQ(config_where(config, &upstream(0)->name).column, 3);
    EXPECT_EQ(config_where(config, &((struct slice *) route(0)->hosts.at)[1]).column, 15);
    EXPECT_EQ(config_where_object(config, route(0)).line, 5);
    EXPECT_EQ(config_where_object(config, &root->timeout_us).line, 0);
    EXPECT_STR(config_where_text(config, &route(0)->to, &arena), "c.yaml:6:9");
    EXPECT_STR(config_where_text(config, &route(0)->path, &arena), "default");
    arena_free(&arena);
    unload();
}
