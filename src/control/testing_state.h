/* SPDX-License-Identifier: Apache-2.0 */
/* control/testing_state.h - for tests: a state directory, and processes that get in its way. */
#ifndef CONTROL_TESTING_STATE_H
#define CONTROL_TESTING_STATE_H

#include "base/check.h"
#include "base/test.h"
#include "control/revisions.h"
#include "observe/log.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define STATE_SOURCE SLICE("/etc/site.yaml")

static char state_folder[64];
static struct arena state_arena;

/* A new folder; nothing is open. */
static inline void
state_begin(void)
{
    snprintf(state_folder, sizeof(state_folder), "/tmp/maitred-state-XXXXXX");
    CHECK(mkdtemp(state_folder));
    arena_init(&state_arena, NULL, 0, 64 << 20);
    log_set_level(LOG_LEVEL_ERROR);
}

static inline const char *
state_path(const char *name)
{
    static char path[400];

    snprintf(path, sizeof(path), "%s/%s", state_folder, name);
    return path;
}

/* Calls visit for each file of the folder. */
static inline size_t
state_count(const char *begins)
{
    DIR *d = opendir(state_folder);
    struct dirent *e;
    size_t n = 0;

    while (d && (e = readdir(d)))
        n += strncmp(e->d_name, begins, strlen(begins)) == 0;
    closedir(d);
    return n;
}

static inline void
state_end(void)
{
    DIR *d = opendir(state_folder);
    struct dirent *e;

    revisions_close();
    while (d && (e = readdir(d)))
        if (e->d_name[0] != '.')
            unlink(state_path(e->d_name));
    closedir(d);
    rmdir(state_folder);
    arena_free(&state_arena);
}

/* A revision whose texts say its number. */
static inline int64_t
state_add(int number)
{
    char patch[64], text[64];
    struct revision r = {.at_s = 1000 + number, .cause = REVISION_CHANGE, .who = SLICE("ci"),
                         .source = STATE_SOURCE};

    r.patch = slice_of(patch, (size_t) snprintf(patch, sizeof(patch), "[%d]\n", number));
    r.text = slice_of(text, (size_t) snprintf(text, sizeof(text), "routes: %d\n", number));
    r.hash = UINT64_MAX - (uint64_t) number;
    r.comment = r.patch;
    return revisions_add(&r);
}

static inline int64_t
state_current(void)
{
    struct revision r;

    return revisions_current(STATE_SOURCE, &r, &state_arena) ? r.number : 0;
}

/* run() in a process of its own, as nobody if we are root; its exit status. */
static inline int
state_as_nobody(int run(void))
{
    pid_t child = fork();
    int status;

    if (child == 0) {
        if (getuid() == 0 && (chown(state_folder, 65534, 65534) != 0 || setgid(65534) != 0 ||
                              setuid(65534) != 0))
            _exit(99);
        _exit(run());
    }
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 98;
}

#endif
