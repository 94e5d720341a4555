/* SPDX-License-Identifier: Apache-2.0 */
/* middleware/compose_json_test.c - what is JSON and what is not (RFC 8259). */
#include "middleware/compose_json.h"

#include "base/test.h"
#include "base/text.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

TEST(json_is_taken)
{
    static const char *const texts[] = {
        "0", "-0", "12.5e-3", "1E+2", "true", "false", "null", "\"\"", "\"a\\u00e9\\n\\\\\"", "[]",
        "{}", " [ 1 , [ ] , { } ] ", "{\"a\":1,\"b\":[{\"c\":null}]}", "\"\xC3\xA9\"",
        "123456789012345678901234567890", "1e999", "[[[[]]]]", "[1,\n2]",
    };

    for (size_t i = 0; i < COUNT(texts); i++)
        EXPECT(compose_json_is_valid(slice_str(texts[i])));
}

TEST(what_is_not_quite_json_is_not)
{
    static const char *const texts[] = {
        "", " ", "01", "1.", ".5", "+1", "1e", "-", "tru", "nul", "True", "'a'", "\"", "\"\\x\"",
        "\"\\u12g4\"", "\"\n\"", "[", "]", "[1,]", "[,1]", "[1 2]", "{", "{\"a\"}", "{\"a\":}",
        "{a:1}", "{\"a\":1,}", "{\"a\":1]", "[1}", "1 2", "{}{}", "\"\xC3\"", "\"\xFF\"",
        "\"\xED\xA0\x80\"", "NaN", "/**/1", "[1]x",
    };

    for (size_t i = 0; i < COUNT(texts); i++)
        if (compose_json_is_valid(slice_str(texts[i])))
            test_failed(__FILE__, __LINE__, "taken: %s", texts[i]);
}

TEST(depth_has_a_bound)
{
    char text[2 * COMPOSE_JSON_DEPTH_MAX + 3] = "";

    /* The innermost list is empty, and needs no level. */
    memset(text, '[', COMPOSE_JSON_DEPTH_MAX + 1);
    memset(text + COMPOSE_JSON_DEPTH_MAX + 1, ']', COMPOSE_JSON_DEPTH_MAX + 1);
    EXPECT(compose_json_is_valid(slice_of(text, 2 * COMPOSE_JSON_DEPTH_MAX + 2)));
    memset(text, '[', sizeof text);
    EXPECT(!compose_json_is_valid(slice_of(text, sizeof text)));
}

TEST(members_come_in_order)
{
    struct slice rest = slice_str(" { \"a\" : 1 , \"b}\" : [ {\"c\":\",}\"} ] , \"d\":{ } }"), key,
                 member;

    EXPECT(compose_json_member(&rest, &key, &member));
    EXPECT_STR(key, "\"a\"");
    EXPECT_STR(member, "\"a\" : 1");
    EXPECT(compose_json_member(&rest, &key, &member));
    EXPECT_STR(member, "\"b}\" : [ {\"c\":\",}\"} ]");
    EXPECT(compose_json_member(&rest, &key, &member));
    EXPECT_STR(member, "\"d\":{ }");
    EXPECT(!compose_json_member(&rest, &key, &member));
    rest = slice_str("{}");
    EXPECT(!compose_json_member(&rest, &key, &member));
    rest = slice_str("[1]");
    EXPECT(!compose_json_member(&rest, &key, &member));
}

static bool
means(const char *string, const char *wanted)
{
    struct text out;
    bool good;

    text_init(&out, strlen(string));
    compose_json_decode(slice_str(string), &out);
    good = !out.full && slice_eq(text_slice(&out), slice_str(wanted));
    if (!good)
        test_failed(__FILE__, __LINE__, "%s means %.*s", string, SLICE_ARG(text_slice(&out)));
    text_free(&out);
    return good;
}

TEST(strings_are_decoded)
{
    EXPECT(means("\"\"", ""));
    EXPECT(means("\"\\u0061b\"", "ab"));
    EXPECT(means("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t"));
    EXPECT(means("\"\\u00e9\\u00C9\xC3\xA9\"", "\xC3\xA9\xC3\x89\xC3\xA9"));
    EXPECT(means("\"\\u20ac\"", "\xE2\x82\xAC"));
    EXPECT(means("\"\\ud83d\\ude00!\"", "\xF0\x9F\x98\x80!"));
    EXPECT(means("\"\\ude00\\ud83d\"", "\xED\xB8\x80\xED\xA0\xBD"));
    EXPECT(means("\"\\ud83d\\u0061\"", "\xED\xA0\xBD" "a"));
}
