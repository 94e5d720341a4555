/* SPDX-License-Identifier: Apache-2.0 */
/* config/include_test.c - several files, the environment, secrets. */
#include "config/testing_load.h"

static const struct sample_file files[] = {
    {"etc/conf.d/10.yaml", "routes: [{to: ten}]\nupstreams: {ten: x:10}\n"},
    {"etc/conf.d/20.yaml", "routes:\n  - to: twenty\nupstreams: {twenty: x:20}\n"},
    {"etc/list.yaml", "include: [sub/one.yaml, none*]\nadmin: no\n"},
    {"etc/sub/one.yaml", "include: ../two.yaml\nupstreams: {one: x:1}\n"},
    {"etc/sub/../two.yaml", "version: 1\nupstreams: {two: x:2}\n"},
    {"etc/self.yaml", "include: self.yaml\n"},
    {"etc/twice.yaml", "timeout: 3s\nupstreams:\n  one: x:1\n"},
    {"etc/list.txt", "- a\n"},
    {"etc/broken.yaml", "a: [\n"},
    {"etc/empty.yaml", ""},
    {"etc/old.yaml", "version: 0\n"},
    {"etc/d0.yaml", "include: d1.yaml"},
    {"etc/d1.yaml", "include: d2.yaml"},
    {"etc/d2.yaml", "include: d3.yaml"},
    {"etc/d3.yaml", "include: d4.yaml"},
    {"etc/d4.yaml", "include: d5.yaml"},
    {"etc/d5.yaml", "include: d6.yaml"},
    {"etc/d6.yaml", "include: d7.yaml"},
    {"etc/d7.yaml", "include: d8.yaml"},
    {"etc/d8.yaml", "admin: no"},
    {"etc/secret", "hunter2\n"},
    {"etc/crlf", "hunter2\r\n"},
    {"/abs", "absolute"},
    {NULL, NULL},
};

static bool
load_etc(const char *text)
{
    struct sample_file all[sizeof(files) / sizeof(files[0]) + 1];

    memcpy(all + 1, files, sizeof(files));
    all[0] = (struct sample_file){"etc/site.yaml", text};
    unload();
    world.files = all;
    config_report_init(&report);
    text_init(&printed, 1 << 20);
    config = config_load_file("etc/site.yaml", &sample_root_object, &source, &report);
    root = config ? config->root : NULL;
    config_report_print(&report, &printed);
    world.files = NULL;
    return config != NULL;
}

static struct slice
first_line(void)
{
    struct slice rest = text_slice(&printed);

    return slice_cut(&rest, '\n');
}

TEST(includes_are_joined_at_their_place)
{
    EXPECT(load_etc("routes: {to: own}\nupstreams: {own: x:1}\ninclude: conf.d/*.yaml\n") == false);
    EXPECT(load_etc("routes: [{to: own}]\nupstreams: {own: x:1}\ninclude: conf.d/*.yaml\n"));
    EXPECT_EQ(root->routes.n, 3);
    EXPECT_STR(route(0)->to, "own");
    EXPECT_STR(route(1)->to, "ten");
    EXPECT_STR(route(2)->to, "twenty");
    EXPECT_EQ(root->upstreams.n, 3);
    EXPECT_EQ(config->n_files, 3);
    EXPECT_STR(config->files[config_where(config, &route(2)->to).file].path, "etc/conf.d/20.yaml");
    EXPECT(load_etc("include: [conf.d/*.yaml]\nroutes: [{to: own}]\nupstreams: {own: x:1}\n"));
    EXPECT_STR(route(2)->to, "own");
    EXPECT(config_node_get(config->tree, SLICE("include")) == NULL);
    unload();
}

TEST(paths_are_relative_to_the_including_file)
{
    EXPECT(load_etc("include: list.yaml\n"));
    EXPECT_EQ(root->upstreams.n, 2);
    EXPECT_STR(upstream(0)->name, "two");
    EXPECT_STR(upstream(1)->name, "one");
    EXPECT(!root->admin);
    EXPECT(load_etc("include: empty.yaml\n"));
    EXPECT(load_etc("include: [d1.yaml]\n"));
    unload();
}

TEST(faulty_includes)
{
    EXPECT(!load_etc("include: nowhere.yaml\n"));
    EXPECT_STR(first_line(),
               "etc/site.yaml:1:10: error: cannot read `etc/nowhere.yaml`: No such file or "
               "directory");
    EXPECT(!load_etc("include: self.yaml\n"));
    EXPECT_STR(first_line(), "etc/self.yaml:1:10: error: `etc/self.yaml` includes itself");
    EXPECT(!load_etc("include: d0.yaml\n"));
    EXPECT_STR(first_line(), "etc/d7.yaml:1:10: error: more than 8 files include one another");
    EXPECT(!load_etc("include: {a: b}\n"));
    EXPECT_STR(first_line(), "etc/site.yaml:1:10: error: expected a path, found a map");
    EXPECT(!load_etc("include: [~]\n"));
    EXPECT_STR(first_line(), "etc/site.yaml:1:11: error: expected a path, found nothing");
    EXPECT(!load_etc("include: list.txt\n"));
    EXPECT_STR(first_line(),
               "etc/list.txt:1:1: error: expected a map at the top of the file, found a list");
    EXPECT(!load_etc("include: old.yaml\n"));
    EXPECT_STR(first_line(),
               "etc/old.yaml:1:10: error: unknown version of the configuration language; "
               "this program reads `1`");
    unload();
}

