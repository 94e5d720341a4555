/* SPDX-License-Identifier: Apache-2.0 */
/* config/source.c - the file system and the environment of this process. */
#include "config/config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <unistd.h>

/* What out was made for is the limit; a byte more tells that there would have been more. */
int
config_read_descriptor(int fd, struct text *out)
{
    char chunk[16 * 1024];
    ssize_t n;

    while ((n = read(fd, chunk, sizeof(chunk))) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        text_put(out, slice_of(chunk, (size_t) n));
        if (out->full)
            return EFBIG;
    }
    return 0;
}

static int
system_read(void *arg, const char *path, struct text *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int error;

    (void) arg;
    if (fd < 0)
        return errno;
    error = config_read_descriptor(fd, out);
    close(fd);
    return error;
}

static const char *
system_env(void *arg, const char *name)
{
    (void) arg;
    return getenv(name);
}

struct search {
    const char *pattern;
    glob_t      found;
    int         error;
};

static void *
search(void *arg)
{
    struct search *s = arg;

    s->error = glob(s->pattern, GLOB_NOESCAPE, NULL, &s->found);
    return NULL;
}

/* On a thread of its own: glob() takes more stack than a fiber has. */
static int
system_match(void *arg, const char *pattern, struct text *out)
{
    struct search s = {.pattern = pattern};
    pthread_t thread;
    int error;

    (void) arg;
    error = pthread_create(&thread, NULL, search, &s);
    if (error)
        return error;
    pthread_join(thread, NULL);
    if (s.error == GLOB_NOMATCH)
        return 0;
    if (s.error)
        return s.error == GLOB_NOSPACE ? ENOMEM : EIO;
    for (size_t i = 0; i < s.found.gl_pathc; i++)
        text_put(out, slice_of(s.found.gl_pathv[i], strlen(s.found.gl_pathv[i]) + 1));
    globfree(&s.found);
    return out->full ? ENOMEM : 0;
}

static int
put_names(const char *path, struct text *out)
{
    DIR *folder = opendir(path);
    const struct dirent *d;

    if (!folder)
        return errno;
    while ((d = readdir(folder)))
        if (d->d_name[0] != '.')
            text_put(out, slice_of(d->d_name, strlen(d->d_name) + 1));
    closedir(folder);
    return out->full ? ENOMEM : 0;
}

/* Watched first, then read: nothing is missed between the two. */
static int
system_folder(void *arg, const char *path, struct text *out, int *watch)
{
    const uint32_t events = IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE |
                            IN_ATTRIB;
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC), error;

    (void) arg;
    if (fd < 0)
        return errno;
    error = inotify_add_watch(fd, path, events) < 0 ? errno : put_names(path, out);
    if (error)
        close(fd);
    else
        *watch = fd;
    return error;
}

const struct config_source config_source_system = {
    .read = system_read, .env = system_env, .match = system_match, .folder = system_folder};
