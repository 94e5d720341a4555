/* SPDX-License-Identifier: Apache-2.0 */
/* middleware/esi/expression.c - read and evaluated in one go: each is used once. */
#include "middleware/esi/expression.h"

#include "base/check.h"
#include "middleware/esi/variables.h"

struct reader {
    struct slice           rest;
    const struct exchange *x;
    struct arena          *arena;
    unsigned               depth;
    bool                   bad;
};

struct operand {
    struct slice text; /* absent: not there */
    bool         is_truth, truth;
};

enum operator{ EQUAL, UNEQUAL, AT_MOST, AT_LEAST, BELOW, ABOVE, HAS_I, HAS, NO_OPERATOR };

/* Longer ones before what they begin with. */
static const struct slice operators[] = {
    [EQUAL] = SLICE_INIT("=="),    [UNEQUAL] = SLICE_INIT("!="), [AT_MOST] = SLICE_INIT("<="),
    [AT_LEAST] = SLICE_INIT(">="), [BELOW] = SLICE_INIT("<"),    [ABOVE] = SLICE_INIT(">"),
    [HAS_I] = SLICE_INIT("has_i"), [HAS] = SLICE_INIT("has"),
};

static bool read_or(struct reader *r);

static void
skip_blanks(struct reader *r)
{
    while (r->rest.n && memchr(" \t\r\n", r->rest.at[0], 4))
        r->rest = slice_from(r->rest, 1);
}

static bool
skip(struct reader *r, struct slice word)
{
    skip_blanks(r);
    if (!slice_starts(r->rest, word))
        return false;
    r->rest = slice_from(r->rest, word.n);
    return true;
}

/* ------------------------------------------------------------------ operands */

static struct operand
truth(bool value)
{
    return (struct operand){.is_truth = true, .truth = value};
}

static struct operand
bad(struct reader *r)
{
    r->bad = true;
    return truth(false);
}

static struct operand
read_variable(struct reader *r)
{
    size_t n = esi_variable_length(r->rest);
    struct esi_value value;

    if (!n || !esi_variable(slice_first(r->rest, n), r->x, r->arena, &value))
        return bad(r);
    r->rest = slice_from(r->rest, n);
    if (slice_eq(value.text, SLICE("true")) || slice_eq(value.text, SLICE("false")))
        return (struct operand){value.text, true, value.text.n == 4};
    return (struct operand){.text = value.text.n ? value.text : (struct slice){NULL, 0}};
}

static struct operand
read_string(struct reader *r)
{
    size_t n = slice_find(slice_from(r->rest, 1), '\'');
    struct slice text;

    if (n == SLICE_NOT_FOUND)
        return bad(r);
    text = slice_of(r->rest.at + 1, n);
    r->rest = slice_from(r->rest, n + 2);
    return (struct operand){.text = text};
}

static bool
is_of_word(char c)
{
    return ascii_is_alpha(c) || ascii_is_digit(c) || c == '.' || c == '-' || c == '_';
}

/* A number, true or false. */
static struct operand
read_word(struct reader *r)
{
    size_t n = 0;
    struct slice word;

    while (n < r->rest.n && is_of_word(r->rest.at[n]))
        n++;
    word = slice_first(r->rest, n);
    r->rest = slice_from(r->rest, n);
    if (slice_eq(word, SLICE("true")) || slice_eq(word, SLICE("false")))
        return (struct operand){word, true, word.n == 4};
    if (n == 0 || !(ascii_is_digit(word.at[0]) || (word.at[0] == '-' && n > 1)))
        return bad(r);
    return (struct operand){.text = word};
}

static struct operand
read_nested(struct reader *r)
{
    bool value = read_or(r);

    return skip(r, SLICE(")")) ? truth(value) : bad(r);
}

static struct operand
read_operand(struct reader *r)
{
    skip_blanks(r);
    if (r->rest.n == 0 || r->bad)
        return bad(r);
    if (skip(r, SLICE("(")))
        return read_nested(r);
    switch (r->rest.at[0]) {
    case '$': return read_variable(r);
    case '\'': return read_string(r);
    default: return read_word(r);
    }
}

/* ------------------------------------------------------------------ comparing */

