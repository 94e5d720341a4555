/* SPDX-License-Identifier: Apache-2.0 */
/* middleware/compress/dictionary.c - see dictionary.h. */
#include "middleware/compress/dictionary.h"

#include "base/base64.h"
#include "base/check.h"
#include "base/map.h"
#include "base/text.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { ENTRIES_MAX = 256, BYTES_MAX = 64 << 20 };

struct entry {
    struct dictionary dictionary;
    uint64_t          origin; /* hash of scheme and authority: nobody else's is ever used */
    uint64_t          source; /* hash of the response that it was */
    uint64_t          used;   /* when last, in the table's own time */
    atomic_uint       references;
    char              bytes[];
};

static struct {
    pthread_mutex_t lock;
    struct entry   *entries[ENTRIES_MAX];
    size_t          n, bytes;
    uint64_t        time;
} table = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct entry *
entry_of(const struct dictionary *d)
{
    return container_of(d, struct entry, dictionary);
}

void
dictionary_release(const struct dictionary *d)
{
    struct entry *e = entry_of(d);

    if (atomic_fetch_sub(&e->references, 1) == 1)
        free(e);
}

size_t
dictionary_table_bytes(void)
{
    size_t bytes;

    pthread_mutex_lock(&table.lock);
    bytes = table.bytes;
    pthread_mutex_unlock(&table.lock);
    return bytes;
}

/* ------------------------------------------------------------------ the table, under its lock */

static void
remove_at(size_t i)
{
    struct entry *e = table.entries[i];

    table.bytes -= e->dictionary.bytes.n;
    table.entries[i] = table.entries[--table.n];
    table.entries[table.n] = NULL;
    dictionary_release(&e->dictionary);
}

static void
make_room(size_t n)
{
    while (table.n == ENTRIES_MAX || (table.n && table.bytes + n > BYTES_MAX)) {
        size_t oldest = 0;

        for (size_t i = 1; i < table.n; i++)
            if (table.entries[i]->used < table.entries[oldest]->used)
                oldest = i;
        remove_at(oldest);
    }
}

static struct entry *
find_id(uint64_t origin, const uint8_t *id)
{
    for (size_t i = 0; i < table.n; i++) {
        struct entry *e = table.entries[i];

        if (e->origin == origin && memcmp(e->dictionary.id, id, DICTIONARY_ID_BYTES) == 0)
            return e;
    }
    return NULL;
}

static bool
knows_source(uint64_t origin, uint64_t source)
{
    bool known = false;

    pthread_mutex_lock(&table.lock);
    for (size_t i = 0; i < table.n && !known; i++) {
        struct entry *e = table.entries[i];

        known = e->origin == origin && e->source == source;
        if (known)
            e->used = ++table.time;
    }
    pthread_mutex_unlock(&table.lock);
    return known;
}

static void
insert(struct entry *e)
{
    struct entry *known;

    pthread_mutex_lock(&table.lock);
    known = find_id(e->origin, e->dictionary.id);
    if (known) {
        known->source = e->source;
        known->used = ++table.time;
    } else {
        make_room(e->dictionary.bytes.n);
        e->used = ++table.time;
        table.bytes += e->dictionary.bytes.n;
        table.entries[table.n++] = e;
    }
    pthread_mutex_unlock(&table.lock);
    if (known)
        free(e);
}

/* ------------------------------------------------------------------ what a client names */

static uint64_t
origin_of(const struct exchange *x)
{
    return hash_bytes_nocase(x->request.authority) ^ hash_bytes(x->scheme) << 1;
}

/* A byte sequence of RFC 8941 3.3.5: base64 between colons. */
static bool
parse_id(struct slice s, uint8_t id[DICTIONARY_ID_BYTES])
{
    enum { LETTERS = BASE64_LETTERS(DICTIONARY_ID_BYTES) };
    char letters[LETTERS];

    if (s.n < LETTERS + 2 || s.at[0] != ':' || s.at[s.n - 1] != ':')
        return false;
    s = slice_of(s.at + 1, s.n - 2);
    if (s.n == LETTERS + 1 && s.at[LETTERS] == '=')
        s.n = LETTERS;
    if (s.n != LETTERS)
        return false;
    for (size_t i = 0; i < LETTERS; i++)
        letters[i] = s.at[i] == '+' ? '-' : s.at[i] == '/' ? '_' : s.at[i];
    return base64_decode(slice_of(letters, LETTERS), id);
}

