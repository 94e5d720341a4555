/* SPDX-License-Identifier: Apache-2.0 */
/* exchange/template.c - text with ${expressions} inside. */
#include "base/check.h"
#include "exchange/exchange.h"
#include "exchange/expr_lex.h"
#include "exchange/expr_node.h"

enum { PARTS_MAX = 64, SOURCE_MAX = 64 * 1024 };

struct part {
    struct part *next;
    struct expr *expr; /* NULL: text */
    struct slice text;
};

struct template {
    struct part *first;
    size_t       n;
};

/* What is being compiled: the template so far, and where its next part goes. */
struct builder {
    struct arena      *arena;
    struct template   *template;
    struct part      **last;
    struct expr_error *error;
};

static bool
add_part(struct builder *b, struct slice text, struct expr *expr, size_t offset)
{
    struct part *p = b->template->n < PARTS_MAX ? arena_new(b->arena, struct part) : NULL;

    if (!p) {
        expr_error_set(b->error, offset, NULL,
                       b->template->n == PARTS_MAX ? "more than 64 parts" : "out of memory");
        expr_release(expr);
        return false;
    }
    *p = (struct part){NULL, expr, text};
    *b->last = p;
    b->last = &p->next;
    b->template->n++;
    return true;
}

/* Offset of the brace that closes the expression at `at`; braces inside of strings do not count. */
static size_t
closing_brace(struct slice s, size_t at)
{
    char quote = '\0';

    for (; at < s.n; at++) {
        char c = s.at[at];

        if (quote && c == '\\')
            at++;
        else if (quote)
            quote = c == quote ? '\0' : quote;
        else if (c == '\'' || c == '"')
            quote = c;
        else if (c == '}')
            return at;
    }
    return SLICE_NOT_FOUND;
}

/* The expression whose "${" stands at `at`; *end is set behind its "}". */
static bool
add_expression(struct builder *b, struct slice s, size_t at, size_t *end)
{
    size_t close = closing_brace(s, at + 2);
    struct expr *e;

    if (close == SLICE_NOT_FOUND) {
        expr_error_set(b->error, at, "write `$${` for the characters themselves",
                       "`${` without its `}`");
        return false;
    }
    e = expr_compile(b->arena, slice_of(s.at + at + 2, close - at - 2), EXPR_STRING, b->error);
    if (!e) {
        b->error->offset += at + 2;
        return false;
    }
    *end = close + 1;
    return add_part(b, (struct slice){NULL, 0}, e, at);
}

/* Text up to the next "${"; "$${" ends a part too, whose first dollar is left out. */
static bool
add_text(struct builder *b, struct slice s, size_t *at)
{
    size_t start = *at, n = slice_search(slice_from(s, start), SLICE("${"));
    bool escaped;

    if (n == SLICE_NOT_FOUND)
        n = s.n - start;
    escaped = n && start + n < s.n && s.at[start + n - 1] == '$';
    *at = start + n + (escaped ? 2 : 0);
    if (!escaped)
        return n == 0 || add_part(b, slice_of(s.at + start, n), NULL, start);
    return (n == 1 || add_part(b, slice_of(s.at + start, n - 1), NULL, start)) &&
           add_part(b, slice_of(s.at + start + n, 2), NULL, start + n);
}

static bool
add_all(struct builder *b, struct slice s)
{
    size_t at = 0;

    if (s.n > SOURCE_MAX) {
        expr_error_set(b->error, 0, NULL, "this text is longer than 64 KiB");
        return false;
    }
    while (at < s.n) {
        bool good = slice_starts(slice_from(s, at), SLICE("${")) ? add_expression(b, s, at, &at)
                                                                  : add_text(b, s, &at);

        if (!good)
            return false;
    }
    return true;
}

/* A text in pieces, because of "$${", becomes one, so that it need not be joined each time. */
static bool
join_constant(struct builder *b)
{
    struct template *t = b->template;
    size_t total = 0;
    char *out;

    if (t->n < 2 || !template_is_constant(t))
        return true;
    for (const struct part *p = t->first; p; p = p->next)
        total += p->text.n;
    out = arena_alloc(b->arena, total);
    if (!out) {
        expr_error_set(b->error, 0, NULL, "out of memory");
        return false;
    }
    total = 0;
    for (const struct part *p = t->first; p; p = p->next) {
        memcpy(out + total, p->text.at, p->text.n);
        total += p->text.n;
    }
    *t->first = (struct part){.text = slice_of(out, total)};
    t->n = 1;
    return true;
}

struct template *
template_compile(struct arena *arena, struct slice source, struct expr_error *error)
{
    struct template *t = arena_new(arena, struct template);
    struct slice copy = arena_copy(arena, source);
    struct builder b = {arena, t, t ? &t->first : NULL, error};

    *error = (struct expr_error){0};
    if (!t || !copy.at) {
        expr_error_set(error, 0, NULL, "out of memory");
        return NULL;
    }
    if (add_all(&b, copy) && join_constant(&b))
        return t;
    template_release(t);
    return NULL;
}

void
template_release(struct template *t)
{
    for (struct part *p = t ? t->first : NULL; p; p = p->next) {
        expr_release(p->expr);
        p->expr = NULL;
    }
}

bool
expr_template_needs_release(const struct template *t)
{
    for (const struct part *p = t->first; p; p = p->next)
        if (p->expr && expr_needs_release(p->expr))
            return true;
    return false;
}

bool
template_is_constant(const struct template *t)
{
    for (const struct part *p = t->first; p; p = p->next)
        if (p->expr)
            return false;
    return true;
}

static struct slice
render_part(const struct part *p, struct exchange *x)
{
    struct slice s = p->expr ? expr_text(p->expr, x) : p->text;

    return slice_is_present(s) ? s : SLICE("");
}

struct slice
template_render(const struct template *t, struct exchange *x)
{
    struct slice values[PARTS_MAX];
    size_t n = 0, total = 0;
    char *out;

    if (t->n == 0)
        return SLICE("");
    if (t->n == 1)
        return render_part(t->first, x);
    for (const struct part *p = t->first; p; p = p->next) {
        values[n] = render_part(p, x);
        total += values[n++].n;
    }
    out = arena_alloc(&x->arena, total + 1);
    if (!out)
        return (struct slice){NULL, 0};
    for (size_t i = 0, at = 0; i < n; at += values[i++].n)
        memcpy(out + at, values[i].at, values[i].n);
    return slice_of(out, total);
}
