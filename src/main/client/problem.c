/* SPDX-License-Identifier: Apache-2.0 */
/* main/client/problem.c - problem documents become a report, which knows how to quote lines. */
#include "main/client/problem.h"

#include "config/config.h"
#include "main/client/admin.h"

enum { FILE_MAX_BYTES = 64 * 1024 * 1024, PLACE_MAX = 1000000000, FILES_MAX = 32 };

/* What the API calls the text that was sent. */
static const char sent_name[] = "request body";

/* The report's number of a file; -1: too many, or out of memory. */
static int
file_number(struct config_report *r, struct slice name, const struct problem_source *source)
{
    bool sent = slice_eq(name, slice_str(sent_name));
    struct slice path = sent && source->name ? slice_str(source->name) : name;
    struct text t;

    for (size_t i = 0; i < r->n_files; i++)
        if (slice_eq(r->files[i].path, path))
            return (int) i;
    if (!r->files || r->n_files == FILES_MAX)
        return -1;
    text_init(&t, FILE_MAX_BYTES);
    if (sent)
        text_put(&t, source->text);
    else if (source->same_machine && slice_starts(name, SLICE("/")))
        (void) config_source_system.read(config_source_system.arg, name.at, &t);
    r->files[r->n_files] = (struct config_file){
        .path = arena_copy(&r->arena, path),
        .text = arena_copy(&r->arena, text_slice(&t)),
    };
    text_free(&t);
    return r->files[r->n_files].path.at ? (int) r->n_files++ : -1;
}

static uint32_t
place(const json_t *entry, const char *key)
{
    json_int_t value = json_integer_value(json_object_get(entry, key));

    return value > 0 && value < PLACE_MAX ? (uint32_t) value : 0;
}

static void
add_entry(struct config_report *r, const json_t *entry, const struct problem_source *source)
{
    struct slice file = admin_string(entry, "file"), hint = admin_string(entry, "hint");
    struct slice detail = admin_string(entry, "detail"), pointer = admin_string(entry, "pointer");
    struct config_mark mark = {.line = place(entry, "line"), .column = place(entry, "column")};
    enum config_severity severity = CONFIG_ERROR;
    int number = file.n && mark.line ? file_number(r, file, source) : -1;

    if (slice_eq(admin_string(entry, "severity"), SLICE("warning")))
        severity = CONFIG_WARNING;
    if (number >= 0)
        mark.file = (uint16_t) number;
    else
        mark.line = 0;
    if (number < 0 && pointer.n)
        config_report_add(r, severity, mark, hint.n ? hint.at : NULL, "%.*s: %.*s",
                          SLICE_ARG(pointer), SLICE_ARG(detail));
    else
        config_report_add(r, severity, mark, hint.n ? hint.at : NULL, "%.*s", SLICE_ARG(detail));
}

void
problem_print_list(const json_t *complaints, const struct problem_source *source,
                         struct text *out)
{
    struct config_report report;
    const json_t *entry;
    size_t i;

    config_report_init(&report);
    report.files = arena_calloc(&report.arena, FILES_MAX, sizeof(report.files[0]));
    json_array_foreach (complaints, i, entry)
        add_entry(&report, entry, source);
    config_report_print(&report, out);
    config_report_free(&report);
}

bool
problem_print(struct slice json, const struct problem_source *source,
                    struct text *complaints, struct text *sentence)
{
    json_t *whole = json_loadb(json.at, json.n, 0, NULL);
    struct slice detail = admin_string(whole, "detail");

    if (detail.n == 0)
        detail = admin_string(whole, "title");
    problem_print_list(json_object_get(whole, "errors"), source, complaints);
    admin_put_clean(sentence, detail);
    json_decref(whole);
    return detail.n > 0;
}
