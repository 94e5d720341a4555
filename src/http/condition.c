/* SPDX-License-Identifier: Apache-2.0 */
/* http/condition.c - RFC 9110 13, section by section. */
#include "http/condition.h"

#include "http/date.h"

/* ------------------------------------------------------------------ entity tags (8.8.3) */

static bool
is_weak(struct slice etag)
{
    return slice_starts(etag, SLICE("W/"));
}

bool
etag_equals_strongly(struct slice a, struct slice b)
{
    return a.n && !is_weak(a) && slice_eq(a, b);
}

bool
etag_equals_weakly(struct slice a, struct slice b)
{
    a = is_weak(a) ? slice_from(a, 2) : a;
    b = is_weak(b) ? slice_from(b, 2) : b;
    return a.n && slice_eq(a, b);
}

/* Bytes of the quoted tag at the start of s, 0 when there is none.  A tag has no escapes: a
 * backslash is a byte like others. */
static size_t
quoted_length(struct slice s)
{
    size_t start = is_weak(s) ? 2 : 0, end;

    if (s.n <= start || s.at[start] != '"')
        return 0;
    end = slice_find(slice_from(s, start + 1), '"');
    return end == SLICE_NOT_FOUND ? 0 : start + 1 + end + 1;
}

bool
etag_next(struct slice *rest, struct slice *etag)
{
    size_t n;

    while (rest->n && (rest->at[0] == ',' || rest->at[0] == ' ' || rest->at[0] == '\t'))
        *rest = slice_from(*rest, 1);
    if (rest->n == 0)
        return false;
    n = quoted_length(*rest);
    if (n == 0)
        n = slice_find(*rest, ',');
    *etag = slice_trim(slice_first(*rest, n));
    *rest = slice_from(*rest, etag->n);
    return true;
}

static bool
list_has(struct slice list, struct slice etag, bool (*equals)(struct slice, struct slice))
{
    struct slice one;

    while (etag_next(&list, &one))
        if (equals(one, etag))
            return true;
    return false;
}

/* If-Match and If-None-Match: "*", or one of the tags of all fields of that name. */
static bool
names_it(const struct fields *f, enum field_id id, const struct validators *v,
         bool (*equals)(struct slice, struct slice))
{
    for (uint32_t i = 0; i < f->n && v; i++)
        if (f->at[i].id == id &&
            (slice_eq(f->at[i].value, SLICE("*")) || list_has(f->at[i].value, v->etag, equals)))
            return true;
    return false;
}

/* ------------------------------------------------------------------ dates (8.8.2) */

/* The date of a field that is there once; several or an invalid one count as none. */
static bool
sole_date(const struct fields *f, enum field_id id, int64_t now_s, int64_t *date_s)
{
    const struct field *field = fields_get(f, id);

    return field && !fields_next(f, field, field->name) &&
           http_date_parse(field->value, now_s, date_s);
}

void
validators_from(const struct fields *response, int64_t now_s, struct validators *v)
{
    int64_t date_s = now_s;

    *v = (struct validators){.etag = fields_value(response, FIELD_ETAG)};
    v->has_modified = sole_date(response, FIELD_LAST_MODIFIED, now_s, &v->modified_s);
    (void) sole_date(response, FIELD_DATE, now_s, &date_s);
    v->modified_is_strong = v->has_modified && v->modified_s < date_s;
}

/* ------------------------------------------------------------------ conditions (13.1, 13.2.2) */

/* Steps 1 and 2. */
static bool
still_as_expected(const struct fields *f, const struct validators *v, int64_t now_s)
{
    int64_t date_s;

    if (fields_get(f, FIELD_IF_MATCH))
        return names_it(f, FIELD_IF_MATCH, v, etag_equals_strongly);
    if (!v || !v->has_modified || !sole_date(f, FIELD_IF_UNMODIFIED_SINCE, now_s, &date_s))
        return true;
    return v->modified_s <= date_s;
}

/* Steps 3 and 4: the client says that it has this very thing. */
static bool
is_known(const struct fields *f, bool reads, const struct validators *v, int64_t now_s)
{
    int64_t date_s;

    if (fields_get(f, FIELD_IF_NONE_MATCH))
        return names_it(f, FIELD_IF_NONE_MATCH, v, etag_equals_weakly);
    if (!reads || !v || !v->has_modified ||
        !sole_date(f, FIELD_IF_MODIFIED_SINCE, now_s, &date_s))
        return false;
    return v->modified_s <= date_s;
}

bool
condition_is_there(const struct fields *request)
{
    return fields_has(request, FIELD_IF_MATCH) || fields_has(request, FIELD_IF_NONE_MATCH) ||
           fields_has(request, FIELD_IF_MODIFIED_SINCE) ||
           fields_has(request, FIELD_IF_UNMODIFIED_SINCE);
}

enum condition
condition_check(const struct fields *request, enum method method, const struct validators *v,
                int64_t now_s)
{
    bool reads = method == METHOD_GET || method == METHOD_HEAD;

    if (!condition_is_there(request))
        return CONDITION_HOLDS;
    if (!still_as_expected(request, v, now_s))
        return CONDITION_FAILED;
    if (!is_known(request, reads, v, now_s))
        return CONDITION_HOLDS;
    return reads ? CONDITION_NOT_MODIFIED : CONDITION_FAILED;
}

/* ------------------------------------------------------------------ If-Range (13.1.5) */

bool
condition_range_counts(const struct fields *request, const struct validators *v, int64_t now_s)
{
    const struct field *field =
        fields_has(request, FIELD_IF_RANGE) ? fields_get(request, FIELD_IF_RANGE) : NULL;
    int64_t date_s;

    if (!field)
        return true;
    if (quoted_length(field->value) == field->value.n)
        return etag_equals_strongly(field->value, v->etag) &&
               !fields_next(request, field, field->name);
    return v->modified_is_strong && sole_date(request, FIELD_IF_RANGE, now_s, &date_s) &&
           date_s == v->modified_s;
}
