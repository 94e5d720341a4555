/* SPDX-License-Identifier: Apache-2.0 */
/* main/client/command_apply.c - commands that change which configuration is in force: apply,
 * confirm, abort, rollback, reload. */
#include "main/client/changes.h"

enum { PATH_MAX_BYTES = 4096 };

/* For a change, as the options say. */
static int
ask(struct admin *a, struct admin_call *call, const char *place)
{
    struct text path;
    int status;

    text_init(&path, PATH_MAX_BYTES);
    text_put(&path, slice_str(place));
    changes_put_query(a->arguments, &path);
    text_byte(&path, '\0');
    call->path = path.at;
    status = path.full ? command_usage(a->arguments->command, "the comment is too long")
                       : changes_ask(a, call);
    text_free(&path);
    return status;
}

static int
post(struct admin *a, const char *place)
{
    struct admin_call call = {.method = METHOD_POST};

    return ask(a, &call, place);
}

/* ------------------------------------------------------------------ apply */

static int
apply(struct admin *a)
{
    struct admin_call call = {.method = METHOD_POST, .type = "application/yaml"};

    if (!changes_read_configuration(a, arguments_value(a->arguments, "-c"), &call))
        return 2;
    return ask(a, &call, "/v1/apply");
}

int
command_apply(const struct command *self, int argc, char **argv)
{
    return admin_run(self, argc, argv, apply);
}

/* ------------------------------------------------------------------ trials, reload */

/* Ends a trial one way or the other. */
static int
end_trial(struct admin *a, const char *path)
{
    json_t *trial = admin_change(a, METHOD_POST, path, (struct slice){NULL, 0});
    json_int_t revision = json_integer_value(json_object_get(trial, "revision"));

    if (!trial)
        return a->status;
    if (!slice_eq(admin_string(trial, "state"), SLICE("kept")))
        puts("the configuration before is in force again");
    else if (revision)
        printf("revision %" JSON_INTEGER_FORMAT " is in force, for good\n", revision);
    else
        puts("the configuration stays in force");
    json_decref(trial);
    return 0;
}

static int
confirm(struct admin *a)
{
    return end_trial(a, "/v1/trial/confirm");
}

static int
abort_trial(struct admin *a)
{
    return end_trial(a, "/v1/trial/abort");
}

static int
reload(struct admin *a)
{
    return post(a, "/v1/reload");
}

int
command_confirm(const struct command *self, int argc, char **argv)
{
    return admin_run(self, argc, argv, confirm);
}

int
command_abort(const struct command *self, int argc, char **argv)
{
    return admin_run(self, argc, argv, abort_trial);
}

int
command_reload(const struct command *self, int argc, char **argv)
{
    return admin_run(self, argc, argv, reload);
}

/* ------------------------------------------------------------------ rollback */

static int
rollback(struct admin *a)
{
    const char *number = arguments_word(a->arguments, 0);
    char place[64];
    uint64_t n;

    if (!number)
        return post(a, "/v1/rollback");
    if (!slice_to_u64(slice_str(number), INT64_MAX, &n) || n == 0)
        return command_usage(a->arguments->command, "N is the number of a revision");
    snprintf(place, sizeof(place), "/v1/revisions/%llu/restore", (unsigned long long) n);
    return post(a, place);
}

int
command_rollback(const struct command *self, int argc, char **argv)
{
    return admin_run(self, argc, argv, rollback);
}
