/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exchange/expr.h - one small typed language for conditions and values.
 *
 *     method in [GET, HEAD] && path starts '/api/' && header('x-beta') == '1'
 *     client.ip in [10.0.0.0/8, ::1] || !(cookie('session') exists)
 *     status >= 500 && response.header('content-type') contains 'json'
 *
 * Typed, no loops, compiled once when the configuration is loaded; evaluating never fails and never
 * waits.  An absent string (a field that is not there) equals nothing, not even ''; `exists` tells.
 *
 * Grammar (lowest binding first):
 *     or      = and *("||" and)
 *     and     = not *("&&" not)
 *     not     = "!" not / relation
 *     relation = primary [("==" / "!=" / "<" / "<=" / ">" / ">=" / "starts" / "ends" / "contains" /
 *                          "matches" / "in" / "not" "in") primary / "exists"]
 *     primary = "(" or ")" / list / string / number / duration-free word / variable / function
 *     list    = "[" [primary *("," primary)] "]"
 * Strings in single or double quotes with \\ \' \" \n \t \xHH.  A bare word in a list or at the
 * right of == that is no variable is a string (GET).  Addresses and networks are written bare
 * (10.0.0.0/8, ::1).  `matches` takes a literal regular expression (PCRE2), which is compiled at
 * load.  Integers compare with integers; a string that is compared with an integer literal is read
 * as one (false when it is none).
 *
 * A template is text with ${expression} inside: "${client.ip}:${scheme}".  "$${" stands for "${".
 */
#ifndef EXCHANGE_EXPR_H
#define EXCHANGE_EXPR_H

#include "base/address.h"
#include "config/option.h"

struct exchange;
struct expr;
struct template;
struct regex;

enum expr_type { EXPR_BOOL, EXPR_INT, EXPR_STRING, EXPR_IP };

struct expr_value {
    enum expr_type type;
    bool           boolean;
    int64_t        integer;
    struct slice   string; /* absent (NULL) when there is none */
    union address  ip;
};

/* What a name in an expression stands for.  One table, exchange/variables.c: client.ip,
 * client.port, method, scheme, host, port, path, raw_path, query (whole), uri, version, listener,
 * request_id, route, header('x'), query('x'), cookie('x'), status, response.header('x'), upstream,
 * server, time (unix seconds), bytes. */
struct expr_variable {
    const char    *name;
    enum expr_type type;
    bool           takes_name; /* a function of one string literal: header('x-beta') */
    bool           of_response; /* has no meaning before the response is there */
    /* arg: the literal in lower case where `fold_arg`, else as written. */
    struct expr_value (*get)(struct exchange *x, struct slice arg);
    const char    *doc;
    bool           fold_arg;
};

/* Ends with name NULL. */
extern const struct expr_variable expr_variables[];

struct expr_error {
    size_t offset; /* into the source */
    char   text[160];
    char   hint[160]; /* may be empty */
};

/* Lives in the arena, but for compiled regular expressions, which expr_release frees (call it once,
 * even on failure paths of yours).  NULL with *error filled.  want: EXPR_BOOL for conditions;
 * EXPR_STRING takes any type (it is formatted). Sources up to 8 KiB, nesting up to 64. */
struct expr *expr_compile(struct arena *arena, struct slice source, enum expr_type want,
                          struct expr_error *error);
void expr_release(struct expr *e);
/* For EXPR_BOOL. */
bool expr_test(const struct expr *e, struct exchange *x);
/* Any type, as text; absent when the value is absent.  May be in x->arena. */
struct slice expr_text(const struct expr *e, struct exchange *x);
/* Uses something that only exists with a response. */
bool expr_needs_response(const struct expr *e);
/* The source it was compiled from. */
struct slice expr_source(const struct expr *e);

struct template *template_compile(struct arena *arena, struct slice source,
                                  struct expr_error *error);
void template_release(struct template *t);
/* Absent values become nothing.  The result is absent only when out of memory, and without copying
 * when the template is a plain text. */
struct slice template_render(const struct template *t, struct exchange *x);
/* True for a text without any ${}. */
bool template_is_constant(const struct template *t);

/* PCRE2, with JIT, match and depth limits; matching is on bytes. */
struct regex *regex_compile(struct slice pattern, char *error, size_t error_room,
                            size_t *error_offset);
void regex_free(struct regex *r);
bool regex_matches(const struct regex *r, struct slice subject);
/* Replaces the first match ($1..$9, ${name} in the replacement); absent when it does not match. */
struct slice regex_replace(const struct regex *r, struct slice subject, struct slice replacement,
                           struct arena *arena);
struct slice regex_source(const struct regex *r);

/* For option tables: field types in brackets; NULL when absent. */
extern const struct option_kind option_expr; /* [struct expr *], EXPR_BOOL */
/* As above, asked before there is a response: one that looks at it is an error. */
extern const struct option_kind option_request_expr;
extern const struct option_kind option_value;    /* [struct expr *], EXPR_STRING: keys of limits,
                                                  * hashes; of the request likewise */
extern const struct option_kind option_template; /* [struct template *] */
extern const struct option_kind option_regex;    /* [struct regex *] */
/* [struct option_list of struct template_pair, with OPTION_MAP] name: template */
extern const struct option_kind option_template_pairs;

struct template_pair {
    struct slice     key;
    struct template *value;
};

#endif
