/* SPDX-License-Identifier: Apache-2.0 */
/*
 * edge/tls_folder.c - the certificates of a folder (tls_entries.h), and what becomes of them when
 * it changes.
 *
 * The kernel tells when something in the folder changes (inotify).  A quarter of a second after the
 * last change (who replaces a certificate writes more than one file) the folder is read anew: files
 * that did not change keep their identity, one that is broken keeps the identity that it had
 * before, and all of them make a new store, which takes the old one's place at once.
 */
#include "edge/tls_folder.h"

#include "edge/tls_entries.h"
#include "observe/log.h"
#include "runtime/loop.h"
#include "runtime/sock.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { SETTLE_US = 250000 };

struct tls_folder {
    char                       *path, *preset;
    const struct config_source *source;
    struct tls_identity       **fixed;
    size_t                      n_fixed;
    struct tls_entries          entries;
    struct tls_server          *server;
    struct sock                 sock; /* while it is watched */
    struct io                   io;
    struct timer                settle;
    int                         watch;   /* tells of changes; -1: none, or the sock's */
    bool                        watched;
    bool                        changed; /* by the last scan */
};

/* ------------------------------------------------------------------ the whole folder */

/* False when it cannot be read: everything stays as it was. */
static bool
scan(struct tls_folder *f, tls_folder_say_f *say, void *arg)
{
    const struct tls_entries_from from = {f->path, f->source, say, arg};
    struct tls_entries now = {NULL, 0, 0};
    int watch = -1;

    if (!f->path[0])
        return true;
    if (!tls_entries_read(&now, &f->entries, &from, &watch))
        return false;
    if (f->watch < 0 && !f->watched)
        f->watch = watch;
    else
        close(watch);
    f->changed = !tls_entries_same(&f->entries, &now);
    tls_entries_free(&f->entries);
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

const char *
tls_folder_file(const struct tls_folder *f, const struct tls_identity *id, size_t *fixed)
{
    *fixed = SIZE_MAX;
    for (size_t i = 0; i < f->n_fixed; i++)
        if (f->fixed[i] == id)
            *fixed = i;
    for (size_t i = 0; i < f->entries.n; i++)
        if (f->entries.at[i].id == id)
            return f->entries.at[i].path;
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
    f->server = server;
    f->settle.fire = on_settled;
    if (!loop_self())
        return true;
    if (f->watch < 0)
        return false;
    sock_init(&f->sock, f->watch);
    f->sock.flags = SOCK_LEVEL;
    f->watch = -1;
    f->watched = true;
    (void) io_ready(&f->sock, &f->io, IO_READABLE, on_event);
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

    if (f)
        f->watch = -1;
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
    tls_entries_free(&f->entries);
    for (size_t i = 0; i < f->n_fixed; i++)
        tls_identity_release(f->fixed[i]);
    if (f->watch >= 0)
        close(f->watch);
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
