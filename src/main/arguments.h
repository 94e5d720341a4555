/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main/arguments.h - the words behind a command, read as its table of options says.
 */
#ifndef MAIN_ARGUMENTS_H
#define MAIN_ARGUMENTS_H

#include "main/commands.h"

enum { ARGUMENTS_MAX = 128 };

struct argument {
    const struct command_option *option;
    const char                  *value; /* NULL: it takes none */
};

struct arguments {
    const struct command *command;
    struct argument       given[ARGUMENTS_MAX]; /* in their order */
    size_t                n_given;
    const char           *words[ARGUMENTS_MAX]; /* what is no option */
    size_t                n_words;
};

/* 0; or the exit status after saying on standard error what is wrong: an option that the command
 * does not have, lacks its value or is required.  What follows "--" are words. */
int arguments_read(struct arguments *a, const struct command *c, int argc, char **argv);
/* The value of an option by its first name ("--confirm"), the last one given; NULL: not given. */
const char *arguments_value(const struct arguments *a, const char *name);
bool arguments_has(const struct arguments *a, const char *name);
/* The word at i, NULL when there are not so many. */
const char *arguments_word(const struct arguments *a, size_t i);

#endif
