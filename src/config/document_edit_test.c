/* SPDX-License-Identifier: Apache-2.0 */
#include "config/testing_document.h"

static const char site[] =
    "# a comment\n"
    "listen: \":80\"\n"
    "password: \"${env:PASSWORD}\"\n"
    "upstreams:\n"
    "  app: {servers: [a:1, {address: b:1, weight: 2}], health: /up}\n"
    "  api: c:1\n"
    "routes:\n"
    "  - {name: shop, host: [shop.test, www.shop.test], to: app}\n"
    "  - to: api\n"
    "    use: [deny, {compress: {min_size: 2KiB}}]\n";

static struct config_document *d;

static bool
start(void)
{
    config_document_free(d);
    d = open_text(site);
    return d != NULL;
}

/* ------------------------------------------------------------------ looking */

TEST(a_pointer_leads_to_a_node)
{
    EXPECT(start());
    EXPECT_STR(yaml_at(d, "/routes/0/to"), "app");
    EXPECT_STR(yaml_at(d, "/routes/shop/host/1"), "www.shop.test");
    EXPECT_STR(yaml_at(d, "/upstreams/app/servers/b:1/weight"), "2");
    EXPECT_STR(yaml_at(d, "/upstreams/app/servers/a:1"), "a:1");
    EXPECT(!config_document_find(d, SLICE("/routes/2")));
    EXPECT(!config_document_find(d, SLICE("/routes/00")));
    EXPECT(!config_document_find(d, SLICE("/routes/-")));
    EXPECT(!config_document_find(d, SLICE("/routes/none/to")));
    EXPECT(!config_document_find(d, SLICE("routes")));
    EXPECT(!config_document_find(d, SLICE("/routes/0/to/more")));
    EXPECT(!config_document_find(d, SLICE("/up~2")));
}

TEST(what_is_short_is_found_by_its_long_pointer)
{
    EXPECT(start());
    EXPECT_STR(yaml_at(d, "/listen/0"), "\":80\"");
    EXPECT_STR(yaml_at(d, "/upstreams/api/servers"), "c:1");
    EXPECT_STR(yaml_at(d, "/upstreams/api/servers/c:1/address"), "c:1");
    EXPECT_STR(yaml_at(d, "/upstreams/app/health/path"), "/up");
    EXPECT(!config_document_find(d, SLICE("/upstreams/api/health")));
}

TEST(a_map_may_stand_for_a_list_of_one)
{
    struct config_document *e = open_text("upstreams: {a: x:1}\nroutes: {to: a, host: h}");

    EXPECT(e);
    EXPECT_STR(yaml_at(e, "/routes/0/to"), "a");
    EXPECT(!config_document_find(e, SLICE("/routes/1")));
    EXPECT(!config_document_find(e, SLICE("/routes/to")));
    EXPECT_EQ(edit(e, CONFIG_EDIT_REMOVE, "/routes/0/host", ""), CONFIG_EDIT_OK);
    EXPECT_EQ(edit(e, CONFIG_EDIT_ADD, "/routes", "to: b"), CONFIG_EDIT_OK);
    EXPECT_STR(json_at(e, "/routes"), "[{\"to\": \"a\"},{\"to\": \"b\"}]");
    config_document_free(e);
}

TEST(slashes_and_tildes_of_names_are_escaped)
{
    struct config_document *e = open_text("upstreams: {a/b~c: x:1}\nfree: {\"\": 5}");

    EXPECT(e);
    EXPECT_STR(yaml_at(e, "/upstreams/a~1b~0c"), "x:1");
    EXPECT_STR(yaml_at(e, "/free/"), "5");
    config_document_free(e);
}

/* ------------------------------------------------------------------ PUT */

TEST(put_replaces_and_makes)
{
    EXPECT(start());
    EXPECT_EQ(edit(d, CONFIG_EDIT_PUT, "/routes/shop/to", "\"api\""), CONFIG_EDIT_OK);
    EXPECT_STR(json_at(d, "/routes/0"),
               "{\"name\": \"shop\",\"host\": [\"shop.test\", \"www.shop.test\"],\"to\": \"api\"}");
    EXPECT_EQ(edit(d, CONFIG_EDIT_PUT, "/routes/0/path", "/shop/"), CONFIG_EDIT_OK);
    EXPECT_STR(yaml_at(d, "/routes/shop/path"), "/shop/");
    EXPECT_EQ(edit(d, CONFIG_EDIT_PUT, "/routes/2", "to: app"), CONFIG_EDIT_OK);
    EXPECT_STR(yaml_at(d, "/routes/2/to"), "app");
    EXPECT_EQ(edit(d, CONFIG_EDIT_PUT, "/routes/-", "{\"to\": \"app\"}"), CONFIG_EDIT_OK);
    EXPECT_STR(yaml_at(d, "/routes/3/to"), "app");
    EXPECT_EQ(edit(d, CONFIG_EDIT_PUT, "", "{\"listen\": \":81\"}"), CONFIG_EDIT_OK);
    EXPECT_STR(yaml_at(d, ""), "listen: \":81\"");
}

