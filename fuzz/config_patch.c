/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz/config_patch.c - any text as a change of a configuration.
 *
 * The first line says how and where: P (put), A (add), M (merge), J (JSON patch) or R (remove), and
 * a JSON Pointer; the rest is the text.
 *
 * Whatever comes, a change that fails says why and leaves everything as it was.  What comes of one
 * that does not can be written and read back, in both formats; the difference to what was before
 * leads there; and it can be loaded, or there is a complaint.
 */
#include "base/check.h"
#include "config/document.h"
#include "config/testing.h"

static const struct sample_file files[] = {{"/secret", "secret\n"}, {NULL, NULL}};
static const struct sample_file environment[] = {{"X", "value"}, {NULL, NULL}};
static struct sample_world world = {files, environment};
static const struct config_source source = {
    .read = sample_read, .env = sample_env, .match = sample_match, .arg = &world};

static const char site[] =
    "listen: [\":80\", \":443\"]\n"
    "password: ${env:X}\n"
    "defaults: {server: {weight: 3}}\n"
    "upstreams:\n"
    "  app: {servers: [a:1, {address: b:1, weight: 2}], health: /up}\n"
    "  api: c:1\n"
    "routes:\n"
    "  - {host: [a.test, b.test], to: app, set: {a: b}}\n"
    "  - {to: api, use: [deny, {compress: {min_size: 2KiB}}]}\n"
    "free: [{name: x, y: [1, 2]}, {address: z}, [a], ~, {}, '404']\n";

static struct config_document *
open_text(struct slice text)
{
    struct config_report report;
    struct config_document *d;

    config_report_init(&report);
    d = config_document_open(NULL, "site.yaml", text, &sample_root_object, &source, &report);
    CHECK(!d == (report.errors > 0));
    config_report_free(&report);
    return d;
}

static uint64_t
hash_of(const struct config_document *d)
{
    return config_document_hash(d, config_document_find(d, SLICE("")));
}

static void
write_as(const struct config_document *d, enum config_format format, struct text *out)
{
    text_init(out, 1 << 26);
    config_document_write(d, config_document_find(d, SLICE("")), format, false, out);
    CHECK(!out->full);
}

static void
check_unchanged(const struct config_document *d, const struct config_document *before)
{
    struct text was, is;

    write_as(before, CONFIG_YAML, &was);
    write_as(d, CONFIG_YAML, &is);
    CHECK(slice_eq(text_slice(&was), text_slice(&is)));
    CHECK(hash_of(d) == hash_of(before));
    text_free(&was);
    text_free(&is);
}

/* A line may be longer than what is read. */
static void
check_survives(const struct config_document *d, enum config_format format)
{
    struct config_document *again;
    struct text out;

    write_as(d, format, &out);
    again = open_text(text_slice(&out));
    CHECK(again && hash_of(again) == hash_of(d));
    config_document_free(again);
    text_free(&out);
}

static void
check_difference(const struct config_document *d, const struct config_document *before)
{
    struct config_document *copy = config_document_copy(before);
    struct config_report report;
    struct text patch;

    config_report_init(&report);
    text_init(&patch, 1 << 26);
    CHECK(copy && config_document_diff(before, d, false, &patch));
    CHECK(config_document_edit(copy, CONFIG_EDIT_PATCH, SLICE(""), "patch", text_slice(&patch),
                               &report) == CONFIG_EDIT_OK);
    CHECK(hash_of(copy) == hash_of(d));
    patch.n = 0;
    CHECK(config_document_diff(copy, d, false, &patch));
    CHECK(slice_eq(text_slice(&patch), SLICE("[]\n")));
    text_free(&patch);
    config_document_free(copy);
    config_report_free(&report);
}

static void
check_loads(const struct config_document *d)
{
    struct config_report report;
    struct config *c;
    struct text out;

    config_report_init(&report);
    c = config_load_document(d, &source, &report);
    CHECK(!c == (report.errors > 0));
    config_document_point(d, &report);
    for (const struct config_message *m = report.messages; m; m = m->next)
        CHECK(!m->pointer.at || config_document_find(d, m->pointer));
    text_init(&out, 1 << 24);
    config_report_print(&report, &out);
    text_free(&out);
    config_free(c);
    config_report_free(&report);
}

static bool
change(struct config_document *d, struct slice input)
{
    static const char letters[] = "PAMJR";
    struct slice line = slice_cut(&input, '\n');
    const char *how = line.n && line.at[0] ? strchr(letters, line.at[0]) : NULL;
    struct config_report report;
    enum config_edit_fault fault;

    config_report_init(&report);
    fault = config_document_edit(d, how ? (enum config_edit)(how - letters) : CONFIG_EDIT_PATCH,
                                 slice_from(line, 1), "change", input, &report);
    CHECK((fault != CONFIG_EDIT_OK) == (report.errors > 0));
    config_report_free(&report);
    return fault == CONFIG_EDIT_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct config_document *before = open_text(slice_str(site));
    struct config_document *d = before ? config_document_copy(before) : NULL;

    CHECK(d);
    if (!change(d, slice_of((const char *) data, n))) {
        check_unchanged(d, before);
    } else {
        check_survives(d, CONFIG_YAML);
        check_survives(d, CONFIG_JSON);
        check_difference(d, before);
        check_loads(d);
    }
    config_document_free(d);
    config_document_free(before);
    return 0;
}
