/* SPDX-License-Identifier: Apache-2.0 */
/* main/client/command_status.c - `maitred status` and `maitred show`: how a running maitred is. */
#include "base/clock.h"
#include "main/client/lists.h"
#include "runtime/loop.h"

#include <strings.h>

enum { PAGE_MAX = 64 * 1024 * 1024, SAMPLE_US = 500000 };

/* ------------------------------------------------------------------ one list */

/* A column by its title, in any case; from 1; 0: there is none. */
static int
column_of(const struct list_kind *kind, const char *title)
{
    for (int i = 0; kind->columns[i].title; i++)
        if (strcasecmp(kind->columns[i].title, title) == 0)
            return i + 1;
    return 0;
}

/* rows: a reference that is given up; NULL: the list is not there. */
static void
print_rows(const struct list_kind *kind, json_t *rows, int sorted, struct text *out)
{
    const struct table_view all = {0};

    if (rows && sorted)
        table_sort(kind->columns, sorted, false, rows);
    if (rows)
        table_write(kind->columns, rows, &all, "\n", out);
    json_decref(rows);
}

static int
show(struct admin *a)
{
    const char *name = arguments_word(a->arguments, 0);
    const char *by = arguments_value(a->arguments, "--sort");
    const struct list_kind *kind = name ? lists_find(name) : NULL;
    int sorted = kind && by ? column_of(kind, by) : 0;
    json_t *answer;
    struct text t;

    if (!kind)
        return command_usage(a->arguments->command, "say what to show, such as routes");
    if (by && !sorted)
        return command_usage(a->arguments->command, "--sort takes the title of a column");
    answer = admin_get(a, kind->path);
    if (!answer)
        return a->status;
    text_init(&t, PAGE_MAX);
    if (arguments_has(a->arguments, "--json"))
        (void) json_dumpf(answer, stdout, JSON_INDENT(2));
    else
        print_rows(kind, lists_rows(kind, answer), sorted, &t);
    if (arguments_has(a->arguments, "--json"))
        text_byte(&t, '\n');
    command_print(&t, stdout);
    text_free(&t);
    json_decref(answer);
    return 0;
}

int
command_show(const struct command *self, int argc, char **argv)
{
    return admin_run(self, argc, argv, show);
}

/* ------------------------------------------------------------------ the page */

static const char *const page_lists[] = {"listeners", "upstreams", "routes"};

/* The lists as they are now, each under its name.  False after a complaint. */
static bool
gather_lists(struct admin *a, json_t *page)
{
    for (size_t i = 0; i < countof(page_lists); i++) {
        const struct list_kind *kind = lists_find(page_lists[i]);
        json_t *answer = admin_get(a, kind->path);

        if (!answer)
            return false;
        json_object_set(page, kind->name, json_object_get(answer, kind->member));
        json_decref(answer);
    }
    return true;
}

/* Everything that the page is made of: members process, trial, and the lists. */
static json_t *
gather(struct admin *a)
{
    json_t *page = json_object(), *process = admin_get(a, "/v1"), *trial;

    json_object_set_new(page, "process", process);
    trial = process ? admin_get_if_there(a, "/v1/trial") : NULL;
    json_object_set_new(page, "trial", trial ? trial : json_null());
    if (process && (trial || a->status == 0) && gather_lists(a, page))
        return page;
    json_decref(page);
    return NULL;
}

static void
put_head(const json_t *process, struct text *out)
{
    text_literal(out, "maitred ");
    table_put(TABLE_TEXT, json_object_get(process, "version"), out);
    text_literal(out, ", process ");
    table_put(TABLE_TEXT, json_object_get(process, "pid"), out);
    text_literal(out, ", ");
    table_put(TABLE_TEXT, json_object_get(process, "workers"), out);
    text_literal(out, " workers, up ");
    table_put_age(json_number_value(json_object_get(process, "uptime_s")), out);
    text_byte(out, '\n');
}

