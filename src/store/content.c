/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store/content.c - a body in fragments: one filler appends, any number read what is there.
 *
 * Fragments become longer with the body, so that a huge one has few and a small one wastes nothing;
 * where the memory is in pieces, several shorter ones do.
 */
#include "store/object.h"

/* Of a body whose length is known: at most so much before it is seen how it comes. */
enum { FIRST_BYTES = 64 * 1024 };

static const uint32_t page_room[CONTENT_PAGES] = {16, 128, 1024, 8192, 65536};

static struct fragment *
page_at(const struct store *s, const struct content *c, unsigned page)
{
    CHECK(c->pages[page]);
    return blocks_at(&s->blocks, c->pages[page] - 1);
}

/* Number i of them; its page is there. */
static struct fragment *
fragment_at(const struct store *s, const struct content *c, uint32_t i)
{
    if (i < CONTENT_INLINE)
        return (struct fragment *) &c->first[i];
    i -= CONTENT_INLINE;
    for (unsigned page = 0; page < CONTENT_PAGES; page++) {
        if (i < page_room[page])
            return page_at(s, c, page) + i;
        i -= page_room[page];
    }
    UNREACHABLE();
}

/* ------------------------------------------------------------------ appending */

/* The page for one more is there afterwards. */
static enum err
make_page(struct store *s, struct content *c, uint32_t count)
{
    uint32_t end = CONTENT_INLINE;

    for (unsigned page = 0; page < CONTENT_PAGES; page++) {
        if (count < end || (count == end && c->pages[page]))
            return OK;
        if (count == end) {
            void *at = store_memory_take(s, page_room[page] * sizeof(struct fragment));

            if (!at)
                return ERR_NO_MEMORY;
            c->pages[page] = blocks_unit_of(&s->blocks, at) + 1;
            return OK;
        }
        end += page_room[page];
    }
    return count < end ? OK : ERR_LIMIT;
}

/* How long the next one should be: as much as there was so far, but not more than is to come.  So
 * many slow fillers do not take more than twice of what they have brought. */
static uint32_t
units_wanted(const struct content *c, uint64_t length, size_t n)
{
    uint64_t want = length > FIRST_BYTES ? length : FIRST_BYTES;

    if (c->announced < 0)
        want = length;
    else if (c->announced > (int64_t) length && want > (uint64_t) c->announced - length)
        want = (uint64_t) c->announced - length;
    if (want < n)
        want = n;
    if (want > (uint64_t) BLOCKS_RUN_MAX * BLOCKS_UNIT)
        return BLOCKS_RUN_MAX;
    return blocks_units(want);
}

static enum err
add_fragment(struct store *s, struct content *c, uint64_t length, size_t n)
{
    uint32_t count = atomic_load_explicit(&c->count, memory_order_relaxed);
    uint32_t want = units_wanted(c, length, n), got;
    struct fragment *f;
    enum err e;
    void *at;

    pthread_mutex_lock(&s->memory);
    e = make_page(s, c, count);
    if (e == OK) {
        at = store_memory_take_some(s, want, &got);
        e = at ? OK : ERR_NO_MEMORY;
    }
    pthread_mutex_unlock(&s->memory);
    if (e != OK)
        return e;
    f = fragment_at(s, c, count);
    f->unit = blocks_unit_of(&s->blocks, at);
    f->start = length;
    atomic_store_explicit(&f->units, got, memory_order_relaxed);
    atomic_store_explicit(&c->count, count + 1, memory_order_release);
    return OK;
}

static struct fragment *
last_of(const struct store *s, const struct content *c)
{
    uint32_t count = atomic_load_explicit(&c->count, memory_order_relaxed);

    return count ? fragment_at(s, c, count - 1) : NULL;
}

/* Trimming makes the last one shorter while others read: they see its bytes end either way. */
static inline uint32_t
units_of(const struct fragment *f)
{
    return atomic_load_explicit(&f->units, memory_order_relaxed);
}

static inline size_t
room_in(const struct fragment *f, uint64_t length)
{
    return f ? (size_t) units_of(f) * BLOCKS_UNIT - (size_t) (length - f->start) : 0;
}