TEST(put_names_items_after_their_pointer)
{
    EXPECT(start());
    EXPECT_EQ(edit(d, CONFIG_EDIT_PUT, "/upstreams/app/servers/z:1", "{\"weight\": 7}"),
              CONFIG_EDIT_OK);
    EXPECT_STR(json_at(d, "/upstreams/app/servers/2"), "{\"address\": \"z:1\",\"weight\": 7}");
    EXPECT_EQ(edit(d, CONFIG_EDIT_PUT, "/upstreams/app/servers/z:1", "weight: 8"), CONFIG_EDIT_OK);
    EXPECT_STR(json_at(d, "/upstreams/app/servers/2"), "{\"address\": \"z:1\",\"weight\": 8}");
    EXPECT_EQ(edit(d, CONFIG_EDIT_PUT, "/upstreams/app/servers/y:1", "y:2"), CONFIG_EDIT_SYNTAX);
    EXPECT_EQ(edit(d, CONFIG_EDIT_PUT, "/upstreams/app/servers/z:1", "a:1"), CONFIG_EDIT_CONFLICT);
    EXPECT_STR(complaint(), "request body:1:1: there is a `a:1` already");
}

TEST(put_needs_a_parent)
{
    EXPECT(start());
    EXPECT_EQ(edit(d, CONFIG_EDIT_PUT, "/upstreams/ap/balance", "off"), CONFIG_EDIT_NOT_FOUND);
    EXPECT_STR(complaint(), "there is no `ap`; hint: did you mean `app`?");
    EXPECT_EQ(edit(d, CONFIG_EDIT_PUT, "/routes/7", "to: app"), CONFIG_EDIT_NOT_FOUND);
    EXPECT_EQ(edit(d, CONFIG_EDIT_PUT, "/routes/shop/to/x", "to: app"), CONFIG_EDIT_NOT_FOUND);
    EXPECT_EQ(edit(d, CONFIG_EDIT_PUT, "x", "to: app"), CONFIG_EDIT_SYNTAX);
}

TEST(put_below_something_short_writes_it_out)
{
    EXPECT(start());
    EXPECT_EQ(edit(d, CONFIG_EDIT_PUT, "/upstreams/api/balance", "off"), CONFIG_EDIT_OK);
    EXPECT_STR(json_at(d, "/upstreams/api"), "{\"servers\": \"c:1\",\"balance\": \"off\"}");
    EXPECT_EQ(edit(d, CONFIG_EDIT_PUT, "/routes/1/use/0/deny/x", "1"), CONFIG_EDIT_OK);
    EXPECT_STR(json_at(d, "/routes/1/use/0"), "{\"deny\": {\"x\": 1}}");
}

/* ------------------------------------------------------------------ ADD, REMOVE */

TEST(add_appends_to_a_list)
{
    EXPECT(start());
    EXPECT_EQ(edit(d, CONFIG_EDIT_ADD, "/listen", ":81"), CONFIG_EDIT_OK);
    EXPECT_STR(json_at(d, "/listen"), "[\":80\", \":81\"]");
    EXPECT_EQ(edit(d, CONFIG_EDIT_ADD, "/upstreams/api/servers", "d:1"), CONFIG_EDIT_OK);
    EXPECT_STR(json_at(d, "/upstreams/api"), "{\"servers\": [\"c:1\", \"d:1\"]}");
    EXPECT_EQ(edit(d, CONFIG_EDIT_ADD, "/routes/shop/clients", "10.0.0.1"), CONFIG_EDIT_OK);
    EXPECT_STR(json_at(d, "/routes/shop/clients"), "[\"10.0.0.1\"]");
    EXPECT_EQ(edit(d, CONFIG_EDIT_ADD, "/routes", "name: shop\nto: api"), CONFIG_EDIT_CONFLICT);
    EXPECT_EQ(edit(d, CONFIG_EDIT_ADD, "/upstreams", "d:1"), CONFIG_EDIT_SYNTAX);
    EXPECT_STR(complaint(), "there is a map, not a list; hint: put the value under a key of its "
                            "own");
    EXPECT_EQ(edit(d, CONFIG_EDIT_ADD, "/nowhere", "d:1"), CONFIG_EDIT_NOT_FOUND);
}