static void
put_configuration(const json_t *config, struct text *out)
{
    const json_t *revision = json_object_get(config, "revision");

    text_literal(out, "configuration  ");
    if (admin_string(config, "path").n)
        table_put(TABLE_TEXT, json_object_get(config, "path"), out);
    else
        text_literal(out, "from the command line");
    if (json_integer_value(revision)) {
        text_literal(out, ", revision ");
        table_put(TABLE_TEXT, revision, out);
    }
    text_literal(out, ", since ");
    table_put(TABLE_DATE, json_object_get(config, "loaded_at"), out);
    text_literal(out, " UTC\n");
}

static void
put_trial(const json_t *trial, struct text *out)
{
    struct slice state = admin_string(trial, "state"), why = admin_string(trial, "why");
    double left_s = json_number_value(json_object_get(trial, "until")) -
                    (double) clock_wall_us() / 1e6;

    if (slice_eq(state, SLICE("running"))) {
        text_literal(out, "on trial       ends in ");
        table_put_age(left_s, out);
        if (admin_string(trial, "guard").n) {
            text_literal(out, ", guard ");
            table_put(TABLE_TEXT, json_object_get(trial, "guard"), out);
            text_literal(out, ": ");
            table_put(TABLE_TEXT, json_object_get(trial, "verdict"), out);
        }
    } else if (slice_eq(state, SLICE("reverted"))) {
        text_literal(out, "last trial     reverted");
    } else if (slice_eq(state, SLICE("failed"))) {
        text_literal(out, "last trial     could not be taken back");
    } else {
        return;
    }
    if (why.n) {
        text_literal(out, ": ");
        admin_put_clean(out, why);
    }
    text_byte(out, '\n');
}

static void
put_faults(const json_t *faults, struct text *out)
{
    const json_t *fault;
    size_t i;

    json_array_foreach (faults, i, fault) {
        text_literal(out, "fault          ");
        table_put(TABLE_TEXT, fault, out);
        text_byte(out, '\n');
    }
}

/* before: the lists of some time ago. */
static void
put_page(const json_t *page, const json_t *before, double seconds, struct text *out)
{
    const json_t *process = json_object_get(page, "process");

    put_head(process, out);
    put_configuration(json_object_get(process, "config"), out);
    put_trial(json_object_get(page, "trial"), out);
    put_faults(json_object_get(process, "faults"), out);
    for (size_t i = 0; i < countof(page_lists); i++) {
        const struct list_kind *kind = lists_find(page_lists[i]);
        json_t *old = json_object_get(before, kind->name);
        json_t *rows = lists_shape(kind, json_object_get(page, kind->name));

        text_byte(out, '\n');
        lists_set_rates(kind, old, rows, seconds);
        print_rows(kind, rows, 0, out);
    }
}

/* Rates are what has been added since a look half a second ago. */
static int
print_page(struct admin *a, struct text *out)
{
    json_t *before = json_object(), *page = NULL;
    uint64_t since_us = clock_monotonic_us();

    if (gather_lists(a, before)) {
        while (clock_monotonic_us() < since_us + SAMPLE_US)
            loop_once(loop_self(), since_us + SAMPLE_US);
        page = gather(a);
    }
    if (page)
        put_page(page, before, (double) (clock_monotonic_us() - since_us) / 1e6, out);
    json_decref(before);
    json_decref(page);
    return page ? 0 : a->status;
}

static int
print_json(struct admin *a)
{
    json_t *page = gather(a);
    bool good = page && json_dumpf(page, stdout, JSON_INDENT(2)) == 0;

    if (good)
        fputc('\n', stdout);
    json_decref(page);
    return good ? 0 : a->status;
}

static int
status(struct admin *a)
{
    struct text t;
    int status;

    if (arguments_has(a->arguments, "--json"))
        return print_json(a);
    text_init(&t, PAGE_MAX);
    status = print_page(a, &t);
    command_print(&t, stdout);
    text_free(&t);
    return status;
}

int
command_status(const struct command *self, int argc, char **argv)
{
    return admin_run(self, argc, argv, status);
}
