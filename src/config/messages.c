/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config/messages.c - how a faulty value is talked about, and where.
 */
#include "config/bind.h"

#include "base/text.h"

#include <stdio.h>

enum { SHOWN_BYTES_MAX = 80, SHOWN_NAMES_MAX = 40 };

struct arena *
config_bind_arena(struct config_bind *b)
{
    return &b->loader->config->arena;
}

static const char *
or_empty(struct slice s)
{
    return s.at ? s.at : "";
}

const char *
message_with_article(struct config_bind *b, const char *noun)
{
    const char *article = strchr("aeiou", noun[0]) ? "an" : "a";

    return or_empty(arena_printf(&b->loader->report->arena, "%s %s", article, noun));
}

const char *
message_found(struct config_bind *b, const struct config_node *node)
{
    if (node->kind != CONFIG_SCALAR)
        return tree_kind_text(node->kind);
    if (config_node_is_null(node))
        return "nothing";
    return or_empty(arena_printf(&b->loader->report->arena, "`%.*s%s`",
                                 SLICE_ARG(slice_first(node->text, SHOWN_BYTES_MAX)),
                                 node->text.n > SHOWN_BYTES_MAX ? "..." : ""));
}

const char *
message_names(struct config_bind *b, const char *label, const struct slice *names, size_t n)
{
    struct text t;
    struct slice s;

    text_init(&t, 16 * 1024);
    text_put(&t, slice_str(label));
    for (size_t i = 0; i < n && i < SHOWN_NAMES_MAX; i++)
        text_printf(&t, "%s `%.*s`", i ? "," : "", SLICE_ARG(names[i]));
    if (n > SHOWN_NAMES_MAX)
        text_literal(&t, " and others");
    s = arena_copy(&b->loader->report->arena, text_slice(&t));
    text_free(&t);
    return or_empty(s);
}

/* ------------------------------------------------------------------ where */

static void
add(struct config_bind *b, enum config_severity severity, struct config_mark mark, const char *hint,
    const char *format, va_list args)
{
    struct config_report *r = b->loader->report;
    char text[1024];

    vsnprintf(text, sizeof(text), format, args);
    if (b->preset)
        config_report_add(r, severity, mark, hint,
                          "in the default of `%s`, which is a mistake in the "
                          "program: %s", b->preset->name, text);
    else
        config_report_add(r, severity, mark, hint, "%s", text);
}

bool
option_error(struct config_bind *b, const struct config_node *node, const char *hint,
             const char *format, ...)
{
    va_list args;

    va_start(args, format);
    add(b, CONFIG_ERROR, node->mark, hint, format, args);
    va_end(args);
    return false;
}

bool
option_error_inside(struct config_bind *b, const struct config_node *node, size_t offset,
                    const char *hint, const char *format, ...)
{
    struct config_mark mark = node->mark;
    va_list args;

    if (report_keeps(b->loader->report))
        mark = yaml_locate(b->loader->report, node, offset);
    va_start(args, format);
    add(b, CONFIG_ERROR, mark, hint, format, args);
    va_end(args);
    return false;
}

bool
option_scalar(struct config_bind *b, const struct option *o, const struct config_node *node)
{
    if (node->kind == CONFIG_SCALAR)
        return true;
    return option_error(b, node, NULL, "expected %s, found %s",
                        message_with_article(b, o->kind->name), message_found(b, node));
}

/* Where the value at that address was set, else the object that it belongs to. */
static struct config_mark
place_of(struct config_bind *b, const void *field)
{
    const struct config_marks *marks = &b->loader->config->marks;
    struct config_mark mark = {0};
    const char *at = field;

    if (!report_keeps(b->loader->report))
        return mark;
    mark = marks_search(marks, field, PLACE_VALUE);
    if (mark.line == 0)
        mark = marks_search(marks, field, PLACE_OBJECT);
    if (mark.line == 0 && b->here.node && at >= b->here.at && at < b->here.at + b->here.bytes)
        mark = b->here.node->mark;
    return mark.line ? mark : marks_nearest_object(marks, field);
}

bool
config_bind_error(struct config_bind *b, const void *field, const char *hint, const char *format,
                  ...)
{
    va_list args;

    va_start(args, format);
    add(b, CONFIG_ERROR, place_of(b, field), hint, format, args);
    va_end(args);
    return false;
}

void
config_bind_warning(struct config_bind *b, const void *field, const char *hint, const char *format,
                    ...)
{
    va_list args;

    va_start(args, format);
    add(b, CONFIG_WARNING, place_of(b, field), hint, format, args);
    va_end(args);
}
