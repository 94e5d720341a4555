/* SPDX-License-Identifier: Apache-2.0 */
#include "config/testing_document.h"

/* The examples of RFC 6902, appendix A, below `free`.  NULL: the patch fails. */
static const struct {
    const char *before, *patch, *after;
    enum config_edit_fault fault;
} cases[] = {
    {"{\"foo\":\"bar\"}", "[{\"op\":\"add\",\"path\":\"/baz\",\"value\":\"qux\"}]",
     "{\"foo\": \"bar\",\"baz\": \"qux\"}", 0},
    {"{\"foo\":[\"bar\",\"baz\"]}", "[{\"op\":\"add\",\"path\":\"/foo/1\",\"value\":\"qux\"}]",
     "{\"foo\": [\"bar\", \"qux\", \"baz\"]}", 0},
    {"{\"baz\":\"qux\",\"foo\":\"bar\"}", "[{\"op\":\"remove\",\"path\":\"/baz\"}]",
     "{\"foo\": \"bar\"}", 0},
    {"{\"foo\":[\"bar\",\"qux\",\"baz\"]}", "[{\"op\":\"remove\",\"path\":\"/foo/1\"}]",
     "{\"foo\": [\"bar\", \"baz\"]}", 0},
    {"{\"baz\":\"qux\",\"foo\":\"bar\"}",
     "[{\"op\":\"replace\",\"path\":\"/baz\",\"value\":\"boo\"}]",
     "{\"baz\": \"boo\",\"foo\": \"bar\"}", 0},
    {"{\"foo\":{\"bar\":\"baz\",\"waldo\":\"fred\"},\"qux\":{\"corge\":\"grault\"}}",
     "[{\"op\":\"move\",\"from\":\"/foo/waldo\",\"path\":\"/qux/thud\"}]",
     "{\"foo\": {\"bar\": \"baz\"},\"qux\": {\"corge\": \"grault\",\"thud\": \"fred\"}}", 0},
    {"{\"foo\":[\"all\",\"grass\",\"cows\",\"eat\"]}",
     "[{\"op\":\"move\",\"from\":\"/foo/1\",\"path\":\"/foo/3\"}]",
     "{\"foo\": [\"all\", \"cows\", \"eat\", \"grass\"]}", 0},
    {"{\"baz\":\"qux\",\"foo\":[\"a\",2,\"c\"]}",
     "[{\"op\":\"test\",\"path\":\"/baz\",\"value\":\"qux\"},"
     "{\"op\":\"test\",\"path\":\"/foo/1\",\"value\":2}]",
     "{\"baz\": \"qux\",\"foo\": [\"a\", 2, \"c\"]}", 0},
    {"{\"baz\":\"qux\"}", "[{\"op\":\"test\",\"path\":\"/baz\",\"value\":\"bar\"}]", NULL,
     CONFIG_EDIT_CONFLICT},
    {"{\"foo\":\"bar\"}",
     "[{\"op\":\"add\",\"path\":\"/child\",\"value\":{\"grandchild\":{}}}]",
     "{\"foo\": \"bar\",\"child\": {\"grandchild\": {}}}", 0},
    {"{\"foo\":\"bar\"}", "[{\"op\":\"add\",\"path\":\"/baz\",\"value\":\"qux\",\"xyz\":123}]",
     "{\"foo\": \"bar\",\"baz\": \"qux\"}", 0},
    {"{\"foo\":\"bar\"}", "[{\"op\":\"add\",\"path\":\"/baz/bat\",\"value\":\"qux\"}]", NULL,
     CONFIG_EDIT_NOT_FOUND},
    {"{\"/\":9,\"~1\":10}", "[{\"op\":\"test\",\"path\":\"/~01\",\"value\":10}]",
     "{\"/\": 9,\"~1\": 10}", 0},
    {"{\"foo\":[\"bar\"]}",
     "[{\"op\":\"add\",\"path\":\"/foo/-\",\"value\":[\"abc\",\"def\"]}]",
     "{\"foo\": [\"bar\",[\"abc\", \"def\"]]}", 0},
    /* And what else the text says. */
    {"{\"a\":[1,2]}", "[{\"op\":\"add\",\"path\":\"/a/3\",\"value\":3}]", NULL,
     CONFIG_EDIT_NOT_FOUND},
    {"{\"a\":[1,2]}", "[{\"op\":\"add\",\"path\":\"/a/2\",\"value\":3}]", "{\"a\": [1, 2, 3]}", 0},
    {"{\"a\":1}", "[{\"op\":\"remove\",\"path\":\"/b\"}]", NULL, CONFIG_EDIT_NOT_FOUND},
    {"{\"a\":1}", "[{\"op\":\"replace\",\"path\":\"/b\",\"value\":1}]", NULL,
     CONFIG_EDIT_NOT_FOUND},
    {"{\"a\":{\"b\":1}}", "[{\"op\":\"move\",\"from\":\"/a\",\"path\":\"/a/b/c\"}]", NULL,
     CONFIG_EDIT_SYNTAX},
    {"{\"a\":{\"b\":1}}", "[{\"op\":\"move\",\"from\":\"/a\",\"path\":\"/ab\"}]",
     "{\"ab\": {\"b\": 1}}", 0},
    {"{\"a\":{\"b\":1}}", "[{\"op\":\"move\",\"from\":\"/a\",\"path\":\"/a\"}]",
     "{\"a\": {\"b\": 1}}", 0},
    {"{\"a\":{\"b\":1}}", "[{\"op\":\"copy\",\"from\":\"/a\",\"path\":\"/c\"},"
                          "{\"op\":\"replace\",\"path\":\"/c/b\",\"value\":2}]",
     "{\"a\": {\"b\": 1},\"c\": {\"b\": 2}}", 0},
    {"{\"a\":1}", "[{\"op\":\"test\",\"path\":\"/b\",\"value\":1}]", NULL, CONFIG_EDIT_CONFLICT},
    {"{\"a\":1}", "[{\"op\":\"test\",\"path\":\"/b/c/d\",\"value\":1}]", NULL,
     CONFIG_EDIT_CONFLICT},
    {"{\"a\":1}", "[{\"op\":\"test\",\"path\":\"/a\",\"value\":null}]", NULL,
     CONFIG_EDIT_CONFLICT},
    {"{\"a\":null}", "[{\"op\":\"test\",\"path\":\"/a\",\"value\":null}]", "{\"a\": null}", 0},
    {"{\"a\":1}", "[{\"op\":\"spin\",\"path\":\"/a\"}]", NULL, CONFIG_EDIT_SYNTAX},
    {"{\"a\":1}", "[{\"path\":\"/a\"}]", NULL, CONFIG_EDIT_SYNTAX},
    {"{\"a\":1}", "[{\"op\":\"add\",\"path\":\"/b\"}]", NULL, CONFIG_EDIT_SYNTAX},
    {"{\"a\":1}", "[{\"op\":\"move\",\"path\":\"/b\"}]", NULL, CONFIG_EDIT_SYNTAX},
    {"{\"a\":1}", "[{\"op\":\"remove\",\"path\":\"a\"}]", NULL, CONFIG_EDIT_SYNTAX},
    {"{\"a\":1}", "[{\"op\":\"remove\",\"path\":\"/a~2\"}]", NULL, CONFIG_EDIT_SYNTAX},
    {"{\"a\":1}", "[{\"op\":\"add\",\"path\":\"/none/a~\",\"value\":1}]", NULL, CONFIG_EDIT_SYNTAX},
    {"{\"a\":1}", "[5]", NULL, CONFIG_EDIT_SYNTAX},
    {"{\"a\":1}", "{\"op\":\"remove\",\"path\":\"/a\"}", NULL, CONFIG_EDIT_SYNTAX},
    {"{\"a\":1}", "- op: replace\n  path: /a\n  value: [x]\n", "{\"a\": [\"x\"]}", 0},
    {"{\"a\":1}", "[]", "{\"a\": 1}", 0},
    {"{\"a\":1}", "[{\"op\":\"add\",\"path\":\"\",\"value\":7}]", "7", 0},
};

