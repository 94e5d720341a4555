/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config/substitute.c - what a configuration takes from its surroundings.
 *
 *     ${env:NAME}            an environment variable; an error when it is not set
 *     ${env:NAME:-fallback}  the fallback (up to the next `}`) when it is not set or empty
 *     ${file:/path}          what a file holds, without the newline at its end
 *     $${env:NAME}           the text ${env:NAME}
 *
 * Every other ${...} is left alone: templates use it.  What was put in is not looked at again.
 */
#include "config/load.h"

#include <stdio.h>

enum { VALUE_BYTES_MAX = 16 << 20, NAME_MAX_BYTES = 255 };

static const struct slice env_start = SLICE_INIT("${env:"), file_start = SLICE_INIT("${file:");

static bool
starts_here(struct slice s)
{
    return slice_starts(s, env_start) || slice_starts(s, file_start);
}

/* Offset of the next replacement at or behind `from`. */
static size_t
next_start(struct slice text, size_t from)
{
    while (from < text.n) {
        size_t at = slice_find(slice_from(text, from), '$');

        if (at == SLICE_NOT_FOUND)
            break;
        from += at;
        if (starts_here(slice_from(text, from)))
            return from;
        from++;
    }
    return SLICE_NOT_FOUND;
}

bool
substitute_needed(struct slice text)
{
    return next_start(text, 0) != SLICE_NOT_FOUND;
}

static bool
put_env(struct loader *l, struct config_mark mark, struct slice inside, struct text *out)
{
    size_t colon = slice_search(inside, SLICE(":-"));
    struct slice name = slice_first(inside, colon);
    char zero_ended[NAME_MAX_BYTES + 1];
    const char *value;

    if (name.n == 0 || name.n > NAME_MAX_BYTES) {
        config_report_add(l->report, CONFIG_ERROR, mark, NULL,
                          "`${env:...}` needs the name of a variable");
        return false;
    }
    memcpy(zero_ended, name.at, name.n);
    zero_ended[name.n] = '\0';
    value = l->source->env ? l->source->env(l->source->arg, zero_ended) : NULL;
    if (colon != SLICE_NOT_FOUND && (!value || !*value)) {
        text_put(out, slice_from(inside, colon + 2));
        return true;
    }
    if (!value) {
        struct slice hint = arena_printf(
            &l->report->arena, "set it, or give a fallback: `${env:%s:-value}`", zero_ended);

        config_report_add(l->report, CONFIG_ERROR, mark, hint.at,
                          "the environment variable `%s` is not set", zero_ended);
        return false;
    }
    text_put(out, slice_str(value));
    return true;
}

static bool
put_file(struct loader *l, struct config_mark mark, struct slice inside, struct text *out)
{
    struct slice path = include_path(l, report_base(l->report, mark), inside);
    struct text content;
    struct slice s;
    int error;

    if (!path.at)
        return tree_no_memory(l);
    text_init(&content, SECRET_BYTES_MAX);
    error = l->source->read(l->source->arg, path.at, &content);
    s = text_slice(&content);
    if (s.n && s.at[s.n - 1] == '\n')
        s.n--;
    if (s.n && s.at[s.n - 1] == '\r')
        s.n--;
    if (error)
        config_report_add(l->report, CONFIG_ERROR, mark, NULL, "cannot read `%s`: %s", path.at,
                          strerror(error));
    else if (s.n && memchr(s.at, '\0', s.n))
        config_report_add(l->report, CONFIG_ERROR, mark, NULL, "`%s` holds a zero byte", path.at);
    else
        text_put(out, s);
    error |= s.n && memchr(s.at, '\0', s.n);
    text_free(&content);
    return error == 0;
}

/* Replaces the reference at the start of *rest, which moves behind it. */
static bool
put_one(struct loader *l, struct config_mark mark, struct slice *rest, struct text *out)
{
    bool is_env = slice_starts(*rest, env_start);
    size_t start = is_env ? env_start.n : file_start.n;
    size_t end = slice_find(*rest, '}');
    struct slice inside;

    if (end == SLICE_NOT_FOUND) {
        config_report_add(l->report, CONFIG_ERROR, mark, NULL, "`%.*s` without `}`", (int) start,
                          rest->at);
        return false;
    }
    inside = slice_of(rest->at + start, end - start);
    *rest = slice_from(*rest, end + 1);
    return is_env ? put_env(l, mark, inside, out) : put_file(l, mark, inside, out);
}

/* The text with everything replaced, kept as by tree_text; at is NULL after a message. */
static struct slice
substitute(struct loader *l, struct config_mark mark, struct slice text)
{
    struct slice result = {NULL, 0};
    struct text out;
    bool ok = true;

    text_init(&out, VALUE_BYTES_MAX);
    while (ok && text.n) {
        size_t at = next_start(text, 0);

        if (at != SLICE_NOT_FOUND && at > 0 && text.at[at - 1] == '$') { /* $${env:X} */
            text_put(&out, slice_first(text, at - 1));
            text_put(&out, slice_of(text.at + at, 2));
            text = slice_from(text, at + 2);
            continue;
        }
        text_put(&out, slice_first(text, at));
        text = slice_from(text, at == SLICE_NOT_FOUND ? text.n : at);
        ok = text.n == 0 || put_one(l, mark, &text, &out);
    }
    if (ok && out.full)
        config_report_add(l->report, CONFIG_ERROR, mark, NULL, "the value is longer than %d bytes",
                          VALUE_BYTES_MAX);
    else if (ok)
        result = tree_text(l, out.n ? text_slice(&out) : SLICE(""));
    text_free(&out);
    return result;
}

static void
substitute_scalar(struct loader *l, struct config_node *node)
{
    struct slice text;

    if (node->faulty || !substitute_needed(node->text))
        return;
    text = substitute(l, node->mark, node->text);
    node->faulty = !text.at;
    if (text.at)
        node->text = text;
    node->quoted |= text.n > 0; /* a value that reads `null` is a text */
}

void
substitute_tree(struct loader *l, struct config_node *node)
{
    if (node->kind == CONFIG_SCALAR)
        substitute_scalar(l, node);
    for (struct config_node *n = node->first; n; n = n->next)
        substitute_tree(l, n);
}
