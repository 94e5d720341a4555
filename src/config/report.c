/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config/report.c - messages with their places, printed as a compiler does.
 *
 * A message is kept once: a mistake in `defaults` would otherwise come back for every object that
 * takes them.  What quotes the user's text is cut and cleaned of control bytes, for a terminal
 * shows it.
 */
#include "config/lines.h"
#include "config/load.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    KEPT_MAX = 100,
    MESSAGE_MAX = 600,  /* bytes */
    TOLD_MAX = 4 * 1024 * 1024,
    WINDOW_MAX = 100,   /* columns of a line that are shown */
    WINDOW_BEFORE = 60, /* of them before the caret, when the line is cut */
    REPORT_ARENA_MAX = 1 << 30,
};

void
config_report_init(struct config_report *r)
{
    *r = (struct config_report){0};
    arena_init(&r->arena, NULL, 0, REPORT_ARENA_MAX);
}

void
config_report_free(struct config_report *r)
{
    arena_free(&r->arena);
    config_report_init(r);
}

int
report_add_file(struct config_report *r, struct slice path, struct slice text)
{
    size_t n = r->n_files;

    if (n >= UINT16_MAX)
        return -1;
    if ((n & (n - 1)) == 0) { /* full at 0, 1, 2, 4, 8 ... */
        struct config_file *grown = arena_calloc(&r->arena, n ? n * 2 : 1, sizeof(*grown));

        if (!grown)
            return -1;
        if (n)
            memcpy(grown, r->files, n * sizeof(*grown));
        r->files = grown;
    }
    r->files[n].path = arena_copy(&r->arena, path);
    r->files[n].text = arena_copy(&r->arena, text);
    if (!r->files[n].path.at || !r->files[n].text.at)
        return -1;
    r->n_files++;
    return (int) n;
}

void
report_secret(struct config_report *r, struct config_mark mark)
{
    size_t n = r->n_secrets;

    if (mark.line == 0)
        return;
    if ((n & (n - 1)) == 0) { /* full at 0, 1, 2, 4, 8 ... */
        struct config_mark *grown = arena_calloc(&r->arena, n ? n * 2 : 1, sizeof(*grown));

        if (!grown)
            return;
        if (n)
            memcpy(grown, r->secrets, n * sizeof(*grown));
        r->secrets = grown;
    }
    r->secrets[r->n_secrets++] = mark;
}

struct slice
report_base(const struct config_report *r, struct config_mark mark)
{
    const struct config_file *f;

    if (mark.line == 0 || mark.file >= r->n_files)
        return SLICE("");
    f = &r->files[mark.file];
    return f->base.at ? f->base : f->path;
}

bool
report_keeps(const struct config_report *r)
{
    return r->errors + r->warnings < KEPT_MAX;
}

const char *
report_place(struct config_report *r, struct config_mark mark)
{
    struct slice s;

    if (mark.line == 0 || mark.file >= r->n_files)
        return "the defaults";
    s = arena_printf(&r->arena, "%s:%u:%u", r->files[mark.file].path.at, mark.line, mark.column);
    return s.at ? s.at : "";
}

/* ------------------------------------------------------------------ adding */

/* Control bytes of a name must not reach a terminal; a cut must not leave half a character. */
static size_t
clean(char *text, size_t n, bool cut)
{
    for (size_t i = 0; i < n; i++)
        if ((unsigned char) text[i] < 0x20 || text[i] == 0x7f)
            text[i] = text[i] == '\n' || text[i] == '\t' ? ' ' : '?';
    if (!cut)
        return n;
    while (n && ((unsigned char) text[n - 1] & 0xC0) == 0x80)
        n--;
    if (n && (unsigned char) text[n - 1] >= 0xC0)
        n--;
    memcpy(text + n, "...", 3);
    return n + 3;
}

static bool
same_mark(struct config_mark a, struct config_mark b)
{
    return a.line == b.line && a.column == b.column && a.file == b.file;
}

