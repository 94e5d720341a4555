/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exchange/expr_compile.c - from source to tree, by recursive descent over the grammar in expr.h.
 *
 * The first error ends it: each function returns NULL once the error is filled in.  Types are
 * checked as soon as a relation is complete (expr_check.c).
 */
#include "base/check.h"
#include "exchange/expr_lex.h"
#include "exchange/expr_node.h"
#include "http/message.h"

#include <stdio.h>

enum { SOURCE_MAX = 8 * 1024, NESTING_MAX = 64 };

struct expr_compiler {
    struct lexer       lexer;
    struct token       token; /* the one to be looked at next */
    struct arena      *arena;
    struct expr       *expr;
    struct expr_error *error;
    unsigned           nesting;
};

static struct expr_node *parse_or(struct expr_compiler *c);

/* ------------------------------------------------------------------ small helpers */

struct expr_node *
expr_fail(struct expr_compiler *c, const struct expr_node *at, const char *hint, const char *format,
          ...)
{
    char text[sizeof(c->error->text)];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    expr_error_set(c->error, at->offset, hint, "%s", text);
    return NULL;
}

static struct expr_node *
fail_here(struct expr_compiler *c, const char *hint, const char *what)
{
    if (c->token.kind != TOKEN_BAD) /* that one has said already what is wrong */
        expr_error_set(c->error, c->token.offset, hint, "%s", what);
    return NULL;
}

static void
advance(struct expr_compiler *c)
{
    c->token = lexer_next(&c->lexer);
}

static bool
at_sign(const struct expr_compiler *c, struct slice sign)
{
    return c->token.kind == TOKEN_SIGN && slice_eq(c->token.text, sign);
}

static bool
at_word(const struct expr_compiler *c, struct slice word)
{
    return c->token.kind == TOKEN_WORD && slice_eq(c->token.text, word);
}

static bool
skip_sign(struct expr_compiler *c, struct slice sign)
{
    if (!at_sign(c, sign))
        return false;
    advance(c);
    return true;
}

static struct expr_node *
new_node(struct expr_compiler *c, enum expr_node_kind kind, enum expr_type type)
{
    struct expr_node *n = arena_new(c->arena, struct expr_node);

    if (!n)
        return fail_here(c, NULL, "out of memory");
    n->kind = kind;
    n->type = type;
    n->offset = c->token.offset;
    n->text = c->token.text;
    return n;
}

/* ------------------------------------------------------------------ names */

static const struct expr_variable *
find_variable(struct slice name, bool call)
{
    for (const struct expr_variable *v = expr_variables; v->name; v++)
        if (v->takes_name == call && slice_eq(slice_str(v->name), name))
            return v;
    return NULL;
}

struct expr_node *
expr_fail_unknown(struct expr_compiler *c, const struct expr_node *word)
{
    struct slice names[64];
    size_t n = 0;
    const char *hint;

    for (const struct expr_variable *v = expr_variables; v->name && n < countof(names); v++)
        names[n++] = slice_str(v->name);
    hint = config_suggest(c->arena, word->text, names, n);
    return expr_fail(c, word, hint ? hint : "put text in quotes", "unknown name `%.*s`",
                     SLICE_ARG(word->text));
}

static struct expr_node *
use_variable(struct expr_compiler *c, struct expr_node *n, const struct expr_variable *v)
{
    n->kind = NODE_VARIABLE;
    n->type = v->type;
    n->variable = v;
    c->expr->needs_response |= v->of_response;
    return n;
}

static struct slice
folded(struct arena *arena, struct slice s)
{
    struct slice copy = arena_copy(arena, s);
    char *at = (char *) (uintptr_t) copy.at;

    for (size_t i = 0; i < copy.n; i++)
        at[i] = ascii_lower(at[i]);
    return copy;
}

