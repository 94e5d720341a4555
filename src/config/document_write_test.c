/* SPDX-License-Identifier: Apache-2.0 */
#include "config/testing_document.h"

#include <dirent.h>
#include <glob.h>

enum { PATH_BYTES = 1024 };

static struct slice
yaml_of(const char *text)
{
    struct config_document *d = open_text(text);
    struct slice s = d ? yaml_at(d, "") : SLICE("(cannot be opened)");

    config_document_free(d);
    return s;
}

static struct slice
json_of(const char *text)
{
    struct config_document *d = open_text(text);
    struct slice s = d ? json_at(d, "") : SLICE("(cannot be opened)");

    config_document_free(d);
    return s;
}

/* ------------------------------------------------------------------ what it looks like */

TEST(yaml_looks_like_written_by_hand)
{
    EXPECT_STR(yaml_of("{routes: [{host: [a.test, '*.b.test'], use: [{compress: {min_size: 1KiB}},"
                       " deny], set: {X-A: '1', X-B: \"a: b\"}, to: app}, {to: x}], "
                       "upstreams: {app: [x:1, y:1]}}"),
               "routes:\n"
               "  - host: [a.test, \"*.b.test\"]\n"
               "    use:\n"
               "      - compress:\n"
               "          min_size: 1KiB\n"
               "      - deny\n"
               "    set:\n"
               "      X-A: \"1\"\n"
               "      X-B: \"a: b\"\n"
               "    to: app\n"
               "  - to: x\n"
               "\n"
               "upstreams:\n"
               "  app: [x:1, y:1]");
}

TEST(quotes_stand_where_they_are_needed)
{
    EXPECT_STR(yaml_of("free: [\"a b\", \"a: b\", \"a #b\", a#b, '', ~, \"~\", 'null', \"null\"]"),
               "free: [a b, \"a: b\", \"a #b\", a#b, \"\", ~, \"~\", \"null\", \"null\"]");
    EXPECT_STR(yaml_of("free: {a: yes, b: \"yes\", c: 10, d: \"10\", e: '1.5', f: -1, g: '-x'}"),
               "free:\n  a: yes\n  b: \"yes\"\n  c: 10\n  d: \"10\"\n  e: \"1.5\"\n  f: -1\n  "
               "g: \"-x\"");
    EXPECT_STR(yaml_of("free: ['a,b', 'c]', http://x/, '{\"a\":1}', '\"C:\\x\"', \"it's\"]"),
               "free: [\"a,b\", \"c]\", \"http://x/\", '{\"a\":1}', '\"C:\\x\"', it's]");
    EXPECT_STR(yaml_of("free: {a: 'a,b', b: http://x/, \"*\": '&x', 'k: k': \"tab\\there\"}"),
               "free:\n  a: a,b\n  b: http://x/\n  \"*\": \"&x\"\n  \"k: k\": \"tab\\there\"");
    EXPECT_STR(yaml_of("free: \"\\x01\\x85\\u2028\\ufeff\\u00e4\""),
               "free: \"\\x01\\x85\\u2028\\ufeff\xc3\xa4\"");
}

TEST(long_texts_stand_line_by_line)
{
    EXPECT_STR(yaml_of("free: {a: \"one\\n  two\\n\\nthree\\n\", b: \"one\\ntwo\", c: \"\\nx\"}"),
               "free:\n  a: |\n    one\n      two\n\n    three\n  b: |-\n    one\n    two\n  "
               "c: \"\\nx\"");
    EXPECT_STR(yaml_of("free: [\"a\\nb\\n\"]"), "free: [\"a\\nb\\n\"]");
}

TEST(long_lists_stand_line_by_line)
{
    EXPECT_STR(
        yaml_of("free: [aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, bbbbbbbbbbbbbbbbbbbbbbbbbbbbb,"
                " cccccccccccccccccccccccccccccccccccccccccccc]"),
        "free:\n  - aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n"
        "  - bbbbbbbbbbbbbbbbbbbbbbbbbbbbb\n"
        "  - cccccccccccccccccccccccccccccccccccccccccccc");
    EXPECT_STR(yaml_of("free: [[a, [b, {}]], [], {x: []}]"),
               "free:\n  - - a\n    - - b\n      - {}\n  - []\n  - x: []");
}

TEST(json_has_the_types_of_the_tables)
{
    EXPECT_STR(json_of("admin: yes\nthreads: 4\ncache_size: 1048576\npassword: 123\ntimeout: 0\n"
                       "upstreams: {a: {servers: {address: 1, weight: 07}}}"),
               "{\"admin\": true,\"threads\": 4,\"cache_size\": \"1048576\",\"password\": \"123\","
               "\"timeout\": \"0\",\"upstreams\": {\"a\": {\"servers\": {\"address\": \"1\","
               "\"weight\": \"07\"}}}}");
    EXPECT_STR(json_of("admin: ${env:X}\nthreads: ~\nfree: [1, '1', true, -5, 1.5, ~, x]"),
               "{\"admin\": \"${env:X}\",\"threads\": null,"
               "\"free\": [1, \"1\", true, -5, \"1.5\", null, \"x\"]}");
}

TEST(a_part_is_written_as_what_it_is)
{
    struct config_document *d = open_text("upstreams: {a: [x:1, {address: y:1, weight: 2}]}");

    EXPECT(d);
    EXPECT_STR(json_at(d, "/upstreams/a/servers/y:1/weight"), "2");
    EXPECT_STR(json_at(d, "/upstreams/a"), "[\"x:1\",{\"address\": \"y:1\",\"weight\": 2}]");
    config_document_free(d);
}

