/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exchange/expr_lex.h - from the bytes of an expression to its tokens.  Private to the compiler.
 */
#ifndef EXCHANGE_EXPR_LEX_H
#define EXCHANGE_EXPR_LEX_H

#include "exchange/expr.h"

enum token_kind {
    TOKEN_END,
    TOKEN_WORD,   /* names, numbers, addresses, unquoted strings, operators made of letters */
    TOKEN_STRING, /* in quotes; text is what it means */
    TOKEN_SIGN,   /* ( ) [ ] , ! && || == != < <= > >= */
    TOKEN_BAD,    /* the error is filled in */
};

struct token {
    enum token_kind kind;
    size_t          offset; /* of its first byte */
    struct slice    text;
};

struct lexer {
    struct arena      *arena; /* strings with escapes are decoded into it */
    struct slice       source;
    size_t             at;
    struct expr_error *error;
};

struct token lexer_next(struct lexer *l);

/* Fills an error; hint may be NULL. */
void expr_error_set(struct expr_error *e, size_t offset, const char *hint, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