/* The parenthesis has been skipped; name is the word in front of it. */
static struct expr_node *
parse_call(struct expr_compiler *c, struct expr_node *name)
{
    const struct expr_variable *v = find_variable(name->text, true);
    struct slice arg = c->token.text;

    if (!v && find_variable(name->text, false))
        return expr_fail(c, name, NULL, "`%.*s` takes no name in parentheses",
                         SLICE_ARG(name->text));
    if (!v)
        return expr_fail_unknown(c, name);
    if (c->token.kind != TOKEN_STRING)
        return fail_here(c, "as in header('x-name')", "a name in quotes is missing");
    if (v->fold_arg && !is_token(arg))
        return fail_here(c, NULL, "this is no field name");
    advance(c);
    if (!skip_sign(c, SLICE(")")))
        return fail_here(c, NULL, "a closing parenthesis is missing");
    arg = v->fold_arg ? folded(c->arena, arg) : arena_copy(c->arena, arg);
    if (!arg.at)
        return fail_here(c, NULL, "out of memory");
    name->text = arg;
    return use_variable(c, name, v);
}

/* ------------------------------------------------------------------ values */

bool
expr_read_integer(struct slice s, int64_t *value)
{
    bool negative = s.n && s.at[0] == '-';
    uint64_t v;

    if (!slice_to_u64(negative ? slice_from(s, 1) : s, INT64_MAX, &v))
        return false;
    *value = negative ? -(int64_t) v : (int64_t) v;
    return true;
}

/* What an unquoted word is: a variable, a boolean, a number, an address, or just a word. */
static struct expr_node *
understand_word(struct expr_compiler *c, struct expr_node *n)
{
    const struct expr_variable *v = find_variable(n->text, false);

    if (v)
        return use_variable(c, n, v);
    n->kind = NODE_LITERAL;
    if (slice_eq(n->text, SLICE("true")) || slice_eq(n->text, SLICE("false"))) {
        n->type = EXPR_BOOL;
        n->boolean = n->text.at[0] == 't';
    } else if (expr_read_integer(n->text, &n->integer)) {
        n->type = EXPR_INT;
    } else if (network_parse(n->text, &n->network) && n->network.bits != NETWORK_UNIX) {
        n->type = EXPR_IP;
    } else {
        n->kind = NODE_WORD;
    }
    return n;
}

static struct expr_node *
parse_group(struct expr_compiler *c)
{
    struct expr_node *inside;

    if (++c->nesting > NESTING_MAX)
        return fail_here(c, NULL, "this is nested too deeply");
    inside = parse_or(c);
    if (!inside)
        return NULL;
    if (!skip_sign(c, SLICE(")")))
        return fail_here(c, NULL, "a closing parenthesis is missing");
    c->nesting--;
    return inside;
}

static struct expr_node *
parse_primary(struct expr_compiler *c)
{
    struct expr_node *n;

    if (skip_sign(c, SLICE("(")))
        return parse_group(c);
    if (at_sign(c, SLICE("[")))
        return fail_here(c, NULL, "a list can only stand behind `in`");
    if (c->token.kind != TOKEN_STRING && c->token.kind != TOKEN_WORD)
        return fail_here(c, NULL, c->token.kind == TOKEN_END ? "something is missing at the end"
                                                             : "a value is missing here");
    n = new_node(c, NODE_LITERAL, EXPR_STRING);
    if (!n)
        return NULL;
    if (c->token.kind == TOKEN_STRING) {
        advance(c);
        return n;
    }
    advance(c);
    return skip_sign(c, SLICE("(")) ? parse_call(c, n) : understand_word(c, n);
}

/* Appends the members of a list to the children whose last link is *last. */
static bool
parse_list(struct expr_compiler *c, struct expr_node **last)
{
    if (skip_sign(c, SLICE("]")))
        return true;
    do {
        *last = parse_primary(c);
        if (!*last)
            return false;
        last = &(*last)->next;
    } while (skip_sign(c, SLICE(",")));
    if (skip_sign(c, SLICE("]")))
        return true;
    fail_here(c, NULL, "`,` or `]` is missing in this list");
    return false;
}

/* ------------------------------------------------------------------ relations */

struct operator_row {
    struct slice        name;
    enum expr_node_kind kind;
    bool                negated, swapped;
};

