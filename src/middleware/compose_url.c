/* SPDX-License-Identifier: Apache-2.0 */
/* middleware/compose_url.c - see compose_url.h. */
#include "middleware/compose_url.h"

#include "base/check.h"
#include "base/text.h"
#include "exchange/exchange.h"

struct part {
    struct part *next;
    struct slice text;
    struct expr *expr;  /* NULL: text */
    bool         as_is; /* it is a part of a URI already */
};

struct compose_url {
    struct part *first;
};

/* ------------------------------------------------------------------ at load */

static void
release(void *e)
{
    expr_release(e);
}

static bool
is_uri(struct slice expression)
{
    static const struct slice names[] = {
        SLICE_INIT("path"),
        SLICE_INIT("raw_path"),
        SLICE_INIT("uri"),
        SLICE_INIT("query"),
    };

    for (size_t i = 0; i < countof(names); i++)
        if (slice_eq(names[i], slice_trim(expression)))
            return true;
    return false;
}

/* Offset of the brace that closes an expression. */
static size_t
closing_brace(struct slice s)
{
    char quote = '\0';

    for (size_t i = 0; i < s.n; i++) {
        char c = s.at[i];

        if (quote && c == '\\')
            i++;
        else if (quote)
            quote = c == quote ? '\0' : quote;
        else if (c == '\'' || c == '"')
            quote = c;
        else if (c == '}')
            return i;
    }
    return SLICE_NOT_FOUND;
}

/* The part at the start of *rest is cut off; at: its offset in the whole. */
static bool
parse_part(struct config_bind *b, const struct config_node *node, struct slice *rest, size_t at,
           struct part *part)
{
    size_t n = slice_search(*rest, SLICE("${"));
    struct expr_error error;

    if (n != 0) {
        part->text = slice_first(*rest, n);
        *rest = slice_from(*rest, part->text.n);
        return true;
    }
    n = closing_brace(slice_from(*rest, 2));
    if (n == SLICE_NOT_FOUND)
        return option_error_inside(b, node, at, NULL, "`${` without its `}`");
    part->text = slice_of(rest->at + 2, n);
    part->as_is = is_uri(part->text);
    part->expr = expr_compile(config_bind_arena(b), part->text, EXPR_STRING, &error);
    if (!part->expr)
        return option_error_inside(b, node, at + 2 + error.offset,
                                   error.hint[0] ? error.hint : NULL, "%s", error.text);
    *rest = slice_from(*rest, n + 3);
    return config_bind_cleanup(b, release, part->expr) ||
           option_error(b, node, NULL, "out of memory");
}

static bool
url_parse(struct config_bind *b, const struct option *o, const struct config_node *node, void *out)
{
    struct compose_url *u, **place = out;
    struct slice rest = node->text;
    struct part **last;

    if (!option_scalar(b, o, node))
        return false;
    if (!slice_starts(rest, SLICE("/")) && !slice_starts(rest, SLICE("http://")) &&
        !slice_starts(rest, SLICE("https://")))
        return option_error(b, node, "`/users/${query('id')}`",
                            "a URL here begins with `/`, `http://` or `https://`");
    *place = u = arena_new(config_bind_arena(b), struct compose_url);
    last = u ? &u->first : NULL;
    while (last && rest.n) {
        *last = arena_new(config_bind_arena(b), struct part);
        if (*last && !parse_part(b, node, &rest, (size_t) (rest.at - node->text.at), *last))
            return false;
        last = *last ? &(*last)->next : NULL;
    }
    return last || option_error(b, node, NULL, "out of memory");
}

static void
url_schema(const struct option *o, struct text *out)
{
    (void) o;
    text_literal(out, "{\"type\":\"string\"}");
}

const struct option_kind compose_url_option = {
    .name = "URL",
    .syntax = "a path or URL in which `${expression}` is replaced, percent-encoded, such as "
              "`/users/${query('id')}`",
    .size = sizeof(struct compose_url *),
    .parse = url_parse,
    .schema = url_schema,
};

/* ------------------------------------------------------------------ per request */

/* RFC 3986 2.3 unreserved characters stand for themselves. */
static void
put_encoded(struct text *out, struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char) s.at[i];

        if (ascii_is_alpha(s.at[i]) || ascii_is_digit(s.at[i]) || memchr("-._~", c, 4))
            text_byte(out, s.at[i]);
        else
            text_printf(out, "%%%02X", c);
    }
}

/* "..", "%2E.": dots cannot be encoded away. */
static bool
is_dots(struct slice s)
{
    size_t dots = 0;

    for (; s.n; dots++)
        if (s.at[0] == '.')
            s = slice_from(s, 1);
        else if (slice_starts_nocase(s, SLICE("%2e")))
            s = slice_from(s, 3);
        else
            return false;
    return dots == 1 || dots == 2;
}

/* /users/.. is what is above /users, whatever the dots are made of. */
static bool
has_dots(struct slice url)
{
    struct slice path = slice_cut(&url, '?');

    while (slice_is_present(path))
        if (is_dots(slice_cut(&path, '/')))
            return true;
    return false;
}

/* Values say what is asked for, not whom: "/${query('a')}/b" without an a is no "//b", which would
 * be the host b. */
static struct slice
at_home(struct slice url)
{
    while (slice_starts(url, SLICE("//")))
        url = slice_from(url, 1);
    return url;
}

struct slice
compose_url_render(const struct compose_url *u, struct exchange *x)
{
    struct slice absent = {NULL, 0}, whole;
    struct text out;

    text_init(&out, COMPOSE_URL_MAX);
    for (const struct part *p = u->first; p; p = p->next) {
        struct slice value = p->expr ? expr_text(p->expr, x) : p->text;

        if (!p->expr || p->as_is)
            text_put(&out, value);
        else
            put_encoded(&out, value);
    }
    whole = at_home(text_slice(&out));
    whole = out.full || has_dots(whole) ? absent : arena_copy(&x->arena, whole);
    text_free(&out);
    return whole;
}
