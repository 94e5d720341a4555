/* SPDX-License-Identifier: Apache-2.0 */
/* main/pid_file.c - written beside and renamed, so that nobody reads half a number. */
#include "main/pid_file.h"

#include <limits.h>
#include <stdio.h>
#include <unistd.h>

bool
pid_file_write(const char *path)
{
    char beside[PATH_MAX];
    FILE *f;
    bool good;

    if (snprintf(beside, sizeof(beside), "%s.%d", path, (int) getpid()) >= (int) sizeof(beside))
        return false;
    f = fopen(beside, "we");
    if (!f)
        return false;
    fprintf(f, "%d\n", (int) getpid());
    good = fclose(f) == 0 && rename(beside, path) == 0;
    if (!good)
        unlink(beside);
    return good;
}

void
pid_file_remove(const char *path)
{
    FILE *f = fopen(path, "re");
    int pid = 0;

    if (!f)
        return;
    if (fscanf(f, "%d", &pid) == 1 && pid == (int) getpid())
        unlink(path);
    fclose(f);
}