TEST(what_two_files_define_is_an_error)
{
    EXPECT(!load_etc("timeout: 1s\nupstreams: {one: y}\ninclude: twice.yaml\n"));
    EXPECT_EQ(report.errors, 2);
    EXPECT_STR(first_line(),
               "etc/twice.yaml:1:1: error: `timeout` is already defined at etc/site.yaml:1:1");
    EXPECT(slice_search(text_slice(&printed),
                        SLICE("etc/twice.yaml:3:3: error: `one` is already defined at "
                              "etc/site.yaml:2:13\n")) != SLICE_NOT_FOUND);
    EXPECT(load_etc("timeout:\nupstreams: ~\ninclude: twice.yaml\n"));
    EXPECT_EQ(root->timeout_us, 3000000);
    unload();
}

TEST(bad_syntax_hides_no_other_file)
{
    EXPECT(!load_etc("include: [broken.yaml, old.yaml]\nfoo: bar\n"));
    EXPECT_EQ(report.errors, 2);
    unload();
}

TEST(a_missing_file_has_no_place)
{
    unload();
    config_report_init(&report);
    text_init(&printed, 1 << 20);
    EXPECT(!config_load_file("/no/such/file", &sample_root_object, NULL, &report));
    config_report_print(&report, &printed);
    EXPECT_STR(text_slice(&printed),
               "error: cannot read `/no/such/file`: No such file or directory\n");
    unload();
}

/* ------------------------------------------------------------------ replacements */

static const struct sample_file environment[] = {
    {"NAME", "value"}, {"EMPTY", ""}, {"TRICK", "${env:NAME}"}, {"TIME", "7s"}, {NULL, NULL}};

static bool
load_env(const char *text)
{
    world = (struct sample_world){files, environment};
    return load(text);
}

TEST(the_environment_is_put_in)
{
    EXPECT(load_env("password: a-${env:NAME}-${env:NAME}"));
    EXPECT_STR(root->password, "a-value-value");
    EXPECT(load_env("timeout: ${env:TIME}"));
    EXPECT_EQ(root->timeout_us, 7000000);
    EXPECT(load_env("password: '${env:NONE:-fall: back}'"));
    EXPECT_STR(root->password, "fall: back");
    EXPECT(load_env("password: ${env:EMPTY:-x}"));
    EXPECT_STR(root->password, "x");
    EXPECT(load_env("password: ${env:NAME:-x}"));
    EXPECT_STR(root->password, "value");
    EXPECT(load_env("password: ${env:EMPTY}"));
    EXPECT(!slice_is_present(root->password));
    EXPECT(load_env("password: '${env:EMPTY}'"));
    EXPECT(slice_is_present(root->password));
    EXPECT(load_env("password: ${env:TRICK}"));
    EXPECT_STR(root->password, "${env:NAME}");
    unload();
}

TEST(other_references_are_left_alone)
{
    EXPECT(load_env("password: ${client.ip} $x ${ $${y} $"));
    EXPECT_STR(root->password, "${client.ip} $x ${ $${y} $");
    EXPECT(load_env("password: $${env:NAME} ${env:NAME} $${file:/abs}"));
    EXPECT_STR(root->password, "${env:NAME} value ${file:/abs}");
    unload();
}

TEST(files_are_put_in_without_their_last_newline)
{
    EXPECT(load_env("password: ${file:/abs}"));
    EXPECT_STR(root->password, "absolute");
    EXPECT(load_etc("password: <${file:secret}>"));
    EXPECT_STR(root->password, "<hunter2>");
    EXPECT(load_etc("password: ${file:crlf}"));
    EXPECT_STR(root->password, "hunter2");
    unload();
}

TEST(faulty_replacements)
{
    world = (struct sample_world){files, environment};
    EXPECT_STR(
        complaint("password: ${env:NONE}"),
        "c.yaml:1:11: error: the environment variable `NONE` is not set; hint: set it, or give a "
        "fallback: `${env:NONE:-value}`");
    EXPECT_EQ(report.errors, 1);
    EXPECT_STR(complaint("timeout: ${env:NAME"), "c.yaml:1:10: error: `${env:` without `}`");
    EXPECT_STR(complaint("timeout: ${env:}"),
               "c.yaml:1:10: error: `${env:...}` needs the name of a variable");
    EXPECT_STR(complaint("timeout: ${file:/none}"),
               "c.yaml:1:10: error: cannot read `/none`: No such file or directory");
    unload();
}
