/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main/client/editor.c - $EDITOR may hold arguments ("code --wait"), so a shell takes it apart, as
 * git and crontab have it; the file's name is an argument of its own and nothing that the shell
 * reads.
 */
#include "main/client/editor.h"

#include "config/config.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *
editor_name(void)
{
    const char *visual = getenv("VISUAL"), *editor = getenv("EDITOR");

    if (visual && *visual)
        return visual;
    return editor && *editor ? editor : "vi";
}

static bool
run(const char *command, const char *file)
{
    char script[1024];
    const char *const argv[] = {"sh", "-c", script, "sh", file, NULL};
    int how = 0, error;
    pid_t pid;

    if (snprintf(script, sizeof(script), "%s \"$1\"", editor_name()) >= (int) sizeof(script))
        return false;
    error = posix_spawn(&pid, "/bin/sh", NULL, NULL, (char *const *) argv, environ);
    while (!error && waitpid(pid, &how, 0) < 0)
        if (errno != EINTR)
            error = errno;
    if (!error && WIFEXITED(how) && WEXITSTATUS(how) == 0)
        return true;
    fprintf(stderr, "maitred %s: the editor `%s` failed\n", command, editor_name());
    return false;
}

static bool
write_all(int fd, struct slice s)
{
    while (s.n) {
        ssize_t n = write(fd, s.at, s.n);

        if (n < 0 && errno != EINTR)
            return false;
        s = slice_from(s, n > 0 ? (size_t) n : 0);
    }
    return true;
}

static bool
make(const char *command, struct slice before, char file[EDITOR_PATH_ROOM])
{
    const char *folder = getenv("TMPDIR");
    bool good;
    int fd;

    if (!folder || strlen(folder) > EDITOR_PATH_ROOM / 2)
        folder = "/tmp";
    snprintf(file, EDITOR_PATH_ROOM, "%s/maitred-XXXXXX.yaml", folder);
    fd = mkostemps(file, 5, O_CLOEXEC);
    good = fd >= 0 && write_all(fd, before);
    if (fd >= 0 && close(fd) != 0)
        good = false;
    if (!good)
        fprintf(stderr, "maitred %s: cannot write `%s`: %s\n", command, file, strerror(errno));
    return good;
}

bool
editor_run(const char *command, struct slice before, char file[EDITOR_PATH_ROOM],
           struct text *after)
{
    int error;

    if (!make(command, before, file) || !run(command, file))
        return false;
    error = config_source_system.read(config_source_system.arg, file, after);
    if (error)
        fprintf(stderr, "maitred %s: cannot read `%s`: %s\n", command, file, strerror(error));
    return error == 0;
}
