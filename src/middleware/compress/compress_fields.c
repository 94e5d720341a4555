/* SPDX-License-Identifier: Apache-2.0 */
/* middleware/compress/compress_fields.c - what a response's fields say of its form. */
#include "middleware/compress/compress.h"

/* Either side of a pattern may begin or end with a star. */
static bool
matches(struct slice pattern, struct slice type)
{
    if (slice_ends(pattern, SLICE("*")))
        return slice_starts_nocase(type, slice_first(pattern, pattern.n - 1));
    if (slice_starts(pattern, SLICE("*"))) {
        pattern = slice_from(pattern, 1);
        return type.n >= pattern.n &&
               slice_eq_nocase(slice_from(type, type.n - pattern.n), pattern);
    }
    return slice_eq_nocase(pattern, type);
}

bool
compress_type_matches(const struct option_list *types, struct slice content_type)
{
    const struct slice *pattern = types->at;
    struct slice type;

    if (!slice_is_present(content_type))
        return false;
    type = slice_trim(slice_cut(&content_type, ';'));
    for (size_t i = 0; i < types->n; i++)
        if (matches(pattern[i], type))
            return true;
    return false;
}

bool
compress_vary(struct exchange *x, struct slice name)
{
    struct fields *f = &x->response.fields;
    struct slice vary, sum;

    if (fields_list_has(f, FIELD_VARY, name) || fields_list_has(f, FIELD_VARY, SLICE("*")))
        return true;
    vary = fields_value(f, FIELD_VARY);
    if (vary.n == 0 || fields_next(f, fields_get(f, FIELD_VARY), SLICE("Vary")))
        return fields_add(f, FIELD_VARY, name);
    sum = arena_printf(&x->arena, "%.*s, %.*s", SLICE_ARG(vary), SLICE_ARG(name));
    return slice_is_present(sum) && fields_set(f, FIELD_VARY, sum);
}

bool
compress_weaken_etag(struct exchange *x)
{
    struct field *etag = fields_get(&x->response.fields, FIELD_ETAG);
    struct slice weak;

    if (!etag || slice_starts(etag->value, SLICE("W/")))
        return true;
    weak = arena_printf(&x->arena, "W/%.*s", SLICE_ARG(etag->value));
    if (!slice_is_present(weak))
        return false;
    etag->value = weak;
    return true;
}

bool
compress_recoded(struct exchange *x, struct slice coding)
{
    struct fields *f = &x->response.fields;

    fields_remove(f, FIELD_CONTENT_LENGTH);
    fields_remove(f, FIELD_ACCEPT_RANGES);
    fields_remove_named(f, SLICE("Content-MD5"));
    fields_remove_named(f, SLICE("Content-Digest"));
    fields_remove_named(f, SLICE("Repr-Digest"));
    fields_remove_named(f, SLICE("Digest"));
    if (!compress_weaken_etag(x))
        return false;
    if (coding.n)
        return fields_set(f, FIELD_CONTENT_ENCODING, coding);
    fields_remove(f, FIELD_CONTENT_ENCODING);
    return true;
}