TEST(remove_takes_out)
{
    EXPECT(start());
    EXPECT_EQ(edit(d, CONFIG_EDIT_REMOVE, "/routes/0", NULL), CONFIG_EDIT_OK);
    EXPECT_STR(yaml_at(d, "/routes/0/to"), "api");
    EXPECT_EQ(edit(d, CONFIG_EDIT_REMOVE, "/routes/0/use/0", NULL), CONFIG_EDIT_OK);
    EXPECT_STR(json_at(d, "/routes/0/use"), "[{\"compress\": {\"min_size\": \"2KiB\"}}]");
    EXPECT_EQ(edit(d, CONFIG_EDIT_REMOVE, "/upstreams/api/servers/c:1", NULL), CONFIG_EDIT_OK);
    EXPECT_STR(json_at(d, "/upstreams/api"), "{\"servers\": []}");
    EXPECT_EQ(edit(d, CONFIG_EDIT_REMOVE, "/routes/shop", NULL), CONFIG_EDIT_NOT_FOUND);
    EXPECT_EQ(edit(d, CONFIG_EDIT_REMOVE, "", NULL), CONFIG_EDIT_OK);
    EXPECT_STR(yaml_at(d, ""), "{}");
}

/* ------------------------------------------------------------------ MERGE */

TEST(merge_keeps_what_it_does_not_name)
{
    EXPECT(start());
    EXPECT_EQ(edit(d, CONFIG_EDIT_MERGE, "/routes/shop",
                   "{\"host\": null, \"path\": \"/x\", \"retry\": {\"attempts\": 2, "
                   "\"timeout\": null}}"),
              CONFIG_EDIT_OK);
    EXPECT_STR(json_at(d, "/routes/shop"), "{\"name\": \"shop\",\"to\": \"app\",\"path\": \"/x\","
                                           "\"retry\": {\"attempts\": 2}}");
    EXPECT_EQ(edit(d, CONFIG_EDIT_MERGE, "/upstreams", "api: {balance: off}"), CONFIG_EDIT_OK);
    EXPECT_STR(json_at(d, "/upstreams/api"), "{\"servers\": \"c:1\",\"balance\": \"off\"}");
    EXPECT_EQ(edit(d, CONFIG_EDIT_MERGE, "/upstreams/app/servers/a:1", "weight: 9"),
              CONFIG_EDIT_OK);
    EXPECT_STR(json_at(d, "/upstreams/app/servers/0"), "{\"address\": \"a:1\",\"weight\": 9}");
    EXPECT_EQ(edit(d, CONFIG_EDIT_MERGE, "/routes/none", "to: x"), CONFIG_EDIT_NOT_FOUND);
    EXPECT_EQ(edit(d, CONFIG_EDIT_MERGE, "/listen", "[\":82\"]"), CONFIG_EDIT_OK);
    EXPECT_STR(json_at(d, "/listen"), "[\":82\"]");
}

