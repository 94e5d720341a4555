/* SPDX-License-Identifier: Apache-2.0 */
/* middleware/esi/parser.c - see parser.h; ESI Language Specification 1.0, 3. */
#include "middleware/esi/parser.h"

#include "base/check.h"
#include "middleware/esi/expression.h"
#include "middleware/esi/variables.h"

#include <stdlib.h>

enum { SCRATCH_MAX = 1024 * 1024, WAIT_MAX_MS = 600 * 1000 };

struct kept {
    struct list link;
    struct text name, source;
};

/* ------------------------------------------------------------------ inline fragments */

void
esi_inlines_init(struct esi_inlines *i)
{
    list_init(&i->list);
    i->bytes = 0;
    i->reads = 0;
}

static void
kept_free(struct kept *k)
{
    list_remove(&k->link);
    text_free(&k->name);
    text_free(&k->source);
    free(k);
}

void
esi_inlines_free(struct esi_inlines *i)
{
    list_each (link, &i->list)
        kept_free(list_entry(link, struct kept, link));
    i->bytes = 0;
}

static struct kept *
inlines_find(const struct esi_inlines *i, struct slice name)
{
    list_each (link, &i->list) {
        struct kept *k = list_entry(link, struct kept, link);

        if (slice_eq(text_slice(&k->name), name))
            return k;
    }
    return NULL;
}

/* The first of a name stays, for it may be in use. */
static bool
inlines_add(struct esi_inlines *i, struct slice name, struct slice source)
{
    size_t bytes = name.n + source.n + sizeof(struct kept);
    struct kept *k;

    if (inlines_find(i, name))
        return true;
    if (i->bytes + bytes > ESI_KEPT_MAX || !(k = calloc(1, sizeof(*k))))
        return false;
    text_init(&k->name, name.n);
    text_init(&k->source, source.n);
    text_put(&k->name, name);
    text_put(&k->source, source);
    list_append(&i->list, &k->link);
    i->bytes += bytes;
    return !k->name.full && !k->source.full;
}

/* ------------------------------------------------------------------ life */

void
esi_parser_init(struct esi_parser *p, const struct exchange *x, struct esi_inlines *inlines)
{
    *p = (struct esi_parser){.x = x, .inlines = inlines};
    esi_lexer_init(&p->lexer);
    arena_init(&p->scratch, NULL, 0, SCRATCH_MAX);
    text_init(&p->expanded, ESI_REFERENCE_MAX);
    text_init(&p->captured, ESI_KEPT_MAX);
}

void
esi_parser_free(struct esi_parser *p)
{
    esi_lexer_free(&p->lexer);
    arena_free(&p->scratch);
    text_free(&p->expanded);
    text_free(&p->captured);
    free((char *) (uintptr_t) p->inline_name.at);
    p->inline_name = (struct slice){NULL, 0};
}

static void
fail(struct esi_parser *p, const char *problem)
{
    if (!p->problem)
        p->problem = problem;
}

/* ------------------------------------------------------------------ blocks */

static struct esi_block *
innermost(struct esi_parser *p)
{
    return p->depth ? &p->blocks[p->depth - 1] : NULL;
}

static bool
is_live(struct esi_parser *p)
{
    return p->depth == 0 || innermost(p)->live;
}

static bool
is_in(struct esi_parser *p, enum esi_name name)
{
    return p->depth && innermost(p)->name == name;
}

/* What the lexer looks for depends on where it is. */
static void
blocks_changed(struct esi_parser *p)
{
    bool variables = false;

    for (unsigned i = 0; i < p->depth; i++)
        variables |= p->blocks[i].name == ESI_VARS;
    p->lexer.variables = variables && is_live(p) && !p->capturing;
}

static void
push(struct esi_parser *p, enum esi_name name, bool live)
{
    if (p->depth == ESI_BLOCKS_MAX) {
        fail(p, "too many blocks inside of each other");
        return;
    }
    p->blocks[p->depth++] = (struct esi_block){.name = name, .live = live};
    blocks_changed(p);
}

