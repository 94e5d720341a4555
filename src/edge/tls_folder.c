/* SPDX-License-Identifier: Apache-2.0 */
/*
 * edge/tls_folder.c - certificates of a folder: NAME.pem or NAME.crt, with NAME.key where the key
 * is in a file of its own.
 *
 * The kernel tells when something in the folder changes (inotify).  A quarter of a second after the
 * last change (who replaces a certificate writes more than one file) the folder is read anew: files
 * that did not change keep their identity, one that is broken keeps the identity that it had
 * before, and all of them make a new store, which takes the old one's place at once.
 */
#include "edge/tls_folder.h"

#include "observe/log.h"
#include "runtime/loop.h"
#include "runtime/sock.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    SETTLE_US = 250000,
    FILES_MAX = 100000,
    FILE_MAX_BYTES = 1 << 20,
    EVENTS = IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE | IN_ATTRIB,
};

/* When it is the same, the file has not changed. */
struct stamp {
    uint64_t device, inode, size, modified_ns;
};

struct entry {
    char                *certificate, *key; /* paths; key may be NULL */
    struct stamp         stamps[2];
    struct tls_identity *id; /* NULL: it has never been good */
};

struct entries {
    struct entry *at;
    size_t        n, room;
};

struct tls_folder {
    char                       *path, *preset;
    const struct config_source *source;
    struct tls_identity       **fixed;
    size_t                      n_fixed;
    struct entries              entries; /* sorted by path */
    struct tls_server          *server;
    struct sock                 sock; /* fd 0 while it is not watched */
    struct io                   io;
    struct timer                settle;
    bool                        watched;
    bool                        changed; /* by the last scan */
};

/* ------------------------------------------------------------------ entries */

static void
entry_free(struct entry *e)
{
    free(e->certificate);
    free(e->key);
    tls_identity_release(e->id);
}

static void
entries_free(struct entries *list)
{
    for (size_t i = 0; i < list->n; i++)
        entry_free(&list->at[i]);
    free(list->at);
    *list = (struct entries){NULL, 0, 0};
}

static struct entry *
entries_add(struct entries *list)
{
    if (list->n == list->room) {
        size_t room = list->room ? 2 * list->room : 16;
        struct entry *more = reallocarray(list->at, room, sizeof(*more));

        if (!more)
            return NULL;
        list->at = more;
        list->room = room;
    }
    list->at[list->n] = (struct entry){0};
    return &list->at[list->n++];
}

static const struct entry *
entries_find(const struct entries *list, const char *certificate)
{
    size_t low = 0, high = list->n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(certificate, list->at[middle].certificate);

        if (order == 0)
            return &list->at[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

static struct stamp
stamp_of(const char *path)
{
    struct stat st;

    if (!path || stat(path, &st) != 0)
        return (struct stamp){0};
    return (struct stamp){st.st_dev, st.st_ino, (uint64_t) st.st_size,
                          (uint64_t) st.st_mtim.tv_sec * 1000000000u +
                              (uint64_t) st.st_mtim.tv_nsec};
}

/* Where nothing is known of a file (it may not be looked at) it may have changed. */
static bool
same_stamps(const struct entry *a, const struct entry *b)
{
    return a->stamps[0].inode && !a->key == !b->key && (!a->key || a->stamps[1].inode) &&
           memcmp(a->stamps, b->stamps, sizeof(a->stamps)) == 0;
}

/* ------------------------------------------------------------------ one certificate */

/* By way of the supervisor, who may read what we may not; else by ourselves, as for files that have
 * come after the start. */
static int
read_file(const struct tls_folder *f, const char *path, struct text *out)
{
    int error = f->source->read(f->source->arg, path, out);

    if (error == EACCES && f->source != &config_source_system) {
        out->n = 0;
        error = config_source_system.read(config_source_system.arg, path, out);
    }
    return error;
}

static struct tls_identity *
load(const struct tls_folder *f, const struct entry *e, tls_folder_say_f *say, void *arg)
{
    struct text certificate, key, why, warning;
    struct tls_identity *id = NULL;
    char sentence[PATH_MAX + 1200];
    int error;

    text_init(&certificate, FILE_MAX_BYTES);
    text_init(&key, FILE_MAX_BYTES);
    text_init(&why, 1000);
    text_init(&warning, 1000);
    error = read_file(f, e->certificate, &certificate);
    if (!error && e->key)
        error = read_file(f, e->key, &key);
    if (error) {
        text_printf(&why, "%s", strerror(error));
    } else {
        struct tls_material m = {text_slice(&certificate), text_slice(&key), {NULL, 0}};

        id = tls_identity_new(&m, &why, &warning);
    }
    if (!id || warning.n) {
        const struct text *said = id ? &warning : &why;

        snprintf(sentence, sizeof(sentence), "`%s`: %.*s", e->certificate, (int) said->n, said->at);
        say(arg, sentence);
    }
    text_free(&certificate);
    text_free(&key);
    text_free(&why);
    text_free(&warning);
    return id;
}

/* ------------------------------------------------------------------ the whole folder */

static bool
ends_in(const char *path, const char *suffix)
{
    return slice_ends(slice_str(path), slice_str(suffix));
}

/* Names in the folder, sorted. */
struct names {
    char **at;
    size_t n, room;
};

static int
compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *) a, *(char *const *) b);
}

