/* SPDX-License-Identifier: Apache-2.0 */
/* main/folder.c - made by root, owned by who serves. */
#include "main/folder.h"

#include "observe/log.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Who the worker process becomes; 0: it stays who it is. */
static uid_t
future_user(const struct app *a, gid_t *group)
{
    char name[64];
    const struct passwd *who;

    snprintf(name, sizeof(name), "%.*s", SLICE_ARG(a->settings->process.user));
    who = geteuid() == 0 ? getpwnam(name) : NULL;
    *group = who ? who->pw_gid : 0;
    return who ? who->pw_uid : 0;
}

void
folder_prepare(const struct app *a, struct slice path, const char *whose)
{
    gid_t group;
    uid_t user = future_user(a, &group);

    if (mkdir(path.at, 0700) != 0) {
        if (errno != EEXIST)
            log_warning("%s: cannot make the folder `%.*s`: %s", whose, SLICE_ARG(path),
                        strerror(errno));
        return;
    }
    if (user && chown(path.at, user, group) != 0)
        log_warning("%s: cannot hand over the folder `%.*s`: %s", whose, SLICE_ARG(path),
                    strerror(errno));
}
