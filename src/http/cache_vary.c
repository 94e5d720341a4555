/* SPDX-License-Identifier: Apache-2.0 */
/* http/cache_vary.c - names that Vary lists, and the values of a request for them. */
#include "http/cache_vary.h"

enum { MEMBERS_MAX = 32, Q_MAX = 1000 };

static void
put_lower(struct text *out, struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        text_byte(out, ascii_lower(s.at[i]));
}

static int
compare_nocase(struct slice a, struct slice b)
{
    size_t n = a.n < b.n ? a.n : b.n;

    for (size_t i = 0; i < n; i++) {
        int order = ascii_lower(a.at[i]) - ascii_lower(b.at[i]);

        if (order)
            return order;
    }
    return (a.n > b.n) - (a.n < b.n);
}

/* ------------------------------------------------------------------ names */

struct name_list {
    struct slice at[CACHE_VARY_NAMES_MAX];
    size_t       n;
};

/* Into its place; false: no room. */
static bool
insert_name(struct name_list *list, struct slice name)
{
    size_t i = 0;

    while (i < list->n && compare_nocase(list->at[i], name) < 0)
        i++;
    if (i < list->n && slice_eq_nocase(list->at[i], name))
        return true;
    if (list->n == CACHE_VARY_NAMES_MAX)
        return false;
    memmove(&list->at[i + 1], &list->at[i], (list->n - i) * sizeof(*list->at));
    list->at[i] = name;
    list->n++;
    return true;
}

/* One line of Vary; false: it cannot be satisfied. */
static bool
collect_names(struct name_list *list, struct slice value)
{
    while (slice_is_present(value)) {
        struct slice name = slice_trim(slice_cut(&value, ','));

        if (name.n && (!is_token(name) || slice_eq(name, SLICE("*")) || !insert_name(list, name)))
            return false;
    }
    return true;
}

enum cache_vary
cache_vary_names(const struct fields *response, struct text *names)
{
    struct name_list list;

    list.n = 0;
    if (!fields_has(response, FIELD_VARY))
        return CACHE_VARY_NONE;
    for (size_t i = 0; i < response->n; i++)
        if (response->at[i].id == FIELD_VARY && !collect_names(&list, response->at[i].value))
            return CACHE_VARY_STAR;
    for (size_t i = 0; i < list.n; i++) {
        if (i)
            text_byte(names, ',');
        put_lower(names, list.at[i]);
    }
    if (names->full)
        return CACHE_VARY_STAR;
    return list.n ? CACHE_VARY_NAMED : CACHE_VARY_NONE;
}

/* ------------------------------------------------------------------ members with weights */

struct member {
    struct slice name;
    unsigned     q; /* thousandths */
};

struct members {
    struct member at[MEMBERS_MAX];
    size_t        n;
};

/* RFC 9110 12.4.2: 0, 1, or one of them with up to three digits behind the point. */
static bool
read_weight(struct slice s, unsigned *q)
{
    unsigned unit = 100;

    if (s.n == 0 || s.n > 5 || (s.at[0] != '0' && s.at[0] != '1') || (s.n > 1 && s.at[1] != '.'))
        return false;
    *q = s.at[0] == '1' ? Q_MAX : 0;
    for (size_t i = 2; i < s.n; i++, unit /= 10) {
        if (!ascii_is_digit(s.at[i]))
            return false;
        *q += (unsigned) (s.at[i] - '0') * unit;
    }
    return *q <= Q_MAX;
}

/* "name" or "name;q=0.5"; false for anything else. */
static bool
read_member(struct slice element, struct member *m)
{
    struct slice weight;

    m->name = slice_trim(slice_cut(&element, ';'));
    m->q = Q_MAX;
    if (!is_token(m->name))
        return false;
    if (!slice_is_present(element))
        return true;
    weight = slice_trim(element);
    return slice_starts_nocase(weight, SLICE("q=")) && read_weight(slice_from(weight, 2), &m->q);
}

/* All lines of the field; false: there is something that we do not understand, or too much. */
static bool
read_members(const struct fields *f, enum field_id id, struct members *list)
{
    list->n = 0;
    for (size_t i = 0; i < f->n; i++) {
        struct slice rest = f->at[i].value, element;

        if (f->at[i].id != id)
            continue;
        while (slice_next_element(&rest, &element))
            if (list->n == MEMBERS_MAX || !read_member(element, &list->at[list->n++]))
                return false;
    }
    return true;
}

typedef bool before_f(const struct member *a, const struct member *b);

