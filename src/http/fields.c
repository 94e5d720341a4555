/* SPDX-License-Identifier: Apache-2.0 */
/* http/fields.c - the ordered fields of a message: find, add, replace, remove. */
#include "base/check.h"
#include "base/scan.h"
#include "http/chars.h"
#include "http/message.h"

enum {
    FIRST_ROOM = 8,
    CONNECTION_NAMES_MAX = 32, /* unknown names that Connection may list; nobody needs three */
};

void
fields_init(struct fields *f, struct arena *arena, size_t room, size_t max)
{
    *f = (struct fields){.max = max < UINT32_MAX ? (uint32_t) max : UINT32_MAX, .arena = arena};
    if (room > f->max)
        room = f->max;
    if (room == 0)
        return;
    f->at = arena_alloc(arena, room * sizeof(*f->at));
    f->room = f->at ? (uint32_t) room : 0;
}

bool
fields_grow(struct fields *f)
{
    uint32_t room = f->room < f->max / 2 ? f->room * 2 : f->max;
    struct field *grown = NULL;

    if (f->room == 0)
        room = f->max < FIRST_ROOM ? f->max : FIRST_ROOM;
    if (f->room < f->max)
        grown = arena_alloc(f->arena, room * sizeof(*grown));
    if (!grown) {
        f->overflow = true;
        return false;
    }
    if (f->n)
        memcpy(grown, f->at, f->n * sizeof(*grown));
    f->at = grown;
    f->room = room;
    return true;
}

bool
fields_add(struct fields *f, enum field_id id, struct slice value)
{
    return fields_append(f, field_name(id), value, id);
}

bool
fields_add_named(struct fields *f, struct slice name, struct slice value)
{
    return fields_append(f, name, value, field_id_from(name));
}

/* What fields are looked up by: the id when the name is a known one, else the name. */
struct wanted {
    enum field_id id;
    struct slice  name;
};

static inline bool
is_wanted(const struct field *field, struct wanted w)
{
    if (field->id != w.id)
        return false;
    return w.id != FIELD_OTHER || slice_eq_nocase(field->name, w.name);
}

static struct field *
find_from(const struct fields *f, size_t first, struct wanted w)
{
    if (!fields_has(f, w.id))
        return NULL;
    for (size_t i = first; i < f->n; i++)
        if (is_wanted(&f->at[i], w))
            return &f->at[i];
    return NULL;
}

struct field *
fields_get(const struct fields *f, enum field_id id)
{
    CHECK(id != FIELD_OTHER);
    return find_from(f, 0, (struct wanted){.id = id});
}

struct field *
fields_find(const struct fields *f, struct slice name)
{
    return find_from(f, 0, (struct wanted){field_id_from(name), name});
}

struct field *
fields_next(const struct fields *f, const struct field *after, struct slice name)
{
    size_t first = after ? (size_t) (after - f->at) + 1 : 0;

    return find_from(f, first, (struct wanted){field_id_from(name), name});
}

struct slice
fields_value(const struct fields *f, enum field_id id)
{
    const struct field *field = fields_get(f, id);

    return field ? field->value : (struct slice){NULL, 0};
}

/* Removes the wanted ones from index `first` on; the others keep their order. */
static size_t
remove_from(struct fields *f, size_t first, struct wanted w)
{
    size_t kept = first, before = f->n;

    if (!fields_has(f, w.id))
        return 0;
    for (size_t i = first; i < f->n; i++)
        if (!is_wanted(&f->at[i], w))
            f->at[kept++] = f->at[i];
    f->n = (uint32_t) kept;
    if (first == 0 && w.id != FIELD_OTHER)
        f->present &= ~((uint64_t) 1 << w.id);
    return before - kept;
}

static bool
set(struct fields *f, struct wanted w, struct slice value)
{
    struct field *field = find_from(f, 0, w);

    if (!field)
        return fields_append(f, w.name, value, w.id);
    field->name = w.name;
    field->value = value;
    remove_from(f, (size_t) (field - f->at) + 1, w);
    return true;
}

bool
fields_set(struct fields *f, enum field_id id, struct slice value)
{
    CHECK(id != FIELD_OTHER);
    return set(f, (struct wanted){id, field_name(id)}, value);
}

bool
fields_set_named(struct fields *f, struct slice name, struct slice value)
{
    return set(f, (struct wanted){field_id_from(name), name}, value);
}

size_t
fields_remove(struct fields *f, enum field_id id)
{
    CHECK(id != FIELD_OTHER);
    return remove_from(f, 0, (struct wanted){.id = id});
}

size_t
fields_remove_named(struct fields *f, struct slice name)
{
    return remove_from(f, 0, (struct wanted){field_id_from(name), name});
}

/* ------------------------------------------------------------------ hop by hop */

/* What is to go: known names as bits, the others by name. */
struct hop_names {
    uint64_t     ids;
    size_t       n;
    struct slice others[CONNECTION_NAMES_MAX];
};

#define BIT(id) ((uint64_t) 1 << (id))

/* The names of one Connection value.  Its elements are tokens, so a quote does not hide a comma. */
static bool
collect_names(struct hop_names *names, struct slice value)
{
    while (slice_is_present(value)) {
        struct slice token = slice_trim(slice_cut(&value, ','));
        enum field_id id = field_id_from(token);

        if (id == FIELD_CONTENT_LENGTH || id == FIELD_HOST || id == FIELD_TRANSFER_ENCODING)
            return false;
        if (id != FIELD_OTHER) {
            names->ids |= BIT(id);
        } else if (token.n && !slice_eq_nocase(token, SLICE("close"))) {
            if (names->n == CONNECTION_NAMES_MAX)
                return false;
            names->others[names->n++] = token;
        }
    }
    return true;
}

