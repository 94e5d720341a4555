/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exchange/expr_node.h - what a compiled expression is made of.  Private to the compiler and the
 * evaluator.
 *
 * A tree: conditions have nodes below them, values have none (a value is never computed from
 * others). So the depth of evaluation is the nesting of conditions, which the compiler bounds:
 * fibers have small stacks.  && and || have any number of operands for the same reason.
 */
#ifndef EXCHANGE_EXPR_NODE_H
#define EXCHANGE_EXPR_NODE_H

#include "exchange/expr.h"

enum expr_node_kind {
    /* values */
    NODE_LITERAL,
    NODE_WORD, /* an unquoted word that is nothing else: at the right a string, else an error */
    NODE_VARIABLE,
    /* conditions */
    NODE_OR,  /* operands */
    NODE_AND, /* operands */
    NODE_NOT, /* operand */
    NODE_EXISTS,
    NODE_IN, /* value, then members; == is an `in` with one member */
    NODE_LESS,
    NODE_LESS_OR_EQUAL,
    NODE_STARTS,
    NODE_ENDS,
    NODE_CONTAINS,
    NODE_MATCHES, /* value; its regex */
};

/* How two values are brought together; decided by the compiler. */
enum expr_comparison { AS_STRINGS, AS_INTEGERS, AS_ADDRESSES };

struct expr_node {
    enum expr_node_kind         kind;
    enum expr_type              type;
    enum expr_comparison        as;      /* members of NODE_IN: with the value at the left */
    bool                        negated; /* != and `not in` */
    bool                        boolean; /* literals */
    int64_t                     integer;
    struct network              network;
    struct slice text; /* literal or word as written (decoded), or a function's argument */
    size_t                      offset;   /* into the source */
    const struct expr_variable *variable;
    struct regex               *regex;
    struct expr_node           *first, *next; /* operands; siblings */
};

/* A regular expression that an expression owns. */
struct expr_regex {
    struct expr_regex *next;
    struct regex      *regex;
};

struct expr {
    struct expr_node  *root;
    struct slice       source;
    struct expr_regex *regexes;
    bool               needs_response;
};

/* False: expr_release() would do nothing, the arena has it all. */
static inline bool
expr_needs_release(const struct expr *e)
{
    return e->regexes != NULL;
}

/* As expr_needs_release(), of all that is inside. */
bool expr_template_needs_release(const struct template *t);

struct expr_compiler;

/* The compiler's own helpers, for expr_check.c. */
struct expr_node *expr_fail(struct expr_compiler *c, const struct expr_node *at, const char *hint,
                            const char *format, ...) __attribute__((format(printf, 4, 5)));
struct expr_node *expr_fail_unknown(struct expr_compiler *c, const struct expr_node *word);
struct regex *expr_own_regex(struct expr_compiler *c, const struct expr_node *pattern);

/* Checks the types of a relation whose operands are its children, and decides how they are
 * compared. NULL after filling the error. */
struct expr_node *expr_check_relation(struct expr_compiler *c, struct expr_node *relation,
                                      struct slice operator);
/* A value that stands for itself: NULL after filling the error when it is a word that means
 * nothing. */
struct expr_node *expr_check_value(struct expr_compiler *c, struct expr_node *value);

/* Decimal digits with an optional minus. */
bool expr_read_integer(struct slice s, int64_t *value);
/* "a string", "a number" */
const char *expr_type_words(enum expr_type type);

#endif