/* All or nothing: who fails has added no byte that somebody could read. */
enum err
content_append(struct store *s, struct content *c, struct slice bytes)
{
    uint64_t length = content_length(c), limit = atomic_load(&s->limit);

    if (bytes.n > limit || length > limit - bytes.n)
        return ERR_LIMIT;
    while (bytes.n) {
        struct fragment *f = last_of(s, c);
        size_t room = room_in(f, length);
        enum err e;

        if (room == 0) {
            e = add_fragment(s, c, length, bytes.n);
            if (e != OK)
                return e;
            continue;
        }
        if (room > bytes.n)
            room = bytes.n;
        memcpy((char *) blocks_at(&s->blocks, f->unit) + (length - f->start), bytes.at, room);
        length += room;
        bytes = slice_from(bytes, room);
    }
    atomic_store_explicit(&c->length, length, memory_order_release);
    return OK;
}

void
content_trim(struct store *s, struct content *c)
{
    struct fragment *f = last_of(s, c);
    uint32_t needed;

    if (!f)
        return;
    needed = blocks_units((size_t) (content_length(c) - f->start));
    if (needed < units_of(f)) {
        blocks_give(&s->blocks, blocks_at(&s->blocks, f->unit + needed), units_of(f) - needed);
        atomic_store_explicit(&f->units, needed, memory_order_relaxed);
    }
}

/* ------------------------------------------------------------------ reading */

/* The last of n in a row that begins at or before the offset; n > 0, and the first does. */
static const struct fragment *
search(const struct fragment *row, uint32_t n, uint64_t offset)
{
    while (n > 1) {
        uint32_t half = n / 2;

        if (row[half].start <= offset) {
            row += half;
            n -= half;
        } else {
            n = half;
        }
    }
    return row;
}

struct slice
content_at(const struct store *s, const struct content *c, uint64_t offset)
{
    uint64_t length = content_length(c), end;
    uint32_t count = atomic_load_explicit(&c->count, memory_order_acquire), room = CONTENT_INLINE;
    const struct fragment *row = c->first, *f, *next;

    if (offset >= length)
        return slice_of("", 0);
    for (unsigned page = 0; page < CONTENT_PAGES && count > room; page++) {
        next = page_at(s, c, page);
        if (next->start > offset)
            break;
        row = next;
        count -= room;
        room = page_room[page];
    }
    f = search(row, count < room ? count : room, offset);
    end = f->start + (uint64_t) units_of(f) * BLOCKS_UNIT;
    if (end > length)
        end = length;
    return slice_of((char *) blocks_at(&s->blocks, f->unit) + (offset - f->start),
                    (size_t) (end - offset));
}

/* ------------------------------------------------------------------ as a whole */

void
content_free(struct store *s, struct content *c)
{
    uint32_t count = atomic_load_explicit(&c->count, memory_order_relaxed);
    bool given = atomic_load(&c->given);

    CHECK(list_is_empty(&c->waiters));
    for (uint32_t i = 0; i < count; i++) {
        const struct fragment *f = fragment_at(s, c, i);

        if (given)
            blocks_renew(&s->blocks, blocks_at(&s->blocks, f->unit), units_of(f));
        blocks_give(&s->blocks, blocks_at(&s->blocks, f->unit), units_of(f));
    }
    for (unsigned page = 0; page < CONTENT_PAGES; page++)
        if (c->pages[page])
            store_memory_give(s, page_at(s, c, page),
                              page_room[page] * sizeof(struct fragment));
    store_memory_give(s, c, BLOCKS_UNIT);
}

bool
content_reaches(const struct store *s, const struct content *c, uint32_t unit)
{
    uint32_t count = atomic_load_explicit(&c->count, memory_order_acquire);

    if (blocks_unit_of(&s->blocks, c) >= unit)
        return true;
    if (c->from)
        return content_reaches(s, c->from, unit);
    for (unsigned page = 0; page < CONTENT_PAGES; page++)
        if (c->pages[page] > unit)
            return true;
    for (uint32_t i = 0; i < count; i++)
        if (fragment_at(s, c, i)->unit + units_of(fragment_at(s, c, i)) > unit)
            return true;
    return false;
}

uint32_t
content_units(const struct store *s, const struct content *c)
{
    uint32_t units = 0, count = atomic_load_explicit(&c->count, memory_order_relaxed);

    for (uint32_t i = 0; i < count; i++)
        units += units_of(fragment_at(s, c, i));
    return units;
}