static void
names_free(struct names *names)
{
    for (size_t i = 0; i < names->n; i++)
        free(names->at[i]);
    free(names->at);
}

static bool
names_add(struct names *names, const char *name)
{
    if (names->n == names->room) {
        size_t room = names->room ? 2 * names->room : 64;
        char **more = reallocarray(names->at, room, sizeof(*more));

        if (!more)
            return false;
        names->at = more;
        names->room = room;
    }
    names->at[names->n] = strdup(name);
    return names->at[names->n++] != NULL;
}

/* (Not glob(), which wants more stack than a fiber has when there are thousands.)  False with
 * errno. */
static bool
list_folder(const char *path, struct names *names)
{
    DIR *folder = opendir(path);
    const struct dirent *d;
    bool good = folder != NULL;

    while (good && (d = readdir(folder)))
        if (d->d_name[0] != '.')
            good = names->n < FILES_MAX && names_add(names, d->d_name);
    if (folder)
        closedir(folder);
    if (good && names->n)
        qsort(names->at, names->n, sizeof(names->at[0]), compare_names);
    return good;
}

static char *
path_of(const struct tls_folder *f, const char *name, size_t name_n, const char *ending)
{
    size_t room = strlen(f->path) + name_n + strlen(ending) + 2;
    char *path = malloc(room);

    if (path)
        snprintf(path, room, "%s/%.*s%s", f->path, (int) name_n, name, ending);
    return path;
}

/* NAME.key beside NAME.pem or NAME.crt; NULL when there is none. */
static char *
key_beside(const struct tls_folder *f, const struct names *names, const char *name)
{
    size_t stem = strlen(name) - 4;
    char key[NAME_MAX + 1], *wanted = key;

    snprintf(key, sizeof(key), "%.*s.key", (int) stem, name);
    if (!names->n || !bsearch(&wanted, names->at, names->n, sizeof(names->at[0]), compare_names))
        return NULL;
    return path_of(f, name, stem, ".key");
}

static bool
add_file(const struct tls_folder *f, struct entries *list, const struct names *names,
         const char *name, tls_folder_say_f *say, void *arg)
{
    struct entry *e = entries_add(list);
    const struct entry *old;

    if (!e || !(e->certificate = path_of(f, name, strlen(name), "")))
        return false;
    old = entries_find(&f->entries, e->certificate);
    e->key = key_beside(f, names, name);
    e->stamps[0] = stamp_of(e->certificate);
    e->stamps[1] = stamp_of(e->key);
    if (!old || !old->id || !same_stamps(old, e))
        e->id = load(f, e, say, arg);
    if (!e->id && old && old->id) {
        e->id = old->id;
        tls_identity_hold(e->id);
    }
    return true;
}

static bool
same_identities(const struct entries *a, const struct entries *b)
{
    for (size_t i = 0; i < a->n && i < b->n; i++)
        if (a->at[i].id != b->at[i].id)
            return false;
    return a->n == b->n;
}

/* False when it cannot be read: everything stays as it was. */
static bool
scan(struct tls_folder *f, tls_folder_say_f *say, void *arg)
{
    struct entries now = {NULL, 0, 0};
    struct names names = {NULL, 0, 0};
    bool good;

    if (!f->path[0])
        return true;
    good = list_folder(f->path, &names);
    if (!good && f->entries.n == 0)
        say(arg, strerror(errno));
    for (size_t i = 0; good && i < names.n; i++)
        if (ends_in(names.at[i], ".pem") || ends_in(names.at[i], ".crt"))
            good = add_file(f, &now, &names, names.at[i], say, arg);
    names_free(&names);
    if (!good) {
        entries_free(&now);
        return false;
    }
    f->changed = !same_identities(&f->entries, &now);
    entries_free(&f->entries);
    f->entries = now;
    return true;
}

static bool
is_preset(const struct tls_folder *f, const struct tls_identity *id)
{
    struct slice name;

    for (size_t i = 0; f->preset && slice_is_present(name = tls_identity_name(id, i)); i++)
        if (slice_eq_nocase(name, slice_str(f->preset)))
            return true;
    return false;
}

