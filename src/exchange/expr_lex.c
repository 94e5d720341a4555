/* SPDX-License-Identifier: Apache-2.0 */
/* exchange/expr_lex.c - tokens of the expression language. */
#include "exchange/expr_lex.h"

#include "base/check.h"

#include <stdio.h>

void
expr_error_set(struct expr_error *e, size_t offset, const char *hint, const char *format, ...)
{
    va_list args;

    e->offset = offset;
    va_start(args, format);
    vsnprintf(e->text, sizeof(e->text), format, args);
    va_end(args);
    snprintf(e->hint, sizeof(e->hint), "%s", hint ? hint : "");
}

static bool
is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool
is_word_byte(char c)
{
    return ascii_is_alpha(c) || ascii_is_digit(c) || (c && strchr("_.:/-*+%", c));
}

static struct token
bad(struct lexer *l, size_t offset, const char *hint, const char *what)
{
    expr_error_set(l->error, offset, hint, "%s", what);
    return (struct token){.kind = TOKEN_BAD, .offset = offset};
}

/* ------------------------------------------------------------------ strings */

static bool
hex_digit(char c, unsigned *value)
{
    uint64_t v;

    if (!slice_hex_to_u64(slice_of(&c, 1), &v))
        return false;
    *value = (unsigned) v;
    return true;
}

/* Decodes the escape whose backslash is s.at[0]; how many bytes it takes, 0 when it is none. */
static size_t
unescape(struct slice s, char *out)
{
    static const char names[] = "\\'\"nt", bytes[] = "\\'\"\n\t";
    const char *name;
    unsigned high, low;

    if (s.n >= 4 && s.at[1] == 'x' && hex_digit(s.at[2], &high) && hex_digit(s.at[3], &low)) {
        *out = (char) (high << 4 | low);
        return 4;
    }
    if (s.n < 2 || s.at[1] == '\0' || !(name = strchr(names, s.at[1])))
        return 0;
    *out = bytes[name - names];
    return 2;
}

static struct token
decode_string(struct lexer *l, size_t offset, struct slice inside)
{
    char *out = arena_alloc(l->arena, inside.n);
    size_t n = 0;

    if (!out)
        return bad(l, offset, NULL, "out of memory");
    for (size_t i = 0; i < inside.n;) {
        size_t used = 1;

        if (inside.at[i] == '\\')
            used = unescape(slice_from(inside, i), &out[n]);
        else
            out[n] = inside.at[i];
        if (used == 0)
            return bad(l, offset + 1 + i, "the escapes are \\\\ \\' \\\" \\n \\t \\xHH",
                       "unknown escape");
        i += used;
        n++;
    }
    return (struct token){TOKEN_STRING, offset, slice_of(out, n)};
}

static struct token
lex_string(struct lexer *l)
{
    size_t start = l->at;
    char quote = l->source.at[start];
    bool escapes = false;
    size_t end = start + 1;

    while (end < l->source.n && l->source.at[end] != quote) {
        if (l->source.at[end] == '\\') {
            escapes = true;
            end++;
        }
        end++;
    }
    if (end >= l->source.n)
        return bad(l, start, NULL, "this string has no closing quote");
    l->at = end + 1;
    if (escapes)
        return decode_string(l, start, slice_of(l->source.at + start + 1, end - start - 1));
    return (struct token){TOKEN_STRING, start, slice_of(l->source.at + start + 1, end - start - 1)};
}

/* ------------------------------------------------------------------ signs and words */

static struct token
lex_sign(struct lexer *l)
{
    static const struct slice signs[] = {
        SLICE_INIT("&&"), SLICE_INIT("||"), SLICE_INIT("=="), SLICE_INIT("!="), SLICE_INIT("<="),
        SLICE_INIT(">="), SLICE_INIT("<"),  SLICE_INIT(">"),  SLICE_INIT("!"),  SLICE_INIT("("),
        SLICE_INIT(")"),  SLICE_INIT("["),  SLICE_INIT("]"),  SLICE_INIT(","),
    };
    struct slice rest = slice_from(l->source, l->at);
    const char *hint = NULL;

    for (size_t i = 0; i < countof(signs); i++) {
        if (slice_starts(rest, signs[i])) {
            struct token t = {TOKEN_SIGN, l->at, slice_first(rest, signs[i].n)};

            l->at += signs[i].n;
            return t;
        }
    }
    switch (rest.at[0]) {
    case '=': hint = "write `==` to compare"; break;
    case '&': hint = "write `&&`"; break;
    case '|': hint = "write `||`"; break;
    default: hint = "put text that is not a plain word in quotes"; break;
    }
    return bad(l, l->at, hint, "this character means nothing here");
}

static struct token
lex_word(struct lexer *l)
{
    size_t start = l->at;

    while (l->at < l->source.n && is_word_byte(l->source.at[l->at]))
        l->at++;
    return (struct token){TOKEN_WORD, start, slice_of(l->source.at + start, l->at - start)};
}

struct token
lexer_next(struct lexer *l)
{
    char c;

    while (l->at < l->source.n && is_blank(l->source.at[l->at]))
        l->at++;
    if (l->at == l->source.n)
        return (struct token){.kind = TOKEN_END, .offset = l->at};
    c = l->source.at[l->at];
    if (c == '\'' || c == '"')
        return lex_string(l);
    return is_word_byte(c) ? lex_word(l) : lex_sign(l);
}