TEST(patches_are_those_of_the_rfc)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct config_document *d = open_text("free: {}");
        enum config_edit_fault fault;
        struct slice after;

        EXPECT(d);
        EXPECT_EQ(edit(d, CONFIG_EDIT_PUT, "/free", cases[i].before), CONFIG_EDIT_OK);
        fault = edit(d, CONFIG_EDIT_PATCH, "/free", cases[i].patch);
        if (fault != cases[i].fault)
            test_failed(__FILE__, __LINE__, "case %zu: fault %d, expected %d", i, (int) fault,
                        (int) cases[i].fault);
        EXPECT((fault != CONFIG_EDIT_OK) == (report.errors > 0));
        after = json_at(d, "/free");
        if (cases[i].after && !slice_eq(after, slice_str(cases[i].after)))
            test_failed(__FILE__, __LINE__, "case %zu: got %.*s", i, SLICE_ARG(after));
        config_document_free(d);
    }
}

TEST(items_may_be_named)
{
    struct config_document *d = open_text("upstreams: {a: [x:1, y:1]}\n"
                                          "routes: [{name: one, to: a}, {name: two, to: a}]");

    EXPECT(d);
    EXPECT_EQ(edit(d, CONFIG_EDIT_PATCH, "",
                   "- {op: add, path: /routes/two, value: {name: half, to: a}}\n"
                   "- {op: move, from: /routes/one, path: /routes/-}\n"
                   "- {op: replace, path: /routes/one/to, value: b}\n"
                   "- {op: add, path: '/upstreams/a/servers/y:1', value: z:1}\n"
                   "- {op: remove, path: '/upstreams/a/servers/x:1'}\n"),
              CONFIG_EDIT_OK);
    EXPECT_STR(json_at(d, "/routes/0/name"), "\"half\"");
    EXPECT_STR(json_at(d, "/routes/1/name"), "\"two\"");
    EXPECT_STR(json_at(d, "/routes/2"), "{\"name\": \"one\",\"to\": \"b\"}");
    EXPECT_STR(json_at(d, "/upstreams/a/servers"), "[\"z:1\", \"y:1\"]");
    EXPECT_EQ(edit(d, CONFIG_EDIT_PATCH, "/routes",
                   "[{\"op\":\"add\",\"path\":\"/twoo\",\"value\":{\"to\":\"a\"}}]"),
              CONFIG_EDIT_NOT_FOUND);
    EXPECT_STR(complaint(), "request body:1:21: there is no `twoo` in the list; hint: did you mean "
                            "`two`?");
    config_document_free(d);
    config_report_free(&report);
}

