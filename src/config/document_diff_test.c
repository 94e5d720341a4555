/* SPDX-License-Identifier: Apache-2.0 */
#include "config/testing_document.h"

#include <stdio.h>

/* The patch makes one into the other, and says nothing more when it has. */
static bool
leads_there(const char *from, const char *to)
{
    struct config_document *a = open_text(from), *b = open_text(to);
    struct slice patch;
    bool good = a && b;

    if (good) {
        char *text;

        patch = difference(a, b);
        text = strndup(patch.at, patch.n);
        good = edit(a, CONFIG_EDIT_PATCH, "", text) == CONFIG_EDIT_OK &&
               hash_of(a) == hash_of(b) && slice_eq(difference(a, b), SLICE("[]\n"));
        if (!good)
            test_failed(__FILE__, __LINE__, "%s -> %s by %s: %.*s", from, to, text,
                        SLICE_ARG(complaint()));
        free(text);
    }
    config_document_free(a);
    config_document_free(b);
    return good;
}

static struct slice
patch_of(const char *from, const char *to)
{
    struct config_document *a = open_text(from), *b = open_text(to);
    struct slice patch = a && b ? difference(a, b) : SLICE("(cannot be opened)");

    config_document_free(a);
    config_document_free(b);
    leads_there(from, to);
    return patch;
}

TEST(what_means_the_same_has_no_difference)
{
    EXPECT_STR(patch_of("a: 1", "a: '1'"), "[]\n");
    EXPECT_STR(patch_of("listen: :80", "listen: [\":80\"]"), "[]\n");
    EXPECT_STR(patch_of("admin: yes", "admin: 'true'"), "[]\n");
    EXPECT_STR(patch_of("upstreams: {a: x:1}", "upstreams: {a: {servers: [{address: x:1}]}}"),
               "[]\n");
    EXPECT_STR(patch_of("timeout: 1s\nadmin: on", "admin: on\ntimeout: 1s\npassword: ~"), "[]\n");
    EXPECT_STR(patch_of("routes: [{use: deny}]", "routes: [{use: [{deny: }]}]"), "[]\n");
    EXPECT_STR(patch_of("routes: {use: [{deny: {}}]}", "routes: [{use: [deny]}]"), "[]\n");
}

TEST(members_are_added_removed_and_replaced)
{
    EXPECT_STR(patch_of("timeout: 1s\nadmin: on", "admin: off\npassword: x"),
               "[{\"op\":\"remove\",\"path\":\"/timeout\"},\n"
               " {\"op\":\"replace\",\"path\":\"/admin\",\"value\":false},\n"
               " {\"op\":\"add\",\"path\":\"/password\",\"value\":\"x\"}]\n");
    EXPECT_STR(patch_of("upstreams: {a/b: x:1}", "upstreams: {a/b: {servers: x:1, balance: off}}"),
               "[{\"op\":\"add\",\"path\":\"/upstreams/a~1b/balance\",\"value\":\"off\"}]\n");
}

TEST(items_are_found_by_name)
{
    EXPECT_STR(patch_of("routes: [{name: a, to: x}, {name: b, to: x}]",
                        "routes: [{name: a, to: x}, {name: b, to: y}]"),
               "[{\"op\":\"replace\",\"path\":\"/routes/b/to\",\"value\":\"y\"}]\n");
    EXPECT_STR(patch_of("routes: [{name: a}, {name: b}]", "routes: [{name: a}, {name: c}, "
                                                         "{name: b}]"),
               "[{\"op\":\"add\",\"path\":\"/routes/b\",\"value\":{\"name\":\"c\"}}]\n");
    EXPECT_STR(patch_of("routes: [{name: a}, {name: b}, {name: c}]",
                        "routes: [{name: b}, {name: c}, {name: a}]"),
               "[{\"op\":\"move\",\"path\":\"/routes/-\",\"from\":\"/routes/a\"}]\n");
    EXPECT_STR(
        patch_of("upstreams: {u: [x:1, y:1]}", "upstreams: {u: [{address: x:1, weight: 3}]}"),
        "[{\"op\":\"remove\",\"path\":\"/upstreams/u/servers/y:1\"},\n"
        " {\"op\":\"add\",\"path\":\"/upstreams/u/servers/x:1/weight\",\"value\":3}]\n");
}

