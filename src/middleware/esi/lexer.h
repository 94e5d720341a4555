/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/esi/lexer.h - where in a document ESI's marks are.  Private to esi.
 *
 * Bytes come in pieces that may be cut anywhere; what is no mark goes through as slices of them,
 * without a copy.  `<!--esi` and the `-->` that ends it are swallowed: what stands between them is
 * the document's (ESI Language Specification 1.0, 3.7).
 */
#ifndef MIDDLEWARE_ESI_LEXER_H
#define MIDDLEWARE_ESI_LEXER_H

#include "base/text.h"

enum {
    ESI_TAG_MAX = 8 * 1024, /* bytes of one tag */
    ESI_VARIABLE_MAX = 1024,
};

enum esi_token {
    ESI_TOKEN_NONE,     /* all of the input was read */
    ESI_TOKEN_TEXT,
    ESI_TOKEN_TAG,      /* `<esi:...>` or `</esi:...>`, whole */
    ESI_TOKEN_VARIABLE, /* `$(...)`, whole; only while lexer.variables is set */
    ESI_TOKEN_BAD,      /* a tag that does not end */
};

struct esi_lexer {
    struct text held;      /* a mark that is not whole yet */
    int         state;     /* enum state of lexer.c */
    char        quote;     /* in a quoted part of the mark, that quote */
    bool        given;     /* `held` was given out, and is to be dropped */
    bool        comment;   /* inside of <!--esi */
    bool        variables; /* set by whoever reads: `$(` is a mark too */
};

void esi_lexer_init(struct esi_lexer *l);
void esi_lexer_free(struct esi_lexer *l);
/* Takes the next token off the front of *input.  *out is a part of the input or of the lexer, lent
 * until the next call. */
enum esi_token esi_lexer_next(struct esi_lexer *l, struct slice *input, struct slice *out);
/* After the last of the input: what was held back; then NONE. */
enum esi_token esi_lexer_end(struct esi_lexer *l, struct slice *out);

#endif
