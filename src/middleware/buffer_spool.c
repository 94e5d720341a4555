/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/buffer_spool.c - bytes that wait for somebody slow: in memory, then in a file without
 * a name.
 *
 * Memory comes in blocks of the worker's pool.  Once it is used up, bytes go to the file, until
 * whoever takes them has caught up; then memory serves again.  The file is used round and round
 * and never takes more than its largest size.  Pieces too small to be worth a visit to the disk are
 * gathered in the stage.
 *
 * Whatever the disk does, no byte is lost that was not written: a failed write leaves it with the
 * caller or in the stage.
 */
#include "base/check.h"
#include "middleware/buffer.h"
#include "runtime/file.h"
#include "runtime/loop.h"

/* A piece of so many bytes is written as it is. */
enum { DIRECT_BYTES = 32 * 1024, SLOW_US = 2000000 };

struct spool_block {
    struct spool_block *next;
    unsigned            size; /* BUFFER_... */
    size_t              start, end;
    char                bytes[];
};

/* ------------------------------------------------------------------ blocks */

static size_t
room_of(const struct spool_block *b)
{
    return b ? buffer_bytes(b->size) - sizeof(*b) - b->end : 0;
}

static bool
is_used_up(const struct spool_block *b)
{
    return b->start == b->end;
}

/* NULL, and nothing is counted, without memory. */
static struct spool_block *
make_block(struct spool *s, unsigned size)
{
    struct spool_block *b = buffer_take(size);

    if (!b) {
        spool_give_memory(s->options, buffer_bytes(size));
        return NULL;
    }
    *b = (struct spool_block){.size = size};
    s->memory += buffer_bytes(size);
    return b;
}

/* One within the budget; NULL when that, or memory, is used up. */
static struct spool_block *
new_block(struct spool *s, unsigned size, uint64_t most)
{
    if (!spool_take_memory(s->options, buffer_bytes(size), s->memory, most))
        return NULL;
    return make_block(s, size);
}

static void
free_block(struct spool *s, struct spool_block *b)
{
    if (!b)
        return;
    s->memory -= buffer_bytes(b->size);
    spool_give_memory(s->options, buffer_bytes(b->size));
    buffer_give(b->size, b);
}

/* As many as fit. */
static size_t
fill_block(struct spool_block *b, struct slice bytes)
{
    size_t n = room_of(b);

    if (n > bytes.n)
        n = bytes.n;
    memcpy(b->bytes + b->end, bytes.at, n);
    b->end += n;
    return n;
}

static void
append_block(struct spool *s, struct spool_block *b)
{
    if (s->last)
        s->last->next = b;
    else
        s->first = b;
    s->last = b;
}

/* ------------------------------------------------------------------ putting */

void
spool_init(struct spool *s, const struct buffer *options, uint64_t memory_max)
{
    *s = (struct spool){.options = options, .memory_max = memory_max, .fd = -1};
}

static bool
file_is_empty(const struct spool *s)
{
    return s->read == s->written;
}

/* The smallest that holds it all, or else the largest that there is room for. */
static struct spool_block *
block_for(struct spool *s, size_t n)
{
    struct spool_block *b = NULL;
    unsigned size = BUFFER_SMALL;

    while (size < BUFFER_LARGE && n > buffer_bytes(size) - sizeof(*b))
        size++;
    for (;; size--) {
        b = new_block(s, size, s->memory_max);
        if (b || size == BUFFER_SMALL)
            return b;
    }
}

static size_t
put_into_memory(struct spool *s, struct slice bytes)
{
    size_t n;

    if (room_of(s->last) == 0) {
        struct spool_block *b = block_for(s, bytes.n);

        if (!b)
            return 0;
        append_block(s, b);
    }
    n = fill_block(s->last, bytes);
    counter_add(&spool_counts()->memory_bytes, n);
    return n;
}

static bool
has_file(struct spool *s)
{
    enum err e;

    if (s->no_file || s->options->each.file == 0 || spool_disk_rests(s->options->disk))
        return false;
    if (s->fd >= 0)
        return true;
    e = file_temporary(s->options->folder.at, &s->fd);
    if (e != OK) {
        s->no_file = true;
        spool_disk_failed(s->options, err_sentence(e));
        return false;
    }
    counter_add(&spool_counts()->files, 1);
    return true;
}

/* How many bytes can be written at the next place without going round, or over what is still to be
 * read; the budget is charged with what the file grows by. */
static size_t
room_in_file(struct spool *s, size_t n, uint64_t *place)
{
    uint64_t most = s->options->each.file, left;

    if (file_is_empty(s))
        s->written = s->read = 0;
    *place = s->written % most;
    left = most - (s->written - s->read);
    if (left > most - *place)
        left = most - *place;
    if (n > left)
        n = (size_t) left;
    if (*place + n <= s->size)
        return n;
    if (spool_take_file(s->options, *place + n - s->size, s->size)) {
        s->size = *place + n;
        return n;
    }
    return *place < s->size ? (size_t) (s->size - *place) : 0;
}