static const struct operator_row operators[] = {
    {SLICE_INIT("=="), NODE_IN, false, false},
    {SLICE_INIT("!="), NODE_IN, true, false},
    {SLICE_INIT("<"), NODE_LESS, false, false},
    {SLICE_INIT("<="), NODE_LESS_OR_EQUAL, false, false},
    {SLICE_INIT(">"), NODE_LESS, false, true},
    {SLICE_INIT(">="), NODE_LESS_OR_EQUAL, false, true},
    {SLICE_INIT("starts"), NODE_STARTS, false, false},
    {SLICE_INIT("ends"), NODE_ENDS, false, false},
    {SLICE_INIT("contains"), NODE_CONTAINS, false, false},
    {SLICE_INIT("matches"), NODE_MATCHES, false, false},
    {SLICE_INIT("in"), NODE_IN, false, false},
    {SLICE_INIT("not"), NODE_IN, true, false},
    {SLICE_INIT("exists"), NODE_EXISTS, false, false},
};

static const struct operator_row *
find_operator(const struct expr_compiler *c)
{
    if (c->token.kind == TOKEN_SIGN || c->token.kind == TOKEN_WORD)
        for (size_t i = 0; i < countof(operators); i++)
            if (slice_eq(operators[i].name, c->token.text))
                return &operators[i];
    return NULL;
}

/* What stands at the right of an operator, as the relation's further children. */
static bool
parse_right(struct expr_compiler *c, const struct operator_row *o, struct expr_node **last)
{
    if (o->kind == NODE_EXISTS)
        return true;
    if (slice_eq(o->name, SLICE("not"))) {
        if (!at_word(c, SLICE("in"))) {
            fail_here(c, "write `!(...)` around the whole condition",
                      "`not` can only stand in `not in`");
            return false;
        }
        advance(c);
    }
    if ((slice_eq(o->name, SLICE("in")) || slice_eq(o->name, SLICE("not"))) &&
        skip_sign(c, SLICE("[")))
        return parse_list(c, last);
    *last = parse_primary(c);
    return *last != NULL;
}

static void
swap_children(struct expr_node *n)
{
    struct expr_node *left = n->first, *right = left->next;

    right->next = left;
    left->next = NULL;
    n->first = right;
}

static struct expr_node *
parse_relation(struct expr_compiler *c)
{
    struct expr_node *left = parse_primary(c), *relation;
    const struct operator_row *o;

    if (!left)
        return NULL;
    o = find_operator(c);
    if (!o)
        return expr_check_value(c, left);
    relation = new_node(c, o->kind, EXPR_BOOL);
    if (!relation)
        return NULL;
    relation->negated = o->negated;
    relation->first = left;
    advance(c);
    if (!parse_right(c, o, &left->next) || !expr_check_relation(c, relation, o->name))
        return NULL;
    if (o->swapped)
        swap_children(relation);
    return relation;
}

/* ------------------------------------------------------------------ conditions */

static struct expr_node *
want_condition(struct expr_compiler *c, struct expr_node *n)
{
    if (n->type == EXPR_BOOL)
        return n;
    if (n->kind == NODE_VARIABLE && n->type == EXPR_STRING)
        return expr_fail(c, n, "compare it, or ask whether it `exists`",
                         "this is a value, not a condition");
    return expr_fail(c, n, "compare it with something", "this is a value, not a condition");
}

static struct expr_node *
parse_not(struct expr_compiler *c)
{
    struct expr_node *n, *operand;

    if (!at_sign(c, SLICE("!")))
        return parse_relation(c);
    n = new_node(c, NODE_NOT, EXPR_BOOL);
    if (!n)
        return NULL;
    if (++c->nesting > NESTING_MAX)
        return fail_here(c, NULL, "this is nested too deeply");
    advance(c);
    operand = parse_not(c);
    if (!operand || !want_condition(c, operand))
        return NULL;
    n->first = operand;
    c->nesting--;
    return n;
}

/* One operand, or several with `sign` between them under a node of that kind. */
static struct expr_node *
parse_chain(struct expr_compiler *c, enum expr_node_kind kind, struct slice sign,
            struct expr_node *(*parse_operand)(struct expr_compiler *c))
{
    struct expr_node *first = parse_operand(c), *last = first, *chain;

