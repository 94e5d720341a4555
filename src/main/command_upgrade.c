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

enum {
    GRACE_S = 5,
    WITHIN_MAX_S = 3600,
    SECOND_US = 1000000,
    LOOK_US = SECOND_US,
    PAUSE_US = 50000,
};

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

/* What came of it so far, from whichever process answers now; NULL: none does.  In between, both
 * take connections on the API's addresses, so that no answer is no news. */
static json_t *
look(struct admin *a)
{
    struct admin_call call = {.method = METHOD_GET, .path = "/v1/upgrade", .within_us = LOOK_US};
    json_t *value = NULL;

    (void) admin_start(a, &call);
    while (!call.done)
        loop_once(loop_self(), clock_monotonic_us() + LOOK_US);
    if (call.e == OK && call.answer.status == 200)
        value = json_loadb(call.answer.body.at, call.answer.body.n, 0, NULL);
    admin_call_free(&call);
    return value;
}

/* True when it is over, with the exit status. */
static bool
tell_api(const json_t *now, int *status)
{
    struct slice state = admin_string(now, "state");

    if (slice_eq(state, SLICE("done"))) {
        printf("upgraded: process %" JSON_INTEGER_FORMAT " serves\n",
               json_integer_value(json_object_get(now, "pid")));
        *status = 0;
        return true;
    }
    if (slice_eq(state, SLICE("failed"))) {
        fprintf(stderr, "maitred upgrade: %.*s; the old process goes on serving\n",
                SLICE_ARG(admin_string(now, "why")));
        *status = 1;
        return true;
    }
    return false;
}

/* The API says only that it has begun; what came of it says the process before or the new one. */
static int
await(struct admin *a, uint64_t within_s)
{
    uint64_t until_us = clock_monotonic_us() + (within_s + GRACE_S) * SECOND_US;

    while (clock_monotonic_us() < until_us) {
        uint64_t next_us = clock_monotonic_us() + PAUSE_US;
        json_t *now = look(a);
        int status;
        bool over = tell_api(now, &status);

        json_decref(now);
        if (over)
            return status;
        while (clock_monotonic_us() < next_us)
            loop_once(loop_self(), next_us);
    }
    fprintf(stderr, "maitred upgrade: nobody says on %s what came of it; the messages of the new "
                    "process do\n", a->address);
    return 1;
}

static int
ask_api(struct admin *a)
{
    uint64_t within_s = HANDOVER_WITHIN_S;
    json_t *answer;
    char path[64];

    (void) take_within(a->arguments, &within_s);
    snprintf(path, sizeof(path), "/v1/upgrade?within=%llus", (unsigned long long) within_s);
    answer = admin_change(a, METHOD_POST, path, (struct slice){NULL, 0});
    if (!answer)
        return a->status;
    json_decref(answer);
    return await(a, within_s);
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
