/* SPDX-License-Identifier: Apache-2.0 */
/* middleware/esi/tag.c - see tag.h. */
#include "middleware/esi/tag.h"

#include "base/check.h"

static const struct slice names[] = {
    [ESI_INCLUDE] = SLICE_INIT("include"),     [ESI_INLINE] = SLICE_INIT("inline"),
    [ESI_CHOOSE] = SLICE_INIT("choose"),       [ESI_WHEN] = SLICE_INIT("when"),
    [ESI_OTHERWISE] = SLICE_INIT("otherwise"), [ESI_TRY] = SLICE_INIT("try"),
    [ESI_ATTEMPT] = SLICE_INIT("attempt"),     [ESI_EXCEPT] = SLICE_INIT("except"),
    [ESI_VARS] = SLICE_INIT("vars"),           [ESI_REMOVE] = SLICE_INIT("remove"),
    [ESI_COMMENT] = SLICE_INIT("comment"),
};

static const struct entity {
    struct slice text;
    char         byte;
} entities[] = {
    {SLICE_INIT("&amp;"), '&'},  {SLICE_INIT("&lt;"), '<'},    {SLICE_INIT("&gt;"), '>'},
    {SLICE_INIT("&quot;"), '"'}, {SLICE_INIT("&apos;"), '\''},
};

static bool
is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void
skip_blanks(struct slice *s)
{
    while (s->n && is_blank(s->at[0]))
        *s = slice_from(*s, 1);
}

static struct slice
cut_name(struct slice *s)
{
    size_t n = 0;

    while (n < s->n && (ascii_is_alpha(s->at[n]) || ascii_is_digit(s->at[n]) || s->at[n] == '_' ||
                        s->at[n] == '-' || s->at[n] == ':'))
        n++;
    *s = slice_from(*s, n);
    return slice_of(s->at - n, n);
}

/* `name="value"` off the front, the blanks before it too.  False at the end and when there is
 * something else: then *rest is not empty. */
static bool
cut_attribute(struct slice *rest, struct slice *name, struct slice *value)
{
    struct slice s = *rest;
    size_t n;

    skip_blanks(&s);
    *rest = s;
    *name = cut_name(&s);
    skip_blanks(&s);
    if (name->n == 0 || s.n == 0 || s.at[0] != '=')
        return false;
    s = slice_from(s, 1);
    skip_blanks(&s);
    if (s.n == 0 || (s.at[0] != '"' && s.at[0] != '\''))
        return false;
    n = slice_find(slice_from(s, 1), s.at[0]);
    if (n == SLICE_NOT_FOUND)
        return false;
    *value = slice_of(s.at + 1, n);
    *rest = slice_from(s, n + 2);
    return true;
}

static bool
are_attributes(struct slice s)
{
    struct slice name, value;

    while (cut_attribute(&s, &name, &value))
        ;
    return s.n == 0;
}

static bool
find_name(struct slice text, enum esi_name *name)
{
    for (size_t i = 0; i < countof(names); i++) {
        if (!slice_eq(names[i], text))
            continue;
        *name = (enum esi_name) i;
        return true;
    }
    return false;
}

bool
esi_tag_read(struct slice text, struct esi_tag *tag)
{
    bool closes = slice_starts(text, SLICE("</"));
    struct slice s = slice_from(text, closes ? 6 : 5); /* </esi: or <esi: */

    if (s.n == 0)
        return false;
    s.n--; /* > */
    *tag = (struct esi_tag){.closes = closes};
    if (!find_name(cut_name(&s), &tag->name))
        return false;
    if (!closes && slice_ends(s, SLICE("/"))) {
        tag->empty = true;
        s.n--;
    }
    tag->attributes = s;
    return are_attributes(s) && (!closes || slice_trim(s).n == 0);
}

/* A '&' that begins no entity stands for itself: in a URL or an expression it is written so more
 * often than not. */
static char
cut_byte(struct slice *s)
{
    char c = s->at[0];

    for (size_t i = 0; c == '&' && i < countof(entities); i++) {
        if (!slice_starts(*s, entities[i].text))
            continue;
        *s = slice_from(*s, entities[i].text.n);
        return entities[i].byte;
    }
    *s = slice_from(*s, 1);
    return c;
}

static struct slice
decoded(struct slice value, struct arena *arena)
{
    char *out = arena_alloc(arena, value.n + 1);
    size_t n = 0;

    if (!out)
        return (struct slice){NULL, 0};
    while (value.n)
        out[n++] = cut_byte(&value);
    return slice_of(out, n);
}

struct slice
esi_tag_attribute(const struct esi_tag *tag, struct slice name, struct arena *arena)
{
    struct slice rest = tag->attributes, this, value;

    while (cut_attribute(&rest, &this, &value))
        if (slice_eq(this, name))
            return decoded(value, arena);
    return (struct slice){NULL, 0};
}