/* ------------------------------------------------------------------ and back */

/* In both formats; false after a complaint. */
static bool
survives(const char *what, const struct config_document *d)
{
    static const enum config_format formats[] = {CONFIG_YAML, CONFIG_JSON};
    bool good = true;

    for (size_t i = 0; i < 2; i++) {
        struct slice text = written_as(d, "", formats[i], false);
        struct config_document *again;

        config_report_free(&report);
        again = config_document_open(NULL, "again", text, &sample_root_object, &source, &report);
        if (!again || hash_of(d) != hash_of(again) ||
            !slice_eq(difference(d, again), SLICE("[]\n"))) {
            test_failed(__FILE__, __LINE__, "%s comes back as something else: %.*s\n%.*s", what,
                        SLICE_ARG(complaint()), SLICE_ARG(slice_first(text, 4000)));
            good = false;
        }
        config_document_free(again);
    }
    return good;
}

/* Below the variable, the current folder, or the root of this file. */
static bool
find_root(char root[PATH_BYTES])
{
    static const char here[] = __FILE__; /* .../src/config/document_write_test.c */
    const char *variable = getenv("MAITRED_SOURCE_ROOT");
    char roots[3][PATH_BYTES];

    snprintf(roots[0], PATH_BYTES, "%s", variable ? variable : ".");
    snprintf(roots[1], PATH_BYTES, ".");
    snprintf(roots[2], PATH_BYTES, "%.*s.", (int) (strstr(here, "src/config/") - here), here);
    for (size_t i = 0; i < 3; i++) {
        char folder[2 * PATH_BYTES];
        DIR *d;

        snprintf(folder, sizeof(folder), "%.900s/tests/golden/config", roots[i]);
        d = opendir(folder);
        if (d) {
            closedir(d);
            memcpy(root, roots[i], PATH_BYTES);
            return true;
        }
    }
    return false;
}

static size_t
try_files(const char *root, const char *pattern)
{
    char path[2 * PATH_BYTES];
    glob_t found;
    size_t n = 0;

    snprintf(path, sizeof(path), "%.900s/%s", root, pattern);
    if (glob(path, 0, NULL, &found) != 0)
        return 0;
    for (size_t i = 0; i < found.gl_pathc; i++) {
        struct config_document *d;

        config_report_free(&report);
        d = config_document_open(found.gl_pathv[i], NULL, SLICE(""), &sample_root_object, NULL,
                                 &report);
        n += d && survives(found.gl_pathv[i], d);
        config_document_free(d);
    }
    globfree(&found);
    return n;
}

TEST(all_files_come_back_as_they_were)
{
    char root[PATH_BYTES];

    EXPECT(find_root(root));
    EXPECT(try_files(root, "examples/*.yaml") >= 10);
    EXPECT(try_files(root, "tests/golden/config/*.yaml") >= 8);
}

static uint32_t state = 7;

static uint32_t
draw(uint32_t below)
{
    state = state * 1664525 + 1013904223;
    return (state >> 16) % below;
}

/* A text as JSON of pieces that mean something in YAML. */
static void
put_text(struct text *out)
{
    static const char *const pieces[] = {
        "a", "b", " ", " ", "\\n", "\\n", ":", ": ", " #", "#", "-", "- ", "'", "\\\"", "\\\\",
        "{", "}", "[", "]", ",", "&", "*", "!", "|", ">", "%", "@", "`", "?", "? ", "~", "null",
        "true", "0", "1", ".", "...", "---", "\\t", "<<", "=", "\\u00e4", "\\u0001", "\\u0085",
        "\\u2028", "\\ufeff", "\\ud83d\\ude00", "\\u00a0", "$", "\\r", "\\u007f"};
    uint32_t n = draw(6);

    text_byte(out, '"');
    for (uint32_t i = 0; i < n; i++)
        text_put(out, slice_str(pieces[draw(sizeof(pieces) / sizeof(pieces[0]))]));
    text_byte(out, '"');
}

static void
put_any(struct text *out, unsigned depth)
{
    uint32_t n = draw(4), what = draw(depth ? 4 : 2);

    if (what < 2) {
        put_text(out);
        return;
    }
    text_byte(out, what == 2 ? '[' : '{');
    for (uint32_t i = 0; i < n; i++) {
        if (i)
            text_byte(out, ',');
        if (what == 3) {
            put_text(out);
            out->n--; /* keys differ in their ends */
            text_printf(out, "%u\":", i);
        }
        put_any(out, depth - 1);
    }
    text_byte(out, what == 2 ? ']' : '}');
}

TEST(any_text_comes_back)
{
    for (int i = 0; i < 5000; i++) {
        struct config_document *d;
        struct text t;

        text_init(&t, 1 << 20);
        text_literal(&t, "{\"free\":");
        put_any(&t, 4);
        text_literal(&t, "}");
        text_byte(&t, '\0');
        d = open_text("{}");
        EXPECT(d);
        if (edit(d, CONFIG_EDIT_PUT, "", t.at) != CONFIG_EDIT_OK)
            test_failed(__FILE__, __LINE__, "%.*s: %s", SLICE_ARG(complaint()), t.at);
        else if (!survives(t.at, d))
            i = 5000;
        config_document_free(d);
        text_free(&t);
    }
    config_report_free(&report);
}
