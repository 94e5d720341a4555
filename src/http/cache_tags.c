/* SPDX-License-Identifier: Apache-2.0 */
/* http/cache_tags.c - reads the fields that label responses. */
#include "http/cache_tags.h"

#include "http/cache_sf.h"

/* Who is told, and how many there were. */
struct teller {
    cache_tag_f *tell;
    void        *context;
    size_t       n;
};

/* false: that was enough. */
static bool
tell(struct teller *t, struct slice tag)
{
    if (tag.n == 0 || tag.n > CACHE_TAG_BYTES_MAX)
        return true;
    if (t->n == CACHE_TAGS_MAX)
        return false;
    t->n++;
    return t->tell(t->context, tag);
}

static bool
tell_split(struct teller *t, const struct fields *f, struct slice name, char separator)
{
    const struct field *field = NULL;

    while ((field = fields_next(f, field, name)) != NULL) {
        struct slice rest = field->value;

        while (slice_is_present(rest))
            if (!tell(t, slice_trim(slice_cut(&rest, separator))))
                return false;
    }
    return true;
}

size_t
cache_tags_each(const struct fields *response, cache_tag_f *f, void *context)
{
    struct teller t = {f, context, 0};

    if (tell_split(&t, response, SLICE("Cache-Tag"), ','))
        tell_split(&t, response, SLICE("Surrogate-Key"), ' ');
    return t.n;
}

static bool
tell_nothing(void *context, struct slice tag)
{
    (void) context;
    (void) tag;
    return true;
}

/* false: not a list of strings. */
static bool
tell_strings(struct teller *t, const struct fields *f, struct slice name)
{
    const struct field *field = NULL;
    bool more = true;

    while ((field = fields_next(f, field, name)) != NULL) {
        struct slice rest = field->value;
        struct sf_item item;
        enum sf_step step;

        while ((step = sf_next_of_list(&rest, &item)) == SF_MEMBER) {
            if (item.kind != SF_STRING)
                return false;
            more = more && tell(t, item.text);
        }
        if (step == SF_BAD)
            return false;
    }
    return true;
}

/* Twice over the field: nothing of one that is wrong at its end may count. */
static size_t
each_string(const struct fields *response, struct slice name, cache_tag_f *f, void *context)
{
    struct teller t = {tell_nothing, NULL, 0};

    if (!tell_strings(&t, response, name))
        return 0;
    t = (struct teller){f, context, 0};
    tell_strings(&t, response, name);
    return t.n;
}

size_t
cache_groups_each(const struct fields *response, cache_tag_f *f, void *context)
{
    return each_string(response, SLICE("Cache-Groups"), f, context);
}

size_t
cache_groups_invalid_each(const struct fields *response, cache_tag_f *f, void *context)
{
    return each_string(response, SLICE("Cache-Group-Invalidation"), f, context);
}
