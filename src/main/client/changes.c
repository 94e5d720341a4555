/* SPDX-License-Identifier: Apache-2.0 */
/* main/client/changes.c - the questions that go with a change, and its outcome. */
#include "main/client/changes.h"

#include "config/document.h"
#include "main/client/problem.h"
#include "main/client/table.h"
#include "main/settings.h"

#include <unistd.h>

enum { FILE_MAX_BYTES = 64 * 1024 * 1024, TOLD_MAX = 4 * 1024 * 1024 };

const struct command_option changes_options[] = {
    {"--dry-run", .doc = "Only say whether it would do."},
    {"--comment", .value = "TEXT", .doc = "Why; it is kept with the revision."},
    {"--confirm", .value = "TIME",
     .doc = "Go back by itself unless `maitred confirm` comes in time, such as 60s."},
    {"--guard", .value = "CONDITIONS",
     .doc = "Go back by itself when it gets worse, such as 'errors<1%, p99<+20%'."},
    {NULL},
};

/* ------------------------------------------------------------------ the question */

void
changes_put_query(const struct arguments *a, struct text *path)
{
    static const struct {
        const char *option, *name;
    } known[] = {{"--comment", "comment"}, {"--confirm", "confirm"}, {"--guard", "guard"}};
    char separator = '?';

    if (arguments_has(a, "--dry-run")) {
        text_literal(path, "?dry_run=1");
        separator = '&';
    }
    for (size_t i = 0; i < countof(known); i++) {
        const char *value = arguments_value(a, known[i].option);

        if (!value)
            continue;
        text_printf(path, "%c%s=", separator, known[i].name);
        admin_put_segment(path, slice_str(value));
        separator = '&';
    }
}

bool
changes_read_file(struct admin *a, const char *path, struct slice *out)
{
    struct text t;
    int error;

    text_init(&t, FILE_MAX_BYTES);
    if (strcmp(path, "-") == 0)
        error = config_read_descriptor(STDIN_FILENO, &t);
    else
        error = config_source_system.read(config_source_system.arg, path, &t);
    if (error)
        fprintf(stderr, "maitred %s: cannot read `%s`: %s\n", a->arguments->command->name, path,
                strerror(error));
    else
        *out = arena_copy(&a->arena, text_slice(&t));
    text_free(&t);
    if (!error && !out->at)
        fprintf(stderr, "maitred %s: `%s` does not fit into memory\n",
                a->arguments->command->name, path);
    return !error && out->at;
}

/* One file goes as it is, so that complaints have its lines; several are written as one. */
static bool
put_joined(struct admin *a, const struct config_document *d, const struct config_report *report,
           struct admin_call *call)
{
    struct text t;

    text_init(&t, FILE_MAX_BYTES);
    if (report->n_files == 1)
        text_put(&t, report->files[0].text);
    else
        config_document_write(d, config_document_find(d, SLICE("")), CONFIG_YAML, false, &t);
    if (report->n_files > 1)
        call->source = arena_printf(&a->arena, "%s, with what it includes", call->source).at;
    call->body = t.full ? (struct slice){NULL, 0} : arena_copy(&a->arena, text_slice(&t));
    text_free(&t);
    if (!call->body.at)
        fprintf(stderr, "maitred %s: `%s` does not fit into memory\n",
                a->arguments->command->name, call->source);
    return call->body.at != NULL;
}

bool
changes_read_configuration(struct admin *a, const char *path, struct admin_call *call)
{
    struct config_report report;
    struct config_document *d;
    struct text complaints;
    bool good;

    call->source = path;
    if (strcmp(path, "-") == 0)
        return changes_read_file(a, path, &call->body);
    config_report_init(&report);
    text_init(&complaints, TOLD_MAX);
    d = config_document_open(path, NULL, SLICE(""), &settings_object, &config_source_system,
                             &report);
    good = d && put_joined(a, d, &report, call);
    if (!d)
        config_report_print(&report, &complaints);
    command_print(&complaints, stderr);
    text_free(&complaints);
    config_document_free(d);
    config_report_free(&report);
    return good;
}

/* ------------------------------------------------------------------ the outcome */

static void
tell_trial(const json_t *trial)
{
    struct slice guard = admin_string(trial, "guard");
    struct text t;

    text_init(&t, 4096);
    text_literal(&t, "on trial until ");
    table_put(TABLE_DATE, json_object_get(trial, "until"), &t);
    text_literal(&t, " UTC");
    if (guard.n) {
        text_literal(&t, ", as long as ");
        admin_put_clean(&t, guard);
    }
    text_literal(&t, ": `maitred confirm` keeps it, `maitred abort` ends it\n");
    command_print(&t, stdout);
    text_free(&t);
}

static void
tell_warnings(const struct admin *a, const struct admin_call *call, const json_t *answer)
{
    struct problem_source source = {call->source, call->body, a->socket != NULL};
    struct text t;

    text_init(&t, TOLD_MAX);
    problem_print_list(json_object_get(answer, "warnings"), &source, &t);
    command_print(&t, stderr);
    text_free(&t);
}

int
changes_tell(const struct admin *a, const struct admin_call *call)
{
    json_t *answer = json_loadb(call->answer.body.at, call->answer.body.n, 0, NULL);
    const json_t *trial = json_object_get(answer, "trial");
    json_int_t revision = json_integer_value(json_object_get(answer, "revision"));

    tell_warnings(a, call, answer);
    if (arguments_has(a->arguments, "--dry-run"))
        puts("this would do; nothing was changed");
    else if (json_is_object(trial))
        tell_trial(trial);
    else if (revision)
        printf("revision %" JSON_INTEGER_FORMAT " is in force\n", revision);
    else
        puts("done");
    json_decref(answer);
    return 0;
}

int
changes_ask(struct admin *a, struct admin_call *call)
{
    int status = admin_ask(a, call) ? changes_tell(a, call) : a->status;

    admin_call_free(call);
    return status;
}
