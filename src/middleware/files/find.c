/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/files/find.c - which file a name means, opened and looked at.
 *
 * All of it may block, so it is one step that a thread of the pool can take; but mostly everything
 * is in the kernel's caches, and it is tried on the worker first with calls that fail rather than
 * wait (RESOLVE_CACHED, RWF_NOWAIT).
 */
#include "base/check.h"
#include "http/date.h"
#include "middleware/files/files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

const struct files_coding files_codings[FILES_CODINGS] = {
    {SLICE_INIT("br"), SLICE_INIT(".br")},
    {SLICE_INIT("zstd"), SLICE_INIT(".zst")},
    {SLICE_INIT("gzip"), SLICE_INIT(".gz")},
};

/* O_NONBLOCK: the opening of a pipe must not wait for its other end. */
enum { HOW_TO_READ = O_RDONLY | O_NONBLOCK | O_NOCTTY };

/* A search under way. */
struct search {
    struct files_search *s;
    int                  root;
    bool                 may_wait;
};

/* A file that was opened and found to be a regular one. */
struct found {
    int                fd;
    struct files_stamp stamp;
};

/* ------------------------------------------------------------------ opened files */

static struct files_stamp
stamp_from(const struct stat *st)
{
    return (struct files_stamp){
        .inode = st->st_ino,
        .size = (uint64_t) st->st_size,
        .modified_s = st->st_mtim.tv_sec,
        .modified_ns = st->st_mtim.tv_nsec,
    };
}

int
files_stamp_of(int fd, struct files_stamp *stamp)
{
    struct stat st;

    if (fstat(fd, &st) != 0)
        return errno;
    *stamp = stamp_from(&st);
    return 0;
}

bool
files_stamp_equals(const struct files_stamp *a, const struct files_stamp *b)
{
    return a->inode == b->inode && a->size == b->size && a->modified_s == b->modified_s &&
           a->modified_ns == b->modified_ns;
}

ssize_t
files_read(int fd, void *at, size_t n, uint64_t offset, bool may_wait)
{
    struct iovec iov = {at, n};
    ssize_t got;

    do
        got = preadv2(fd, &iov, 1, (off_t) offset, may_wait ? 0 : RWF_NOWAIT);
    while (got < 0 && errno == EINTR);
    if (got < 0 && errno == EOPNOTSUPP)
        return -EAGAIN; /* a file system that cannot tell whether it would wait */
    return got < 0 ? -errno : got;
}

/* EISDIR for a folder, ENOENT for what is no file at all. */
static int
open_file(const struct search *in, const char *name, struct found *out)
{
    struct stat st;
    int e = 0;

    out->fd = files_open_beneath(in->root, name, HOW_TO_READ, !in->may_wait);
    if (out->fd < 0)
        return -out->fd;
    if (fstat(out->fd, &st) != 0)
        e = errno;
    else if (!S_ISREG(st.st_mode))
        e = S_ISDIR(st.st_mode) ? EISDIR : ENOENT;
    out->stamp = stamp_from(&st);
    if (e)
        close(out->fd);
    return e;
}

/* ------------------------------------------------------------------ precompressed forms */

static bool
is_older(const struct files_stamp *a, const struct files_stamp *b)
{
    return a->modified_s < b->modified_s ||
           (a->modified_s == b->modified_s && a->modified_ns < b->modified_ns);
}

/* The form that the client likes best in place of the plain one.  One that is older than the file
 * was forgotten when that changed, or was never its form. */
static int
choose_form(const struct search *in, const char *name, struct found *file, struct slice *coding)
{
    char path[PATH_MAX];

    for (size_t i = 0; i < in->s->n; i++) {
        const struct files_coding *c = &files_codings[in->s->codings[i]];
        struct found form;
        struct text text;
        int e;

        text_fixed(&text, path, sizeof(path));
        text_put(&text, slice_str(name));
        text_put(&text, c->suffix);
        text_byte(&text, '\0');
        e = text.full ? ENAMETOOLONG : open_file(in, path, &form);
        if (e == EAGAIN)
            return e;
        if (e || is_older(&form.stamp, &file->stamp)) {
            if (!e)
                close(form.fd);
            continue;
        }
        close(file->fd);
        *file = form;
        *coding = c->name;
        return 0;
    }
    return 0;
}

/* ------------------------------------------------------------------ what is kept of a file */

/* Of the slices: key, ETag and Content-Type. */
static size_t
texts_room(const struct search *in, struct files_type type)
{
    enum { ETAG_ROOM = 3 * 16 + 5, CHARSET_ROOM = sizeof("; charset=") };

    return in->s->key.n + ETAG_ROOM + type.type.n + CHARSET_ROOM + in->s->files->charset.n;
}

/* With room for the slices, and for the content of a small file. */
static struct files_opened *
new_opened(const struct search *in, struct files_type type, const struct found *file)
{
    bool small = file->stamp.size <= FILES_CONTENT_BYTES;
    size_t texts = texts_room(in, type);
    struct files_opened *o = malloc(sizeof(*o) + texts + (small ? file->stamp.size : 0));

    if (!o)
        return NULL;
    *o = (struct files_opened){.fd = file->fd, .stamp = file->stamp, .users = 1};
    list_init(&o->link);
    o->content = small ? o->memory + texts : NULL;
    return o;
}