TEST(secrets_cannot_be_moved_to_where_they_are_shown)
{
    struct config_document *d = open_text("password: hidden\nfree: {a: b}\n"
                                          "upstreams: {a: {servers: x:1}}");

    EXPECT(d);
    EXPECT_EQ(edit(d, CONFIG_EDIT_PATCH, "",
                   "[{\"op\":\"copy\",\"from\":\"/password\",\"path\":\"/free/x\"}]"),
              CONFIG_EDIT_SYNTAX);
    EXPECT_STR(complaint(), "request body:1:41: a secret cannot go where something else stands");
    EXPECT_EQ(edit(d, CONFIG_EDIT_PATCH, "",
                   "[{\"op\":\"move\",\"from\":\"/password\",\"path\":\"/timeout\"}]"),
              CONFIG_EDIT_SYNTAX);
    EXPECT_EQ(edit(d, CONFIG_EDIT_PATCH, "",
                   "[{\"op\":\"copy\",\"from\":\"\",\"path\":\"/free/x\"}]"),
              CONFIG_EDIT_SYNTAX);
    EXPECT_EQ(edit(d, CONFIG_EDIT_PATCH, "",
                   "[{\"op\":\"copy\",\"from\":\"/upstreams/a\",\"path\":\"/free/x\"}]"),
              CONFIG_EDIT_OK);
    config_document_free(d);
}

