/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control/plan_print.c - a plan for people.
 *
 *     2 added, 1 changed
 *
 *       + server     app/10.0.0.3:8080
 *       ~ route      shop                                   site.yaml:12:5
 *             use/rate_limit/rate: 100/s -> 50/s
 *
 *     Of 512 recent requests 37 would be treated differently:
 *       37 x GET http://shop.example.com/cart
 *             before  route shop, compress, to app
 *             after   route api, to app2
 */
#include "base/check.h"
#include "control/plan.h"

#include <jansson.h>

enum { NAME_WIDTH = 11 };

static const struct {
    const char *kind;
    char        mark;
} marks[] = {
    {"added", '+'}, {"removed", '-'}, {"changed", '~'}, {"moved", '>'}, {"unreachable", '!'},
};

/* A member that is a string; "" when it is none. */
static const char *
member(const json_t *object, const char *name)
{
    const char *s = json_string_value(json_object_get(object, name));

    return s ? s : "";
}

/* Values come from configurations of others: nothing of them may move a terminal's cursor. */
static void
put(struct text *out, const char *s)
{
    for (; *s; s++)
        text_byte(out, (unsigned char) *s < 0x20 || *s == 0x7f ? ' ' : *s);
}

static void
put_item(struct text *out, const json_t *string)
{
    put(out, json_is_string(string) ? json_string_value(string) : "");
}

/* ------------------------------------------------------------------ changes */

static void
put_counts(struct text *out, const json_t *counts)
{
    const char *between = "";

    for (size_t i = 0; i < countof(marks); i++) {
        json_int_t n = json_integer_value(json_object_get(counts, marks[i].kind));

        if (n) {
            text_printf(out, "%s%lld %s", between, (long long) n, marks[i].kind);
            between = ", ";
        }
    }
    text_put(out, *between ? SLICE("\n\n") : SLICE("Nothing changes.\n"));
}

static char
mark_of(const json_t *change)
{
    for (size_t i = 0; i < countof(marks); i++)
        if (strcmp(member(change, "kind"), marks[i].kind) == 0)
            return marks[i].mark;
    return ' ';
}

/* The server knows the file that was sent as the body of the request only. */
static void
put_where(struct text *out, const json_t *change, const char *source)
{
    static const char body[] = "request body:";
    const char *where = member(change, "where");

    if (*where) {
        text_literal(out, "   (");
        if (source && strncmp(where, body, sizeof(body) - 1) == 0) {
            put(out, source);
            where += sizeof(body) - 2;
        }
        put(out, where);
        text_byte(out, ')');
    }
    text_byte(out, '\n');
}

static void
put_head(struct text *out, const json_t *change)
{
    const char *what = member(change, "what");

    text_printf(out, "  %c ", mark_of(change));
    put(out, what);
    for (size_t n = strlen(what); n < NAME_WIDTH; n++)
        text_byte(out, ' ');
    if (*member(change, "name"))
        text_byte(out, ' ');
    put(out, member(change, "name"));
    if (*member(change, "about")) {
        text_literal(out, " (");
        put(out, member(change, "about"));
        text_byte(out, ')');
    }
}

/* "100/s -> 50/s", "(not set) -> 50/s" */
static void
put_values(struct text *out, const json_t *change)
{
    bool was = json_is_string(json_object_get(change, "before"));
    bool is = json_is_string(json_object_get(change, "after"));

    put(out, was ? member(change, "before") : "(not set)");
    text_literal(out, " -> ");
    put(out, is ? member(change, "after") : "(not set)");
}

static bool
same_entity(const json_t *a, const json_t *b)
{
    return a && strcmp(member(a, "kind"), member(b, "kind")) == 0 &&
           strcmp(member(a, "what"), member(b, "what")) == 0 &&
           strcmp(member(a, "name"), member(b, "name")) == 0;
}