static int64_t
date_of(const struct files_stamp *stamp)
{
    static const int64_t last = 253402300799; /* 9999-12-31 */

    return stamp->modified_s < 0 ? 0 : stamp->modified_s > last ? last : stamp->modified_s;
}

static struct slice
since(const struct text *t, size_t start)
{
    return slice_of(t->at + start, t->n - start);
}

static void
write_texts(struct files_opened *o, const struct search *in, struct files_type type)
{
    const struct files *f = in->s->files;
    struct text out;
    size_t start;

    text_fixed(&out, o->memory, texts_room(in, type));
    text_put(&out, in->s->key);
    o->key = since(&out, 0);
    start = out.n;
    text_printf(&out, "\"%llx-%llx-%llx\"", (unsigned long long) o->stamp.inode,
                (unsigned long long) o->stamp.size,
                (unsigned long long) o->stamp.modified_s * 1000000000ull +
                    (unsigned long long) o->stamp.modified_ns);
    o->etag = since(&out, start);
    start = out.n;
    text_put(&out, type.type);
    if (type.text && f->charset.n) {
        text_literal(&out, "; charset=");
        text_put(&out, f->charset);
    }
    o->type = since(&out, start);
    CHECK(!out.full);
    http_date_write(o->modified, date_of(&o->stamp));
}

/* Content and stamp belong together, or nobody gets it. */
static int
read_content(struct files_opened *o, bool may_wait)
{
    struct files_stamp after = {0};
    uint64_t n = 0;
    int e;

    while (n < o->stamp.size) {
        ssize_t got = files_read(o->fd, (char *) o->content + n, o->stamp.size - n, n, may_wait);

        if (got <= 0)
            return got ? (int) -got : ESTALE;
        n += (uint64_t) got;
    }
    e = files_stamp_of(o->fd, &after);
    if (e)
        return e;
    return files_stamp_equals(&o->stamp, &after) ? 0 : ESTALE;
}

static int
keep_file(const struct search *in, const char *name, struct found *file)
{
    struct files_type type = files_type_of(in->s->files, slice_str(name));
    struct slice coding = {NULL, 0};
    struct files_opened *o;
    int e = type.compresses ? choose_form(in, name, file, &coding) : 0;

    o = e ? NULL : new_opened(in, type, file);
    if (!o) {
        close(file->fd);
        return e ? e : ENOMEM;
    }
    write_texts(o, in, type);
    o->coding = coding;
    o->varies = type.compresses && in->s->files->precompressed.n > 0;
    if (o->content) {
        e = read_content(o, in->may_wait);
        close(o->fd);
        o->fd = -1;
    }
    if (e)
        free(o);
    else
        in->s->opened = o;
    return e;
}

/* ------------------------------------------------------------------ names */

/* A file that changes while it is read is read again. */
static int
try_file(const struct search *in, const char *name)
{
    enum { TRIES = 3 };
    struct found file;
    int e = ESTALE;

    for (int i = 0; i < TRIES && e == ESTALE; i++) {
        e = open_file(in, name, &file);
        if (e == 0)
            e = keep_file(in, name, &file);
    }
    return e;
}

/* 0 when there is a folder of that name, readable or not. */
static int
try_folder(const struct search *in, const char *name)
{
    int fd = files_open_beneath(in->root, name, O_PATH | O_DIRECTORY, !in->may_wait);

    if (fd < 0)
        return -fd;
    close(fd);
    in->s->folder = true;
    return 0;
}

static int
try_index(const struct search *in)
{
    const struct slice *index = in->s->files->index.at;
    struct slice folder = slice_str(in->s->name);
    char path[PATH_MAX];

    for (size_t i = 0; i < in->s->files->index.n; i++) {
        struct text text;
        int e;

        text_fixed(&text, path, sizeof(path));
        text_put(&text, folder);
        text_put(&text, folder.n ? SLICE("/") : SLICE(""));
        text_put(&text, index[i]);
        text_byte(&text, '\0');
        e = text.full ? ENAMETOOLONG : try_file(in, path);
        if (e != ENOENT && e != EISDIR)
            return e;
    }
    return try_folder(in, in->s->name);
}

static int
try_name(const struct search *in)
{
    int e, folder;

    if (in->s->slash)
        return try_index(in);
    e = *in->s->name ? try_file(in, in->s->name) : EISDIR;
    if (e != EISDIR && e != EACCES)
        return e;
    folder = try_folder(in, in->s->name);
    return folder == 0 || folder == EAGAIN ? folder : e;
}

void
files_search(struct files_search *s, bool may_wait)
{
    /* The root itself may be a link, and lead somewhere else after the next deployment. */
    struct search in = {
        .s = s, .root = files_open_root(s->files->folder, !may_wait), .may_wait = may_wait};

    s->opened = NULL;
    s->folder = false;
    if (in.root < 0) {
        s->error = -in.root;
        return;
    }
    s->error = try_name(&in);
    close(in.root);
}
