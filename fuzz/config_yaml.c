/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz/config_yaml.c - any text as a configuration, with the sample tables.
 *
 * Whatever the text is, loading ends, there is a configuration or an error but never both or
 * neither, every message points into the text, and the report can be printed.
 */
#include "base/check.h"
#include "config/testing.h"

static const struct sample_file files[] = {
    {"part.yaml", "upstreams: {part: x:1}\nroutes: [{to: part}]\n"},
    {"self.yaml", "include: self.yaml\n"},
    {"/secret", "secret\n"},
    {NULL, NULL},
};
static const struct sample_file environment[] = {{"X", "value"}, {"EMPTY", ""}, {NULL, NULL}};
static struct sample_world world = {files, environment};
static const struct config_source source = {
    .read = sample_read, .env = sample_env, .match = sample_match, .arg = &world};

/* Length of the line with that number; aborts when there is none. */
static size_t
line_length(struct slice text, uint32_t number)
{
    struct slice rest = text, line = {NULL, 0};

    for (uint32_t i = 0; i < number; i++) {
        CHECK(slice_is_present(rest));
        line = slice_cut(&rest, '\n');
    }
    return line.n;
}

static void
check_mark(const struct config_report *r, struct config_mark m)
{
    if (m.line == 0)
        return;
    CHECK(m.file < r->n_files);
    CHECK(m.column >= 1 && m.column <= line_length(r->files[m.file].text, m.line) + 1);
}

static void
check_report(const struct config_report *r)
{
    struct text out;

    for (const struct config_message *m = r->messages; m; m = m->next) {
        check_mark(r, m->mark);
        CHECK(m->text.n > 0);
    }
    text_init(&out, 1 << 24);
    config_report_print(r, &out);
    CHECK((out.n > 0) == (r->messages != NULL));
    text_free(&out);
}

static void
check_config(const struct config *c)
{
    const struct sample_root *root = c->root;

    for (size_t i = 0; i < root->routes.n; i++) {
        const struct sample_route *route = &((const struct sample_route *) root->routes.at)[i];

        CHECK(route->to.at && config_where(c, &route->to).line > 0);
        CHECK(route->retry.checked == 1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct config_report report;
    struct config *c;

    config_report_init(&report);
    c = config_load_text("fuzz.yaml", slice_of((const char *) data, n), &sample_root_object,
                         &source, &report);
    CHECK((c == NULL) == (report.errors > 0));
    check_report(&report);
    if (c)
        check_config(c);
    config_free(c);
    config_report_free(&report);
    return 0;
}
