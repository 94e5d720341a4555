/* SPDX-License-Identifier: Apache-2.0 */
/* main/files.c - opening, keeping and handing out the texts of the configuration. */
#include "main/files.h"

#include "base/check.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_MAX = 64 << 20, FILES_MAX = 10000 };

struct file {
    struct file *next;
    char        *path;
    char        *text; /* as of the configuration in force; NULL when it was never part of one */
    size_t       n;
    char        *newer; /* as read since */
    size_t       newer_n;
};

static struct file *first;
static size_t count;
static char folder[PATH_MAX]; /* with a slash at its end; empty: none */
static bool restricted, use_kept;

void
files_allow_below(const char *path)
{
    char full[PATH_MAX];
    char *slash;

    if (!path || !realpath(path, full))
        return;
    slash = strrchr(full, '/');
    if (slash) {
        slash[1] = '\0';
        memcpy(folder, full, strlen(full) + 1);
    }
}

static struct file *
find(const char *path)
{
    for (struct file *f = first; f; f = f->next)
        if (strcmp(f->path, path) == 0)
            return f;
    return NULL;
}

static bool
is_allowed(const char *path)
{
    char full[PATH_MAX];

    if (!restricted || find(path))
        return true;
    return folder[0] && realpath(path, full) && strncmp(full, folder, strlen(folder)) == 0;
}

static int
open_text(const char *text, size_t n)
{
    int fd = memfd_create("configuration", MFD_CLOEXEC);

    if (fd < 0)
        return -errno;
    if (write(fd, text, n) != (ssize_t) n || lseek(fd, 0, SEEK_SET) != 0) {
        close(fd);
        return -EIO;
    }
    return fd;
}

/* The whole file; at most FILE_MAX bytes.  0 or an errno. */
static int
read_text(int fd, size_t size, char **text, size_t *n)
{
    char *p = malloc(size + 1);
    size_t at = 0;
    ssize_t got = 1;

    if (!p)
        return ENOMEM;
    while (at < size && (got = pread(fd, p + at, size - at, (off_t) at)) > 0)
        at += (size_t) got;
    if (got < 0) {
        free(p);
        return EIO;
    }
    *text = p;
    *n = at;
    return 0;
}

static void
remember(const char *path, char *text, size_t n)
{
    struct file *f = find(path);

    if (!f && count < FILES_MAX) {
        f = calloc(1, sizeof(*f));
        if (f && !(f->path = strdup(path)))
            free(take(&f));
        if (f) {
            f->next = first;
            first = f;
            count++;
        }
    }
    if (!f) {
        free(text);
        return;
    }
    free(f->newer);
    f->newer = text;
    f->newer_n = n;
}

int
files_open(const char *path)
{
    const struct file *kept = use_kept ? find(path) : NULL;
    struct stat st;
    char *text;
    size_t n;
    int fd, error;

    if (kept && kept->text)
        return open_text(kept->text, kept->n);
    if (!is_allowed(path))
        return -EACCES;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return fd; /* a pipe, say: read once, not kept */
    if (st.st_size > FILE_MAX) {
        close(fd);
        return -EFBIG;
    }
    error = read_text(fd, (size_t) st.st_size, &text, &n);
    if (error) {
        close(fd);
        return -error;
    }
    remember(path, text, n);
    return fd;
}

void
files_keep(void)
{
    for (struct file *f = first; f; f = f->next)
        if (f->newer) {
            free(f->text);
            f->text = take(&f->newer);
            f->n = f->newer_n;
        }
}

void
files_use_kept(void)
{
    use_kept = true;
}

void
files_restrict(void)
{
    restricted = true;
    use_kept = false;
}
