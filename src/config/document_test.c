/* SPDX-License-Identifier: Apache-2.0 */
#include "config/testing_document.h"

static const struct sample_file files[] = {
    {"etc/site.yaml", "include: conf.d/app*\n"
                      "password: ${file:secret}\n"
                      "routes:\n"
                      "  - {host: a.test, to: app}\n"},
    {"etc/conf.d/app.yaml", "upstreams: {app: \"${env:APP}\"}\n"
                            "header: {key: \"${file:secret}\"}\n"},
    {"etc/secret", "of the site\n"},
    {"etc/conf.d/secret", "of the part\n"},
    {NULL, NULL},
};
static const struct sample_file env[] = {{"APP", "x:1"}, {NULL, NULL}};

static struct config_document *
open_site(void)
{
    world = (struct sample_world){files, env};
    config_report_free(&report);
    return config_document_open("etc/site.yaml", NULL, SLICE(""), &sample_root_object, &source,
                                &report);
}

static struct text printed;

static struct config *
load(const struct config_document *d)
{
    struct config *c = config_load_document(d, &source, &report);

    text_free(&printed);
    text_init(&printed, 1 << 16);
    config_report_print(&report, &printed);
    return c;
}

TEST(a_document_is_what_people_wrote)
{
    struct config_document *d = open_site();

    EXPECT(d);
    EXPECT_STR(yaml_at(d, ""),
               "upstreams:\n  app: ${env:APP}\n\nheader:\n  key: ${file:secret}\n\n"
               "password: ${file:secret}\n\nroutes:\n  - host: a.test\n    to: app");
    config_document_free(d);
}

TEST(loading_replaces_and_knows_the_folders)
{
    struct config_document *d = open_site();
    struct config *c = d ? load(d) : NULL;
    const struct sample_root *root = c ? c->root : NULL;
    const struct sample_route *route;

    config_document_free(d); /* what was loaded stands alone */
    EXPECT(root);
    route = root->routes.at;
    EXPECT_STR(root->password, "of the site");
    EXPECT_STR(root->header.value, "of the part");
    EXPECT_STR(config_where_text(c, &route->to, &report.arena), "etc/site.yaml:4:24");
    config_free(c);
}

TEST(changes_start_at_the_folder_of_the_main_file)
{
    struct config_document *d = open_site();
    struct config *c;
    const struct sample_root *root;

    EXPECT(d);
    EXPECT_EQ(edit(d, CONFIG_EDIT_PUT, "/header", "key: ${file:secret}\nsecond: 1"), 0);
    EXPECT_EQ(edit(d, CONFIG_EDIT_REMOVE, "/header/second", ""), 0);
    EXPECT_EQ(edit(d, CONFIG_EDIT_PUT, "/header/other", "${file:secret}"), 0);
    EXPECT_EQ(edit(d, CONFIG_EDIT_REMOVE, "/header/key", ""), 0);
    c = load(d);
    EXPECT(c);
    root = c->root;
    EXPECT_STR(root->header.value, "of the site");
    config_free(c);
    config_document_free(d);
}

/* The whole is sent back with one change: the rest is still what the files say. */
TEST(what_a_change_repeats_stays_where_it_was)
{
    struct config_document *d = open_site();
    struct config *c;
    const struct sample_root *root;
    const struct sample_route *routes;

    EXPECT(d);
    EXPECT_EQ(edit(d, CONFIG_EDIT_PUT, "",
                   "upstreams: {app: \"${env:APP}\"}\nheader: {key: \"${file:secret}\"}\n"
                   "routes:\n  - {to: app}\n  - {host: a.test, to: app}\n"),
              0);
    c = load(d);
    EXPECT(c);
    root = c->root;
    routes = root->routes.at;
    EXPECT_STR(root->header.value, "of the part");
    EXPECT_STR(config_where_text(c, &routes[1].to, &report.arena), "etc/site.yaml:4:24");
    EXPECT_STR(config_where_text(c, &routes[0].to, &report.arena), "request body:4:10");
    config_free(c);
    config_document_free(d);
}

TEST(messages_point_into_files_and_changes)
{
    struct config_document *d = open_site();

    EXPECT(d);
    EXPECT_EQ(edit(d, CONFIG_EDIT_MERGE, "", "{\"upstreams\": {\"app\": null},\n \"timeout\": 5}"),
              0);
    EXPECT(!load(d));
    EXPECT_STR(text_slice(&printed),
               "etc/site.yaml:4:24: error: there is no upstream `app`\n"
               "    4 |   - {host: a.test, to: app}\n"
               "      |                        ^~~\n"
               "request body:2:13: error: expected a duration, found `5`\n"
               "    2 |  \"timeout\": 5}\n"
               "      |             ^\n"
               "hint: did you mean `5s`?\n");
    config_document_free(d);
}