    if (!first || !at_sign(c, sign))
        return first;
    if (!want_condition(c, first))
        return NULL;
    chain = new_node(c, kind, EXPR_BOOL);
    if (!chain)
        return NULL;
    chain->first = first;
    while (skip_sign(c, sign)) {
        last->next = parse_operand(c);
        last = last->next;
        if (!last || !want_condition(c, last))
            return NULL;
    }
    return chain;
}

static struct expr_node *
parse_and(struct expr_compiler *c)
{
    return parse_chain(c, NODE_AND, SLICE("&&"), parse_not);
}

static struct expr_node *
parse_or(struct expr_compiler *c)
{
    return parse_chain(c, NODE_OR, SLICE("||"), parse_and);
}

/* ------------------------------------------------------------------ the whole */

struct regex *
expr_own_regex(struct expr_compiler *c, const struct expr_node *pattern)
{
    struct expr_regex *holder = arena_new(c->arena, struct expr_regex);
    char why[120] = "out of memory";
    size_t offset = 0;

    if (holder)
        holder->regex = regex_compile(pattern->text, why, sizeof(why), &offset);
    if (!holder || !holder->regex) {
        /* The offset is exact unless the string has escapes; at least it is inside the string. */
        expr_error_set(c->error, pattern->offset + 1 + offset, NULL, "bad regular expression: %s",
                       why);
        return NULL;
    }
    holder->next = c->expr->regexes;
    c->expr->regexes = holder;
    return holder->regex;
}

static bool
fits(struct expr_compiler *c, const struct expr_node *root, enum expr_type want)
{
    if (want == EXPR_STRING || root->type == want)
        return true;
    if (want == EXPR_BOOL)
        return want_condition(c, (struct expr_node *) (uintptr_t) root) != NULL;
    expr_fail(c, root, NULL, "this is %s, %s is needed", expr_type_words(root->type),
              expr_type_words(want));
    return false;
}

static struct expr_node *
fail_at_rest(struct expr_compiler *c)
{
    if (at_word(c, SLICE("and")))
        return fail_here(c, "write `&&`", "`and` is no operator here");
    if (at_word(c, SLICE("or")))
        return fail_here(c, "write `||`", "`or` is no operator here");
    if (find_operator(c))
        return fail_here(c, "put `&&` or `||` between two comparisons",
                         "comparisons cannot be chained");
    return fail_here(c, NULL, "an operator is missing in front of this");
}

static struct expr_node *
parse_all(struct expr_compiler *c, enum expr_type want)
{
    struct expr_node *root;

    if (c->lexer.source.n > SOURCE_MAX)
        return fail_here(c, NULL, "this expression is longer than 8 KiB");
    advance(c);
    if (c->token.kind == TOKEN_END)
        return fail_here(c, NULL, "the expression is empty");
    root = parse_or(c);
    if (root && c->token.kind != TOKEN_END)
        return fail_at_rest(c);
    return root && fits(c, root, want) ? root : NULL;
}

struct expr *
expr_compile(struct arena *arena, struct slice source, enum expr_type want,
             struct expr_error *error)
{
    struct expr *e = arena_new(arena, struct expr);
    struct slice copy = arena_copy(arena, source);
    struct expr_compiler c = {
        .lexer = {.arena = arena, .source = copy, .error = error},
        .arena = arena,
        .expr = e,
        .error = error,
    };

    *error = (struct expr_error){0};
    if (!e || !copy.at) {
        expr_error_set(error, 0, NULL, "out of memory");
        return NULL;
    }
    e->source = copy;
    e->root = parse_all(&c, want);
    if (e->root)
        return e;
    expr_release(e);
    return NULL;
}

void
expr_release(struct expr *e)
{
    struct expr_regex *r = e ? take(&e->regexes) : NULL;

    for (; r; r = r->next)
        regex_free(take(&r->regex));
}

bool
expr_needs_response(const struct expr *e)
{
    return e->needs_response;
}

struct slice
expr_source(const struct expr *e)
{
    return e->source;
}