TEST(what_has_no_name_is_tested)
{
    EXPECT_STR(patch_of("routes: [{to: a}, {to: b}]", "routes: [{to: a}, {to: c}]"),
               "[{\"op\":\"test\",\"path\":\"/routes/1\",\"value\":{\"to\":\"b\"}},\n"
               " {\"op\":\"replace\",\"path\":\"/routes/1/to\",\"value\":\"c\"}]\n");
    EXPECT_STR(
        patch_of("routes: [{name: r, host: [a, b, c]}]", "routes: [{name: r, host: [a, c]}]"),
        "[{\"op\":\"test\",\"path\":\"/routes/r/host/1\",\"value\":\"b\"},\n"
        " {\"op\":\"remove\",\"path\":\"/routes/r/host/1\"}]\n");
    EXPECT_STR(
        patch_of("routes: [{name: '404', to: a}]", "routes: [{name: '404', to: b}]"),
        "[{\"op\":\"test\",\"path\":\"/routes/0\",\"value\":{\"name\":\"404\",\"to\":\"a\"}},\n"
        " {\"op\":\"replace\",\"path\":\"/routes/0/to\",\"value\":\"b\"}]\n");
}

TEST(a_patch_fits_other_versions_or_says_so)
{
    struct config_document *d = open_text("routes: [{name: new}, {name: b, to: x, path: /p}]");

    EXPECT(d);
    EXPECT_EQ(edit(d, CONFIG_EDIT_PATCH, "",
                   "[{\"op\":\"replace\",\"path\":\"/routes/b/to\",\"value\":\"y\"}]"),
              CONFIG_EDIT_OK);
    EXPECT_EQ(edit(d, CONFIG_EDIT_PATCH, "",
                   "[{\"op\":\"test\",\"path\":\"/routes/1\",\"value\":{\"to\":\"b\"}},\n"
                   " {\"op\":\"replace\",\"path\":\"/routes/1/to\",\"value\":\"c\"}]\n"),
              CONFIG_EDIT_CONFLICT);
    config_document_free(d);
    config_report_free(&report);
}

TEST(secrets_can_be_hidden)
{
    struct config_document *a = open_text("password: one"), *b = open_text("password: two");
    struct text out;

    EXPECT(a && b);
    text_init(&out, 4096);
    EXPECT(config_document_diff(a, b, true, &out));
    EXPECT_STR(text_slice(&out),
               "[{\"op\":\"replace\",\"path\":\"/password\",\"value\":\"***\"}]\n");
    text_free(&out);
    config_document_free(a);
    config_document_free(b);
}

/* ------------------------------------------------------------------ any two lists */

static uint32_t state = 1;

static uint32_t
draw(uint32_t below)
{
    state = state * 1664525 + 1013904223;
    return (state >> 16) % below;
}

/* Some items have names, some of those twice; some are single values, some lists. */
static void
write_list(char *out, size_t room)
{
    struct text t;
    uint32_t n = draw(9);

    text_fixed(&t, out, room - 1);
    text_literal(&t, "routes: [");
    for (uint32_t i = 0; i < n; i++) {
        text_put(&t, i ? SLICE(", ") : SLICE(""));
        switch (draw(4)) {
        case 0: text_printf(&t, "{to: t%u}", draw(3)); break;
        case 1: text_printf(&t, "{to: t%u, host: [h%u, h%u]}", draw(2), draw(3), draw(3)); break;
        case 2: text_printf(&t, "{name: n%u, use: [deny, {rate_limit: %u}]}", draw(6), draw(2));
            break;
        default: text_printf(&t, "{name: n%u, to: t%u}", draw(6), draw(2)); break;
        }
    }
    text_printf(&t, "]\nfree: {a: [%u, %u], name: %u}\nlisten: [%u, %u, %u]", draw(3), draw(3),
                draw(2), draw(4), draw(4), draw(4));
    out[t.n] = '\0';
}

TEST(any_list_becomes_any_other)
{
    for (int i = 0; i < 3000; i++) {
        char from[2048], to[2048];

        write_list(from, sizeof(from));
        write_list(to, sizeof(to));
        if (!leads_there(from, to))
            return;
    }
    config_report_free(&report);
}
