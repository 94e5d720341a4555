/* SPDX-License-Identifier: Apache-2.0 */
/* config/yaml_test.c - the subset of YAML, and where its parts stand. */
#include "config/testing_load.h"

#include "config/load.h"

#include <stdlib.h>

static const struct config_node *
member(const char *name)
{
    return config_node_get(root->free, slice_str(name));
}

static bool
stands_at(const struct config_node *node, uint32_t line, uint32_t column)
{
    return node && node->mark.line == line && node->mark.column == column;
}

TEST(texts_are_read_as_yaml_says)
{
    EXPECT(load("free:\n"
                "  plain: a b  # remark\n"
                "  single: 'it''s'\n"
                "  double: \"a\\tb\\u00e9\"\n"
                "  literal: |\n    one\n    two\n"
                "  folded: >-\n    one\n    two\n"
                "  multi: one\n    two\n"
                "  colon: a:b\n"
                "  : x\n") == false);
    EXPECT(load("free:\n"
                "  plain: a b  # remark\n"
                "  single: 'it''s'\n"
                "  run: 'a''''b '''' c''d'\n"
                "  double: \"a\\tb\\u00e9\"\n"
                "  literal: |\n    one\n    two\n"
                "  folded: >-\n    one\n    two\n"
                "  multi: one\n    two\n"
                "  colon: a:b\n"
                "  'quoted key': ''\n"
                "  ? long\n  : x\n"));
    EXPECT_STR(member("plain")->text, "a b");
    EXPECT_STR(member("single")->text, "it's");
    EXPECT_STR(member("run")->text, "a''b '' c'd");
    EXPECT_STR(member("double")->text, "a\tb\xc3\xa9");
    EXPECT_STR(member("literal")->text, "one\ntwo\n");
    EXPECT_STR(member("folded")->text, "one two");
    EXPECT_STR(member("multi")->text, "one two");
    EXPECT_STR(member("colon")->text, "a:b");
    EXPECT_STR(member("quoted key")->text, "");
    EXPECT_STR(member("long")->text, "x");
    unload();
}

TEST(json_is_yaml)
{
    EXPECT(load(
        "{\"timeout\": \"5s\", \"admin\": false, \"threads\": 3, \"free\": {\"a\": [1, null]}}"));
    EXPECT_EQ(root->timeout_us, 5000000);
    EXPECT(!root->admin);
    EXPECT_EQ(root->threads, 3);
    EXPECT(config_node_is_null(member("a")->first->next));
    unload();
}

TEST(places_count_bytes)
{
    EXPECT(load(
        "free:\n  \xc3\xa4: x\n  list: [a, \"b\"]\n  block: |\n     text\n  map:\n    k: v\n"));
    EXPECT(stands_at(member("\xc3\xa4"), 2, 7));
    EXPECT(stands_at(member("list"), 3, 9));
    EXPECT(stands_at(member("list")->first, 3, 10));
    EXPECT(stands_at(member("list")->first->next, 3, 13));
    EXPECT(stands_at(member("block"), 5, 6));
    EXPECT(stands_at(member("map"), 7, 5));
    EXPECT_EQ(member("map")->key_mark.line, 6);
    EXPECT_EQ(member("map")->key_mark.column, 3);
    unload();
}

TEST(line_ends_and_byte_order_marks)
{
    EXPECT(load("\xEF\xBB\xBF" "free:\r\n  a: x\r\n  b: y\r\n"));
    EXPECT_STR(member("a")->text, "x");
    EXPECT(stands_at(member("b"), 3, 6));
    EXPECT_EQ(config_where(config, &root->free).line, 2);
    unload();
}

TEST(aliases_are_copies)
{
    EXPECT(load("free:\n  a: &x {k: [v]}\n  b: *x\n  c: &y text\n  d: *y\n"));
    EXPECT(member("b") != member("a"));
    EXPECT_EQ(member("b")->kind, CONFIG_MAP);
    EXPECT_STR(member("b")->key, "b");
    EXPECT_STR(config_node_get(member("b"), SLICE("k"))->first->text, "v");
    EXPECT_STR(member("d")->text, "text");
    EXPECT(load("upstreams: {a: &s [x:1], b: *s}"));
    EXPECT_EQ(upstream(1)->servers.n, 1);
    unload();
}