/* What changed in one thing stands below its name. */
static void
put_option(struct text *out, const json_t *change, const json_t *previous, const char *source)
{
    if (!same_entity(previous, change)) {
        put_head(out, change);
        text_byte(out, '\n');
    }
    text_literal(out, "        ");
    if (*member(change, "path")) {
        put(out, member(change, "path"));
        text_literal(out, ": ");
    }
    put_values(out, change);
    put_where(out, change, source);
}

static void
put_change(struct text *out, const json_t *change, const json_t *previous, const char *source)
{
    const char *text;

    switch (mark_of(change)) {
    case '~': put_option(out, change, previous, source); return;
    case '>':
        put_head(out, change);
        text_literal(out, ": ");
        put_values(out, change);
        break;
    default:
        put_head(out, change);
        text = mark_of(change) == '-' ? member(change, "before") : member(change, "after");
        text_put(out, *text ? SLICE(": ") : SLICE(""));
        if (mark_of(change) == '!')
            text_literal(out, "never matches any more, ");
        put(out, text);
    }
    put_where(out, change, source);
}

/* ------------------------------------------------------------------ requests */

static void
put_outcome(struct text *out, const char *label, const json_t *outcome)
{
    const json_t *chain = json_object_get(outcome, "middleware");

    text_printf(out, "        %-8s", label);
    if (*member(outcome, "why")) {
        put(out, member(outcome, "why"));
        text_byte(out, '\n');
        return;
    }
    text_literal(out, "route ");
    put(out, member(outcome, "route"));
    for (size_t i = 0; i < json_array_size(chain); i++) {
        text_literal(out, ", ");
        put_item(out, json_array_get(chain, i));
    }
    if (*member(outcome, "to")) {
        text_literal(out, ", to ");
        put(out, member(outcome, "to"));
    }
    if (*member(outcome, "says")) {
        text_literal(out, ": ");
        put(out, member(outcome, "says"));
    }
    text_byte(out, '\n');
}

static void
put_requests(struct text *out, const json_t *plan)
{
    long long replayed = json_integer_value(json_object_get(plan, "replayed"));
    long long differing = json_integer_value(json_object_get(plan, "differing"));
    const json_t *list = json_object_get(plan, "different"), *d;
    size_t i;

    if (!replayed) {
        text_literal(out, "\nThere were no recent requests to try it with.\n");
        return;
    }
    if (!differing) {
        text_printf(out, "\nAll of %lld recent requests would be treated as before.\n", replayed);
        return;
    }
    text_printf(out, "\nOf %lld recent requests %lld would be treated differently:\n", replayed,
                differing);
    json_array_foreach (list, i, d) {
        text_printf(out, "  %lld x ",
                    (long long) json_integer_value(json_object_get(d, "count")));
        put(out, member(d, "method"));
        text_byte(out, ' ');
        put(out, member(d, "url"));
        text_byte(out, '\n');
        put_outcome(out, "before", json_object_get(d, "before"));
        put_outcome(out, "after", json_object_get(d, "after"));
    }
}

bool
plan_print(struct slice json, const char *source, struct text *out)
{
    json_t *plan = json_loadb(json.at ? json.at : "", json.n, 0, NULL), *changes, *warning;
    const json_t *previous = NULL;
    size_t i;

    changes = json_object_get(plan, "changes");
    if (!json_is_array(changes)) {
        json_decref(plan);
        return false;
    }
    put_counts(out, json_object_get(plan, "counts"));
    for (i = 0; i < json_array_size(changes); i++) {
        const json_t *change = json_array_get(changes, i);

        put_change(out, change, previous, source);
        previous = change;
    }
    put_requests(out, plan);
    json_array_foreach (json_object_get(plan, "warnings"), i, warning) {
        text_put(out, i ? SLICE("warning: ") : SLICE("\nwarning: "));
        put_item(out, warning);
        text_byte(out, '\n');
    }
    json_decref(plan);
    return true;
}
