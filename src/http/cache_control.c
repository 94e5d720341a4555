/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http/cache_control.c - Cache-Control and its targeted forms, read into struct cache_control.
 *
 * One table says what each directive is; the two syntaxes (lists of RFC 9111 5.2, dictionaries of
 * RFC 8941) are told apart where a directive's argument is read, and nowhere else.
 */
#include "http/cache_control.h"

#include "http/cache_sf.h"

enum directive_kind {
    SAID,     /* permits something, if it stands alone: what it means with an argument is unknown */
    FORBIDS,  /* counts whatever its argument */
    LIST,     /* forbids, or with an argument for some fields only */
    SECONDS,  /* a span */
    AT_MOST,  /* a span, and none is the longest */
};

struct directive {
    struct slice        name;
    enum directive_kind kind;
    uint32_t            bit;    /* SAID, FORBIDS, LIST */
    size_t              offset; /* of the span or list in struct cache_control */
};

#define AT(member) offsetof(struct cache_control, member)

static const struct directive directives[] = {
    {SLICE_INIT("max-age"), SECONDS, 0, AT(max_age_s)},
    {SLICE_INIT("s-maxage"), SECONDS, 0, AT(s_maxage_s)},
    {SLICE_INIT("no-cache"), LIST, CACHE_NO_CACHE, AT(no_cache_fields)},
    {SLICE_INIT("private"), LIST, CACHE_PRIVATE, AT(private_fields)},
    {SLICE_INIT("no-store"), FORBIDS, CACHE_NO_STORE, 0},
    {SLICE_INIT("public"), SAID, CACHE_PUBLIC, 0},
    {SLICE_INIT("must-revalidate"), FORBIDS, CACHE_MUST_REVALIDATE, 0},
    {SLICE_INIT("proxy-revalidate"), FORBIDS, CACHE_PROXY_REVALIDATE, 0},
    {SLICE_INIT("must-understand"), SAID, CACHE_MUST_UNDERSTAND, 0},
    {SLICE_INIT("no-transform"), FORBIDS, CACHE_NO_TRANSFORM, 0},
    {SLICE_INIT("immutable"), SAID, CACHE_IMMUTABLE, 0},
    {SLICE_INIT("only-if-cached"), FORBIDS, CACHE_ONLY_IF_CACHED, 0},
    {SLICE_INIT("stale-while-revalidate"), SECONDS, 0, AT(stale_while_revalidate_s)},
    {SLICE_INIT("stale-if-error"), SECONDS, 0, AT(stale_if_error_s)},
    {SLICE_INIT("min-fresh"), SECONDS, 0, AT(min_fresh_s)},
    {SLICE_INIT("max-stale"), AT_MOST, 0, AT(max_stale_s)},
};

static const struct cache_control silence = {
    .max_age_s = CACHE_UNSAID,
    .s_maxage_s = CACHE_UNSAID,
    .stale_while_revalidate_s = CACHE_UNSAID,
    .stale_if_error_s = CACHE_UNSAID,
    .min_fresh_s = CACHE_UNSAID,
    .max_stale_s = CACHE_UNSAID,
};

static const struct directive *
find_directive(struct slice name)
{
    for (size_t i = 0; i < sizeof(directives) / sizeof(*directives); i++)
        if (slice_eq_nocase(directives[i].name, name))
            return &directives[i];
    return NULL;
}

/* Its span (int64_t) or list (struct slice). */
static void *
member_of(struct cache_control *cc, const struct directive *d)
{
    return (char *) cc + d->offset;
}

static void
set_span(struct cache_control *cc, const struct directive *d, int64_t seconds)
{
    int64_t *span = member_of(cc, d);

    if (seconds > CACHE_SECONDS_MAX)
        seconds = CACHE_SECONDS_MAX;
    if (*span == CACHE_UNSAID || seconds < *span)
        *span = seconds;
}

/* A list said twice would have to be joined: it then counts for all fields. */
static void
set_list(struct cache_control *cc, const struct directive *d, struct slice list)
{
    struct slice *kept = member_of(cc, d);

    if (list.n == 0 || slice_is_present(*kept) || slice_find(list, '\\') != SLICE_NOT_FOUND)
        cc->said |= d->bit;
    else
        *kept = list;
}

/* ------------------------------------------------------------------ Cache-Control */

/* The argument of a directive: a token or a quoted string, both forms for all (RFC 9111 5.2). */
struct argument {
    bool         is_there;
    bool         is_good;
    struct slice text;
};

static struct argument
argument_of(struct slice text)
{
    if (!slice_is_present(text))
        return (struct argument){.is_good = true};
    if (text.n >= 2 && text.at[0] == '"' && text.at[text.n - 1] == '"')
        return (struct argument){true, true, slice_of(text.at + 1, text.n - 2)};
    return (struct argument){true, is_token(text), text};
}

static bool
is_digits(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!ascii_is_digit(s.at[i]))
            return false;
    return s.n != 0;
}

