/* SPDX-License-Identifier: Apache-2.0 */
/* main/files.c - opening, keeping and handing out the texts of the configuration. */
#include "main/files.h"

#include "base/check.h"
#include "base/map.h"
#include "config/config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_MAX = 64 << 20, FILES_MAX = 100000, FOLDERS_MAX = 1000, NAMES_MAX = 16 << 20 };

struct file {
    char  *path;
    char  *text; /* as of the configuration in force; NULL when it was never part of one */
    size_t n;
    char  *newer; /* as read since */
    size_t newer_n;
};

static struct map files;      /* of struct file, by path */
static struct map folders;    /* real paths: what is in them is open to the worker */
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
    return map_get(&files, slice_str(path));
}

static bool
is_below(const char *real)
{
    return folder[0] && strncmp(real, folder, strlen(folder)) == 0;
}

/* The real path of a file, whose folder was opened when everything was still allowed. */
static bool
is_in_folder(const char *real)
{
    const char *slash = strrchr(real, '/');

    return slash && map_get(&folders, slice_of(real, (size_t) (slash - real)));
}

static bool
is_allowed(const char *path)
{
    char real[PATH_MAX];

    if (!restricted || find(path))
        return true;
    return realpath(path, real) && (is_below(real) || is_in_folder(real));
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

static struct file *
add(const char *path)
{
    struct file *f = files.count < FILES_MAX ? calloc(1, sizeof(*f)) : NULL;

    if (!f)
        return NULL;
    f->path = strdup(path);
    if (!f->path || !map_put(&files, slice_str(f->path), f)) {
        free(f->path);
        free(take(&f));
    }
    return f;
}

static void
remember(const char *path, char *text, size_t n)
{
    struct file *f = find(path);

    if (!f)
        f = add(path);
    if (!f) {
        free(text);
        return;
    }
    free(f->newer);
    f->newer = text;
    f->newer_n = n;
}

/* What is in a folder that is open may change at any time, and is wanted as it is. */
static bool
is_transient(const char *path)
{
    char real[PATH_MAX];

    return folders.count && realpath(path, real) && is_in_folder(real);
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
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || is_transient(path))
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

/* 0 or an errno. */
static int
open_to_worker(const char *path)
{
    char real[PATH_MAX], *copy;

    if (!realpath(path, real))
        return errno;
    if (map_get(&folders, slice_str(real)))
        return 0;
    if (restricted)
        return is_below(real) ? 0 : EACCES;
    copy = folders.count < FOLDERS_MAX ? strdup(real) : NULL;
    if (copy && map_put(&folders, slice_str(copy), copy))
        return 0;
    free(copy);
    return ENOMEM;
}

int
files_open_folder(const char *path, int fds[2])
{
    int error = open_to_worker(path);
    struct text names;

    if (error)
        return error;
    text_init(&names, NAMES_MAX);
    error = config_source_system.folder(config_source_system.arg, path, &names, &fds[1]);
    if (!error) {
        fds[0] = open_text(names.at, names.n);
        if (fds[0] < 0) {
            error = -fds[0];
            close(fds[1]);
        }
    }
    text_free(&names);
    return error;
}

void
files_keep(void)
{
    const struct map_slot *slot;

    for (size_t i = 0; (slot = map_each(&files, &i));) {
        struct file *f = slot->value;

        if (f->newer) {
            free(f->text);
            f->text = take(&f->newer);
            f->n = f->newer_n;
        }
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