TEST(messages_have_pointers)
{
    struct config_document *d = open_site();
    const struct config_message *m;

    EXPECT(d);
    EXPECT_EQ(edit(d, CONFIG_EDIT_MERGE, "",
                   "{\"upstreams\": {\"app\": null},\n \"timeout\": 5, \"a/b\": 1,\n"
                   " \"listen\": [\":80\", \"x\"]}"),
              0);
    EXPECT(!load(d));
    config_document_point(d, &report);
    m = report.messages;
    EXPECT_STR(m->pointer, "/timeout");
    EXPECT_STR(m->next->pointer, "/a~1b");
    EXPECT_STR(m->next->next->pointer, "/listen/1");
    EXPECT_STR(m->next->next->next->pointer, "/routes/0/to");
    config_document_free(d);
}

TEST(one_report_serves_for_all)
{
    struct config_document *d = open_site(), *copy;

    EXPECT(d);
    copy = config_document_copy(d);
    EXPECT(copy);
    EXPECT_EQ(config_document_edit(copy, CONFIG_EDIT_PUT, SLICE("/timeout"), "request body",
                                   SLICE("5"), &report), 0);
    config_document_free(d);
    EXPECT(!load(copy));
    EXPECT_STR(slice_first(text_slice(&printed), 57),
               "request body:1:1: error: expected a duration, found `5`\n ");
    config_document_free(copy);
}

TEST(copies_keep_only_what_is_used)
{
    struct config_document *d = open_site(), *copy;
    uint64_t hash;

    EXPECT(d);
    for (int i = 0; i < 300; i++) {
        EXPECT_EQ(edit(d, CONFIG_EDIT_PUT, "/timeout", i % 2 ? "1s" : "2s"), 0);
        copy = config_document_copy(d);
        EXPECT(copy);
        hash = hash_of(d);
        config_document_free(d);
        d = copy;
        EXPECT(hash == hash_of(d));
    }
    config_report_free(&report);
    config_free(load(d));
    EXPECT_EQ(report.n_files, 4); /* the change that made the key, and the last */
    config_document_free(d);
}

TEST(the_origin_is_that_of_the_files)
{
    struct config_document *a = open_site(), *b = open_site(), *c = open_text("routes: []");
    struct config_document *copy = a ? config_document_copy(a) : NULL;

    EXPECT(a && b && c && copy);
    EXPECT_EQ(edit(copy, CONFIG_EDIT_PUT, "/timeout", "9s"), 0);
    EXPECT(config_document_origin(a) == config_document_origin(b));
    EXPECT(config_document_origin(a) == config_document_origin(copy));
    EXPECT(config_document_origin(a) != config_document_origin(c));
    EXPECT(hash_of(a) == hash_of(b) && hash_of(a) != hash_of(copy));
    config_document_free(a);
    config_document_free(b);
    config_document_free(c);
    config_document_free(copy);
}

TEST(mistakes_of_the_tables_are_told_with_those_of_the_files)
{
    EXPECT(!open_text("timeout: 5\ntimeout: 6\nnothing: 1\n"));
    EXPECT_EQ(report.errors, 3);
    EXPECT(!open_text("a: ["));
    EXPECT_EQ(report.errors, 1);
}

TEST(ten_thousand_names_are_found_at_once)
{
    struct config_document *d;
    struct text site;
    char pointer[64];

    text_init(&site, 1 << 24);
    text_literal(&site, "upstreams: {a: x:1}\nroutes:\n");
    for (int i = 0; i < 10000; i++)
        text_printf(&site, "  - {name: r%d, host: h%d.test, path: /p%d/, to: a}\n", i, i, i % 10);
    text_byte(&site, '\0');
    d = open_text(site.at);
    text_free(&site);
    EXPECT(d);
    for (int i = 0; i < 10000; i++) {
        snprintf(pointer, sizeof(pointer), "/routes/r%d/host", i);
        EXPECT(config_document_find(d, slice_str(pointer)));
    }
    EXPECT_STR(yaml_at(d, "/routes/r9999/host"), "h9999.test");
    config_document_free(d);
    text_free(&printed);
    config_report_free(&report);
}