TEST(a_change_that_asks_its_surroundings_is_known)
{
    struct config_document *d = open_text("password: ${env:X}");

    EXPECT(d && !config_document_asks(d));
    EXPECT_EQ(edit(d, CONFIG_EDIT_MERGE, "", "password: '***'\nfree: ${client.ip}"), 0);
    EXPECT(!config_document_asks(d));
    EXPECT_EQ(
        edit(d, CONFIG_EDIT_MERGE, "", "{\"free\": [{\"a\": \"\\u0024{file:/etc/shadow}\"}]}"), 0);
    EXPECT(config_document_asks(d));
    EXPECT_EQ(edit(d, CONFIG_EDIT_MERGE, "", "timeout: 1s"), 0);
    EXPECT(!config_document_asks(d));
    EXPECT_EQ(edit(d, CONFIG_EDIT_PATCH, "",
                   "[{\"op\":\"copy\",\"from\":\"/free/0/a\",\"path\":\"/timeout\"}]"), 0);
    EXPECT(config_document_asks(d));
    config_document_free(d);
}

/* The names of a long list, which are indexed, follow its changes. */
TEST(long_lists_keep_their_names)
{
    struct config_document *d = open_text("free: []");
    struct text patch;

    EXPECT(d);
    text_init(&patch, 1 << 20);
    text_byte(&patch, '[');
    for (int i = 0; i < 100; i++)
        text_printf(&patch, "{\"op\":\"add\",\"path\":\"/%s\",\"value\":{\"name\":\"r%d\"}},",
                    i % 2 ? "-" : "0", i);
    text_literal(&patch, "{\"op\":\"remove\",\"path\":\"/r50\"},"
                         "{\"op\":\"replace\",\"path\":\"/r51/name\",\"value\":\"new\"},"
                         "{\"op\":\"add\",\"path\":\"/new\",\"value\":{\"name\":\"r51\"}},"
                         "{\"op\":\"replace\",\"path\":\"/r60\",\"value\":{\"name\":\"x\"}},"
                         "{\"op\":\"add\",\"path\":\"/x/to\",\"value\":\"y\"},"
                         "{\"op\":\"move\",\"from\":\"/r99\",\"path\":\"/x\"},"
                         "{\"op\":\"remove\",\"path\":\"/r98/name\"}]");
    text_byte(&patch, '\0');
    EXPECT_EQ(edit(d, CONFIG_EDIT_PATCH, "/free", patch.at), CONFIG_EDIT_OK);
    text_free(&patch);
    for (int round = 0; round < 2; round++) { /* as it went along, and looked at anew */
        EXPECT_STR(json_at(d, "/free/x"), "{\"name\": \"x\",\"to\": \"y\"}");
        EXPECT_STR(json_at(d, "/free/0"), "{}");
        EXPECT_STR(json_at(d, "/free/19/name"), "\"r99\"");
        EXPECT_STR(json_at(d, "/free/20/to"), "\"y\"");
        EXPECT(config_document_find(d, SLICE("/free/r51")));
        EXPECT(config_document_find(d, SLICE("/free/new")));
        EXPECT(!config_document_find(d, SLICE("/free/r50")));
        EXPECT(!config_document_find(d, SLICE("/free/r60")));
        EXPECT(!config_document_find(d, SLICE("/free/r98")));
        EXPECT(!config_document_find(d, SLICE("/free/100")));
        {
            struct config_document *copy = config_document_copy(d);

            config_document_free(d);
            d = copy;
        }
    }
    config_document_free(d);
    config_report_free(&report);
}
