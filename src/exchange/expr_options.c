/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exchange/expr_options.c - expressions, templates and regular expressions as values of options:
 * compiled when the configuration is bound, so that every mistake is reported with its place, and
 * freed with it.  Most need no clean-up, which also lets them be presets of what is there by
 * default.
 */
#include "exchange/expr_node.h"

static bool
report(struct config_bind *b, const struct config_node *node, const struct expr_error *error)
{
    return option_error_inside(b, node, error->offset, error->hint[0] ? error->hint : NULL, "%s",
                               error->text);
}

static bool
no_memory(struct config_bind *b, const struct config_node *node)
{
    return option_error(b, node, NULL, "out of memory");
}

static void
string_schema(const struct option *o, struct text *out)
{
    (void) o;
    text_literal(out, "{\"type\":\"string\"}");
}

/* ------------------------------------------------------------------ expressions */

static void
release_expr(void *e)
{
    expr_release(e);
}

/* When it is asked. */
enum phase { BEFORE_RESPONSE, AT_ANY_TIME };

static bool
parse_typed(struct config_bind *b, const struct option *o, const struct config_node *node,
            enum expr_type want, enum phase phase, void *out)
{
    struct expr **place = out;
    struct expr_error error;
    struct expr *e;

    if (!option_scalar(b, o, node))
        return false;
    e = expr_compile(config_bind_arena(b), node->text, want, &error);
    if (!e)
        return report(b, node, &error);
    if (expr_needs_release(e) && !config_bind_cleanup(b, release_expr, e))
        return no_memory(b, node);
    if (phase == BEFORE_RESPONSE && expr_needs_response(e))
        return option_error(b, node, "look at the request only",
                            "`%s` is asked before there is a response to look at", o->name);
    *place = e;
    return true;
}

static bool
parse_expr(struct config_bind *b, const struct option *o, const struct config_node *node, void *out)
{
    return parse_typed(b, o, node, EXPR_BOOL, AT_ANY_TIME, out);
}

static bool
parse_request_expr(struct config_bind *b, const struct option *o, const struct config_node *node,
                   void *out)
{
    return parse_typed(b, o, node, EXPR_BOOL, BEFORE_RESPONSE, out);
}

static bool
parse_value(struct config_bind *b, const struct option *o, const struct config_node *node,
            void *out)
{
    return parse_typed(b, o, node, EXPR_STRING, BEFORE_RESPONSE, out);
}

const struct option_kind option_expr = {
    .name = "condition",
    .syntax = "a condition, such as `method in [GET, HEAD] && path starts '/api/'`",
    .size = sizeof(struct expr *),
    .parse = parse_expr,
    .schema = string_schema,
};

const struct option_kind option_request_expr = {
    .name = "condition on the request",
    .syntax =
        "a condition, such as `method in [GET, HEAD] && path starts '/api/'`; it does not look at "
        "the response",
    .size = sizeof(struct expr *),
    .parse = parse_request_expr,
    .schema = string_schema,
};

const struct option_kind option_value = {
    .name = "expression",
    .syntax = "an expression, such as `client.ip` or `header('x-api-key')`",
    .size = sizeof(struct expr *),
    .parse = parse_value,
    .schema = string_schema,
};

/* ------------------------------------------------------------------ templates */

static void
release_template(void *t)
{
    template_release(t);
}

static bool
parse_template(struct config_bind *b, const struct option *o, const struct config_node *node,
               void *out)
{
    struct template **place = out;
    struct expr_error error;
    struct template *t;

    if (!option_scalar(b, o, node))
        return false;
    t = template_compile(config_bind_arena(b), node->text, &error);
    if (!t)
        return report(b, node, &error);
    if (expr_template_needs_release(t) && !config_bind_cleanup(b, release_template, t))
        return no_memory(b, node);
    *place = t;
    return true;
}

const struct option_kind option_template = {
    .name = "text",
    .syntax = "text in which `${expression}` is replaced, such as `${client.ip}`",
    .size = sizeof(struct template *),
    .parse = parse_template,
    .schema = string_schema,
};

/* One member of a map: its key is the pair's. */
static bool
parse_template_pair(struct config_bind *b, const struct option *o, const struct config_node *node,
                    void *out)
{
    struct template_pair *pair = out;

    pair->key = node->key;
    return parse_template(b, o, node, &pair->value);
}

const struct option_kind option_template_pairs = {
    .name = "text",
    .syntax = "`name: text`, where `${expression}` in the text is replaced",
    .size = sizeof(struct template_pair),
    .parse = parse_template_pair,
    .schema = string_schema,
};

/* ------------------------------------------------------------------ regular expressions */

static void
release_regex(void *r)
{
    regex_free(r);
}

static bool
parse_regex(struct config_bind *b, const struct option *o, const struct config_node *node,
            void *out)
{
    struct regex **place = out;
    char why[120];
    size_t offset;
    struct regex *r;

    if (!option_scalar(b, o, node))
        return false;
    r = regex_compile(node->text, why, sizeof(why), &offset);
    if (!r)
        return option_error_inside(b, node, offset, NULL, "bad regular expression: %s", why);
    if (!config_bind_cleanup(b, release_regex, r))
        return no_memory(b, node);
    *place = r;
    return true;
}

const struct option_kind option_regex = {
    .name = "regular expression",
    .syntax = "a regular expression (PCRE2), such as `^/u/[0-9]+$`",
    .size = sizeof(struct regex *),
    .parse = parse_regex,
    .schema = string_schema,
};
