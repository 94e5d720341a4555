/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http/cache_update.c - asking the origin whether a kept response is still right, and what its
 * answer changes (RFC 9111 4.3 and 4.4).
 */
#include "http/cache_freshness.h"
#include "http/cache_vary.h"
#include "http/date.h"

static const enum field_id conditions[] = {
    FIELD_IF_MATCH, FIELD_IF_NONE_MATCH, FIELD_IF_MODIFIED_SINCE, FIELD_IF_UNMODIFIED_SINCE,
    FIELD_IF_RANGE, FIELD_RANGE,
};

void
cache_conditions_drop(struct fields *request)
{
    for (size_t i = 0; i < sizeof(conditions) / sizeof(*conditions); i++)
        if (fields_has(request, conditions[i]))
            fields_remove(request, conditions[i]);
}

bool
cache_conditions_set(struct fields *request, const struct fields *kept)
{
    struct slice etag = fields_value(kept, FIELD_ETAG);
    struct slice modified = fields_value(kept, FIELD_LAST_MODIFIED);

    cache_conditions_drop(request);
    if (etag.n && !fields_add(request, FIELD_IF_NONE_MATCH, etag))
        return false;
    if (modified.n && !fields_add(request, FIELD_IF_MODIFIED_SINCE, modified))
        return false;
    return etag.n || modified.n;
}

/* ------------------------------------------------------------------ is it the same? */

/* The weak comparison of RFC 9110 8.8.3.2: servers that compress make strong tags weak. */
static bool
same_etag(struct slice a, struct slice b)
{
    struct slice weak = SLICE("W/");

    if (slice_starts(a, weak))
        a = slice_from(a, weak.n);
    if (slice_starts(b, weak))
        b = slice_from(b, weak.n);
    return slice_eq(a, b);
}

/* What the newer message does not say, or the kept one did not, tells nothing. */
static bool
same_validators(const struct fields *kept, const struct fields *newer)
{
    struct slice was = fields_value(kept, FIELD_ETAG), is = fields_value(newer, FIELD_ETAG);

    if (is.n && was.n)
        return same_etag(was, is);
    was = fields_value(kept, FIELD_LAST_MODIFIED);
    is = fields_value(newer, FIELD_LAST_MODIFIED);
    return !is.n || !was.n || slice_eq(was, is);
}

/* What is kept under one secondary key would belong under another. */
static bool
same_vary(const struct fields *kept, const struct fields *newer)
{
    char was_memory[CACHE_VARY_NAMES_BYTES], is_memory[CACHE_VARY_NAMES_BYTES];
    struct text was, is;

    if (!fields_get(newer, FIELD_VARY))
        return true;
    text_fixed(&was, was_memory, sizeof(was_memory));
    text_fixed(&is, is_memory, sizeof(is_memory));
    return cache_vary_names(kept, &was) == cache_vary_names(newer, &is) &&
           slice_eq(text_slice(&was), text_slice(&is));
}

bool
cache_confirms(const struct fields *kept, const struct fields *not_modified)
{
    return same_validators(kept, not_modified) && same_vary(kept, not_modified);
}

bool
cache_head_confirms(const struct fields *kept, uint64_t length, const struct fields *head)
{
    struct slice said = fields_value(head, FIELD_CONTENT_LENGTH);
    uint64_t head_length;

    if (slice_is_present(said) &&
        (!slice_to_u64(said, UINT64_MAX, &head_length) || head_length != length))
        return false;
    return cache_confirms(kept, head);
}

/* ------------------------------------------------------------------ the newer fields */

/* The kept bytes are as these fields said when they came (RFC 9111 3.2); cookies are for the client
 * who made us ask. */
static bool
is_updatable(const struct field *f)
{
    switch (f->id) {
    case FIELD_CONTENT_ENCODING:
    case FIELD_CONTENT_LENGTH:
    case FIELD_CONTENT_RANGE:
    case FIELD_CONTENT_TYPE:
    case FIELD_SET_COOKIE:
    case FIELD_VARY:
        return false;
    default: /* of many, these few */
        return true;
    }
}

bool
cache_update(const struct fields *kept, const struct fields *newer,
             const struct cache_control *newer_said, struct fields *out)
{
    for (size_t i = 0; i < kept->n; i++) {
        const struct field *f = &kept->at[i];
        bool replaced = is_updatable(f) && fields_next(newer, NULL, f->name);

        if (!replaced && !fields_append(out, f->name, f->value, f->id))
            return false;
    }
    for (size_t i = 0; i < newer->n; i++) {
        const struct field *f = &newer->at[i];

        if (is_updatable(f) && cache_keeps_field(newer_said, f) &&
            !fields_append(out, f->name, f->value, f->id))
            return false;
    }
    return true;
}

bool
cache_date(struct fields *response, int64_t answered_unix_s)
{
    char date[HTTP_DATE_LENGTH];
    struct slice copy;
    int64_t ignored;

    if (cache_date_parse(fields_value(response, FIELD_DATE), answered_unix_s, &ignored))
        return true;
    http_date_write(date, answered_unix_s);
    copy = arena_copy(response->arena, slice_of(date, sizeof(date)));
    return copy.at && fields_set(response, FIELD_DATE, copy);
}

bool
cache_invalidates(enum method m, unsigned status)
{
    return !method_is_safe(m) && status >= 200 && status < 400;
}
