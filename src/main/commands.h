/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main/commands.h - what the first word of the command line means.
 *
 * Commands and their options stand in one table (commands.c), from which come dispatch, help, the
 * reading of arguments (main/arguments.h) and what shells complete.
 */
#ifndef MAIN_COMMANDS_H
#define MAIN_COMMANDS_H

#include "base/check.h"

#include <stdbool.h>
#include <stdio.h>

struct command_option {
    const char *name;  /* "--admin", "-c" */
    const char *other; /* another name of it, "--config"; NULL: none */
    const char *value; /* what it takes: "FILE", or the words that it may be: "epoll|auto"; NULL:
                        * nothing */
    const char *doc;   /* one sentence */
    bool        required;
    bool        repeats;
};

enum { COMMAND_GROUPS = 3 };

struct command {
    const char *name;
    const char *words; /* beside options: "METHOD URL",
                        * "[POINTER]", "get|set POINTER"; NULL: none */
    const char *summary;
    /* argv without program and command; the exit status. */
    int (*run)(const struct command *self, int argc, char **argv);
    /* Each ends with name NULL; its own, and those that it shares with others. */
    const struct command_option *options[COMMAND_GROUPS];
    const char *doc; /* more than the summary, for --help; NULL: nothing */
    const char *heading; /* of a group that begins here; NULL: it does not */
};

extern const struct command command_list[]; /* ends with name NULL */

/* NULL: there is none of that name. */
const struct command *command_find(const char *name);
/* NULL behind the last. */
const struct command_option *command_option_at(const struct command *c, size_t i);
/* Says what is wrong and how it is used; 2. */
int command_usage(const struct command *c, const char *wrong);
/* The same for an argument that nobody knows. */
int command_unknown(const struct command *c, const char *argument);
void command_print_help(FILE *out);
void command_print_help_of(const struct command *c, FILE *out);

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

/* Those that ask a running maitred (main/client/admin.h). */
int command_status(const struct command *self, int argc, char **argv);
int command_show(const struct command *self, int argc, char **argv);
int command_top(const struct command *self, int argc, char **argv);
int command_trace(const struct command *self, int argc, char **argv);
int command_config(const struct command *self, int argc, char **argv);
int command_plan(const struct command *self, int argc, char **argv);
int command_apply(const struct command *self, int argc, char **argv);
int command_confirm(const struct command *self, int argc, char **argv);
int command_abort(const struct command *self, int argc, char **argv);
int command_rollback(const struct command *self, int argc, char **argv);
int command_revisions(const struct command *self, int argc, char **argv);
int command_reload(const struct command *self, int argc, char **argv);
int command_server(const struct command *self, int argc, char **argv);
int command_purge(const struct command *self, int argc, char **argv);
int command_log_level(const struct command *self, int argc, char **argv);

int command_completion(const struct command *self, int argc, char **argv);

#endif
