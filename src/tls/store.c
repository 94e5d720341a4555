/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls/store.c - identities by name.
 *
 * Two hash maps: whole names, and what follows the star of a wildcard with its dot.  A look-up asks
 * the first for the name and the second for what follows its first label (a star stands for one
 * label and nothing else, RFC 6125 6.4.3): two probes, whatever the number of hosts.
 */
#include "tls/store.h"

#include "base/map.h"

#include <stdlib.h>

struct tls_store {
    _Atomic uint32_t      refs;
    struct map            exact, wild; /* of struct tls_choice */
    struct tls_choice     preset;      /* the default */
    struct slice          preset_name;
    struct tls_identity **identities;
    size_t                n, room;
};

struct tls_store *
tls_store_new(void)
{
    struct tls_store *s = calloc(1, sizeof(*s));

    if (s)
        s->refs = 1;
    return s;
}

void
tls_store_hold(struct tls_store *s)
{
    atomic_fetch_add(&s->refs, 1);
}

static void
free_choices(struct map *m)
{
    const struct map_slot *slot;

    for (size_t i = 0; (slot = map_each(m, &i));)
        free(slot->value);
    map_free(m);
}

void
tls_store_release(struct tls_store *s)
{
    if (!s || atomic_fetch_sub(&s->refs, 1) != 1)
        return;
    free_choices(&s->exact);
    free_choices(&s->wild);
    for (size_t i = 0; i < s->n; i++)
        tls_identity_release(s->identities[i]);
    free(s->identities);
    free(s);
}

static bool
keep(struct tls_store *s, struct tls_identity *id)
{
    if (s->n == s->room) {
        size_t room = s->room ? 2 * s->room : 8;
        struct tls_identity **more = reallocarray(s->identities, room, sizeof(*more));

        if (!more)
            return false;
        s->identities = more;
        s->room = room;
    }
    tls_identity_hold(id);
    s->identities[s->n++] = id;
    return true;
}

static void
choose(struct tls_choice *c, struct tls_identity *id)
{
    if (!c->of[id->kind] || c->of[id->kind]->expires_s < id->expires_s)
        c->of[id->kind] = id;
}

static bool
add_name(struct map *m, struct slice key, struct tls_identity *id)
{
    struct tls_choice *c = map_get(m, key);

    if (!c) {
        c = calloc(1, sizeof(*c));
        if (!c || !map_put(m, key, c)) {
            free(c);
            return false;
        }
    }
    choose(c, id);
    return true;
}

/* The default is the first one, and those that stand beside it for the same first name. */
static void
add_default(struct tls_store *s, struct tls_identity *id)
{
    struct slice name = tls_identity_name(id, 0);

    if (s->n == 1) {
        s->preset_name = name;
        choose(&s->preset, id);
    } else if (slice_is_present(name) && slice_eq(name, s->preset_name)) {
        choose(&s->preset, id);
    }
}

bool
tls_store_add(struct tls_store *s, struct tls_identity *id)
{
    if (!keep(s, id))
        return false;
    add_default(s, id);
    for (size_t i = 0; i < id->n_names; i++) {
        struct slice name = id->names[i];
        bool star = slice_starts(name, SLICE("*."));

        if (!add_name(star ? &s->wild : &s->exact, star ? slice_from(name, 1) : name, id))
            return false;
    }
    return true;
}

size_t
tls_store_count(const struct tls_store *s)
{
    return s->n;
}

struct tls_identity *
tls_store_at(const struct tls_store *s, size_t i)
{
    return i < s->n ? s->identities[i] : NULL;
}

const struct tls_choice *
tls_store_find(const struct tls_store *s, struct slice name)
{
    const struct tls_choice *c = name.n ? map_get(&s->exact, name) : NULL;
    size_t dot;

    if (c || name.n == 0)
        return c;
    dot = slice_find(name, '.');
    return dot == SLICE_NOT_FOUND || dot == 0 ? NULL : map_get(&s->wild, slice_from(name, dot));
}

const struct tls_choice *
tls_store_default(const struct tls_store *s)
{
    return s->n ? &s->preset : NULL;
}

bool
tls_store_has(const struct tls_store *s, struct slice name)
{
    char lower[256];
    bool star = slice_starts(name, SLICE("*."));

    if (name.n > sizeof(lower))
        return false;
    for (size_t i = 0; i < name.n; i++)
        lower[i] = ascii_lower(name.at[i]);
    name = slice_of(lower, name.n);
    return star ? map_get(&s->wild, slice_from(name, 1)) != NULL : map_get(&s->exact, name) != NULL;
}