/* ------------------------------------------------------------------ include */

/* Values say what is asked for, not whom: "/$(QUERY_STRING{a})/b" without an a is no "//b", which
 * would be the host b, and what begins with a value has no scheme. */
static struct slice
at_home(struct esi_parser *p, struct slice raw, struct slice expanded)
{
    if (slice_starts(raw, SLICE("//")) || slice_starts_nocase(raw, SLICE("http")))
        return arena_copy(&p->scratch, expanded);
    while (slice_starts(expanded, SLICE("//")))
        expanded = slice_from(expanded, 1);
    if (!slice_starts(raw, SLICE("$(")) || slice_starts(expanded, SLICE("/")))
        return arena_copy(&p->scratch, expanded);
    return arena_printf(&p->scratch, "./%.*s", SLICE_ARG(expanded));
}

/* Absent when it is not there, or too long (then p has failed). */
static struct slice
reference(struct esi_parser *p, const struct esi_tag *tag, struct slice name)
{
    struct slice raw = esi_tag_attribute(tag, name, &p->scratch), copy;

    if (!slice_is_present(raw))
        return raw;
    p->expanded.n = 0;
    esi_expand(raw, ESI_URL, p->x, &p->scratch, &p->expanded);
    copy = at_home(p, raw, text_slice(&p->expanded));
    if (p->expanded.full || !slice_is_present(copy))
        fail(p, "the reference of an include is too long");
    return copy;
}

static uint64_t
wait_of(struct esi_parser *p, const struct esi_tag *tag)
{
    struct slice text = esi_tag_attribute(tag, SLICE("maxwait"), &p->scratch);
    uint64_t ms;

    if (!slice_is_present(text))
        text = esi_tag_attribute(tag, SLICE("timeout"), &p->scratch);
    if (!slice_is_present(text))
        return 0;
    if (!slice_to_u64(text, WAIT_MAX_MS, &ms) || ms == 0) {
        fail(p, "maxwait is no number of milliseconds");
        return 0;
    }
    return ms * 1000;
}

/* What is asked for stands in the document itself: it is read next. */
static bool
read_inline(struct esi_parser *p, struct slice name)
{
    const struct kept *k = inlines_find(p->inlines, name);

    if (!k)
        return false;
    if (p->nested == ESI_SOURCES_MAX || p->inlines->reads++ == ESI_READS_MAX)
        fail(p, "inline fragments include each other too often");
    else
        p->sources[p->nested++] = (struct esi_source){text_slice(&k->source), p->depth};
    return true;
}

static void
open_include(struct esi_parser *p, const struct esi_tag *tag, struct esi_event *event)
{
    struct slice src = reference(p, tag, SLICE("src"));
    struct slice on_error = esi_tag_attribute(tag, SLICE("onerror"), &p->scratch);

    if (src.n == 0) {
        fail(p, "an include without src");
        return;
    }
    if (read_inline(p, src))
        return;
    *event = (struct esi_event){
        .kind = ESI_EVENT_FETCH,
        .src = src,
        .alt = reference(p, tag, SLICE("alt")),
        .goes_on = slice_eq(on_error, SLICE("continue")),
        .wait_us = wait_of(p, tag),
    };
}

/* ------------------------------------------------------------------ tags that open */

static void
open_when(struct esi_parser *p, const struct esi_tag *tag)
{
    struct esi_block *choose = innermost(p);
    struct slice test = esi_tag_attribute(tag, SLICE("test"), &p->scratch);
    bool asked = choose->live && !choose->chosen, value = false;

    if (!slice_is_present(test))
        fail(p, "a `when` without test");
    else if (asked && !esi_expression_test(test, p->x, &p->scratch, &value))
        fail(p, "the test of a `when` is no expression");
    choose->chosen |= value;
    push(p, ESI_WHEN, asked && value);
}

static void
open_otherwise(struct esi_parser *p)
{
    struct esi_block *choose = innermost(p);
    bool live = choose->live && !choose->chosen;

    choose->chosen = true;
    push(p, ESI_OTHERWISE, live);
}

