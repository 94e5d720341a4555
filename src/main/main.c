/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main/main.c - the command line.
 *
 * Exit status: 0 done, 1 it failed while running, 2 the configuration or the command line is wrong.
 */
#include "main/commands.h"

#include <stdio.h>
#include <string.h>

static bool
asks_for_help(int argc, char **argv)
{
    for (int i = 0; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    return false;
}

/* Output that could not be written is a failure too. */
static int
finish(int status)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    perror("maitred: cannot write");
    return status ? status : 1;
}

int
main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : NULL;
    const struct command *c;

    if (!name) {
        command_print_help(stderr);
        return 2;
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        command_print_help(stdout);
        return finish(0);
    }
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0)
        name = "version";
    c = command_find(name);
    if (!c) {
        fprintf(stderr, "maitred: there is no command `%s`\n\n", name);
        command_print_help(stderr);
        return 2;
    }
    if (asks_for_help(argc - 2, argv + 2)) {
        command_print_help_of(c, stdout);
        return finish(0);
    }
    return finish(c->run(c, argc - 2, argv + 2));
}