/* Those for the default name, or the others. */
static bool
add_those(const struct tls_folder *f, struct tls_store *store, bool preset)
{
    for (size_t i = 0; i < f->n_fixed; i++)
        if (is_preset(f, f->fixed[i]) == preset && !tls_store_add(store, f->fixed[i]))
            return false;
    for (size_t i = 0; i < f->entries.n; i++) {
        struct tls_identity *id = f->entries.at[i].id;

        if (id && is_preset(f, id) == preset && !tls_store_add(store, id))
            return false;
    }
    return true;
}

struct tls_store *
tls_folder_store(const struct tls_folder *f)
{
    struct tls_store *store = tls_store_new();

    if (store && add_those(f, store, true) && add_those(f, store, false))
        return store;
    tls_store_release(store);
    return NULL;
}

/* ------------------------------------------------------------------ watching */

static void
say_warning(void *arg, const char *sentence)
{
    (void) arg;
    log_warning("%s (what was there before stays in use)", sentence);
}

static void
on_settled(struct timer *t)
{
    struct tls_folder *f = container_of(t, struct tls_folder, settle);
    bool scanned = scan(f, say_warning, NULL);
    struct tls_store *store = NULL;

    if (scanned && !f->changed)
        return;
    if (scanned)
        store = tls_folder_store(f);
    if (!store) {
        log_warning("`%s`: cannot be read anew; the certificates stay as they are", f->path);
    } else if (tls_store_count(store) == 0) {
        log_warning("`%s`: no certificate is left; those before stay in use", f->path);
    } else {
        tls_server_swap(f->server, store);
        log_info("`%s`: %zu certificates are in use now", f->path, tls_store_count(store));
    }
    tls_store_release(store);
}

static void
on_event(struct io *io)
{
    struct tls_folder *f = container_of(io, struct tls_folder, io);
    char events[4096];

    if (io->result == -ECANCELED)
        return;
    while (read(f->sock.fd, events, sizeof(events)) > 0)
        continue;
    timer_set(&loop_self()->timers, &f->settle, loop_now_us() + SETTLE_US);
    (void) io_ready(&f->sock, &f->io, IO_READABLE, on_event);
}

bool
tls_folder_watch(struct tls_folder *f, struct tls_server *server)
{
    int fd;

    f->server = server;
    f->settle.fire = on_settled;
    if (!loop_self())
        return true;
    fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (fd < 0)
        return false;
    if (inotify_add_watch(fd, f->path, EVENTS) < 0) {
        int failed = errno;

        close(fd);
        errno = failed;
        return false;
    }
    sock_init(&f->sock, fd);
    f->sock.flags = SOCK_LEVEL;
    f->watched = true;
    (void) io_ready(&f->sock, &f->io, IO_READABLE, on_event);
    /* Nobody has told of what happened since the folder was read. */
    timer_set(&loop_self()->timers, &f->settle, loop_now_us() + SETTLE_US);
    return true;
}

/* ------------------------------------------------------------------ life */

static bool
keep_options(struct tls_folder *f, const struct tls_folder_options *o)
{
    f->source = o->source;
    f->path = strdup(o->path ? o->path : "");
    f->preset = slice_is_present(o->preset) ? strndup(o->preset.at, o->preset.n) : NULL;
    f->fixed = calloc(o->n_fixed + 1, sizeof(*f->fixed));
    if (!f->path || !f->fixed || (slice_is_present(o->preset) && !f->preset))
        return false;
    for (; f->n_fixed < o->n_fixed; f->n_fixed++) {
        tls_identity_hold(o->fixed[f->n_fixed]);
        f->fixed[f->n_fixed] = o->fixed[f->n_fixed];
    }
    return true;
}

struct tls_folder *
tls_folder_new(const struct tls_folder_options *o, tls_folder_say_f *say, void *arg)
{
    struct tls_folder *f = calloc(1, sizeof(*f));

    if (f && keep_options(f, o)) {
        (void) scan(f, say, arg); /* a folder that cannot be read is as good as an empty one */
        return f;
    }
    tls_folder_free(f);
    return NULL;
}

static void
destroy(struct tls_folder *f)
{
    entries_free(&f->entries);
    for (size_t i = 0; i < f->n_fixed; i++)
        tls_identity_release(f->fixed[i]);
    free(f->fixed);
    free(f->path);
    free(f->preset);
    free(f);
}

static void
on_released(struct sock *s)
{
    destroy(container_of(s, struct tls_folder, sock));
}

void
tls_folder_free(struct tls_folder *f)
{
    if (!f)
        return;
    if (!f->watched) {
        destroy(f);
        return;
    }
    timer_clear(&loop_self()->timers, &f->settle);
    io_cancel(&f->io);
    f->sock.release = on_released;
    sock_close(&f->sock);
}