/* By insertion: lists are short, and equal ones keep their order. */
static void
sort_members(struct members *list, before_f *before)
{
    for (size_t i = 1; i < list->n; i++) {
        struct member m = list->at[i];
        size_t k = i;

        for (; k > 0 && before(&m, &list->at[k - 1]); k--)
            list->at[k] = list->at[k - 1];
        list->at[k] = m;
    }
}

static bool
by_name(const struct member *a, const struct member *b)
{
    return compare_nocase(a->name, b->name) < 0;
}

static bool
by_weight(const struct member *a, const struct member *b)
{
    return a->q != b->q ? a->q > b->q : by_name(a, b);
}

/* ------------------------------------------------------------------ values */

static bool
is_wild(const struct members *list)
{
    for (size_t i = 0; i < list->n; i++)
        if (slice_eq(list->at[i].name, SLICE("*")))
            return true;
    return false;
}

/* Which codings are taken.  What is refused matters only where something takes or refuses the rest:
 * `*`, and identity, which is taken unless refused (RFC 9110 12.5.3). */
static bool
put_codings(const struct fields *request, struct text *key)
{
    struct members list;
    struct slice last = {NULL, 0};
    bool wild;

    if (!read_members(request, FIELD_ACCEPT_ENCODING, &list))
        return false;
    wild = is_wild(&list);
    for (size_t i = 0; i < list.n; i++)
        if (slice_eq_nocase(list.at[i].name, SLICE("x-gzip")))
            list.at[i].name = SLICE("gzip");
    sort_members(&list, by_name);
    for (size_t i = 0; i < list.n; i++) {
        const struct member *m = &list.at[i];
        bool identity = slice_eq_nocase(m->name, SLICE("identity")), taken = m->q > 0;

        if ((!wild && taken == identity) || slice_eq_nocase(last, m->name))
            continue;
        if (!taken)
            text_byte(key, '=');
        put_lower(key, m->name);
        text_byte(key, ',');
        last = m->name;
    }
    return true;
}

/* Best first: ',' between those of one weight, '>' before those of less, '!' for what is
 * refused. */
static bool
put_languages(const struct fields *request, struct text *key)
{
    struct members list;

    if (!read_members(request, FIELD_ACCEPT_LANGUAGE, &list))
        return false;
    sort_members(&list, by_weight);
    for (size_t i = 0; i < list.n; i++) {
        const struct member *m = &list.at[i];

        if (i)
            text_byte(key, m->q == list.at[i - 1].q ? ',' : '>');
        if (m->q == 0)
            text_byte(key, '=');
        put_lower(key, m->name);
    }
    return true;
}

/* All lines, joined as they came. */
static void
put_raw(const struct fields *request, struct slice name, struct slice glue, struct text *key)
{
    const struct field *f = NULL;
    bool first = true;

    while ((f = fields_next(request, f, name)) != NULL) {
        if (!first)
            text_put(key, glue);
        text_put(key, f->value);
        first = false;
    }
}

static void
put_list(const struct fields *request, struct slice name, struct text *key)
{
    const struct field *f = NULL;

    while ((f = fields_next(request, f, name)) != NULL) {
        struct slice rest = f->value, element;

        while (slice_next_element(&rest, &element)) {
            text_put(key, element);
            text_byte(key, ',');
        }
    }
}

/* '?' tells a value that was taken as it came from one in normal form; like the other marks it is
 * no part of a token. */
static void
put_value(const struct fields *request, struct slice name, struct text *key)
{
    size_t before = key->n;

    switch (field_id_from(name)) {
    case FIELD_ACCEPT_ENCODING:
        if (put_codings(request, key))
            return;
        break;
    case FIELD_ACCEPT_LANGUAGE:
        if (put_languages(request, key))
            return;
        break;
    case FIELD_COOKIE: /* lines of HTTP/2 are one of HTTP/1 (RFC 9113 8.2.3) */
        put_raw(request, name, SLICE("; "), key);
        return;
    case FIELD_AUTHORIZATION:
    case FIELD_REFERER:
    case FIELD_USER_AGENT:
        put_raw(request, name, SLICE(", "), key);
        return;
    default: /* a list, or a value without commas */
        put_list(request, name, key);
        return;
    }
    key->n = before;
    text_byte(key, '?');
    put_raw(request, name, SLICE(", "), key);
}

void
cache_vary_key(struct slice names, const struct fields *request, struct text *key)
{
    while (slice_is_present(names)) {
        struct slice name = slice_cut(&names, ',');

        text_put(key, name);
        if (fields_find(request, name)) {
            text_byte(key, ':');
            put_value(request, name, key);
        }
        text_byte(key, '\n');
    }
}
