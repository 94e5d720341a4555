/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/testing.h - a middleware on trial: configured from YAML, run in front of a terminal.
 *
 *     trial_load(&t, &middleware_respond, "respond: {status: 204}");
 *     EXPECT(t.config);
 *     trial_run(&t, x, &testing_terminal);
 *     trial_free(&t);
 *
 * Only tests refer to it, so that the linker leaves it out of the program.
 */
#ifndef MIDDLEWARE_TESTING_H
#define MIDDLEWARE_TESTING_H

#include "exchange/testing.h"

struct trial {
    struct config       *config; /* NULL: refused; `messages` says why */
    struct text          messages;
    struct middleware    chain[2];
    struct config_report report;
    /* The type of the configuration: an object with the one option `use`. */
    const struct option_object *variants[2];
    struct option               options[2];
    struct option_object        type;
};

/* item: one line of YAML, what stands behind the dash of a list in `use:`. */
void trial_load(struct trial *t, const struct middleware_ops *ops, const char *item);
void trial_free(struct trial *t);
/* True when it was refused and the messages contain the part. */
bool trial_complains(const struct trial *t, const char *part);
/* Loads, looks for the part among the messages, frees. */
bool is_refused(const struct middleware_ops *ops, const char *item, const char *part);

/* Runs the middleware and, behind it, the terminal. */
void trial_run(struct trial *t, struct exchange *x, const struct middleware_ops *terminal);

#endif