static void
capture(struct esi_parser *p, enum esi_name name)
{
    bool live = is_live(p);

    p->capturing = live;
    p->inside = 0;
    p->captured.n = 0;
    push(p, name, live);
}

static void
open_except(struct esi_parser *p)
{
    if (innermost(p)->chosen)
        fail(p, "a `try` with more than one `except`");
    innermost(p)->chosen = true;
    capture(p, ESI_EXCEPT);
}

static void
open_inline(struct esi_parser *p, const struct esi_tag *tag)
{
    struct slice name = reference(p, tag, SLICE("name"));
    char *copy = name.n ? malloc(name.n) : NULL;

    if (!copy) {
        fail(p, "an inline fragment without name");
        return;
    }
    memcpy(copy, name.at, name.n);
    free((char *) (uintptr_t) p->inline_name.at);
    p->inline_name = slice_of(copy, name.n);
    capture(p, ESI_INLINE);
}

/* Those that stand in others only. */
static bool
stands_well(struct esi_parser *p, enum esi_name name)
{
    if (name == ESI_WHEN || name == ESI_OTHERWISE)
        return is_in(p, ESI_CHOOSE);
    if (name == ESI_ATTEMPT || name == ESI_EXCEPT)
        return is_in(p, ESI_TRY);
    return true;
}

static void
open_tag(struct esi_parser *p, const struct esi_tag *tag, struct esi_event *event)
{
    if (!stands_well(p, tag->name)) {
        fail(p, "a tag stands where it may not");
        return;
    }
    switch (tag->name) {
    case ESI_INCLUDE:
        if (is_live(p))
            open_include(p, tag, event);
        break;
    case ESI_TRY:
        if (is_live(p))
            event->kind = ESI_EVENT_TRY;
        push(p, ESI_TRY, is_live(p));
        break;
    case ESI_INLINE: open_inline(p, tag); break;
    case ESI_WHEN: open_when(p, tag); break;
    case ESI_OTHERWISE: open_otherwise(p); break;
    case ESI_EXCEPT: open_except(p); break;
    case ESI_CHOOSE:
    case ESI_ATTEMPT:
    case ESI_VARS: push(p, tag->name, is_live(p)); break;
    case ESI_REMOVE: push(p, ESI_REMOVE, false); break;
    case ESI_COMMENT: break;
    }
}

/* ------------------------------------------------------------------ tags that close */

static void
end_capture(struct esi_parser *p, enum esi_name name, struct esi_event *event)
{
    p->capturing = false;
    if (p->captured.full) {
        fail(p, "an inline fragment or `except` is too long");
    } else if (name == ESI_EXCEPT) {
        event->kind = ESI_EVENT_EXCEPT;
        event->text = text_slice(&p->captured);
    } else if (!inlines_add(p->inlines, p->inline_name, text_slice(&p->captured))) {
        fail(p, "too many inline fragments");
    }
}

static void
close_block(struct esi_parser *p, enum esi_name name, struct esi_event *event)
{
    /* An inline fragment closes what it has opened, and no more. */
    unsigned least = p->nested ? p->sources[p->nested - 1].blocks : 0;

    if (name == ESI_INCLUDE || name == ESI_COMMENT)
        return;
    if (!is_in(p, name) || p->depth == least) {
        fail(p, "a tag closes what is not open");
        return;
    }
    p->depth--;
    if (p->capturing)
        end_capture(p, name, event);
    else if (name == ESI_TRY && is_live(p))
        event->kind = ESI_EVENT_TRY_END;
    blocks_changed(p);
}

static void
read_tag(struct esi_parser *p, struct slice text, struct esi_event *event)
{
    struct esi_tag tag;

    if (!esi_tag_read(text, &tag)) {
        fail(p, "a malformed tag");
        return;
    }
    if (tag.closes) {
        close_block(p, tag.name, event);
        return;
    }
    open_tag(p, &tag, event);
    if (tag.empty && tag.name == ESI_TRY)
        fail(p, "an empty `try`");
    else if (tag.empty && !p->problem)
        close_block(p, tag.name, event);
}

