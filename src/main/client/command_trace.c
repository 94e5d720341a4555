/* SPDX-License-Identifier: Apache-2.0 */
/* main/client/command_trace.c - `maitred trace` and `maitred explain --live`: what was decided
 * about an exchange that a running maitred has traced, and why. */
#include "main/client/trace.h"

#include "main/client/lists.h"

enum { SHOWN_MAX = 16 * 1024 * 1024, TIME_WIDTH = 9, WHAT_WIDTH = 11 };

/* ------------------------------------------------------------------ one */

static bool
put_member(const json_t *trace, const char *before, const char *key, struct text *out)
{
    const json_t *value = json_object_get(trace, key);

    if (!value || json_is_null(value) || (json_is_string(value) && !json_string_length(value)))
        return false;
    text_put(out, slice_str(before));
    table_put(TABLE_TEXT, value, out);
    return true;
}

/* What is known of who it was and where it went, on one line. */
static void
put_names(const json_t *trace, struct text *out)
{
    static const struct {
        const char *label, *key;
    } names[] = {{"request id ", "request_id"}, {"trace id ", "trace_id"}, {"route ", "route"},
                 {"server ", "server"}};
    bool first = true;

    for (size_t i = 0; i < countof(names); i++) {
        char before[32];

        snprintf(before, sizeof(before), "%s%s", first ? "" : ", ", names[i].label);
        if (put_member(trace, before, names[i].key, out))
            first = false;
    }
}

static void
put_head(const json_t *trace, struct text *out)
{
    (void) put_member(trace, "", "method", out);
    (void) put_member(trace, " ", "host", out);
    (void) put_member(trace, " ", "target", out);
    text_literal(out, "\nbegan ");
    table_put(TABLE_DATE, json_object_get(trace, "began"), out);
    text_literal(out, " UTC, took ");
    table_put(TABLE_TOOK, json_object_get(trace, "took_us"), out);
    (void) put_member(trace, ", status ", "status", out);
    (void) put_member(trace, ", reason ", "reason", out);
    text_byte(out, '\n');
    put_names(trace, out);
    text_literal(out, "\n\n");
}

static void
put_event(const json_t *event, struct text *out)
{
    char room[64];
    struct text t;

    text_fixed(&t, room, sizeof(room));
    table_put(TABLE_TOOK, json_object_get(event, "at_us"), &t);
    text_printf(out, "%*.*s  ", TIME_WIDTH, SLICE_ARG(text_slice(&t)));
    text_fixed(&t, room, sizeof(room));
    table_put(TABLE_TEXT, json_object_get(event, "what"), &t);
    text_printf(out, "%-*.*s ", WHAT_WIDTH, SLICE_ARG(text_slice(&t)));
    table_put(TABLE_TEXT, json_object_get(event, "detail"), out);
    if (json_integer_value(json_object_get(event, "took_us")) > 0) {
        text_literal(out, ", took ");
        table_put(TABLE_TOOK, json_object_get(event, "took_us"), out);
    }
    if (admin_string(event, "where").n) {
        text_literal(out, "  (");
        table_put(TABLE_TEXT, json_object_get(event, "where"), out);
        text_byte(out, ')');
    }
    text_byte(out, '\n');
}

static void
put_trace(const json_t *trace, struct text *out)
{
    const json_t *event, *lost = json_object_get(trace, "lost");
    size_t i;

    put_head(trace, out);
    json_array_foreach (json_object_get(trace, "events"), i, event)
        put_event(event, out);
    if (json_integer_value(lost) > 0)
        text_printf(out, "... and %" JSON_INTEGER_FORMAT " more that did not fit\n",
                    json_integer_value(lost));
}

static void
print(struct admin *a, const json_t *answer, struct text *shown)
{
    if (!arguments_has(a->arguments, "--json"))
        command_print(shown, stdout);
    else if (json_dumpf(answer, stdout, JSON_INDENT(2)) == 0)
        fputc('\n', stdout);
}

int
trace_print(struct admin *a, const char *id)
{
    struct text t;
    json_t *trace;

    text_init(&t, SHOWN_MAX);
    text_literal(&t, "/v1/traces/");
    admin_put_segment(&t, slice_str(id));
    text_byte(&t, '\0');
    trace = admin_get(a, t.at);
    t.n = 0;
    if (trace) {
        put_trace(trace, &t);
        print(a, trace, &t);
    }
    text_free(&t);
    json_decref(trace);
    return trace ? 0 : a->status;
}

/* ------------------------------------------------------------------ the list */

static void
put_query(const struct arguments *a, struct text *path)
{
    static const char *const known[] = {"most", "route", "status"};
    char separator = '?';

    for (size_t i = 0; i < countof(known); i++) {
        char option[16];
        const char *value;

        snprintf(option, sizeof(option), "--%s", known[i]);
        value = arguments_value(a, option);
        if (!value)
            continue;
        text_printf(path, "%c%s=", separator, known[i]);
        admin_put_segment(path, slice_str(value));
        separator = '&';
    }
}

static int
list(struct admin *a)
{
    const struct list_kind *kind = lists_find("traces");
    const struct table_view all = {0};
    json_t *answer, *rows;
    struct text t;

    text_init(&t, SHOWN_MAX);
    text_put(&t, slice_str(kind->path));
    put_query(a->arguments, &t);
    text_byte(&t, '\0');
    answer = admin_get(a, t.at);
    t.n = 0;
    if (answer) {
        rows = lists_rows(kind, answer);
        table_write(kind->columns, rows, &all, "\n", &t);
        print(a, answer, &t);
        json_decref(rows);
    }
    text_free(&t);
    json_decref(answer);
    return answer ? 0 : a->status;
}

static int
trace(struct admin *a)
{
    const char *id = arguments_word(a->arguments, 0);

    return id ? trace_print(a, id) : list(a);
}

int
command_trace(const struct command *self, int argc, char **argv)
{
    return admin_run(self, argc, argv, trace);
}
