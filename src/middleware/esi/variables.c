/* SPDX-License-Identifier: Apache-2.0 */
/* middleware/esi/variables.c - see variables.h; ESI Language Specification 1.0, 2. */
#include "middleware/esi/variables.h"

#include "base/check.h"
#include "middleware/esi/lexer.h"

typedef struct esi_value get_f(const struct exchange *x, struct slice key, struct arena *arena);

static struct esi_value
found(struct slice text)
{
    return (struct esi_value){.text = text};
}

static struct esi_value
nothing(void)
{
    return found((struct slice){NULL, 0});
}

/* ------------------------------------------------------------------ one function each */

static struct esi_value
get_host(const struct exchange *x, struct slice key, struct arena *arena)
{
    (void) key;
    (void) arena;
    return (struct esi_value){.text = x->request.authority, .is_uri = true};
}

static struct esi_value
get_referer(const struct exchange *x, struct slice key, struct arena *arena)
{
    (void) key;
    (void) arena;
    return found(fields_value(&x->request.fields, FIELD_REFERER));
}

static struct esi_value
get_cookie(const struct exchange *x, struct slice key, struct arena *arena)
{
    (void) arena;
    if (!slice_is_present(key))
        return found(fields_value(&x->request.fields, FIELD_COOKIE));
    return found(fields_cookie(&x->request.fields, key));
}

static struct esi_value
get_query(const struct exchange *x, struct slice key, struct arena *arena)
{
    struct slice query = x->request.target.query;

    if (!slice_is_present(key))
        return (struct esi_value){.text = query, .is_uri = true};
    return query.n ? found(query_value(query, key, arena)) : nothing();
}

/* "en-gb;q=0.7" is the language en-gb. */
static bool
accepts(const struct exchange *x, struct slice language)
{
    for (const struct field *f = NULL;
         (f = fields_next(&x->request.fields, f, SLICE("Accept-Language")));) {
        struct slice rest = f->value, element;

        while (slice_next_element(&rest, &element)) {
            struct slice name = slice_trim(slice_cut(&element, ';'));

            if (slice_eq_nocase(name, language))
                return true;
        }
    }
    return false;
}

static struct esi_value
get_language(const struct exchange *x, struct slice key, struct arena *arena)
{
    (void) arena;
    if (!slice_is_present(key))
        return found(fields_value(&x->request.fields, FIELD_ACCEPT_LANGUAGE));
    return found(accepts(x, key) ? SLICE("true") : SLICE("false"));
}

/* The number at the start of s, such as 5.0. */
static struct slice
version_at(struct slice s)
{
    size_t n = 0;

    while (n < s.n && (ascii_is_digit(s.at[n]) || s.at[n] == '.'))
        n++;
    return n ? slice_first(s, n) : (struct slice){NULL, 0};
}

static struct slice
agent_version(struct slice agent)
{
    static const struct slice before[] = {SLICE_INIT("MSIE "), SLICE_INIT("Mozilla/")};

    for (size_t i = 0; i < countof(before); i++) {
        size_t at = slice_search(agent, before[i]);

        if (at != SLICE_NOT_FOUND)
            return version_at(slice_from(agent, at + before[i].n));
    }
    return (struct slice){NULL, 0};
}

/* What a part of User-Agent stands for, the first that is found. */
struct sign {
    struct slice part, meaning;
};

static struct slice
meaning_of(struct slice agent, const struct sign *signs, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (slice_search(agent, signs[i].part) != SLICE_NOT_FOUND)
            return signs[i].meaning;
    return SLICE("OTHER");
}

static struct slice
agent_browser(struct slice agent)
{
    static const struct sign signs[] = {
        {SLICE_INIT("MSIE"), SLICE_INIT("MSIE")},
        {SLICE_INIT("Mozilla"), SLICE_INIT("MOZILLA")},
    };

    return meaning_of(agent, signs, countof(signs));
}

static struct slice
agent_os(struct slice agent)
{
    static const struct sign signs[] = {
        {SLICE_INIT("Windows"), SLICE_INIT("WIN")}, {SLICE_INIT("Mac"), SLICE_INIT("MAC")},
        {SLICE_INIT("Linux"), SLICE_INIT("UNIX")},  {SLICE_INIT("BSD"), SLICE_INIT("UNIX")},
        {SLICE_INIT("X11"), SLICE_INIT("UNIX")},
    };

    return meaning_of(agent, signs, countof(signs));
}

static struct esi_value
get_agent(const struct exchange *x, struct slice key, struct arena *arena)
{
    struct slice agent = fields_value(&x->request.fields, FIELD_USER_AGENT);

    (void) arena;
    if (!slice_is_present(agent) || !slice_is_present(key))
        return found(agent);
    if (slice_eq(key, SLICE("browser")))
        return found(agent_browser(agent));
    if (slice_eq(key, SLICE("os")))
        return found(agent_os(agent));
    return slice_eq(key, SLICE("version")) ? found(agent_version(agent)) : nothing();
}

