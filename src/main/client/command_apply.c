/* SPDX-License-Identifier: Apache-2.0 */
/* main/client/command_apply.c - commands that change which configuration is in force: apply,
 * confirm, abort, rollback, reload. */
#include "main/client/changes.h"

enum { PATH_MAX_BYTES = 4096 };

/* ------------------------------------------------------------------ apply */

static int
apply(struct admin *a)
{
    struct admin_call call = {.method = METHOD_POST, .type = "application/yaml"};
    struct text path;
    int status;

    if (!changes_read_configuration(a, arguments_value(a->arguments, "-c"), &call))
        return 2;
    text_init(&path, PATH_MAX_BYTES);
    text_literal(&path, "/v1/apply");
    changes_put_query(a->arguments, &path);
    text_byte(&path, '\0');
    call.path = path.at;
    status = path.full ? command_usage(a->arguments->command, "the comment is too long")
                       : changes_ask(a, &call);
    text_free(&path);
    return status;
}

int
command_apply(const struct command *self, int argc, char **argv)
{
    return admin_run(self, argc, argv, apply);
}

/* ------------------------------------------------------------------ trials, reload */

static int
post(struct admin *a, const char *path)
{
    struct admin_call call = {.method = METHOD_POST, .path = path};

    return changes_ask(a, &call);
}

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
    struct text path;
    uint64_t n;
    int status;

    if (number && (!slice_to_u64(slice_str(number), INT64_MAX, &n) || n == 0))
        return command_usage(a->arguments->command, "N is the number of a revision");
    text_init(&path, PATH_MAX_BYTES);
    if (number)
        text_printf(&path, "/v1/revisions/%s/restore", number);
    else
        text_literal(&path, "/v1/rollback");
    changes_put_query(a->arguments, &path);
    text_byte(&path, '\0');
    status = path.full ? command_usage(a->arguments->command, "the comment is too long")
                       : post(a, path.at);
    text_free(&path);
    return status;
}

int
command_rollback(const struct command *self, int argc, char **argv)
{
    return admin_run(self, argc, argv, rollback);
}
