/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main/main.c - the command line.
 *
 * Exit status: 0 done, 1 it failed while running, 2 the configuration or the command line is wrong.
 */
#include "main/commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct command commands[] = {
    {"run", "run -c FILE [--io epoll|auto] [--workers N] [--pid-file FILE] [--control SOCKET]",
     "Serve as FILE says.", command_run},
    {"check", "check -c FILE", "Say what is wrong with FILE, if anything.", command_check},
    {"proxy", "proxy --from ADDRESS[,ADDRESS] --to HOST:PORT[,HOST:PORT]", "Serve without a file.",
     command_proxy},
    {"demo", "demo [--from ADDRESS]", "Serve two small servers that are brought along.",
     command_demo},
    {"explain",
     "explain -c FILE METHOD URL [-H 'Name: value']... [--client IP] [--tls NAME=VALUE]...",
     "Say which route, middleware and server a request would meet, and why.", command_explain},
    {"trust", "trust [-c FILE] [--install]",
     "Say where the authority for localhost is, or have this machine trust it.", command_trust},
    {"upgrade", "upgrade --control SOCKET [--within SECONDS]",
     "Replace a running maitred by the program as it is on disk now.", command_upgrade},
    {"schema", "schema", "Print the JSON Schema of configuration files, for editors.",
     command_schema},
    {"reference", "reference", "Print the reference of all options, in Markdown.",
     command_reference},
    {"version", "version", "Print the version.", command_version},
};

static void
print_help(FILE *out)
{
    fputs("maitred - a reverse proxy\n\nUsage: maitred COMMAND [OPTIONS]\n\n", out);
    for (size_t i = 0; i < countof(commands); i++)
        fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].summary);
    fputs("\n`maitred COMMAND --help` tells the options of a command.\n", out);
}

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
command_usage(const struct command *c, const char *wrong)
{
    fprintf(stderr, "maitred %s: %s\nusage: maitred %s\n", c->name, wrong, c->usage);
    return 2;
}

int
command_unknown(const struct command *c, const char *argument)
{
    fprintf(stderr, "maitred %s: unknown argument `%s`\nusage: maitred %s\n", c->name, argument,
            c->usage);
    return 2;
}

int
main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : NULL;

    if (!name) {
        print_help(stderr);
        return 2;
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        print_help(stdout);
        return 0;
    }
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0)
        name = "version";
    for (size_t i = 0; i < countof(commands); i++) {
        if (strcmp(name, commands[i].name) != 0)
            continue;
        if (asks_for_help(argc - 2, argv + 2)) {
            printf("usage: maitred %s\n\n%s\n", commands[i].usage, commands[i].summary);
            return 0;
        }
        return finish(commands[i].run(&commands[i], argc - 2, argv + 2));
    }
    fprintf(stderr, "maitred: there is no command `%s`\n\n", name);
    print_help(stderr);
    return 2;
}