static const struct variable {
    struct slice name;
    get_f       *get;
} variables[] = {
    {SLICE_INIT("HTTP_HOST"), get_host},
    {SLICE_INIT("HTTP_REFERER"), get_referer},
    {SLICE_INIT("HTTP_COOKIE"), get_cookie},
    {SLICE_INIT("HTTP_USER_AGENT"), get_agent},
    {SLICE_INIT("HTTP_ACCEPT_LANGUAGE"), get_language},
    {SLICE_INIT("QUERY_STRING"), get_query},
};

/* ------------------------------------------------------------------ how they are written */

/* NAME{key|default} or NAME|default, taken apart; key and default are absent when not there. */
struct reference {
    struct slice name, key, otherwise;
};

static struct slice
unquoted(struct slice s)
{
    if (s.n >= 2 && s.at[0] == '\'' && s.at[s.n - 1] == '\'')
        return slice_of(s.at + 1, s.n - 2);
    return s;
}

/* Both places for a default are in use: inside of the braces, and behind them. */
static bool
read_reference(struct slice s, struct reference *r)
{
    size_t n = 0;

    while (n < s.n && ((s.at[n] >= 'A' && s.at[n] <= 'Z') || s.at[n] == '_'))
        n++;
    *r = (struct reference){.name = slice_first(s, n)};
    s = slice_from(s, n);
    if (s.n && s.at[0] == '{') {
        size_t end = slice_find(s, '}');

        if (end == SLICE_NOT_FOUND)
            return false;
        r->otherwise = slice_of(s.at + 1, end - 1);
        r->key = slice_cut(&r->otherwise, '|');
        s = slice_from(s, end + 1);
    }
    if (s.n && s.at[0] == '|') {
        r->otherwise = slice_from(s, 1);
        s.n = 0;
    }
    return n > 0 && s.n == 0;
}

bool
esi_variable(struct slice whole, const struct exchange *x, struct arena *arena,
             struct esi_value *value)
{
    struct reference r;

    if (whole.n < 3 || !read_reference(slice_of(whole.at + 2, whole.n - 3), &r))
        return false;
    *value = nothing();
    for (size_t i = 0; i < countof(variables); i++)
        if (slice_eq(variables[i].name, r.name))
            *value = variables[i].get(x, r.key, arena);
    if (value->text.n == 0 && slice_is_present(r.otherwise))
        *value = found(unquoted(r.otherwise));
    return true;
}

/* RFC 3986 2.3 unreserved characters stand for themselves. */
static void
put_encoded(struct slice s, struct text *out)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char) s.at[i];

        if (ascii_is_alpha(s.at[i]) || ascii_is_digit(s.at[i]) || memchr("-._~", c, 4)) {
            text_byte(out, s.at[i]);
            continue;
        }
        text_byte(out, '%');
        text_byte(out, "0123456789ABCDEF"[c >> 4]);
        text_byte(out, "0123456789ABCDEF"[c & 15]);
    }
}

void
esi_variable_write(struct esi_value value, enum esi_escape escape, struct text *out)
{
    switch (escape) {
    case ESI_PLAIN: text_put(out, value.text); break;
    case ESI_HTML: text_html(out, value.text); break;
    case ESI_URL:
        if (value.is_uri)
            text_put(out, value.text);
        else
            put_encoded(value.text, out);
        break;
    }
}

size_t
esi_variable_length(struct slice s)
{
    char quote = '\0';

    if (!slice_starts(s, SLICE("$(")) || s.n < 4 || s.at[2] < 'A' || s.at[2] > 'Z')
        return 0;
    for (size_t i = 2; i < s.n && i < ESI_VARIABLE_MAX; i++) {
        if (s.at[i] == '\'')
            quote = quote ? '\0' : '\'';
        else if (!quote && s.at[i] == ')')
            return i + 1;
    }
    return 0;
}

void
esi_expand(struct slice text, enum esi_escape escape, const struct exchange *x, struct arena *arena,
           struct text *out)
{
    while (text.n) {
        size_t at = slice_find(text, '$'), n;
        struct esi_value value;

        if (at == SLICE_NOT_FOUND)
            at = text.n;
        text_put(out, slice_first(text, at));
        text = slice_from(text, at);
        n = esi_variable_length(text);
        if (n && esi_variable(slice_first(text, n), x, arena, &value))
            esi_variable_write(value, escape, out);
        else
            text_put(out, slice_first(text, n = n ? n : 1));
        text = slice_from(text, n);
    }
}
