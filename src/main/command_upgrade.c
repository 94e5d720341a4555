/* SPDX-License-Identifier: Apache-2.0 */
/* main/command_upgrade.c - `maitred upgrade`: has a running maitred replaced, and says what came of
 * it. */
#include "main/commands.h"
#include "main/control.h"
#include "main/handover.h"

#include "base/err.h"
#include "base/slice.h"

#include <errno.h>
#include <stdio.h>

enum { GRACE_S = 5, WITHIN_MAX_S = 3600 };

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

int
command_upgrade(const struct command *self, int argc, char **argv)
{
    const char *path = NULL, *v;
    uint64_t within_s = HANDOVER_WITHIN_S;

    for (int i = 0; i < argc; i++) {
        bool missing = false;

        if ((v = command_value("--control", argc, argv, &i, &missing))) {
            path = v;
        } else if (!missing && (v = command_value("--within", argc, argv, &i, &missing))) {
            if (!slice_to_u64(slice_str(v), WITHIN_MAX_S, &within_s) || within_s == 0)
                return command_usage(self, "--within takes seconds, 1 to 3600");
        } else if (missing) {
            return command_usage(self, "--control and --within need a value");
        } else {
            return command_unknown(self, argv[i]);
        }
    }
    if (!path)
        return command_usage(self, "--control SOCKET is missing");
    return ask(path, within_s);
}