/* The examples of RFC 7396, appendix A, where a map is at the top. */
TEST(merges_are_those_of_the_rfc)
{
    static const char *const cases[][3] = {
        {"{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\": \"c\"}"},
        {"{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\": \"b\",\"b\": \"c\"}"},
        {"{\"a\":\"b\"}", "{\"a\":null}", "{}"},
        {"{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\": \"c\"}"},
        {"{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\": \"c\"}"},
        {"{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\": [\"b\"]}"},
        {"{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}", "{\"a\": {\"b\": \"d\"}}"},
        {"{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\": [1]}"},
        {"{\"e\":null}", "{\"a\":1}", "{\"e\": null,\"a\": 1}"},
        {"{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\": {\"bb\": {}}}"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct config_document *e = open_text("free: {}");

        EXPECT(e);
        EXPECT_EQ(edit(e, CONFIG_EDIT_PUT, "/free", cases[i][0]), CONFIG_EDIT_OK);
        EXPECT_EQ(edit(e, CONFIG_EDIT_MERGE, "/free", cases[i][1]), CONFIG_EDIT_OK);
        EXPECT_STR(json_at(e, "/free"), cases[i][2]);
        config_document_free(e);
    }
}

/* ------------------------------------------------------------------ all or nothing */

static void
expect_unchanged(enum config_edit how, const char *pointer, const char *text,
                 enum config_edit_fault fault)
{
    struct slice before, after;
    uint64_t hash;

    EXPECT(start());
    before = yaml_at(d, "");
    hash = hash_of(d);
    EXPECT_EQ(edit(d, how, pointer, text), fault);
    EXPECT(report.errors > 0);
    after = yaml_at(d, "");
    EXPECT(slice_eq(before, after));
    EXPECT(hash == hash_of(d));
}

TEST(a_change_that_fails_leaves_everything)
{
    expect_unchanged(CONFIG_EDIT_PUT, "/routes", "[", CONFIG_EDIT_SYNTAX);
    expect_unchanged(CONFIG_EDIT_PUT, "/routes", "", CONFIG_EDIT_SYNTAX);
    expect_unchanged(CONFIG_EDIT_PUT, "/routes", "{\"a\": 1, \"a\": 2}", CONFIG_EDIT_SYNTAX);
    expect_unchanged(CONFIG_EDIT_PUT, "", "[1]", CONFIG_EDIT_SYNTAX);
    expect_unchanged(CONFIG_EDIT_PUT, "", "include: x.yaml", CONFIG_EDIT_SYNTAX);
    expect_unchanged(CONFIG_EDIT_MERGE, "", "version: 2", CONFIG_EDIT_SYNTAX);
    expect_unchanged(CONFIG_EDIT_PUT, "/upstreams/api/nothing/x", "1", CONFIG_EDIT_NOT_FOUND);
    expect_unchanged(CONFIG_EDIT_PATCH, "",
                     "[{\"op\":\"remove\",\"path\":\"/routes/shop\"},"
                     "{\"op\":\"add\",\"path\":\"/listen/0\",\"value\":\":1\"},"
                     "{\"op\":\"replace\",\"path\":\"/upstreams/api/servers/c:1/weight\","
                     "\"value\":1}]",
                     CONFIG_EDIT_NOT_FOUND);
    expect_unchanged(CONFIG_EDIT_PATCH, "/routes",
                     "[{\"op\":\"move\",\"from\":\"/1\",\"path\":\"/0\"},"
                     "{\"op\":\"copy\",\"from\":\"/0\",\"path\":\"/-\"},"
                     "{\"op\":\"test\",\"path\":\"/0/to\",\"value\":\"app\"}]",
                     CONFIG_EDIT_CONFLICT);
    EXPECT_STR(complaint(), "request body:1:114: the test failed: there is `api`");
}

TEST(nesting_has_an_end)
{
    struct text pointer, value;

    EXPECT(start());
    text_init(&pointer, 4096);
    text_init(&value, 4096);
    for (int i = 0; i < 40; i++)
        text_literal(&value, "[");
    for (int i = 0; i < 40; i++)
        text_literal(&value, "]");
    text_byte(&value, '\0');
    text_literal(&pointer, "/free");
    text_byte(&pointer, '\0');
    EXPECT_EQ(edit(d, CONFIG_EDIT_PUT, pointer.at, value.at), CONFIG_EDIT_OK);
    pointer.n--;
    for (int i = 0; i < 39; i++)
        text_literal(&pointer, "/0");
    text_literal(&pointer, "/-");
    text_byte(&pointer, '\0');
    EXPECT_EQ(edit(d, CONFIG_EDIT_PUT, pointer.at, value.at), CONFIG_EDIT_SYNTAX);
    text_free(&pointer);
    text_free(&value);
}

/* ------------------------------------------------------------------ secrets */

TEST(secrets_are_masked_and_the_mask_keeps_them)
{
    EXPECT(start());
    EXPECT_STR(written_as(d, "/password", CONFIG_YAML, true), "\"***\"");
    EXPECT_STR(written_as(d, "/password", CONFIG_JSON, true), "\"***\"");
    EXPECT_EQ(edit(d, CONFIG_EDIT_PUT, "/password", "\"***\""), CONFIG_EDIT_OK);
    EXPECT_STR(yaml_at(d, "/password"), "${env:PASSWORD}");
    EXPECT_EQ(edit(d, CONFIG_EDIT_MERGE, "", "{\"password\":\"***\", \"timeout\":\"1s\"}"),
              CONFIG_EDIT_OK);
    EXPECT_STR(yaml_at(d, "/password"), "${env:PASSWORD}");
    EXPECT_EQ(edit(d, CONFIG_EDIT_REMOVE, "/password", NULL), CONFIG_EDIT_OK);
    EXPECT_EQ(edit(d, CONFIG_EDIT_PUT, "/password", "\"***\""), CONFIG_EDIT_SYNTAX);
    EXPECT_STR(complaint(), "request body:1:1: `***` stands for a secret that is there, and there "
                            "is none; hint: write the secret itself");
}

TEST(what_was_read_masked_may_be_sent_back)
{
    struct text whole;

    EXPECT(start());
    text_init(&whole, 1 << 16);
    config_document_write(d, config_document_find(d, SLICE("")), CONFIG_JSON, true, &whole);
    text_byte(&whole, '\0');
    EXPECT(strstr(whole.at, "***") && !strstr(whole.at, "PASSWORD"));
    {
        uint64_t hash = hash_of(d);
        struct config_document *before = config_document_copy(d);

        EXPECT_EQ(edit(d, CONFIG_EDIT_PUT, "", whole.at), CONFIG_EDIT_OK);
        EXPECT(hash == hash_of(d));
        EXPECT_STR(difference(before, d), "[]\n");
        EXPECT_STR(yaml_at(d, "/password"), "${env:PASSWORD}");
        config_document_free(before);
    }
    text_free(&whole);
    config_document_free(d);
    d = NULL;
    config_report_free(&report);
}
