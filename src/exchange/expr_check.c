/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exchange/expr_check.c - the types of relations, and how values of two types are compared.
 *
 * Strings compare with strings.  Beside a number, a string is read as a number, beside an address
 * as an address; a string that is none of these at run time equals nothing.  A literal that cannot
 * be read so is an error when the expression is compiled.
 */
#include "base/check.h"
#include "exchange/expr_node.h"

const char *
expr_type_words(enum expr_type type)
{
    switch (type) {
    case EXPR_BOOL: return "a condition";
    case EXPR_INT: return "a number";
    case EXPR_STRING: return "a string";
    case EXPR_IP: return "an address";
    }
    UNREACHABLE();
}

struct expr_node *
expr_check_value(struct expr_compiler *c, struct expr_node *value)
{
    if (value->kind == NODE_WORD)
        return expr_fail_unknown(c, value);
    return value;
}

/* ------------------------------------------------------------------ reading literals */

static bool
is_literal(const struct expr_node *n)
{
    return n->kind == NODE_LITERAL;
}

/* A word at the right is a string. */
static void
settle_word(struct expr_node *n)
{
    if (n->kind == NODE_WORD)
        n->kind = NODE_LITERAL;
}

static struct expr_node *
read_as_integer(struct expr_compiler *c, struct expr_node *n)
{
    if (n->type == EXPR_STRING && is_literal(n) && !expr_read_integer(n->text, &n->integer))
        return expr_fail(c, n, NULL, "this is compared with a number and is none");
    if (n->type != EXPR_INT && n->type != EXPR_STRING)
        return expr_fail(c, n, NULL, "%s cannot be compared with a number",
                         expr_type_words(n->type));
    if (is_literal(n))
        n->type = EXPR_INT;
    n->as = AS_INTEGERS;
    return n;
}

static struct expr_node *
read_as_address(struct expr_compiler *c, struct expr_node *n)
{
    if (n->type == EXPR_STRING && is_literal(n) && !network_parse(n->text, &n->network))
        return expr_fail(c, n, "as in 10.0.0.0/8 or 2001:db8::1",
                         "this is compared with an address and is none");
    if (n->type != EXPR_IP && n->type != EXPR_STRING)
        return expr_fail(c, n, NULL, "%s cannot be compared with an address",
                         expr_type_words(n->type));
    if (is_literal(n))
        n->type = EXPR_IP;
    n->as = AS_ADDRESSES;
    return n;
}

/* ------------------------------------------------------------------ == != in */

static struct expr_node *
check_member(struct expr_compiler *c, struct expr_node *left, struct expr_node *member)
{
    settle_word(member);
    if (member->type == EXPR_BOOL)
        return expr_fail(c, member, "combine conditions with && || !",
                         "conditions cannot be compared");
    if (left->type == EXPR_IP || member->type == EXPR_IP)
        return read_as_address(c, left) ? read_as_address(c, member) : NULL;
    if (left->type == EXPR_INT || member->type == EXPR_INT)
        return read_as_integer(c, left) ? read_as_integer(c, member) : NULL;
    member->as = AS_STRINGS;
    return member;
}

static struct expr_node *
check_in(struct expr_compiler *c, struct expr_node *relation)
{
    struct expr_node *left = relation->first;

    /* '...' == variable: the literal goes to the right, where it may be any kind of literal. */
    if (left->kind != NODE_VARIABLE && left->next && !left->next->next &&
        left->next->kind == NODE_VARIABLE) {
        relation->first = left->next;
        left->next = NULL;
        relation->first->next = left;
        left = relation->first;
    }
    if (left->type == EXPR_BOOL)
        return expr_fail(c, left, "combine conditions with && || !",
                         "conditions cannot be compared");
    if (left->kind != NODE_VARIABLE)
        return left->kind == NODE_WORD
                   ? expr_fail_unknown(c, left)
                   : expr_fail(c, left, "as in method == 'GET'", "a variable has to stand here");
    for (struct expr_node *member = left->next; member; member = member->next)
        if (!check_member(c, left, member))
            return NULL;
    return relation;
}

/* ------------------------------------------------------------------ < <= > >= */

static struct expr_node *
check_order(struct expr_compiler *c, struct expr_node *relation, struct slice operator)
{
    struct expr_node *left = relation->first, *right = left->next;

    if (!expr_check_value(c, left) || !expr_check_value(c, right))
        return NULL;
    if (left->type != EXPR_INT && right->type != EXPR_INT)
        return expr_fail(c, relation, NULL, "`%.*s` compares numbers, and neither side is one",
                         SLICE_ARG(operator));
    if (!read_as_integer(c, left) || !read_as_integer(c, right))
        return NULL;
    return relation;
}

/* ------------------------------------------------------------------ strings */

static struct expr_node *
want_string(struct expr_compiler *c, struct expr_node *n, struct slice operator)
{
    const char *hint = n->type == EXPR_IP ? "use `in`, as in client.ip in 10.0.0.0/8" : NULL;

    if (n->type == EXPR_STRING)
        return n;
    return expr_fail(c, n, hint, "`%.*s` is for strings, this is %s", SLICE_ARG(operator),
                     expr_type_words(n->type));
}

static struct expr_node *
check_part(struct expr_compiler *c, struct expr_node *relation, struct slice operator)
{
    struct expr_node *left = relation->first, *right = left->next;

    settle_word(right);
    if (is_literal(right) && (right->type == EXPR_INT || right->type == EXPR_IP))
        right->type = EXPR_STRING; /* path contains 42: as text */
    if (!expr_check_value(c, left) || !want_string(c, left, operator) ||
        !want_string(c, right, operator))
        return NULL;
    return relation;
}

static struct expr_node *
check_matches(struct expr_compiler *c, struct expr_node *relation, struct slice operator)
{
    struct expr_node *left = relation->first, *right = left->next;

    if (!expr_check_value(c, left) || !want_string(c, left, operator))
        return NULL;
    settle_word(right);
    if (!is_literal(right) || right->type == EXPR_BOOL)
        return expr_fail(c, right, "as in path matches '^/u/[0-9]+$'",
                         "a regular expression in quotes has to stand here");
    relation->regex = expr_own_regex(c, right);
    return relation->regex ? relation : NULL;
}

static struct expr_node *
check_exists(struct expr_compiler *c, struct expr_node *relation)
{
    const struct expr_node *n = relation->first;

    if (n->kind == NODE_WORD)
        return expr_fail_unknown(c, n);
    if (n->kind != NODE_VARIABLE || n->type != EXPR_STRING)
        return expr_fail(c, n, NULL, "this is always there");
    return relation;
}

struct expr_node *
expr_check_relation(struct expr_compiler *c, struct expr_node *relation, struct slice operator)
{
    switch (relation->kind) {
    case NODE_IN: return check_in(c, relation);
    case NODE_LESS:
    case NODE_LESS_OR_EQUAL: return check_order(c, relation, operator);
    case NODE_STARTS:
    case NODE_ENDS:
    case NODE_CONTAINS: return check_part(c, relation, operator);
    case NODE_MATCHES: return check_matches(c, relation, operator);
    case NODE_EXISTS: return check_exists(c, relation);
    case NODE_LITERAL:
    case NODE_WORD:
    case NODE_VARIABLE:
    case NODE_OR:
    case NODE_AND:
    case NODE_NOT: break;
    }
    UNREACHABLE();
}
