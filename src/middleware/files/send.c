/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/files/send.c - a file as a representation, and its bytes as a body.
 *
 * Small files are in memory.  Of larger ones a piece is read into a buffer that the worker lends,
 * without waiting when the kernel has it in its cache, else on a thread of the pool.  After each
 * piece the file is looked at again: one that was written to meanwhile is not what its ETag and
 * length say, and the response breaks off rather than to end with something wrong.  sendfile()
 * would save a copy, but it sends what stands in the file when the bytes leave, after any check.
 */
#include "base/check.h"
#include "exchange/answer.h"
#include "middleware/files/files.h"
#include "runtime/file.h"
#include "runtime/loop.h"

#include <errno.h>

struct file_representation {
    struct representation base;
    struct files_opened  *file;
};

struct file_body {
    struct body          body;
    struct exchange     *x;
    struct files_opened *file; /* the representation's use of it */
    char                *buffer;
    unsigned             size;         /* of the buffer, BUFFER_... */
    uint64_t             offset, left; /* to be read */
    size_t               ahead;        /* bytes in the buffer that nobody has got yet */
};

/* ------------------------------------------------------------------ bytes */

static enum err
note_changed(struct file_body *b)
{
    exchange_fault(b->x, REASON_FILE_CHANGED, ERR_IO, "files: %llu bytes were not sent",
                   (unsigned long long) b->left);
    files_count(FILES_BROKEN);
    return ERR_IO;
}

static enum err
note_failed(struct file_body *b, enum err e)
{
    exchange_fault(b->x, REASON_FILE_FAILED, e, "files: reading at %llu",
                   (unsigned long long) b->offset);
    files_count(FILES_BROKEN);
    return e;
}

/* What was read is of the version that was promised, or not to be shown to anybody. */
static enum err
take_piece(struct file_body *b, size_t got)
{
    struct files_stamp now = {0};
    int e = files_stamp_of(b->file->fd, &now);

    if (e)
        return note_failed(b, err_from_errno(e));
    if (got == 0 || !files_stamp_equals(&b->file->stamp, &now))
        return note_changed(b);
    b->offset += got;
    b->left -= got;
    b->ahead = got;
    return OK;
}

static size_t
piece_bytes(const struct file_body *b)
{
    size_t room = buffer_bytes(b->size);

    return b->left < room ? (size_t) b->left : room;
}

/* False: not without waiting. */
static bool
read_now(struct file_body *b, enum err *e)
{
    ssize_t got = files_read(b->file->fd, b->buffer, piece_bytes(b), b->offset, false);

    *e = OK;
    if (got == -EAGAIN)
        return false;
    *e = got < 0 ? note_failed(b, err_from_errno((int) -got)) : take_piece(b, (size_t) got);
    return true;
}

static enum err
read_waiting(struct file_body *b)
{
    size_t got;
    enum err e = file_read_at(b->file->fd, b->buffer, piece_bytes(b), b->offset, &got);

    return e == OK ? take_piece(b, got) : note_failed(b, e);
}

static enum err
bytes_next(struct body *body, struct slice *chunk)
{
    struct file_body *b = container_of(body, struct file_body, body);
    enum err e = OK;

    if (b->ahead == 0 && b->left == 0)
        return ERR_END;
    if (b->ahead == 0 && !read_now(b, &e))
        e = read_waiting(b);
    if (e != OK)
        return e;
    *chunk = slice_of(b->buffer, b->ahead);
    b->ahead = 0;
    body->ended = b->left == 0;
    return OK;
}

static void
bytes_close(struct body *body)
{
    struct file_body *b = container_of(body, struct file_body, body);

    buffer_give(b->size, take(&b->buffer));
}

static const struct body_ops bytes_ops = {.next = bytes_next, .close = bytes_close};

/* What is in the kernel's cache is read at once, so that it leaves together with the head.  In
 * large pieces a megabyte costs a quarter less than in medium ones. */
