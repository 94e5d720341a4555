/* SPDX-License-Identifier: Apache-2.0 */
/* acme/state.c - safe writes. */
#include "acme/state.h"

#include "acme/jose.h"
#include "runtime/file.h"
#include "runtime/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* Names come from a configuration or from a client's hello: nothing in them may leave the
 * folder. */
static bool
is_file_name(struct slice name)
{
    if (name.n == 0 || name.n > 253 || name.at[0] == '.')
        return false;
    for (size_t i = 0; i < name.n; i++) {
        char c = name.at[i];

        if (!ascii_is_alpha(c) && !ascii_is_digit(c) && !memchr("-._:*", c, 5))
            return false;
    }
    return true;
}

bool
acme_state_path(struct slice state, const char *folder, struct slice name, const char *suffix,
                char out[ACME_PATH_MAX])
{
    int n;

    if (!is_file_name(name))
        return false;
    n = snprintf(out, ACME_PATH_MAX, "%.*s/%s/%.*s.%s", SLICE_ARG(state), folder, SLICE_ARG(name),
                 suffix);
    if (n < 0 || n >= ACME_PATH_MAX)
        return false;
    for (char *star = strchr(out + state.n, '*'); star; star = strchr(star, '*'))
        *star = '_';
    return true;
}

enum err
acme_state_read(const char *path, struct text *out)
{
    return file_read(path, out);
}

/* ------------------------------------------------------------------ writing, in the pool */

struct writing {
    const char  *path;
    struct slice content;
    enum err     err;
};

/* Each folder on the way that is missing. */
static void
make_folders(const char *path)
{
    char part[ACME_PATH_MAX];

    for (size_t i = 1; path[i] && i < sizeof(part); i++)
        if (path[i] == '/') {
            memcpy(part, path, i);
            part[i] = '\0';
            (void) mkdir(part, 0700);
        }
}

static bool
write_all(int fd, struct slice content)
{
    while (content.n) {
        ssize_t n = write(fd, content.at, content.n);

        if (n < 0 && errno != EINTR)
            return false;
        if (n > 0)
            content = slice_from(content, (size_t) n);
    }
    return true;
}

/* The new name is on the disk once its folder is. */
static void
sync_folder(const char *path)
{
    char folder[ACME_PATH_MAX];
    const char *end = strrchr(path, '/');
    int fd;

    if (!end || end == path)
        return;
    memcpy(folder, path, (size_t) (end - path));
    folder[end - path] = '\0';
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    (void) fsync(fd);
    close(fd);
}

static int
replace(const char *path, struct slice content)
{
    char beside[ACME_PATH_MAX + 8];
    int fd, error = 0;

    snprintf(beside, sizeof(beside), "%s.new", path);
    (void) unlink(beside); /* of a process that died in the middle */
    fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno;
    if (!write_all(fd, content) || fsync(fd) != 0)
        error = errno;
    if (close(fd) != 0 && !error)
        error = errno;
    if (!error && rename(beside, path) != 0)
        error = errno;
    if (error)
        (void) unlink(beside);
    else
        sync_folder(path);
    return error;
}

static void
write_file(void *arg)
{
    struct writing *w = arg;
    int error;

    make_folders(w->path);
    error = replace(w->path, w->content);
    w->err = error ? err_from_errno(error) : OK;
}

enum err
acme_state_write(const char *path, struct slice content)
{
    struct writing w = {.path = path, .content = content};

    offload(write_file, &w);
    return w.err;
}

/* ------------------------------------------------------------------ sealed */

static const struct slice seal = SLICE_INIT("# sha256 ");

enum { SEAL_BYTES = sizeof("# sha256 ") - 1 + ACME_SHA256_LETTERS + 1 };

enum err
acme_state_write_sealed(const char *path, struct slice content)
{
    char letters[ACME_SHA256_LETTERS];
    struct text t;
    enum err e = ERR_NO_MEMORY;

    text_init(&t, ACME_FILE_MAX);
    text_put(&t, content);
    text_put(&t, seal);
    if (acme_sha256_letters(content, letters))
        text_put(&t, slice_of(letters, sizeof(letters)));
    text_byte(&t, '\n');
    if (!t.full)
        e = acme_state_write(path, text_slice(&t));
    text_free(&t);
    return e;
}

static bool
is_whole(struct slice file)
{
    char letters[ACME_SHA256_LETTERS];
    struct slice last;

    if (file.n < SEAL_BYTES)
        return false;
    last = slice_from(file, file.n - SEAL_BYTES);
    return slice_starts(last, seal) &&
           acme_sha256_letters(slice_first(file, file.n - SEAL_BYTES), letters) &&
           slice_eq(slice_first(slice_from(last, seal.n), sizeof(letters)),
                    slice_of(letters, sizeof(letters)));
}

enum err
acme_state_read_sealed(const char *path, struct text *out)
{
    enum err e = acme_state_read(path, out);

    if (e == OK && !is_whole(text_slice(out)))
        e = ERR_MALFORMED;
    out->n = e == OK ? out->n - SEAL_BYTES : 0;
    return e;
}