/* How many were written; waits. */
static size_t
write_some(struct spool *s, struct slice bytes)
{
    uint64_t place, since_us = clock_monotonic_us();
    bool full;
    size_t n;
    enum err e;

    if (!has_file(s))
        return 0;
    n = room_in_file(s, bytes.n, &place);
    if (n == 0)
        return 0;
    e = file_write_at(s->fd, bytes.at, n, place, &full);
    if (e != OK) {
        s->no_file = true;
        spool_disk_failed(s->options, full ? "no space is left" : err_sentence(e));
        return 0;
    }
    s->written += n;
    counter_add(&spool_counts()->file_bytes, n);
    if (clock_monotonic_us() - since_us > SLOW_US)
        spool_disk_failed(s->options, "writing takes too long");
    return n;
}

static void
flush_stage(struct spool *s)
{
    struct spool_block *b = s->stage;
    size_t n;

    s->flushing = true;
    do {
        n = write_some(s, slice_of(b->bytes + b->start, b->end - b->start));
        b->start += n;
    } while (n && !is_used_up(b));
    s->flushing = false;
    if (is_used_up(b))
        b->start = b->end = 0;
}

static size_t
put_into_stage(struct spool *s, struct slice bytes)
{
    if (!s->stage && has_file(s))
        s->stage = new_block(s, BUFFER_MEDIUM, UINT64_MAX);
    if (s->stage && room_of(s->stage) == 0)
        flush_stage(s);
    return s->stage ? fill_block(s->stage, bytes) : 0;
}

static size_t
put_into_file(struct spool *s, struct slice bytes)
{
    bool staged = s->stage && !is_used_up(s->stage);

    if (staged && bytes.n >= DIRECT_BYTES) {
        flush_stage(s);
        staged = !is_used_up(s->stage);
    }
    if (staged || bytes.n < DIRECT_BYTES) {
        size_t n = put_into_stage(s, bytes);

        if (n || staged)
            return n;
    }
    return write_some(s, bytes);
}

size_t
spool_put_in_memory(struct spool *s, struct slice bytes)
{
    return spool_is_out_of_file(s) ? put_into_memory(s, bytes) : 0;
}

size_t
spool_put(struct spool *s, struct slice bytes)
{
    size_t n = spool_put_in_memory(s, bytes);

    return n ? n : put_into_file(s, bytes);
}

/* ------------------------------------------------------------------ taking */

/* What was lent is done with. */
static void
take_back(struct spool *s)
{
    struct spool_block *b = s->first;

    if (!b || !is_used_up(b))
        return;
    if (b == s->last && room_of(b)) {
        b->start = b->end = 0; /* the next bytes go there */
        return;
    }
    s->first = b->next;
    if (!s->first)
        s->last = NULL;
    free_block(s, b);
}

static bool
has_page(struct spool *s)
{
    if (!s->page) {
        spool_owe_memory(s->options, BUFFER_MEDIUM_BYTES);
        s->page = make_block(s, BUFFER_MEDIUM);
    }
    return s->page != NULL;
}

static enum err
take_from_file(struct spool *s, struct slice *chunk)
{
    uint64_t most = s->options->each.file, place = s->read % most, n = s->written - s->read;
    size_t room, got;
    enum err e;

    if (!has_page(s))
        return ERR_NO_MEMORY;
    room = buffer_bytes(s->page->size) - sizeof(*s->page);
    if (n > room)
        n = room;
    if (n > most - place)
        n = most - place;
    e = file_read_at(s->fd, s->page->bytes, (size_t) n, place, &got);
    if (e != OK || got == 0) {
        spool_disk_failed(s->options, "what was written cannot be read");
        return ERR_IO;
    }
    s->read += got;
    *chunk = slice_of(s->page->bytes, got);
    return OK;
}

/* What is staged behind a file that has nothing any more is the next in line. */
static void
advance_stage(struct spool *s)
{
    if (!s->stage || s->flushing || !file_is_empty(s))
        return;
    append_block(s, take(&s->stage));
}

enum err
spool_take(struct spool *s, struct slice *chunk)
{
    take_back(s);
    if (!s->first || is_used_up(s->first)) {
        if (!file_is_empty(s))
            return take_from_file(s, chunk);
        advance_stage(s);
        take_back(s);
    }
    if (!s->first || is_used_up(s->first))
        return ERR_END;
    *chunk = slice_of(s->first->bytes + s->first->start, s->first->end - s->first->start);
    s->first->start = s->first->end;
    return OK;
}

/* ------------------------------------------------------------------ looking */

bool
spool_is_in_memory(const struct spool *s)
{
    if (s->first && (!is_used_up(s->first) || (s->first->next && !is_used_up(s->first->next))))
        return true;
    return file_is_empty(s) && s->stage && !s->flushing && !is_used_up(s->stage);
}

bool
spool_is_out_of_file(const struct spool *s)
{
    return file_is_empty(s) && !s->stage;
}

bool
spool_is_empty(const struct spool *s)
{
    return file_is_empty(s) && !s->flushing && !spool_is_in_memory(s);
}

void
spool_free(struct spool *s)
{
    while (s->first) {
        struct spool_block *b = s->first;

        s->first = b->next;
        free_block(s, b);
    }
    s->last = NULL;
    free_block(s, take(&s->stage));
    free_block(s, take(&s->page));
    if (s->fd >= 0)
        file_close(s->fd);
    s->fd = -1;
    spool_give_file(s->options, s->size);
    s->size = s->written = s->read = 0;
}
