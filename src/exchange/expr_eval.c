/* SPDX-License-Identifier: Apache-2.0 */
/* exchange/expr_eval.c - what an expression says of an exchange.  Never fails, never waits. */
#include "base/check.h"
#include "exchange/exchange.h"
#include "exchange/expr_node.h"

/* ------------------------------------------------------------------ values */

static struct expr_value
value_of(const struct expr_node *n, struct exchange *x)
{
    if (n->kind == NODE_VARIABLE)
        return n->variable->get(x, n->text);
    return (struct expr_value){
        .type = n->type,
        .boolean = n->boolean,
        .integer = n->integer,
        .string = n->text,
    };
}

static bool
integer_of(const struct expr_value *v, int64_t *integer)
{
    *integer = v->integer;
    return v->type == EXPR_INT || (v->type == EXPR_STRING && expr_read_integer(v->string, integer));
}

static bool
address_of(const struct expr_value *v, union address *ip)
{
    *ip = v->ip;
    return v->type == EXPR_IP || (v->type == EXPR_STRING && address_parse_ip(v->string, 0, ip));
}

/* ------------------------------------------------------------------ relations */

static bool
same_string(const struct expr_value *left, const struct expr_node *member, struct exchange *x)
{
    struct slice right = member->text;

    if (member->kind == NODE_VARIABLE)
        right = value_of(member, x).string;
    return slice_is_present(left->string) && slice_is_present(right) &&
           slice_eq(left->string, right);
}

static bool
same_integer(const struct expr_value *left, const struct expr_node *member, struct exchange *x)
{
    struct expr_value right = value_of(member, x);
    int64_t a, b;

    return integer_of(left, &a) && integer_of(&right, &b) && a == b;
}

static bool
same_address(const struct expr_value *left, const struct expr_node *member, struct exchange *x)
{
    union address a, b;
    struct expr_value right;

    if (!address_of(left, &a))
        return false;
    if (member->kind == NODE_LITERAL)
        return network_has(&member->network, &a);
    right = value_of(member, x);
    return address_of(&right, &b) && address_same_ip(&a, &b);
}

static bool
is_among(const struct expr_node *n, struct exchange *x)
{
    struct expr_value left = value_of(n->first, x);
    bool found = false;

    for (const struct expr_node *m = n->first->next; m && !found; m = m->next) {
        switch (m->as) {
        case AS_STRINGS: found = same_string(&left, m, x); break;
        case AS_INTEGERS: found = same_integer(&left, m, x); break;
        case AS_ADDRESSES: found = same_address(&left, m, x); break;
        }
    }
    return found != n->negated;
}

static bool
in_order(const struct expr_node *n, struct exchange *x, bool or_equal)
{
    struct expr_value left = value_of(n->first, x), right = value_of(n->first->next, x);
    int64_t a, b;

    return integer_of(&left, &a) && integer_of(&right, &b) && (a < b || (or_equal && a == b));
}

/* starts, ends, contains: an absent string has no parts and is no part. */
static bool
has_part(const struct expr_node *n, struct exchange *x)
{
    struct slice whole = value_of(n->first, x).string, part = value_of(n->first->next, x).string;

    if (!slice_is_present(whole) || !slice_is_present(part))
        return false;
    if (n->kind == NODE_STARTS)
        return slice_starts(whole, part);
    if (n->kind == NODE_ENDS)
        return slice_ends(whole, part);
    return slice_search(whole, part) != SLICE_NOT_FOUND;
}

static bool
matches(const struct expr_node *n, struct exchange *x)
{
    struct slice subject = value_of(n->first, x).string;

    return slice_is_present(subject) && regex_matches(n->regex, subject);
}

/* ------------------------------------------------------------------ conditions */

static bool
holds(const struct expr_node *n, struct exchange *x)
{
    const struct expr_node *operand = n->first;

    switch (n->kind) {
    case NODE_OR:
        while (operand && !holds(operand, x))
            operand = operand->next;
        return operand != NULL;
    case NODE_AND:
        while (operand && holds(operand, x))
            operand = operand->next;
        return operand == NULL;
    case NODE_NOT: return !holds(operand, x);
    case NODE_EXISTS: return slice_is_present(value_of(operand, x).string);
    case NODE_IN: return is_among(n, x);
    case NODE_LESS: return in_order(n, x, false);
    case NODE_LESS_OR_EQUAL: return in_order(n, x, true);
    case NODE_STARTS:
    case NODE_ENDS:
    case NODE_CONTAINS: return has_part(n, x);
    case NODE_MATCHES: return matches(n, x);
    case NODE_LITERAL:
    case NODE_VARIABLE: return value_of(n, x).boolean;
    case NODE_WORD: break;
    }
    UNREACHABLE();
}

bool
expr_test(const struct expr *e, struct exchange *x)
{
    return holds(e->root, x);
}

/* ------------------------------------------------------------------ as text */

static struct slice
integer_text(int64_t integer, struct arena *arena)
{
    char *out = arena_alloc(arena, 21);
    uint64_t magnitude = integer < 0 ? -(uint64_t) integer : (uint64_t) integer;
    size_t sign = integer < 0;

    if (!out)
        return (struct slice){NULL, 0};
    out[0] = '-';
    return slice_of(out, sign + text_format_u64(out + sign, magnitude));
}

/* A getter may give the text of its address as well, which spares writing it. */
static struct slice
address_text(const struct expr_value *v, struct arena *arena)
{
    char *out;

    if (v->string.n)
        return v->string;
    out = arena_alloc(arena, ADDRESS_TEXT_MAX);
    return out ? slice_of(out, address_write_ip(&v->ip, out)) : (struct slice){NULL, 0};
}

static struct slice
value_text(const struct expr_node *n, struct exchange *x)
{
    struct expr_value v = value_of(n, x);

    switch (v.type) {
    case EXPR_STRING: return v.string;
    case EXPR_INT: return integer_text(v.integer, &x->arena);
    case EXPR_IP: return address_text(&v, &x->arena);
    case EXPR_BOOL: return v.boolean ? SLICE("true") : SLICE("false");
    }
    UNREACHABLE();
}

struct slice
expr_text(const struct expr *e, struct exchange *x)
{
    if (e->root->type == EXPR_BOOL)
        return holds(e->root, x) ? SLICE("true") : SLICE("false");
    return value_text(e->root, x);
}