static bool
is_hop_name(const struct hop_names *names, const struct field *field)
{
    if (field->id != FIELD_OTHER)
        return names->ids & BIT(field->id);
    for (size_t i = 0; i < names->n; i++)
        if (slice_eq_nocase(names->others[i], field->name))
            return true;
    return false;
}

bool
fields_remove_hop_by_hop(struct fields *f)
{
    struct hop_names names;
    size_t kept = 0;

    names.ids = 0;
    names.n = 0;
#define HOP_BIT(id, name, hop) names.ids |= (uint64_t) (hop) << (id);
    FIELD_TABLE(HOP_BIT)
#undef HOP_BIT
    if (fields_has(f, FIELD_CONNECTION))
        for (size_t i = 0; i < f->n; i++)
            if (f->at[i].id == FIELD_CONNECTION && !collect_names(&names, f->at[i].value))
                return false;
    if (!(f->present & names.ids) && !names.n)
        return true;
    for (size_t i = 0; i < f->n; i++)
        if (!is_hop_name(&names, &f->at[i]))
            f->at[kept++] = f->at[i];
    f->n = (uint32_t) kept;
    f->present &= ~names.ids;
    return true;
}

/* ------------------------------------------------------------------ inside values */

bool
fields_list_has(const struct fields *f, enum field_id id, struct slice token)
{
    if (!fields_has(f, id))
        return false;
    for (size_t i = 0; i < f->n; i++) {
        struct slice rest = f->at[i].value, element;

        if (f->at[i].id != id)
            continue;
        while (slice_next_element(&rest, &element))
            if (slice_eq_nocase(element, token))
                return true;
    }
    return false;
}

/* The value of a cookie in one Cookie field; absent when it is not there. */
static struct slice
cookie_in(struct slice value, struct slice name)
{
    while (slice_is_present(value)) {
        struct slice pair = slice_trim(slice_cut(&value, ';'));
        size_t equals = slice_find(pair, '=');

        if (equals != SLICE_NOT_FOUND && slice_eq(slice_trim(slice_first(pair, equals)), name))
            return slice_trim(slice_of(pair.at + equals + 1, pair.n - equals - 1));
    }
    return (struct slice){NULL, 0};
}

struct slice
fields_cookie(const struct fields *f, struct slice name)
{
    struct slice found = {NULL, 0};

    if (!fields_has(f, FIELD_COOKIE))
        return found;
    for (size_t i = 0; i < f->n && !slice_is_present(found); i++)
        if (f->at[i].id == FIELD_COOKIE)
            found = cookie_in(f->at[i].value, name);
    return found;
}

bool
is_token(struct slice s)
{
    return s.n && chars_are(s, CHAR_TOKEN);
}

bool
is_field_value(struct slice s)
{
    return s.n == 0 || scan_until(s.at, s.at + s.n, SCAN_CONTROL) == s.at + s.n;
}

/* ------------------------------------------------------------------ trailers */

/* RFC 9110 6.5.1: too late for these to be heeded by everyone, so nobody shall. */
static const uint64_t not_in_trailers =
    BIT(FIELD_CONTENT_LENGTH) | BIT(FIELD_TRANSFER_ENCODING) | BIT(FIELD_CONTENT_ENCODING) |
    BIT(FIELD_CONTENT_TYPE) | BIT(FIELD_CONTENT_RANGE) | BIT(FIELD_TRAILER) | BIT(FIELD_TE) |
    BIT(FIELD_HOST) | BIT(FIELD_FORWARDED) | BIT(FIELD_X_FORWARDED_FOR) |
    BIT(FIELD_X_FORWARDED_HOST) | BIT(FIELD_X_FORWARDED_PORT) | BIT(FIELD_X_FORWARDED_PROTO) |
    BIT(FIELD_X_REAL_IP) | BIT(FIELD_MAX_FORWARDS) | BIT(FIELD_EXPECT) | BIT(FIELD_RANGE) |
    BIT(FIELD_CONNECTION) | BIT(FIELD_KEEP_ALIVE) | BIT(FIELD_PROXY_CONNECTION) |
    BIT(FIELD_UPGRADE) | BIT(FIELD_AUTHORIZATION) | BIT(FIELD_PROXY_AUTHENTICATE) |
    BIT(FIELD_PROXY_AUTHORIZATION) | BIT(FIELD_WWW_AUTHENTICATE) | BIT(FIELD_COOKIE) |
    BIT(FIELD_SET_COOKIE) | BIT(FIELD_CACHE_CONTROL) | BIT(FIELD_LOCATION);

bool
field_may_trail(enum field_id id)
{
    return !(BIT(id) & not_in_trailers);
}

bool
fields_may_trail(const struct fields *f)
{
    return !(f->present & not_in_trailers);
}

void
fields_remove_late(struct fields *f)
{
    size_t kept = 0;

    if (fields_may_trail(f))
        return;
    for (size_t i = 0; i < f->n; i++)
        if (field_may_trail(f->at[i].id))
            f->at[kept++] = f->at[i];
    f->n = (uint32_t) kept;
    f->present &= ~not_in_trailers;
}