/* ------------------------------------------------------------------ tokens */

/* True when the tag belongs to what is captured. */
static bool
is_captured(struct esi_parser *p, struct slice text)
{
    struct esi_tag tag;

    if (!esi_tag_read(text, &tag) || tag.name != innermost(p)->name || tag.empty)
        return true;
    if (!tag.closes)
        p->inside++;
    else if (p->inside == 0)
        return false;
    else
        p->inside--;
    return true;
}

static void
read_text(struct esi_parser *p, struct slice text, struct esi_event *event)
{
    if (!is_live(p) || is_in(p, ESI_CHOOSE) || is_in(p, ESI_TRY))
        return;
    event->kind = ESI_EVENT_TEXT;
    event->text = text;
}

static void
read_variable(struct esi_parser *p, struct slice whole, struct esi_event *event)
{
    struct esi_value value;

    if (!esi_variable(whole, p->x, &p->scratch, &value)) {
        read_text(p, whole, event);
        return;
    }
    p->expanded.n = 0;
    esi_variable_write(value, ESI_HTML, &p->expanded);
    if (p->expanded.full)
        fail(p, "the value of a variable is too long");
    else if (p->expanded.n)
        read_text(p, text_slice(&p->expanded), event);
}

static void
read_token(struct esi_parser *p, enum esi_token token, struct slice text, struct esi_event *event)
{
    if (token == ESI_TOKEN_BAD) {
        fail(p, "a tag that does not end, or is too long");
    } else if (p->capturing && (token != ESI_TOKEN_TAG || is_captured(p, text))) {
        text_put(&p->captured, text);
        if (p->captured.full)
            fail(p, "an inline fragment or `except` is too long");
    } else if (token == ESI_TOKEN_TAG) {
        read_tag(p, text, event);
    } else if (token == ESI_TOKEN_VARIABLE) {
        read_variable(p, text, event);
    } else {
        read_text(p, text, event);
    }
}

static void
begin_event(struct esi_parser *p, struct esi_event *event)
{
    *event = (struct esi_event){.kind = ESI_EVENT_NONE};
    arena_reset(&p->scratch);
}

static bool
end_event(struct esi_parser *p, struct esi_event *event)
{
    if (p->problem)
        *event = (struct esi_event){.kind = ESI_EVENT_FAILED, .problem = p->problem};
    return event->kind != ESI_EVENT_NONE;
}

/* The innermost inline fragment that is being read goes on, or is over. */
static void
read_source(struct esi_parser *p, struct esi_event *event)
{
    struct esi_source *s = &p->sources[p->nested - 1];
    struct slice text;
    enum esi_token token = esi_lexer_next(&p->lexer, &s->rest, &text);

    if (token == ESI_TOKEN_NONE)
        token = esi_lexer_end(&p->lexer, &text);
    if (token != ESI_TOKEN_NONE) {
        read_token(p, token, text, event);
        return;
    }
    if (p->depth != s->blocks)
        fail(p, "a tag of an inline fragment is not closed");
    p->nested--;
}

void
esi_parser_next(struct esi_parser *p, struct slice *input, struct esi_event *event)
{
    begin_event(p, event);
    while (!end_event(p, event)) {
        enum esi_token token;
        struct slice text;

        if (p->nested) {
            read_source(p, event);
            continue;
        }
        token = esi_lexer_next(&p->lexer, input, &text);
        if (token == ESI_TOKEN_NONE)
            return;
        read_token(p, token, text, event);
    }
}

void
esi_parser_end(struct esi_parser *p, struct esi_event *event)
{
    begin_event(p, event);
    while (!end_event(p, event)) {
        struct slice text;
        enum esi_token token;

        if (p->nested) {
            read_source(p, event);
            continue;
        }
        token = esi_lexer_end(&p->lexer, &text);
        if (token == ESI_TOKEN_NONE && p->depth == 0)
            return;
        if (token == ESI_TOKEN_NONE)
            fail(p, "a tag is not closed");
        else
            read_token(p, token, text, event);
    }
}