enum { DIGITS_MAX = 12, DECIMALS = 6 };

/* In millionths; false when it is no number, or one with more digits than that. */
static bool
to_number(struct slice s, int64_t *number)
{
    bool negative = slice_starts(s, SLICE("-"));
    struct slice fraction = negative ? slice_from(s, 1) : s, whole = slice_cut(&fraction, '.');
    uint64_t value = 0, scale = 1000000;

    if (whole.n == 0 || whole.n > DIGITS_MAX || fraction.n > DECIMALS ||
        (slice_is_present(fraction) && fraction.n == 0) ||
        !slice_to_u64(whole, UINT64_MAX / 1000000, &value))
        return false;
    value *= scale;
    for (size_t i = 0; i < fraction.n; i++) {
        if (!ascii_is_digit(fraction.at[i]))
            return false;
        scale /= 10;
        value += (uint64_t) (fraction.at[i] - '0') * scale;
    }
    *number = negative ? -(int64_t) value : (int64_t) value;
    return true;
}

static int
compare(struct slice a, struct slice b)
{
    int64_t left, right;

    if (to_number(a, &left) && to_number(b, &right))
        return (left > right) - (left < right);
    return slice_compare(a, b);
}

static bool
has_any_case(struct slice s, struct slice part)
{
    for (size_t i = 0; i + part.n <= s.n; i++)
        if (slice_starts_nocase(slice_from(s, i), part))
            return true;
    return false;
}

static bool
relate(enum operator op, struct slice a, struct slice b)
{
    switch (op) {
    case EQUAL: return compare(a, b) == 0;
    case UNEQUAL: return compare(a, b) != 0;
    case AT_MOST: return compare(a, b) <= 0;
    case AT_LEAST: return compare(a, b) >= 0;
    case BELOW: return compare(a, b) < 0;
    case ABOVE: return compare(a, b) > 0;
    case HAS: return slice_search(a, b) != SLICE_NOT_FOUND;
    case HAS_I: return has_any_case(a, b);
    case NO_OPERATOR: break;
    }
    return false;
}

static enum operator
read_operator(struct reader *r)
{
    for (size_t i = 0; i < countof(operators); i++)
        if (skip(r, operators[i]))
            return (enum operator) i;
    return NO_OPERATOR;
}

static struct slice
text_of(struct operand o)
{
    if (!o.is_truth)
        return o.text;
    return o.truth ? SLICE("true") : SLICE("false");
}

static bool
read_relation(struct reader *r)
{
    struct operand left = read_operand(r), right;
    enum operator op = read_operator(r);
    struct slice a, b;

    if (op == NO_OPERATOR)
        return left.is_truth ? left.truth : left.text.n > 0;
    right = read_operand(r);
    a = text_of(left);
    b = text_of(right);
    return slice_is_present(a) && slice_is_present(b) && relate(op, a, b);
}

/* ------------------------------------------------------------------ joining */

static bool
read_not(struct reader *r)
{
    bool negated = false;

    skip_blanks(r);
    while (slice_starts(r->rest, SLICE("!"))) {
        r->rest = slice_from(r->rest, 1);
        negated = !negated;
        skip_blanks(r);
    }
    return read_relation(r) != negated;
}

static bool
skip_joint(struct reader *r, struct slice once, struct slice twice)
{
    return skip(r, twice) || skip(r, once);
}

static bool
read_and(struct reader *r)
{
    bool value = read_not(r);

    while (!r->bad && skip_joint(r, SLICE("&"), SLICE("&&")))
        value = read_not(r) && value;
    return value;
}

static bool
read_or(struct reader *r)
{
    bool value;

    if (++r->depth > ESI_EXPRESSION_DEPTH_MAX)
        return bad(r).truth;
    value = read_and(r);
    while (!r->bad && skip_joint(r, SLICE("|"), SLICE("||")))
        value = read_and(r) || value;
    r->depth--;
    return value;
}

bool
esi_expression_test(struct slice source, const struct exchange *x, struct arena *arena,
                    bool *result)
{
    struct reader r = {.rest = source, .x = x, .arena = arena};

    *result = read_or(&r);
    skip_blanks(&r);
    return !r.bad && r.rest.n == 0;
}
