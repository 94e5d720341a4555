/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/discover_file.c - servers that a file lists, which is looked at every second.
 *
 * Looked at, not watched: inotify says nothing of network file systems and of mounts that are
 * exchanged, such as Kubernetes' ConfigMaps.  The change time tells of a change, because a writer
 * can set the modification time back but not that one.
 *
 * A half of a list is often a valid list.  A change is therefore taken only when a second look, a
 * moment later, sees the same; a file that never comes to rest is taken after a while as it is.  A
 * file that is broken or gone keeps the servers that it gave.
 *
 * Opening, reading and parsing happen on an offload thread, with the rights of the worker process,
 * which has given up root by then.
 */
#include "base/check.h"
#include "observe/log.h"
#include "runtime/fiber.h"
#include "runtime/loop.h"
#include "upstream/findings.h"
#include "upstream/server_list.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    LOOK_US = 1000000,
    SETTLE_US = 250000,
    PATIENCE_US = 3000000, /* with a file that never comes to rest */
    FILE_BYTES_MAX = 8 << 20,
    COMPLAINT_BYTES = 1024,
    BROKEN = -1, /* beside numbers of errno */
};

/* Which state of which file. */
struct stamp {
    dev_t           device;
    ino_t           inode;
    off_t           bytes;
    struct timespec changed;
};

struct file_memory {
    struct findings findings;
    struct config  *list;       /* regions in the findings point into it */
    struct stamp    taken;      /* what was read last, fit or not */
    struct stamp    seen;       /* a change that has to be seen once more */
    uint64_t        changed_us; /* since when there is one; 0: there is none */
    int             trouble;    /* errno, BROKEN; 0: none */
};

/* One look at the file, on an offload thread. */
struct look {
    char           path[PATH_MAX];
    struct stamp   taken, seen; /* the memory's */
    bool           at_once;     /* need not come to rest */
    struct stamp   stamp;
    bool           changing;
    int            trouble;
    struct config *list;        /* new */
    struct text    complaint;
    char           complaint_bytes[COMPLAINT_BYTES];
};

static bool
stamp_eq(const struct stamp *a, const struct stamp *b)
{
    return a->device == b->device && a->inode == b->inode && a->bytes == b->bytes &&
           a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec;
}

static int
stamp_of(int fd, struct stamp *stamp)
{
    struct stat s;

    if (fstat(fd, &s) < 0)
        return errno;
    if (!S_ISREG(s.st_mode))
        return S_ISDIR(s.st_mode) ? EISDIR : EINVAL;
    *stamp = (struct stamp){s.st_dev, s.st_ino, s.st_size, s.st_ctim};
    return 0;
}

static void
read_list(struct look *l, int fd)
{
    struct stamp after = {0};
    struct text text;

    text_init(&text, FILE_BYTES_MAX);
    l->trouble = config_read_descriptor(fd, &text);
    if (!l->trouble)
        l->trouble = stamp_of(fd, &after);
    if (!l->trouble && !l->at_once && !stamp_eq(&l->stamp, &after)) {
        l->changing = true;
    } else if (!l->trouble) {
        l->list = server_list_read(l->path, text.n ? text_slice(&text) : SLICE(""), &l->complaint);
        l->trouble = l->list ? 0 : BROKEN;
    }
    text_free(&text);
}