TEST(what_is_not_in_the_subset)
{
    EXPECT_STR(
        complaint("timeout: !!str 5s"),
        "c.yaml:1:16: error: tags are not supported; hint: the type of a value follows from its "
        "key, so leave the tag out");
    EXPECT_STR(complaint("retry:\n  <<: {attempts: 2}\n"),
               "c.yaml:2:3: error: merge keys are not supported; hint: list the keys, or use "
               "`defaults:`");
    EXPECT_STR(complaint("? [a]\n: b\n"), "c.yaml:1:3: error: a key cannot be a list");
    EXPECT_STR(complaint("? {a: b}\n: b\n"), "c.yaml:1:3: error: a key cannot be a map");
    EXPECT_STR(complaint("admin: &a no\n*a : b\n"), "c.yaml:2:1: error: a key cannot be an alias");
    EXPECT_STR(
        complaint("admin: no\n---\nadmin: no\n"),
        "c.yaml:2:1: error: a file holds one document only; hint: put it into a file of its own "
        "and `include` that");
    EXPECT_STR(complaint("%YAML 1.1\n---\nadmin: no\n"),
               "c.yaml:1:1: error: directives are not supported");
    EXPECT_STR(complaint("version: 2"), "c.yaml:1:10: error: unknown version of the configuration "
                                        "language; this program reads `1`");
    EXPECT(load("version: 1"));
    EXPECT_STR(complaint("- a\n"),
               "c.yaml:1:1: error: expected a map at the top of the file, found a list");
    EXPECT_STR(complaint("just text"),
               "c.yaml:1:1: error: expected a map at the top of the file, found a single value");
    unload();
}

