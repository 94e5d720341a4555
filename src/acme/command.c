/* SPDX-License-Identifier: Apache-2.0 */
/* acme/command.c - a program of the operator's, with the words of the configuration and three
 * more. */
#include "acme/command.h"

#include "base/arena.h"
#include "runtime/program.h"

#include <errno.h>
#include <stdio.h>
#include <sys/wait.h>

enum { ARGUMENTS_MAX = 3, ARENA_BYTES_MAX = 64 * 1024 };

/* NULL: out of memory. */
static char **
make_arguments(struct arena *arena, const struct option_list *words, const struct slice *more)
{
    const struct slice *word = words->at;
    size_t n = words->n;
    char **argv = arena_calloc(arena, n + ARGUMENTS_MAX + 1, sizeof(char *));

    if (!argv)
        return NULL;
    for (size_t i = 0; i < n; i++)
        argv[i] = (char *) word[i].at;
    for (size_t i = 0; i < ARGUMENTS_MAX; i++) {
        argv[n + i] = (char *) arena_copy(arena, more[i]).at;
        if (!argv[n + i])
            return NULL;
    }
    return argv;
}

static bool
judge(const struct program_end *end, char *why, size_t room)
{
    struct slice said = program_line(end);

    if (WIFEXITED(end->status) && WEXITSTATUS(end->status) == 0)
        return true;
    if (WIFSIGNALED(end->status))
        snprintf(why, room, "the command was ended by signal %d", WTERMSIG(end->status));
    else
        snprintf(why, room, "the command ended with status %d%s%.*s", WEXITSTATUS(end->status),
                 said.n ? ": " : "", SLICE_ARG(said));
    return false;
}

bool
acme_command_run(const struct option_list *words, const struct slice more[3], uint64_t deadline_us,
                 char *why, size_t room)
{
    struct program_end end = {.error = ENOMEM};
    struct arena arena;
    char **argv;
    bool good = false;
    enum err e = ERR_IO;

    arena_init(&arena, NULL, 0, ARENA_BYTES_MAX);
    argv = make_arguments(&arena, words, more);
    if (argv)
        e = program_run(&(struct program){.argv = argv, .errors = true}, deadline_us, &end);
    if (end.error)
        snprintf(why, room, "the command cannot be started: %s", strerror(end.error));
    else if (e != OK)
        snprintf(why, room, "waiting for the command to end: %s", err_sentence(e));
    else
        good = judge(&end, why, room);
    arena_free(&arena);
    return good;
}
