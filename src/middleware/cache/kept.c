/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/cache/kept.c - the head of what is kept, as bytes.
 *
 *     struct kept | text | for each field: entry | name | value
 *
 * It is copied into the exchange before it is used: the object may go while the log still wants a
 * field.
 */
#include "base/check.h"
#include "base/clock.h"
#include "base/text.h"
#include "middleware/cache/caching.h"
#include "runtime/loop.h"

#include <stdatomic.h>

/* Changes whenever anything about the layout does, the ids of fields among it. */
enum { FORMAT = 0x6d310002 };

struct entry {
    uint32_t name_n, value_n;
    uint32_t id;
};

static uint64_t
this_process(void)
{
    static _Atomic uint64_t number;
    uint64_t known = atomic_load(&number), made;

    if (known)
        return known;
    made = random_u64() | 1;
    return atomic_compare_exchange_strong(&number, &known, made) ? made : known;
}

const struct kept *
kept_of(const struct store_object *o)
{
    struct slice head = store_head(o);
    const struct kept *k = (const void *) head.at;

    return head.n >= sizeof(*k) && k->format == FORMAT ? k : NULL;
}

int64_t
kept_length(const struct store_object *o, const struct kept *k)
{
    return k->cut.total ? (int64_t) k->cut.total : store_length(o);
}

void
kept_life(const struct store_object *o, const struct kept *k, struct cache_life *life)
{
    *life = k->life;
    if (k->process != this_process())
        cache_life_resume(life, loop_now_us(), (int64_t) (clock_wall_us() / 1000000));
    if (store_is_soft(o))
        cache_life_end(life, loop_now_us());
}

struct slice
kept_text(const struct kept *k)
{
    return slice_of((const char *) (k + 1), k->text_n);
}

bool
kept_fields(const struct kept *k, struct fields *out)
{
    const char *at = (const char *) (k + 1) + k->text_n;
    size_t bytes = 0;
    char *copy;

    for (uint32_t i = 0; i < k->fields_n; i++) {
        struct entry e;

        memcpy(&e, at + bytes, sizeof(e));
        bytes += sizeof(e) + e.name_n + e.value_n;
    }
    copy = arena_alloc(out->arena, bytes);
    if (!copy)
        return false;
    memcpy(copy, at, bytes);
    for (uint32_t i = 0; i < k->fields_n; i++) {
        struct entry e;
        struct slice name, value;

        memcpy(&e, copy, sizeof(e));
        name = slice_of(copy + sizeof(e), e.name_n);
        value = slice_of(name.at + name.n, e.value_n);
        if (!fields_append(out, name, value, (enum field_id) e.id))
            return false;
        copy += sizeof(e) + e.name_n + e.value_n;
    }
    return true;
}

static void
put_field(struct text *out, const struct field *f)
{
    struct entry e = {(uint32_t) f->name.n, (uint32_t) f->value.n, f->id};

    text_put(out, slice_of((const char *) &e, sizeof(e)));
    text_put(out, f->name);
    text_put(out, f->value);
}

bool
kept_write(struct kept *k, const struct fields *fields, const struct cache_control *said,
           struct slice text, struct text *out)
{
    size_t at = out->n;

    k->format = FORMAT;
    k->process = this_process();
    k->text_n = (uint32_t) text.n;
    k->fields_n = 0;
    text_put(out, slice_of((const char *) k, sizeof(*k)));
    text_put(out, text);
    for (uint32_t i = 0; fields && i < fields->n; i++) {
        const struct field *f = &fields->at[i];

        /* The length is the store's to say. */
        if (f->id == FIELD_CONTENT_LENGTH || !cache_keeps_field(said, f))
            continue;
        put_field(out, f);
        k->fields_n++;
    }
    if (!out->full)
        memcpy(out->at + at, k, sizeof(*k));
    return !out->full;
}
