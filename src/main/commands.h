/* SPDX-License-Identifier: Apache-2.0 */
/* main/commands.h - what the first word of the command line means. */
#ifndef MAIN_COMMANDS_H
#define MAIN_COMMANDS_H

#include "base/check.h"

#include <stdbool.h>
#include <stdio.h>

struct command {
    const char *name;
    const char *usage;
    const char *summary;
    /* argv without program and command; the exit status. */
    int (*run)(const struct command *self, int argc, char **argv);
};

/* Says what is wrong and how it is used; 2. */
int command_usage(const struct command *c, const char *wrong);

/* The same for an argument that nobody knows. */
int command_unknown(const struct command *c, const char *argument);

/* The value of an option that takes one: "--name VALUE" or "--name=VALUE"; moves *i.  NULL: it is
 * not this option, or *missing. */
const char *command_value(const char *name, int argc, char **argv, int *i, bool *missing);

struct app;
struct text;

/* Runs body(arg) where configurations can be built: with a loop. */
int command_with_loop(int (*body)(void *arg), void *arg);
/* NULL after messages on standard error. */
struct app *command_load(const char *path);
void command_print(const struct text *t, FILE *out);

int command_run(const struct command *self, int argc, char **argv);
int command_check(const struct command *self, int argc, char **argv);
int command_proxy(const struct command *self, int argc, char **argv);
int command_demo(const struct command *self, int argc, char **argv);
int command_explain(const struct command *self, int argc, char **argv);
int command_trust(const struct command *self, int argc, char **argv);
int command_schema(const struct command *self, int argc, char **argv);
int command_reference(const struct command *self, int argc, char **argv);
int command_upgrade(const struct command *self, int argc, char **argv);
int command_version(const struct command *self, int argc, char **argv);

#endif