static void
keep(struct config_report *r, enum config_severity severity, struct config_mark mark,
     const char *hint, struct slice text)
{
    struct config_message **last = &r->messages, *m;

    for (; *last; last = &(*last)->next)
        if (same_mark((*last)->mark, mark) && slice_eq((*last)->text, text))
            return;
    if (severity == CONFIG_ERROR)
        r->errors++;
    else
        r->warnings++;
    m = arena_new(&r->arena, struct config_message);
    if (!m)
        return;
    *m = (struct config_message){.severity = severity, .mark = mark};
    m->text = arena_copy(&r->arena, text);
    m->hint = hint ? arena_copy(&r->arena, slice_str(hint)) : (struct slice){NULL, 0};
    *last = m;
}

void
config_report_add(struct config_report *r, enum config_severity severity, struct config_mark mark,
                  const char *hint, const char *format, ...)
{
    char text[MESSAGE_MAX + 4];
    va_list args;
    int n;
    bool cut;

    if (!report_keeps(r)) {
        if (severity == CONFIG_ERROR)
            r->errors++;
        else
            r->warnings++;
        return;
    }
    va_start(args, format);
    n = vsnprintf(text, MESSAGE_MAX, format, args);
    va_end(args);
    if (n < 0)
        n = 0;
    cut = n >= MESSAGE_MAX;
    keep(r, severity, mark, hint,
         slice_of(text, clean(text, cut ? MESSAGE_MAX - 1 : (size_t) n, cut)));
}

/* ------------------------------------------------------------------ printing */

/* The line with that number, without its end; absent when there is none. */
static struct slice
line_of(struct slice text, uint32_t number)
{
    struct slice rest = text, line = {NULL, 0};

    for (uint32_t i = 0; i < number; i++) {
        if (!slice_is_present(rest))
            return rest;
        line = slice_cut(&rest, '\n');
    }
    if (line.n && line.at[line.n - 1] == '\r')
        line.n--;
    return line;
}

static bool
is_continuation(char c)
{
    return ((unsigned char) c & 0xC0) == 0x80;
}

/* How many bytes the caret underlines: a quoted text whole, a bracket alone, else up to what ends a
 * plain key or value. */
static size_t
token_length(struct slice s)
{
    size_t n = 1, braces = 0;

    if (s.n == 0 || strchr("[]{},:", s.at[0]))
        return 1;
    if (s.at[0] == '"' || s.at[0] == '\'') {
        while (n < s.n && s.at[n] != s.at[0])
            n += s.at[0] == '"' && s.at[n] == '\\' ? 2 : 1;
        return n < s.n ? n + 1 : s.n;
    }
    for (; n < s.n && !strchr(" \t,]", s.at[n]); n++) {
        if (s.at[n] == ':' && (n + 1 == s.n || strchr(" \t", s.at[n + 1])))
            break;
        if (s.at[n] == '}' && braces-- == 0) /* but ${env:X} is whole */
            break;
        braces += s.at[n] == '{';
    }
    return n;
}

/* Which bytes of a line are shown: all of a short one, a stretch around the column of a long
 * one. */
static struct slice
window(struct slice line, size_t column)
{
    size_t from = 0;

    if (line.n <= WINDOW_MAX)
        return line;
    if (column > WINDOW_BEFORE)
        from = column - WINDOW_BEFORE;
    while (from && from < line.n && is_continuation(line.at[from]))
        from--;
    return slice_first(slice_from(line, from), WINDOW_MAX);
}

/* A terminal gets neither control bytes nor broken characters; a tab is one column, as for the
 * caret. */
static void
print_shown(struct text *out, struct slice shown)
{
    while (shown.n) {
        size_t good = lines_find_bad_byte(shown);
        struct slice run = slice_first(shown, good);

        for (size_t i = 0; i < run.n; i++)
            text_byte(out, run.at[i] == '\t' ? ' ' : run.at[i]);
        shown = slice_from(shown, run.n);
        if (shown.n)
            text_byte(out, '?');
        shown = slice_from(shown, 1);
    }
}

