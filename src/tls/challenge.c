/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls/challenge.c - one small table, replaced as a whole.
 *
 * There are as many entries as orders under way: a handful, so that they are copied with every
 * change and searched one by one.
 */
#include "tls/challenge.h"

#include "runtime/quiesce.h"

#include <stdlib.h>

enum entry_kind { ENTRY_TOKEN, ENTRY_IDENTITY, ENTRY_EXPECTED };

/* Counted by the tables that hold it; immutable. */
struct entry {
    size_t               refs; /* control thread */
    enum entry_kind      kind;
    struct slice         key, answer; /* in `bytes` */
    struct tls_identity *identity;
    char                 bytes[];
};

struct table {
    size_t        n;
    struct entry *entries[];
};

static _Atomic(struct table *) current;
static _Atomic(tls_challenge_wanted_f *) listener;

/* ------------------------------------------------------------------ entries */

static struct entry *
entry_new(enum entry_kind kind, struct slice key, struct slice answer)
{
    struct entry *e = calloc(1, sizeof(*e) + key.n + answer.n + 1);

    if (!e)
        return NULL;
    e->kind = kind;
    memcpy(e->bytes, key.at, key.n);
    e->key = slice_of(e->bytes, key.n);
    if (answer.n)
        memcpy(e->bytes + key.n, answer.at, answer.n);
    e->answer = slice_of(e->bytes + key.n, answer.n);
    return e;
}

static void
entry_drop(struct entry *e)
{
    if (e->refs > 1) {
        e->refs--;
        return;
    }
    tls_identity_release(e->identity);
    free(e);
}

static void
table_free(void *what)
{
    struct table *t = what;

    for (size_t i = 0; t && i < t->n; i++)
        entry_drop(t->entries[i]);
    free(t);
}

static const struct entry *
find(enum entry_kind kind, struct slice key)
{
    const struct table *t = atomic_load(&current);

    for (size_t i = 0; t && i < t->n; i++)
        if (t->entries[i]->kind == kind && slice_eq(t->entries[i]->key, key))
            return t->entries[i];
    return NULL;
}

/* ------------------------------------------------------------------ changes */

/* The table without this entry, and with that one (may be NULL), takes the place of the old one. */
static bool
replace(enum entry_kind kind, struct slice key, struct entry *with)
{
    struct table *old = atomic_load(&current);
    size_t n = old ? old->n : 0;
    struct table *t = n < TLS_CHALLENGE_ENTRIES_MAX || !with
                          ? calloc(1, sizeof(*t) + (n + 1) * sizeof(t->entries[0]))
                          : NULL;

    if (!t)
        return false;
    for (size_t i = 0; i < n; i++)
        if (old->entries[i]->kind != kind || !slice_eq(old->entries[i]->key, key))
            t->entries[t->n++] = old->entries[i];
    if (with)
        t->entries[t->n++] = with;
    for (size_t i = 0; i < t->n; i++)
        t->entries[i]->refs++;
    if (t->n == 0)
        free(take(&t));
    atomic_store(&current, t);
    if (old)
        workers_retire(table_free, old);
    return true;
}

/* Takes the entry over; NULL: out of memory. */
static bool
add(struct entry *e)
{
    if (e && replace(e->kind, e->key, e))
        return true;
    if (e)
        entry_drop(e);
    return false;
}

static void
withdraw(enum entry_kind kind, struct slice key)
{
    if (find(kind, key))
        (void) replace(kind, key, NULL); /* out of memory: it is shown a little longer */
}

bool
tls_challenge_add_token(struct slice token, struct slice answer)
{
    return answer.n <= TLS_CHALLENGE_ANSWER_MAX && add(entry_new(ENTRY_TOKEN, token, answer));
}

void
tls_challenge_remove_token(struct slice token)
{
    withdraw(ENTRY_TOKEN, token);
}

bool
tls_challenge_add_identity(struct slice name, struct tls_identity *id)
{
    struct entry *e = entry_new(ENTRY_IDENTITY, name, SLICE(""));

    if (e) {
        tls_identity_hold(id);
        e->identity = id;
    }
    return add(e);
}

void
tls_challenge_remove_identity(struct slice name)
{
    withdraw(ENTRY_IDENTITY, name);
}

bool
tls_challenge_expect(struct slice name)
{
    return add(entry_new(ENTRY_EXPECTED, name, SLICE("")));
}

void
tls_challenge_unexpect(struct slice name)
{
    withdraw(ENTRY_EXPECTED, name);
}

void
tls_challenge_on_wanted(tls_challenge_wanted_f *wanted)
{
    atomic_store(&listener, wanted);
}

/* ------------------------------------------------------------------ looking */

struct slice
tls_challenge_answer(struct slice token, char *out)
{
    const struct entry *e = find(ENTRY_TOKEN, token);

    if (!e)
        return (struct slice){NULL, 0};
    memcpy(out, e->answer.at, e->answer.n);
    return slice_of(out, e->answer.n);
}

struct tls_identity *
tls_challenge_identity(struct slice name)
{
    const struct entry *e = find(ENTRY_IDENTITY, name);

    if (!e)
        return NULL;
    tls_identity_hold(e->identity);
    return e->identity;
}

bool
tls_challenge_is_expected(struct slice name)
{
    return find(ENTRY_EXPECTED, name) != NULL;
}

bool
tls_challenge_wanted(const struct tls_server *server, struct slice name)
{
    tls_challenge_wanted_f *wanted = atomic_load(&listener);

    return wanted && wanted(server, name);
}
