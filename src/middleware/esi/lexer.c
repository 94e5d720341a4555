/* SPDX-License-Identifier: Apache-2.0 */
/* middleware/esi/lexer.c - see lexer.h. */
#include "middleware/esi/lexer.h"

#include "base/check.h"

enum state {
    PLAIN,
    MARK,     /* `held` is the beginning of a mark */
    TAG,      /* `held` is a tag up to here */
    VARIABLE, /* `held` is a variable up to here */
};

enum mark_kind { MARK_TAG, MARK_COMMENT, MARK_COMMENT_END, MARK_VARIABLE };

static const struct mark {
    struct slice   text;
    enum mark_kind kind;
} marks[] = {
    {SLICE_INIT("<esi:"), MARK_TAG},       {SLICE_INIT("</esi:"), MARK_TAG},
    {SLICE_INIT("<!--esi"), MARK_COMMENT}, {SLICE_INIT("-->"), MARK_COMMENT_END},
    {SLICE_INIT("$("), MARK_VARIABLE},
};

void
esi_lexer_init(struct esi_lexer *l)
{
    *l = (struct esi_lexer){0};
    text_init(&l->held, ESI_TAG_MAX);
}

void
esi_lexer_free(struct esi_lexer *l)
{
    text_free(&l->held);
}

static bool
is_asked_for(const struct esi_lexer *l, enum mark_kind kind)
{
    return (kind != MARK_COMMENT_END || l->comment) && (kind != MARK_VARIABLE || l->variables);
}

/* The mark that begins with these bytes; *whole: it consists of them. */
static const struct mark *
find_mark(const struct esi_lexer *l, struct slice bytes, bool *whole)
{
    for (size_t i = 0; i < countof(marks); i++) {
        if (!is_asked_for(l, marks[i].kind) || !slice_starts(marks[i].text, bytes))
            continue;
        *whole = marks[i].text.n == bytes.n;
        return &marks[i];
    }
    return NULL;
}

/* Offset of the first byte with which a mark may begin. */
static size_t
plain_length(const struct esi_lexer *l, struct slice s)
{
    size_t n = slice_find(s, '<');

    if (n != SLICE_NOT_FOUND)
        s.n = n;
    if (l->comment && (n = slice_find(s, '-')) != SLICE_NOT_FOUND)
        s.n = n;
    if (l->variables && (n = slice_find(s, '$')) != SLICE_NOT_FOUND)
        s.n = n;
    return s.n;
}

static enum esi_token
give_held(struct esi_lexer *l, enum esi_token token, struct slice *out)
{
    l->state = PLAIN;
    l->given = true;
    *out = text_slice(&l->held);
    return token;
}

static void
drop_held(struct esi_lexer *l)
{
    l->held.n = 0;
    l->given = false;
    l->state = PLAIN;
}

static void
begin(struct esi_lexer *l, enum mark_kind kind)
{
    l->quote = '\0';
    switch (kind) {
    case MARK_TAG: l->state = TAG; break;
    case MARK_VARIABLE: l->state = VARIABLE; break;
    case MARK_COMMENT:
    case MARK_COMMENT_END:
        l->comment = kind == MARK_COMMENT;
        drop_held(l);
        break;
    }
}

static enum esi_token
read_plain(struct esi_lexer *l, struct slice *input, struct slice *out)
{
    size_t n = plain_length(l, *input);

    if (n == 0) {
        l->state = MARK;
        return ESI_TOKEN_NONE;
    }
    *out = slice_first(*input, n);
    *input = slice_from(*input, n);
    return ESI_TOKEN_TEXT;
}

/* One more byte of what may become a mark. */
static enum esi_token
read_mark(struct esi_lexer *l, struct slice *input, struct slice *out)
{
    const struct mark *m;
    bool whole;

    text_byte(&l->held, input->at[0]);
    m = l->held.full ? NULL : find_mark(l, text_slice(&l->held), &whole);
    if (m) {
        *input = slice_from(*input, 1);
        if (whole)
            begin(l, m->kind);
        return ESI_TOKEN_NONE;
    }
    if (l->held.full)
        return ESI_TOKEN_BAD;
    l->held.n--;
    if (slice_eq(text_slice(&l->held), SLICE("--")) && input->at[0] == '-') {
        /* The last two of "---" may yet begin "-->". */
        *out = slice_first(*input, 1);
        *input = slice_from(*input, 1);
        return ESI_TOKEN_TEXT;
    }
    if (l->held.n == 0) { /* a byte that begins no mark that is asked for */
        drop_held(l);
        *out = slice_first(*input, 1);
        *input = slice_from(*input, 1);
        return ESI_TOKEN_TEXT;
    }
    return give_held(l, ESI_TOKEN_TEXT, out);
}

/* True after the byte that ends the mark. */
static bool
is_end(struct esi_lexer *l, char c, char end)
{
    if (l->quote)
        l->quote = c == l->quote ? '\0' : l->quote;
    else if (c == '\'' || (c == '"' && end == '>'))
        l->quote = c;
    else
        return c == end;
    return false;
}

static enum esi_token
read_tag(struct esi_lexer *l, struct slice *input, struct slice *out)
{
    for (size_t i = 0; i < input->n; i++) {
        if (!is_end(l, input->at[i], '>'))
            continue;
        text_put(&l->held, slice_first(*input, i + 1));
        *input = slice_from(*input, i + 1);
        return l->held.full ? ESI_TOKEN_BAD : give_held(l, ESI_TOKEN_TAG, out);
    }
    text_put(&l->held, *input);
    *input = slice_from(*input, input->n);
    return l->held.full ? ESI_TOKEN_BAD : ESI_TOKEN_NONE;
}

/* Names are in upper case; a script's $(document) is none. */
static bool
begins_name(const struct esi_lexer *l, char c)
{
    return l->held.n > 2 || (c >= 'A' && c <= 'Z');
}

static enum esi_token
read_variable(struct esi_lexer *l, struct slice *input, struct slice *out)
{
    while (input->n) {
        char c = input->at[0];

        if (!begins_name(l, c) || l->held.n == ESI_VARIABLE_MAX)
            return give_held(l, ESI_TOKEN_TEXT, out);
        text_byte(&l->held, c);
        if (l->held.full)
            return ESI_TOKEN_BAD;
        *input = slice_from(*input, 1);
        if (is_end(l, c, ')'))
            return give_held(l, ESI_TOKEN_VARIABLE, out);
    }
    return ESI_TOKEN_NONE;
}

enum esi_token
esi_lexer_next(struct esi_lexer *l, struct slice *input, struct slice *out)
{
    enum esi_token token = ESI_TOKEN_NONE;

    if (l->given)
        drop_held(l);
    while (input->n && token == ESI_TOKEN_NONE) {
        switch ((enum state) l->state) {
        case PLAIN: token = read_plain(l, input, out); break;
        case MARK: token = read_mark(l, input, out); break;
        case TAG: token = read_tag(l, input, out); break;
        case VARIABLE: token = read_variable(l, input, out); break;
        }
    }
    return token;
}

enum esi_token
esi_lexer_end(struct esi_lexer *l, struct slice *out)
{
    if (l->given)
        drop_held(l);
    if (l->state == TAG)
        return ESI_TOKEN_BAD;
    return l->held.n ? give_held(l, ESI_TOKEN_TEXT, out) : ESI_TOKEN_NONE;
}