static void
look_at(void *arg)
{
    struct look *l = arg;
    int fd = open(l->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (fd < 0) {
        l->trouble = errno;
        return;
    }
    l->trouble = stamp_of(fd, &l->stamp);
    if (!l->trouble && !stamp_eq(&l->stamp, &l->taken)) {
        l->changing = !l->at_once && !stamp_eq(&l->stamp, &l->seen);
        if (!l->changing)
            read_list(l, fd);
    }
    close(fd);
}

/* ------------------------------------------------------------------ what comes of it */

static void
take_list(struct file_memory *m, struct config *list, const struct server_config *entry)
{
    findings_clear(&m->findings);
    config_free(take(&m->list));
    m->list = list;
    for (size_t i = 0; list && i < server_list_count(list); i++) {
        struct discovered d = server_list_get(list, i, entry);

        if (!findings_add(&m->findings, &d))
            break;
    }
}

static void
take_trouble(struct discovery_round *r, const struct server_config *entry, struct file_memory *m,
             const struct look *l)
{
    if (l->trouble == BROKEN)
        log_warning("list of servers is broken, those it gave stay in use: upstream=%.*s %.*s",
                    SLICE_ARG(r->upstream->name), SLICE_ARG(text_slice(&l->complaint)));
    else if (l->trouble != m->trouble)
        log_warning("list of servers cannot be read, those it gave stay in use: %s upstream=%.*s "
                    "file=%.*s",
                    strerror(l->trouble), SLICE_ARG(r->upstream->name),
                    SLICE_ARG(entry->file));
    /* What could not be read has to be read again, even if it comes back as it was. */
    m->taken = l->trouble == BROKEN ? l->stamp : (struct stamp){0};
    m->trouble = l->trouble;
    m->findings.missing = true;
    take_list(m, NULL, entry);
}

static void
take_look(struct discovery_round *r, const struct server_config *entry, struct file_memory *m,
          struct look *l)
{
    uint64_t now_us = loop_now_us();

    m->findings.due_us = now_us + (l->changing ? SETTLE_US : LOOK_US);
    if (l->changing) {
        m->seen = l->stamp;
        m->changed_us = m->changed_us ? m->changed_us : now_us;
        return;
    }
    m->changed_us = 0;
    if (l->trouble) {
        take_trouble(r, entry, m, l);
    } else if (l->list) {
        if (m->trouble)
            log_info("list of servers is in order again: upstream=%.*s file=%.*s",
                     SLICE_ARG(r->upstream->name), SLICE_ARG(entry->file));
        m->taken = l->stamp;
        m->trouble = 0;
        m->findings.missing = false;
        take_list(m, take(&l->list), entry);
    }
}

static enum err
look(struct discovery_round *r, const struct server_config *entry, struct file_memory *m)
{
    struct look *l = calloc(1, sizeof(*l));
    bool cancelled;

    if (!l)
        return ERR_NO_MEMORY;
    snprintf(l->path, sizeof(l->path), "%.*s", SLICE_ARG(entry->file));
    text_fixed(&l->complaint, l->complaint_bytes, sizeof(l->complaint_bytes));
    l->taken = m->taken;
    l->seen = m->seen;
    l->at_once = m->findings.due_us == 0 ||
                 (m->changed_us && loop_now_us() - m->changed_us > PATIENCE_US);
    offload(look_at, l);
    cancelled = fiber_self()->cancelled != OK;
    if (!cancelled)
        take_look(r, entry, m, l);
    config_free(l->list);
    free(l);
    return cancelled ? ERR_CANCELLED : OK;
}

/* ------------------------------------------------------------------ the source */

static bool
takes_file(const struct server_config *entry)
{
    return entry->file.n > 0;
}

static enum err
ask_file(struct discovery_round *r, const struct server_config *entry)
{
    void **memory = discovery_memory(r, entry);
    struct file_memory *m = *memory ? *memory : (*memory = calloc(1, sizeof(*m)));

    if (!m)
        return ERR_NO_MEMORY;
    if (!findings_hold(&m->findings) && look(r, entry, m) == ERR_CANCELLED)
        return ERR_CANCELLED;
    findings_give(&m->findings, r, entry);
    return OK;
}

static void
forget_file(void *memory)
{
    struct file_memory *m = memory;

    findings_free(&m->findings);
    config_free(m->list);
    free(m);
}

const struct discovery_source discover_file = {
    .name = "file",
    .takes = takes_file,
    .ask = ask_file,
    .forget = forget_file,
    .waits = true,
};
