/* SPDX-License-Identifier: Apache-2.0 */
/* main/command_upgrade.c - `maitred upgrade`: has a running maitred replaced, and says what came of
 * it. */
#include "main/client/admin.h"
#include "main/control.h"
#include "main/handover.h"

#include "base/err.h"
#include "base/slice.h"
#include "runtime/loop.h"

#include <errno.h>
#include <stdio.h>

enum { GRACE_S = 5, WITHIN_MAX_S = 3600, LOOK_US = 1000000 };

/* False: that is not a number of seconds. */
static bool
take_within(const struct arguments *a, uint64_t *within_s)
{
    const char *said = arguments_value(a, "--within");

    return !said || (slice_to_u64(slice_str(said), WITHIN_MAX_S, within_s) && *within_s > 0);
}

/* ------------------------------------------------------------------ by the control socket */

/* The outcome in words; the exit status. */
static int
tell(const char *answer)
{
    struct slice rest = slice_str(answer);
    struct slice word = slice_cut(&rest, ' ');

    if (slice_eq(word, SLICE("ok"))) {
        printf("upgraded: process %.*s serves\n", SLICE_ARG(rest));
        return 0;
    }
    fprintf(stderr, "maitred upgrade: %.*s; the old process goes on serving\n", SLICE_ARG(rest));
    return 1;
}

static int
ask(const char *path, uint64_t within_s)
{
    char order[64], answer[CONTROL_BYTES];
    int error;

    snprintf(order, sizeof(order), "upgrade %llu", (unsigned long long) within_s);
    error = control_ask(path, order, (unsigned) within_s + GRACE_S, answer);
    if (error == 0)
        return tell(answer);
    if (error == ENOENT || error == ECONNREFUSED)
        fprintf(stderr, "maitred upgrade: nobody listens on %s: is it running, with --control?\n",
                path);
    else
        fprintf(stderr, "maitred upgrade: no answer on %s: %s\n", path,
                err_sentence(err_from_errno(error)));
    return 1;
}

/* ------------------------------------------------------------------ by the API */

/* Which process answers; 0: none does now. */
static json_int_t
process_now(struct admin *a)
{
    struct admin_call call = {.method = METHOD_GET, .path = "/v1", .within_us = LOOK_US};
    json_int_t pid = 0;
    json_t *value;

    (void) admin_start(a, &call);
    while (!call.done)
        loop_once(loop_self(), clock_monotonic_us() + LOOK_US);
    if (call.e == OK && call.answer.status == 200) {
        value = json_loadb(call.answer.body.at, call.answer.body.n, 0, NULL);
        pid = json_integer_value(json_object_get(value, "pid"));
        json_decref(value);
    }
    admin_call_free(&call);
    return pid;
}

/* The API only says that it has begun: what came of it is told by who answers next. */
static int
await(struct admin *a, json_int_t before, uint64_t within_s)
{
    uint64_t until_us = clock_monotonic_us() + within_s * LOOK_US;

    while (clock_monotonic_us() < until_us) {
        uint64_t next_us = clock_monotonic_us() + LOOK_US / 10;
        json_int_t now = process_now(a);

        if (now && now != before) {
            printf("upgraded: process %" JSON_INTEGER_FORMAT " serves\n", now);
            return 0;
        }
        while (clock_monotonic_us() < next_us)
            loop_once(loop_self(), next_us);
    }
    fputs("maitred upgrade: no new process serves; its messages say why; the old process goes on "
          "serving\n", stderr);
    return 1;
}

static int
ask_api(struct admin *a)
{
    json_t *process = admin_get(a, "/v1"), *answer;
    json_int_t before = json_integer_value(json_object_get(process, "pid"));
    uint64_t within_s = HANDOVER_WITHIN_S;

    if (!process)
        return a->status;
    json_decref(process);
    (void) take_within(a->arguments, &within_s);
    answer = admin_change(a, METHOD_POST, "/v1/upgrade", (struct slice){NULL, 0});
    if (!answer)
        return a->status;
    json_decref(answer);
    return await(a, before, within_s);
}

/* ------------------------------------------------------------------ the command */

int
command_upgrade(const struct command *self, int argc, char **argv)
{
    uint64_t within_s = HANDOVER_WITHIN_S;
    struct arguments arguments;
    int status = arguments_read(&arguments, self, argc, argv);

    if (status)
        return status;
    if (!take_within(&arguments, &within_s))
        return command_usage(self, "--within takes seconds, 1 to 3600");
    if (arguments_has(&arguments, "--control"))
        return ask(arguments_value(&arguments, "--control"), within_s);
    return admin_run(self, argc, argv, ask_api);
}