/* More digits than a number holds are a very long span, too. */
static int64_t
seconds_of(struct slice digits)
{
    uint64_t value;

    return slice_to_u64(digits, CACHE_SECONDS_MAX, &value) ? (int64_t) value : CACHE_SECONDS_MAX;
}

static void
read_span(struct cache_control *cc, const struct directive *d, struct argument a, bool request)
{
    if (a.is_there && a.is_good && is_digits(a.text))
        set_span(cc, d, seconds_of(a.text));
    else if (d->kind == AT_MOST && !a.is_there && a.is_good)
        set_span(cc, d, CACHE_SECONDS_MAX);
    else if (!request)
        set_span(cc, d, 0);
}

/* Blanks around '=' are a mistake of whoever wrote them, and make the argument no good. */
static void
read_directive(struct cache_control *cc, struct slice element, bool request)
{
    struct slice value = element, name = slice_cut(&value, '=');
    const struct directive *d = find_directive(slice_trim(name));
    struct argument a;

    if (!d)
        return;
    a = argument_of(value);
    if (slice_trim(name).n != name.n)
        a.is_good = false;
    if (d->kind == SECONDS || d->kind == AT_MOST)
        read_span(cc, d, a, request);
    else if (d->kind == LIST && a.is_there)
        set_list(cc, d, a.is_good ? slice_trim(a.text) : (struct slice){NULL, 0});
    else if (d->kind != SAID || (a.is_good && !a.is_there))
        cc->said |= d->bit;
}

static void
read_cache_control(const struct fields *f, struct cache_control *cc, bool request)
{
    if (!fields_has(f, FIELD_CACHE_CONTROL))
        return;
    for (size_t i = 0; i < f->n; i++) {
        struct slice rest = f->at[i].value, element;

        if (f->at[i].id != FIELD_CACHE_CONTROL)
            continue;
        while (slice_next_element(&rest, &element))
            read_directive(cc, element, request);
    }
}

void
cache_control_of_request(const struct fields *request, struct cache_control *cc)
{
    *cc = silence;
    read_cache_control(request, cc, true);
    if (!fields_get(request, FIELD_CACHE_CONTROL) &&
        fields_list_has(request, FIELD_PRAGMA, SLICE("no-cache")))
        cc->said |= CACHE_NO_CACHE;
}

/* ------------------------------------------------------------------ targeted fields */

/* In a dictionary the last of two members of one name counts (RFC 8941 3.2), whatever its kind. */
static void
forget_directive(struct cache_control *cc, const struct directive *d)
{
    cc->said &= ~d->bit;
    if (d->kind == LIST)
        *(struct slice *) member_of(cc, d) = (struct slice){NULL, 0};
    else if (d->kind == SECONDS || d->kind == AT_MOST)
        *(int64_t *) member_of(cc, d) = CACHE_UNSAID;
}

/* false: a known directive with an argument of the wrong type. */
static bool
read_member(struct cache_control *cc, const struct directive *d, const struct sf_item *item)
{
    forget_directive(cc, d);
    if (d->kind == LIST && item->kind == SF_STRING) {
        set_list(cc, d, slice_trim(item->text));
        return true;
    }
    if (d->kind == SECONDS || d->kind == AT_MOST) {
        if (item->kind == SF_INTEGER)
            set_span(cc, d, item->integer > 0 ? item->integer : 0);
        return item->kind == SF_INTEGER;
    }
    if (item->kind == SF_BOOLEAN && item->truth)
        cc->said |= d->bit;
    return item->kind == SF_BOOLEAN;
}

/* false: not valid, or empty. */
static bool
read_target(const struct fields *f, struct slice name, struct cache_control *cc)
{
    const struct field *field = NULL;
    bool found = false;

    *cc = silence;
    while ((field = fields_next(f, field, name)) != NULL) {
        struct slice rest = field->value, key;
        struct sf_item item;
        enum sf_step step;

        while ((step = sf_next_of_dictionary(&rest, &key, &item)) == SF_MEMBER) {
            const struct directive *d = find_directive(key);

            if (d && !read_member(cc, d, &item))
                return false;
            found = true;
        }
        if (step == SF_BAD)
            return false;
    }
    cc->said |= CACHE_TARGETED;
    return found;
}

void
cache_control_of_response(const struct fields *response, const struct slice *targets,
                          size_t targets_n, struct cache_control *cc)
{
    for (size_t i = 0; i < targets_n; i++)
        if (read_target(response, targets[i], cc))
            return;
    *cc = silence;
    read_cache_control(response, cc, false);
}

/* ------------------------------------------------------------------ */

static bool
list_has(struct slice list, struct slice name)
{
    while (slice_is_present(list))
        if (slice_eq_nocase(slice_trim(slice_cut(&list, ',')), name))
            return true;
    return false;
}

bool
cache_control_lets_keep(const struct cache_control *cc, struct slice field_name)
{
    return !list_has(cc->no_cache_fields, field_name) && !list_has(cc->private_fields, field_name);
}