static void
print_caret(struct text *out, struct slice before, struct slice marked)
{
    size_t n = 0;

    for (size_t i = 0; i < before.n; i++)
        if (!is_continuation(before.at[i]))
            text_byte(out, ' ');
    text_byte(out, '^');
    for (size_t i = 0; i < marked.n; i++)
        n += !is_continuation(marked.at[i]);
    while (n-- > 1)
        text_byte(out, '~');
}

static void
print_line(struct text *out, struct slice line, struct config_mark mark)
{
    size_t column = mark.column ? mark.column - 1 : 0;
    struct slice shown, marked;
    const char *dots = "";

    if (column > line.n)
        column = line.n;
    shown = window(line, column);
    if (shown.at != line.at)
        dots = "...";
    marked = slice_from(shown, (size_t) (line.at - shown.at) + column);
    text_printf(out, "%5u | %s", mark.line, dots);
    print_shown(out, shown);
    text_printf(out, "%s\n      | %*s",
                slice_from(shown, shown.n).at < line.at + line.n ? "..." : "", (int) strlen(dots),
                "");
    print_caret(out, slice_of(shown.at, (size_t) (marked.at - shown.at)),
                slice_first(marked, token_length(marked)));
    text_byte(out, '\n');
}

static bool
may_show(const struct config_report *r, struct config_mark mark)
{
    for (size_t i = 0; i < r->n_secrets; i++)
        if (r->secrets[i].line == mark.line && r->secrets[i].file == mark.file)
            return false;
    return true;
}

static void
print_message(const struct config_report *r, const struct config_message *m, struct text *out)
{
    bool placed = m->mark.line && m->mark.file < r->n_files;

    if (placed)
        text_printf(out, "%s:%u:%u: ", r->files[m->mark.file].path.at, m->mark.line,
                    m->mark.column);
    text_printf(out, "%s: %.*s\n", m->severity == CONFIG_ERROR ? "error" : "warning",
                SLICE_ARG(m->text));
    if (placed && may_show(r, m->mark)) {
        struct slice line = line_of(r->files[m->mark.file].text, m->mark.line);

        if (line.at)
            print_line(out, line, m->mark);
    }
    if (m->hint.n)
        text_printf(out, "hint: %.*s\n", SLICE_ARG(m->hint));
}

/* Messages without a place first, then in the order of the text. */
static int
by_place(const void *one, const void *two)
{
    const struct config_message *a = *(struct config_message *const *) one;
    const struct config_message *b = *(struct config_message *const *) two;
    uint64_t x = (uint64_t) a->mark.line << 32 | a->mark.column;
    uint64_t y = (uint64_t) b->mark.line << 32 | b->mark.column;

    if (!a->mark.line != !b->mark.line)
        return a->mark.line ? 1 : -1;
    if (a->mark.file != b->mark.file)
        return a->mark.file < b->mark.file ? -1 : 1;
    return (x > y) - (x < y);
}

void
config_report_print(const struct config_report *r, struct text *out)
{
    const struct config_message *sorted[KEPT_MAX];
    size_t n = 0;

    for (const struct config_message *m = r->messages; m && n < KEPT_MAX; m = m->next)
        sorted[n++] = m;
    if (n)
        qsort(sorted, n, sizeof(sorted[0]), by_place);
    for (size_t i = 0; i < n; i++)
        print_message(r, sorted[i], out);
    if (r->errors + r->warnings > n)
        text_printf(out, "... and %zu more\n", r->errors + r->warnings - n);
}

void
config_report_tell(const struct config_report *r)
{
    struct text t;

    text_init(&t, TOLD_MAX);
    config_report_print(r, &t);
    if (t.n)
        fwrite(t.at, 1, t.n, stderr);
    text_free(&t);
}