const struct dictionary *
dictionary_available(const struct exchange *x)
{
    const struct field *f = fields_find(&x->request.fields, SLICE("Available-Dictionary"));
    uint8_t id[DICTIONARY_ID_BYTES];
    struct entry *e;

    if (!f || !parse_id(slice_trim(f->value), id))
        return NULL;
    pthread_mutex_lock(&table.lock);
    e = find_id(origin_of(x), id);
    if (e) {
        e->used = ++table.time;
        atomic_fetch_add(&e->references, 1);
    }
    pthread_mutex_unlock(&table.lock);
    return e ? &e->dictionary : NULL;
}

/* ------------------------------------------------------------------ what a response leaves */

struct keeping {
    struct body  body;
    struct body *inner;
    uint64_t     origin, source;
    struct text  copy;
    bool         over; /* kept, or not to be */
};

static struct keeping *
keeping_of(struct body *b)
{
    return container_of(b, struct keeping, body);
}

static void
keep(struct keeping *k)
{
    struct entry *e = k->copy.full || k->copy.n == 0 ? NULL : malloc(sizeof(*e) + k->copy.n);

    if (e) {
        *e = (struct entry){.origin = k->origin, .source = k->source, .references = 1};
        memcpy(e->bytes, k->copy.at, k->copy.n);
        e->dictionary.bytes = slice_of(e->bytes, k->copy.n);
        if (EVP_Digest(e->bytes, k->copy.n, e->dictionary.id, NULL, EVP_sha256(), NULL))
            insert(e);
        else
            free(e);
    }
    text_free(&k->copy);
    k->over = true;
}

static enum err
keeping_next(struct body *b, struct slice *chunk)
{
    struct keeping *k = keeping_of(b);
    enum err e = body_next(k->inner, chunk);

    if (e == OK && !k->over) {
        text_put(&k->copy, *chunk);
        if (k->inner->ended || k->copy.full)
            keep(k);
    } else if (e == ERR_END && !k->over) {
        keep(k);
    }
    b->trailers = k->inner->trailers;
    b->ready = k->inner->ready;
    b->ended = k->inner->ended;
    return e;
}

static void
keeping_close(struct body *b)
{
    struct keeping *k = keeping_of(b);

    text_free(&k->copy);
    body_close(take(&k->inner));
}

static const struct body_ops keeping_ops = {.next = keeping_next, .close = keeping_close};

/* What tells this response from others: 0 when nothing does. */
static uint64_t
source_of(const struct exchange *x)
{
    const struct fields *f = &x->response.fields;
    struct slice validator = fields_value(f, FIELD_ETAG);

    if (validator.n == 0)
        validator = fields_value(f, FIELD_LAST_MODIFIED);
    if (validator.n == 0)
        return 0;
    return hash_bytes(x->request.target.path) ^ hash_bytes(x->request.target.query) << 1 ^
           hash_bytes(validator) << 2 ^ hash_bytes(fields_value(f, FIELD_CONTENT_LENGTH)) << 3;
}

void
dictionary_keep(struct exchange *x, uint64_t max_bytes)
{
    struct body *inner = x->response.body;
    uint64_t source = source_of(x);
    struct keeping *k;

    if (inner->length > (int64_t) max_bytes || (source && knows_source(origin_of(x), source)))
        return;
    k = arena_new(&x->arena, struct keeping);
    if (!k)
        return;
    k->body = (struct body){.ops = &keeping_ops, .length = inner->length, .ready = inner->ready};
    k->inner = inner;
    k->origin = origin_of(x);
    k->source = source;
    text_init(&k->copy, max_bytes);
    x->response.body = &k->body;
}
