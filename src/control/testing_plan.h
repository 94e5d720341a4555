/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control/testing_plan.h - for tests: a small configuration with listeners, upstreams and routes,
 * and what a plan says of two of them.
 */
#ifndef CONTROL_TESTING_PLAN_H
#define CONTROL_TESTING_PLAN_H

#include "base/check.h"
#include "base/test.h"
#include "control/plan.h"
#include "exchange/recorded.h"
#include "exchange/testing.h"
#include "middleware/middleware.h"
#include "runtime/fiber.h"
#include "runtime/quiesce.h"

#include <stdio.h>
#include <stdlib.h>

const struct option_object *const middleware_objects[] = {
    &middleware_respond.options,  &middleware_redirect.options,  &middleware_headers.options,
    &middleware_compress.options, &middleware_ip_filter.options, &middleware_body_limit.options,
    &middleware_timeouts.options, NULL,
};

struct root {
    struct option_list listeners, upstreams, routes;
    int64_t            threads;
    struct slice       token;
};

static const struct option root_options[] = {
    {"listeners", &option_objects, offsetof(struct root, listeners), .object = &listener_object,
     .flags = OPTION_LIST},
    {"upstreams", &option_objects, offsetof(struct root, upstreams), .object = &upstream_object,
     .flags = OPTION_MAP},
    {"routes", &option_objects, offsetof(struct root, routes), .object = &route_object,
     .flags = OPTION_LIST},
    {"threads", &option_int, offsetof(struct root, threads), .preset = "2",
     .doc = "How many. Read at start only."},
    {"token", &option_string, offsetof(struct root, token), .flags = OPTION_SECRET},
    {NULL},
};

static const struct option_object root_object = {
    .name = "root", .doc = "All.", .size = sizeof(struct root), .options = root_options};

/* A terminal for whatever routes name. */
static const struct middleware testing_relay = {&testing_terminal, NULL};

static const struct middleware *
testing_terminal_of(const struct middleware_linker *l, struct slice to, struct config_mark where)
{
    (void) l;
    (void) to;
    (void) where;
    return &testing_relay;
}

struct app {
    struct snapshot         snapshot;
    struct config_document *document;
};

static struct app *
testing_app(const char *yaml)
{
    static const struct middleware_ops *const none[] = {NULL};
    struct app *a = calloc(1, sizeof(*a));
    struct middleware_linker linker = {.terminal = testing_terminal_of};
    const struct root *root;
    struct config_report r;
    struct text said;

    config_report_init(&r);
    text_init(&said, 1 << 20);
    a->document = config_document_open(NULL, "site.yaml", slice_str(yaml), &root_object,
                                       &config_source_system, &r);
    a->snapshot.config = config_load_text("site.yaml", slice_str(yaml), &root_object,
                                          &config_source_system, &r);
    if (!a->document || !a->snapshot.config) {
        config_report_print(&r, &said);
        printf("# %.*s\n", SLICE_ARG(text_slice(&said)));
    }
    CHECK(a->document && a->snapshot.config);
    root = a->snapshot.config->root;
    linker.config = a->snapshot.config;
    linker.report = &r;
    a->snapshot.listeners = root->listeners;
    a->snapshot.routes = route_set_build(&root->routes, a->snapshot.config, none, &linker, &r);
    CHECK(a->snapshot.routes);
    config_report_free(&r);
    text_free(&said);
    return a;
}

static void
testing_app_free(struct app *a)
{
    route_set_free(a->snapshot.routes);
    config_free(a->snapshot.config);
    config_document_free(a->document);
    free(a);
}

static const struct snapshot *
snapshot_of(const struct app *a)
{
    return &a->snapshot;
}

static const struct control_host testing_host = {.snapshot = snapshot_of, .workers = 1};

/* ------------------------------------------------------------------ a plan */

static struct loop testing_loop;
static struct app *testing_before, *testing_after;
static struct text testing_json, testing_text;

static void
make_plan(void *arg)
{
    (void) arg;
    plan_write(&testing_host, testing_before, testing_after, testing_before->document,
               testing_after->document, &testing_json);
    workers_leave(&testing_loop);
    loop_stop(&testing_loop);
}

/* Requests that the plan is tried with; records() takes one. */
static void
plan_begin(const char *before, const char *after)
{
    CHECK(loop_init(&testing_loop, NULL, 0) == OK);
    workers_join(&testing_loop);
    testing_before = testing_app(before);
    testing_after = testing_app(after);
    text_init(&testing_json, 64 << 20);
    text_init(&testing_text, 64 << 20);
}

static void
record(const char *url)
{
    struct exchange *x = testing_exchange("GET", url, NULL);

    x->route = route_find(testing_before->snapshot.routes, x);
    recorded_take(x);
    testing_exchange_free(x);
}

/* As `maitred plan` prints it. */
static struct slice
plan_text(void)
{
    CHECK(fiber_start("planner", make_plan, NULL));
    loop_run(&testing_loop);
    CHECK(plan_print(text_slice(&testing_json), NULL, &testing_text));
    return text_slice(&testing_text);
}

static void
plan_end(void)
{
    recorded_exit();
    testing_app_free(testing_before);
    testing_app_free(testing_after);
    text_free(&testing_json);
    text_free(&testing_text);
    loop_exit(&testing_loop);
}

/* Without requests: only what changes, up to the sentence about requests. */
static bool
plan_says(const char *before, const char *after, const char *want)
{
    static const struct slice rest = SLICE_INIT("\nThere were no recent requests");
    struct slice text;
    bool good;

    plan_begin(before, after);
    text = plan_text();
    text = slice_first(text, slice_search(text, rest));
    good = slice_eq(text, slice_str(want));
    if (!good)
        printf("# it says:\n%.*s\n# not:\n%s\n", SLICE_ARG(text), want);
    plan_end();
    return good;
}

#endif
