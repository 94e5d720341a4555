/* SPDX-License-Identifier: Apache-2.0 */
#include "config/testing_document.h"

/* The text in a member; "(refused)" when the change is. */
static struct slice
read_json(const char *json)
{
    static struct config_document *d;

    config_document_free(d);
    d = open_text("free: 1");
    if (!d || edit(d, CONFIG_EDIT_PUT, "/free", json) != CONFIG_EDIT_OK)
        return SLICE("(refused)");
    return json_at(d, "/free");
}

TEST(values_are_read)
{
    EXPECT_STR(read_json(" {\"a\" : [ 1 , -2.5e+3 ,\"x\"] ,\n\t\"b\":{ } , \"c\":[ ] } "),
               "{\"a\": [1, \"-2.5e+3\", \"x\"],\"b\": {},\"c\": []}");
    EXPECT_STR(read_json("true"), "true");
    EXPECT_STR(read_json("null"), "null");
    EXPECT_STR(read_json("\"null\""), "\"null\"");
    EXPECT_STR(read_json("\"\""), "\"\"");
    EXPECT_STR(read_json("0"), "0");
}

TEST(escapes_are_undone)
{
    EXPECT_STR(read_json("\"\\\"\\\\\\/\\n\\r\\t\\u00e4\""), "\"\\\"\\\\/\\n\\r\\t\xc3\xa4\"");
    EXPECT_STR(read_json("\"\\ud83d\\ude00 \\u20ac\""), "\"\xf0\x9f\x98\x80 \xe2\x82\xac\"");
    EXPECT_STR(read_json("{\"\\u0061\": \"\\b\\f\"}"), "{\"a\": \"\\u0008\\u000c\"}");
}

/* What is no JSON is read as YAML; what is neither is refused. */
TEST(what_is_neither_json_nor_yaml_is_refused)
{
    EXPECT_STR(read_json("\"\\u0000\""), "(refused)");
    EXPECT_STR(read_json("{\"a\": 1, \"a\": 2}"), "(refused)");
    EXPECT_STR(complaint(), "request body:1:10: key `a` is already defined at request body:1:2");
    EXPECT_STR(read_json("{\"a\": 1"), "(refused)");
    EXPECT_STR(read_json("[1, 2"), "(refused)");
    EXPECT_STR(read_json("\"a"), "(refused)");
    EXPECT_STR(read_json("\"\\x\""), "(refused)");
    EXPECT_STR(read_json("\"\xff\""), "(refused)");
    EXPECT_STR(read_json("{\"a\": 1,}"), "{\"a\": 1}");
    EXPECT_STR(read_json("007"), "\"007\"");
    EXPECT_STR(read_json("truely"), "\"truely\"");
}

TEST(keys_of_large_maps_differ_too)
{
    struct text json;

    text_init(&json, 1 << 16);
    text_byte(&json, '{');
    for (int i = 0; i < 40; i++)
        text_printf(&json, "\"k%d\":%d,", i, i);
    text_literal(&json, "\"k7\":1}");
    text_byte(&json, '\0');
    EXPECT_STR(read_json(json.at), "(refused)");
    text_free(&json);
}

TEST(a_long_line_is_no_trouble)
{
    struct text json;

    text_init(&json, 1 << 22);
    text_byte(&json, '[');
    for (int i = 0; i < 150000; i++)
        text_literal(&json, "\"abcdefgh\",");
    text_literal(&json, "0]");
    text_byte(&json, '\0');
    EXPECT(slice_starts(read_json(json.at), SLICE("[\"abcdefgh\"")));
    text_free(&json);
}

TEST(nesting_has_an_end)
{
    char json[256];

    memset(json, '[', 60);
    memset(json + 60, ']', 60);
    json[120] = '\0';
    EXPECT(slice_starts(read_json(json), SLICE("[[[")));
    memset(json, '[', 70);
    memset(json + 70, ']', 70);
    json[140] = '\0';
    EXPECT_STR(read_json(json), "(refused)");
}

TEST(places_are_those_of_the_text)
{
    struct config_document *d = open_text("{}");
    struct config *c;
    struct text printed;

    EXPECT(d);
    EXPECT_EQ(edit(d, CONFIG_EDIT_PUT, "", "{\n  \"timeout\": \"x\",\n  \"\\u0061dmin\": 7}"), 0);
    c = config_load_document(d, &source, &report);
    EXPECT(!c);
    text_init(&printed, 1 << 16);
    config_report_print(&report, &printed);
    EXPECT(slice_search(text_slice(&printed),
                        SLICE("request body:2:14: error: expected a duration, found `x`\n"
                              "    2 |   \"timeout\": \"x\",\n"
                              "      |              ^~~\n")) != SLICE_NOT_FOUND);
    EXPECT(slice_search(text_slice(&printed), SLICE("request body:3:17: error: expected true")) !=
           SLICE_NOT_FOUND);
    text_free(&printed);
    config_document_free(d);
    config_report_free(&report);
}