TEST(aliases_are_bounded)
{
    char text[4096] = "free:\n  a0: &a0 [x]\n";

    EXPECT_STR(complaint("free: *x"),
               "c.yaml:1:7: error: unknown alias `x`; hint: an anchor stands "
               "before its aliases, in the same file");
    EXPECT_STR(complaint("free: &x [*x]"), "c.yaml:1:11: error: unknown alias `x`; hint: an anchor "
                                           "stands before its aliases, in the same file");
    for (int i = 1; i < 20; i++)
        snprintf(text + strlen(text), 100, "  a%d: &a%d [*a%d, *a%d, *a%d, *a%d, *a%d, *a%d]\n", i,
                 i, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
    EXPECT(!load(text));
    EXPECT_EQ(report.errors, 1);
    EXPECT(slice_search(text_slice(&printed), SLICE("aliases stand for more than 250000 values")) !=
           SLICE_NOT_FOUND);
    strcpy(text, "free:\n  a0: &a0 [x]\n");
    for (int i = 1; i < 70; i++)
        snprintf(text + strlen(text), 50, "  a%d: &a%d [*a%d]\n", i, i, i - 1);
    EXPECT(!load(text));
    EXPECT(slice_search(text_slice(&printed),
                        SLICE("more than 64 maps and lists inside each other")) != SLICE_NOT_FOUND);
    unload();
}

TEST(depth_is_bounded)
{
    char text[300] = "free: ";

    memset(text + 6, '[', 62);
    memset(text + 68, ']', 62);
    EXPECT(load(text));
    memset(text + 6, '[', 64);
    memset(text + 70, ']', 64);
    EXPECT_STR(complaint(text),
               "c.yaml:1:70: error: more than 64 maps and lists inside each other");
    unload();
}

TEST(lines_are_bounded)
{
    size_t n = 2 << 20;
    char *text = malloc(n + 1);

    EXPECT(text != NULL);
    memset(text, ' ', n);
    text[n] = '\0';
    text[n / 2 - 1] = '\n';
    EXPECT(load(text));
    text[n / 2 - 1] = ' ';
    EXPECT_STR(complaint(text),
               "c.yaml:1:1: error: a line of more than 1048576 bytes; hint: break it "
               "behind a comma");
    unload();
    free(text);
}

TEST(bytes_that_are_not_text)
{
    EXPECT_STR(complaint("password: a\xff"),
               "c.yaml:1:12: error: the byte 0xff is not UTF-8; hint: save it as UTF-8");
    EXPECT_STR(
        complaint("admin: no\npassword: a\x01"),
        "c.yaml:2:12: error: the control byte 0x01 is not allowed; hint: write it as an escape in "
        "double quotes");
    EXPECT_STR(
        complaint("password: a\rb"),
        "c.yaml:1:12: error: the control byte 0x0d is not allowed; hint: write it as an escape in "
        "double quotes");
    EXPECT_STR(complaint("password: \"a\\0b\""),
               "c.yaml:1:11: error: a value cannot hold a zero byte");
    EXPECT_STR(complaint("\"a\\0b\": x"), "c.yaml:1:1: error: a key cannot hold a zero byte");
    EXPECT(load("password: \"a\\x01\""));
    EXPECT_STR(root->password, "a\x01");
    unload();
}

TEST(syntax_errors_have_a_place_and_often_a_way_out)
{
    EXPECT_STR(
        complaint("listen: [a, b\n"),
        "c.yaml:2:1: error: flow sequence without a closing bracket; hint: `[` was opened at "
        "c.yaml:1:9");
    EXPECT_STR(complaint("retry:\n\tattempts: 2\n"),
               "c.yaml:2:1: error: tab character may not be used as indentation; hint: indent with "
               "spaces");
    EXPECT_STR(
        complaint("password: a: b\n"),
        "c.yaml:1:12: error: invalid nested block mapping on the same line; hint: put a value "
        "that holds `: ` in quotes");
    EXPECT_STR(
        complaint("password: @x\n"),
        "c.yaml:1:11: error: plain scalar cannot start with '@'; hint: put the value in quotes");
    EXPECT(!load("password: \"open\n"));
    EXPECT(!load("admin: no\n timeout: 5s\n"));
    EXPECT_EQ(report.errors, 1);
    unload();
}

/* ----------------------------------------------------------------- from a text back to its file */

static struct config_mark
located(const char *text, size_t offset)
{
    if (!load(text))
        return (struct config_mark){0};
    return yaml_locate(&report, root->free, offset);
}

static bool
is_at(struct config_mark m, uint32_t line, uint32_t column)
{
    return m.line == line && m.column == column;
}

TEST(a_byte_of_a_value_is_found_again)
{
    EXPECT(is_at(located("free: abc def", 0), 1, 7));
    EXPECT(is_at(located("free: abc def", 4), 1, 11));
    EXPECT(is_at(located("free: 'it''s so'", 2), 1, 10));
    EXPECT(is_at(located("free: 'it''s so'", 3), 1, 12));
    EXPECT(is_at(located("free: \"a\\tb\\u00e9c\"", 2), 1, 11));
    EXPECT(is_at(located("free: \"a\\tb\\u00e9c\"", 5), 1, 18));
    EXPECT(is_at(located("free: |\n  one\n  two\n", 4), 3, 3));
    EXPECT(is_at(located("free: |\n  one\n  two\n", 6), 3, 5));
    EXPECT(is_at(located("free: |\n  one\n    two\n", 6), 3, 5));
    unload();
}

TEST(where_it_cannot_be_found_the_start_must_do)
{
    EXPECT(is_at(located("free: one\n  two", 5), 1, 7));
    EXPECT(is_at(located("free: >\n  one\n  two\n", 5), 2, 3));
    EXPECT(is_at(located("free: ${env:X:-fallback}", 4), 1, 7));
    EXPECT(is_at(located("free: abc", 99), 1, 7));
    unload();
}

TEST(quoted_texts_of_any_number_of_escapes)
{
    char text[1000];

    for (size_t n = 0; n < 100; n++) {
        size_t at = (size_t) sprintf(text, "password: '");

        for (size_t i = 0; i < n; i++)
            at += (size_t) sprintf(text + at, "''");
        sprintf(text + at, "'\nheader: {k: \"a\\\\b\\tc\\nd\\\"e\\u20ac\\\\\\\\f\"}\n");
        EXPECT(load(text));
        EXPECT_EQ(root->password.n, n);
        EXPECT_STR(root->header.value, "a\\b\tc\nd\"e\xe2\x82\xac\\\\f");
    }
    unload();
}