static struct body *
open_body(struct exchange *x, struct files_opened *file, uint64_t offset, uint64_t length)
{
    struct file_body *b = arena_new(&x->arena, struct file_body);
    enum err e;

    if (!b)
        return NULL;
    b->size = length > BUFFER_MEDIUM_BYTES ? BUFFER_LARGE : BUFFER_MEDIUM;
    b->buffer = buffer_take(b->size);
    if (!b->buffer)
        return NULL;
    b->body = (struct body){.ops = &bytes_ops, .length = (int64_t) length};
    b->x = x;
    b->file = file;
    b->offset = offset;
    b->left = length;
    b->body.ready = read_now(b, &e);
    if (e == OK)
        return &b->body;
    bytes_close(&b->body);
    return NULL;
}

/* ------------------------------------------------------------------ the representation */

static struct body *
file_open(struct representation *r, struct exchange *x, uint64_t offset, uint64_t length)
{
    struct files_opened *file = container_of(r, struct file_representation, base)->file;
    struct body *b;

    if (!file->content)
        return open_body(x, file, offset, length);
    b = body_from_slice(&x->arena, slice_of(file->content + offset, length));
    if (b)
        b->ready = true;
    return b;
}

static void
file_release(struct representation *r)
{
    files_opened_leave(take(&container_of(r, struct file_representation, base)->file));
}

static const struct representation_ops file_ops = {.open = file_open, .release = file_release};

/* A date that is still to come would keep a client from asking again (RFC 9110 8.8.2.1). */
static void
describe(struct representation *r, const struct files_opened *o)
{
    int64_t now_s = (int64_t) (clock_wall_us() / 1000000);

    r->validators = (struct validators){
        .etag = o->etag,
        .modified_s = o->stamp.modified_s,
        .has_modified = o->stamp.modified_s >= 0 && o->stamp.modified_s <= now_s,
        .modified_is_strong = o->stamp.modified_s >= 0 && o->stamp.modified_s < now_s,
    };
}

/* The texts are copied: the file may be closed before the head is sent.  False: no memory. */
static bool
put_fields(const struct files *f, struct exchange *x, const struct files_opened *o,
           const struct validators *v)
{
    enum { ROOM = 8, MAX = 256 };
    struct fields *fields = &x->response.fields;
    struct slice type = arena_copy(&x->arena, o->type), etag = arena_copy(&x->arena, o->etag);
    struct slice date = arena_copy(&x->arena, slice_of(o->modified, sizeof(o->modified)));

    if (!type.at || !etag.at || !date.at)
        return false;
    fields_init(fields, &x->arena, ROOM, MAX);
    fields_add(fields, FIELD_CONTENT_TYPE, type);
    if (o->coding.n)
        fields_add(fields, FIELD_CONTENT_ENCODING, o->coding);
    if (o->varies)
        fields_add(fields, FIELD_VARY, SLICE("Accept-Encoding"));
    if (v->has_modified)
        fields_add(fields, FIELD_LAST_MODIFIED, date);
    fields_add(fields, FIELD_ETAG, etag);
    if (f->cache_control.n)
        fields_add(fields, FIELD_CACHE_CONTROL, f->cache_control);
    return !fields->overflow;
}

void
files_send(const struct files *f, struct exchange *x, struct files_opened *o)
{
    struct file_representation *r = arena_new(&x->arena, struct file_representation);

    exchange_drop_response(x);
    if (r)
        describe(&r->base, o);
    if (!r || !put_fields(f, x, o, &r->base.validators)) {
        files_opened_leave(o);
        exchange_refuse(x, 503, REASON_OUT_OF_MEMORY, "files");
        return;
    }
    r->base.ops = &file_ops;
    r->base.length = o->stamp.size;
    r->file = o;
    x->response.status = 200;
    exchange_answer(x, &r->base);
    if (x->fault.reason == REASON_NONE)
        exchange_fault(x, REASON_RESPOND, OK, NULL);
}
