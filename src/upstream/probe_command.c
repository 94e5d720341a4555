/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/probe_command.c - a check by a program of the operator's: exit status 0 passes, and the
 * first line that it writes says why not.
 */
#include "runtime/program.h"
#include "upstream/probe_talk.h"

#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ENV_MAX = 4096 };

struct asking {
    struct arena arena;
    char       **argv, **env;
};

static bool
is_ours(const char *variable)
{
    return strncmp(variable, "MAITRED_SERVER=", 15) == 0 ||
           strncmp(variable, "MAITRED_UPSTREAM=", 17) == 0;
}

/* Our own environment, and what it is about. */
static bool
make_environment(struct asking *a, const struct server *server)
{
    struct slice about[] = {
        arena_printf(&a->arena, "MAITRED_SERVER=%.*s", SLICE_ARG(server->text)),
        arena_printf(&a->arena, "MAITRED_UPSTREAM=%.*s", SLICE_ARG(server->upstream->name)),
    };
    size_t n = 0;

    a->env = arena_calloc(&a->arena, ENV_MAX, sizeof(char *));
    if (!a->env || !about[0].at || !about[1].at)
        return false;
    for (char **e = environ; *e && n < ENV_MAX - countof(about) - 1; e++)
        if (!is_ours(*e))
            a->env[n++] = *e;
    for (size_t i = 0; i < countof(about); i++)
        a->env[n++] = (char *) about[i].at;
    return true;
}

/* Texts of the configuration end in a zero byte. */
static bool
make_arguments(struct asking *a, const struct health_config *config)
{
    const struct slice *words = config->command.at;

    a->argv = arena_calloc(&a->arena, config->command.n + 1, sizeof(char *));
    for (size_t i = 0; a->argv && i < config->command.n; i++)
        a->argv[i] = (char *) words[i].at;
    return a->argv != NULL;
}

static void
judge(const struct program_end *end, struct probe_answer *answer)
{
    struct slice said = program_line(end);

    if (WIFEXITED(end->status) && WEXITSTATUS(end->status) == 0)
        probe_pass(answer);
    else if (said.n)
        probe_fail(answer, "%.*s", SLICE_ARG(said));
    else if (WIFSIGNALED(end->status))
        probe_fail(answer, "the command was ended by signal %d", WTERMSIG(end->status));
    else
        probe_fail(answer, "the command ended with status %d", WEXITSTATUS(end->status));
}

static bool
check_command(struct config_bind *b, struct health_config *h)
{
    const struct slice *words = h->command.at;

    if (h->command.n == 0)
        return config_bind_error(b, h, "add `command: [/path/to/program, ...]`",
                                 "a check by command needs a command");
    if (!slice_starts(words[0], SLICE("/")))
        return config_bind_error(b, &h->command, "write its whole path; there is no shell",
                                 "`%.*s` is not the path of a program", SLICE_ARG(words[0]));
    return true;
}

static void
run_command(const struct health_config *config, const struct server *server, uint64_t deadline_us,
            struct probe_answer *answer)
{
    struct asking a = {.argv = NULL};
    struct program_end end = {.error = ENOMEM};
    enum err e = ERR_IO;

    arena_init(&a.arena, NULL, 0, 2 * ENV_MAX * sizeof(char *));
    if (make_arguments(&a, config) && make_environment(&a, server))
        e = program_run(&(struct program){.argv = a.argv, .env = a.env}, deadline_us, &end);
    if (end.error) {
        probe_fail(answer, "cannot start the command: %s", strerror(end.error));
        answer->undecided = end.error != ENOENT && end.error != EACCES && end.error != ENOEXEC;
    } else if (e != OK) {
        probe_fail_with(answer, "waiting for the command to end", e);
    } else {
        judge(&end, answer);
    }
    arena_free(&a.arena);
}

const struct probe_kind probe_command = {
    .name = "command",
    .takes = PROBE_COMMAND,
    .rise = 2,
    .fall = 3,
    .check = check_command,
    .run = run_command,
};
