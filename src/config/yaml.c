/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config/yaml.c - from YAML to the tree, by the events of libfyaml.
 *
 * The subset: maps with plain keys, lists, scalars, anchors and aliases within one file.  What
 * surprises people or lets a small file become a large one is refused: tags, merge keys, several
 * documents, directives, keys that are not scalars, duplicate keys, deep nesting, aliases without
 * end.
 *
 * An open map or list is a frame; a value goes into the topmost one.  An alias is a copy of the
 * nodes that its anchor names, so that every node of the tree has one place only.
 */
#include "config/lines.h"
#include "config/load.h"

#include "base/check.h"
#include "base/map.h"

#include <libfyaml.h>

enum { LINEAR_KEYS = 12 }; /* up to so many members a map is searched one by one */

struct frame {
    struct config_node *node;
    struct config_node *last;         /* member */
    struct slice        key;          /* at is NULL until it is read */
    struct config_mark  key_mark;
    struct slice        anchor;       /* at is NULL when there is none */
    struct map          keys;         /* of a large map: node by key */
    size_t              members;
    size_t              nodes_before; /* how many the tree had */
    unsigned            height;       /* open and closed containers below this one */
    bool                drop;         /* the value of the current key is not wanted */
};

struct anchored {
    const struct config_node *node;
    size_t                    nodes;
    unsigned                  height;
};

struct yaml {
    struct loader      *loader;
    struct slice        text;
    int                 file;
    struct lines        lines;
    struct fy_diag     *diag;
    struct fy_parser   *parser;
    struct arena        scratch; /* anchors */
    struct map          anchors;
    struct text         scalar;  /* the text of the last one */
    struct fy_token_iter *pieces; /* of that text */
    size_t              at;      /* offset of the last token */
    struct config_node *root;
    unsigned            documents;
    bool                stop;
    size_t              depth;
    struct frame        frames[DEPTH_MAX];
};

/* ------------------------------------------------------------------ places and messages */

static struct config_mark
mark_at(struct yaml *y, size_t offset)
{
    if (y->file < 0)
        return (struct config_mark){0};
    return lines_mark(&y->lines, offset, (uint16_t) y->file);
}

/* A value that is not written has no token: the dash of a list item, else what stands before it. */
static size_t
offset_of_nothing(const struct yaml *y)
{
    size_t at = slice_find(slice_from(y->text, y->at), '\n');

    if (at == SLICE_NOT_FOUND || !y->depth || y->frames[y->depth - 1].node->kind != CONFIG_LIST)
        return y->at;
    for (at += y->at; at < y->text.n && strchr(" \r\n", y->text.at[at]);)
        at++;
    return at < y->text.n && y->text.at[at] == '-' ? at : y->at;
}

/* libfyaml points behind a quote, and at the first line of a block with its indentation; some
 * versions have a token for a value that is not written, others have none. */
static size_t
offset_of_scalar(const struct yaml *y, struct fy_token *token, size_t at)
{
    bool plain = fy_token_scalar_style(token) == FYSS_PLAIN;

    if (plain && fy_token_get_text_length(token) == 0)
        return offset_of_nothing(y);
    if (!plain && at > 0 && strchr("'\"", y->text.at[at - 1]))
        return at - 1;
    while (at + 1 < y->text.n && strchr(" \r\n", y->text.at[at]))
        at++;
    return at;
}

static struct config_mark
mark_of(struct yaml *y, struct fy_event *e)
{
    struct fy_token *token = fy_event_get_token(e);
    const struct fy_mark *m = token ? fy_token_start_mark(token) : NULL;

    if (!m)
        y->at = offset_of_nothing(y);
    else if (e->type == FYET_SCALAR)
        y->at = offset_of_scalar(y, token, m->input_pos);
    else
        y->at = m->input_pos;
    if (y->at > y->text.n)
        y->at = y->text.n;
    if (e->type == FYET_ALIAS && y->at > 0 && y->text.at[y->at - 1] == '*')
        y->at--;
    return mark_at(y, y->at);
}

#define fault(y, mark, hint, ...)                                                                 \
    config_report_add((y)->loader->report, CONFIG_ERROR, (mark), (hint), __VA_ARGS__)

/* A fault behind which the rest of the text cannot be understood. */
#define give_up(y, mark, hint, ...)                                                               \
    (fault((y), (mark), (hint), __VA_ARGS__), (y)->stop = (y)->loader->failed = true)

static void
no_memory(struct yaml *y)
{
    tree_no_memory(y->loader);
    y->stop = true;
}

/* ------------------------------------------------------------------ building */

static struct config_node *
find_member(const struct frame *f, struct slice key)
{
    return f->keys.room ? map_get(&f->keys, key) : config_node_get(f->node, key);
}

/* Large maps are looked up by hash, lest a million keys take a million million steps. */
static void
index_member(struct yaml *y, struct frame *f, struct config_node *member)
{
    struct config_node *n = f->keys.room ? member : f->node->first;

    if (++f->members <= LINEAR_KEYS)
        return;
    for (; n; n = n->next)
        if (!map_put(&f->keys, n->key, n)) {
            no_memory(y);
            return;
        }
}

static void
remember_anchor(struct yaml *y, struct slice name, struct anchored value)
{
    struct anchored *kept = arena_new(&y->scratch, struct anchored);
    struct slice key = arena_copy(&y->scratch, name);

    if (!kept || !key.at || !map_put(&y->anchors, key, kept)) {
        no_memory(y);
        return;
    }
    *kept = value;
}

/* Gives a finished value its place in what is open. */
static void
place(struct yaml *y, struct config_node *node, struct anchored extent, struct slice anchor)
{
    struct frame *f = y->depth ? &y->frames[y->depth - 1] : NULL;

    if (anchor.at)
        remember_anchor(y, anchor, extent);
    if (!f) {
        y->root = node;
        return;
    }
    if (f->height < extent.height)
        f->height = extent.height;
    if (f->node->kind == CONFIG_MAP) {
        node->key = f->key;
        node->key_mark = f->key_mark;
        f->key.at = NULL;
        if (f->drop)
            return;
    }
    if (f->last)
        f->last->next = node;
    else
        f->node->first = node;
    f->last = node;
    if (f->node->kind == CONFIG_MAP)
        index_member(y, f, node);
}

static void
close_container(struct yaml *y)
{
    struct frame f = y->frames[--y->depth];

    map_free(&f.keys);
    place(y, f.node, (struct anchored){f.node, y->loader->nodes - f.nodes_before, f.height + 1},
          f.anchor);
}

/* ------------------------------------------------------------------ events */

static bool
wants_key(const struct yaml *y)
{
    const struct frame *f = y->depth ? &y->frames[y->depth - 1] : NULL;

    return f && f->node->kind == CONFIG_MAP && !f->key.at;
}

static void
refuse_tag(struct yaml *y, struct fy_event *e, struct config_mark mark)
{
    if (fy_event_get_tag_token(e))
        fault(y, mark, "the type of a value follows from its key, so leave the tag out",
              "tags are not supported");
}

/* The name in the scratch arena; absent when the event has no anchor. */
static struct slice
anchor_of(struct yaml *y, struct fy_event *e)
{
    struct fy_token *token = fy_event_get_anchor_token(e);
    struct slice name = {NULL, 0};

    if (token)
        name.at = fy_token_get_text(token, &name.n);
    return name.at ? arena_copy(&y->scratch, name) : (struct slice){NULL, 0};
}

static void
on_open(struct yaml *y, struct fy_event *e, enum config_node_kind kind)
{
    struct config_mark mark = mark_of(y, e);
    struct frame *f = &y->frames[y->depth];

    refuse_tag(y, e, mark);
    if (wants_key(y)) {
        give_up(y, mark, NULL, "a key cannot be %s", tree_kind_text(kind));
        return;
    }
    if (y->depth == DEPTH_MAX) {
        give_up(y, mark, NULL, "more than %d maps and lists inside each other", DEPTH_MAX);
        return;
    }
    *f = (struct frame){.nodes_before = y->loader->nodes, .anchor = anchor_of(y, e)};
    f->node = tree_new(y->loader, kind, mark);
    if (f->node)
        y->depth++;
    else
        y->stop = true;
}

static void
on_key(struct yaml *y, struct slice key, struct config_mark mark, bool quoted)
{
    struct frame *f = &y->frames[y->depth - 1];
    const struct config_node *twin;

    f->drop = true;
    f->key_mark = mark;
    if (key.n == 0 && !quoted)
        fault(y, mark, NULL, "a key is missing");
    else if (memchr(key.at, '\0', key.n))
        fault(y, mark, NULL, "a key cannot hold a zero byte");
    else if (!quoted && slice_eq(key, SLICE("<<")))
        fault(y, mark, "list the keys, or use `defaults:`", "merge keys are not supported");
    else if ((twin = find_member(f, key)))
        fault(y, mark, NULL, "key `%.*s` is already defined at %s", SLICE_ARG(key),
              report_place(y->loader->report, twin->key_mark));
    else
        f->drop = false;
    f->key = tree_key(y->loader, key);
    y->stop |= !f->key.at;
}

static void
on_value(struct yaml *y, struct slice text, struct config_mark mark, bool quoted,
         struct slice anchor)
{
    struct loader *l = y->loader;
    struct config_node *node;

    node = tree_new(l, CONFIG_SCALAR, mark);
    if (!node) {
        y->stop = true;
        return;
    }
    node->quoted = quoted;
    if (memchr(text.at, '\0', text.n)) {
        fault(y, mark, NULL, "a value cannot hold a zero byte");
        node->faulty = true;
        text.n = 0;
    }
    node->text = tree_text(l, text);
    y->stop |= !node->text.at;
    place(y, node, (struct anchored){node, 1, 0}, anchor);
}

/* The text of a scalar, valid until the next one's; at is NULL when out of memory.  By pieces,
 * because fy_token_get_text() leaks memory for texts of many of them (libfyaml 0.7 to 0.9), and
 * because fy_token_iter_read() puts them all into the same place. */
static struct slice
scalar_text(struct yaml *y, struct fy_token *token)
{
    size_t n = fy_token_get_text_length(token);
    const struct fy_iter_chunk *piece = NULL;
    int error = 0;

    y->scalar.n = 0;
    if (!text_reserve(&y->scalar, n + 1))
        return (struct slice){NULL, 0};
    fy_token_iter_start(token, y->pieces);
    while (y->scalar.n < n && (piece = fy_token_iter_chunk_next(y->pieces, piece, &error)))
        text_put(&y->scalar, slice_first(slice_of(piece->str, piece->len), n - y->scalar.n));
    fy_token_iter_finish(y->pieces);
    return text_slice(&y->scalar);
}

/*
 * libfyaml (0.7 and 0.9) undoes runs of doubled quotes wrongly: ''''''' becomes three quotes.  So a
 * single-quoted text of one line is undone here, from the source.  Absent: it is none, or has more
 * than one line.
 */
static struct slice
single_quoted(struct yaml *y, struct fy_token *token)
{
    const struct fy_mark *mark = fy_token_start_mark(token);
    struct slice rest;
    bool doubled = false;

    if (fy_token_scalar_style(token) != FYSS_SINGLE_QUOTED || !mark || mark->input_pos >= y->text.n)
        return (struct slice){NULL, 0};
    rest = slice_from(y->text, mark->input_pos);
    if (rest.at == y->text.at || rest.at[-1] != '\'')
        return (struct slice){NULL, 0};
    y->scalar.n = 0;
    for (size_t i = 0; i < rest.n && rest.at[i] != '\n' && rest.at[i] != '\r'; i++) {
        if (rest.at[i] == '\'') {
            if (i + 1 == rest.n || rest.at[i + 1] != '\'')
                return doubled ? text_slice(&y->scalar) : (struct slice){NULL, 0};
            doubled = true;
            i++;
        }
        text_byte(&y->scalar, rest.at[i]);
    }
    return (struct slice){NULL, 0};
}

static void
on_scalar(struct yaml *y, struct fy_event *e)
{
    struct config_mark mark = mark_of(y, e);
    struct fy_token *token = e->scalar.value;
    bool quoted = token && fy_token_scalar_style(token) != FYSS_PLAIN;
    struct slice text = token ? single_quoted(y, token) : SLICE("");

    if (!text.at)
        text = scalar_text(y, token);
    if (!text.at) {
        no_memory(y);
        return;
    }
    refuse_tag(y, e, mark);
    if (wants_key(y))
        on_key(y, text, mark, quoted);
    else
        on_value(y, text, mark, quoted, anchor_of(y, e));
}

/* In the place of a value that cannot be had; nobody complains about it again. */
static void
place_faulty(struct yaml *y, struct config_mark mark)
{
    struct config_node *node = tree_new(y->loader, CONFIG_SCALAR, mark);

    if (!node) {
        y->stop = true;
        return;
    }
    node->text = SLICE("");
    node->faulty = node->quoted = true;
    place(y, node, (struct anchored){node, 1, 0}, (struct slice){NULL, 0});
}

static void
on_alias(struct yaml *y, struct fy_event *e)
{
    struct config_mark mark = mark_of(y, e);
    struct slice name = {NULL, 0};
    const struct anchored *known;
    struct config_node *copy;

    name.at = fy_token_get_text(e->alias.anchor, &name.n);
    known = name.at ? map_get(&y->anchors, name) : NULL;
    if (wants_key(y)) {
        give_up(y, mark, NULL, "a key cannot be an alias");
    } else if (!known) {
        fault(y, mark, "an anchor stands before its aliases, in the same file",
              "unknown alias `%.*s`", SLICE_ARG(name));
        place_faulty(y, mark);
    } else if (y->depth + known->height > DEPTH_MAX) {
        give_up(y, mark, NULL, "more than %d maps and lists inside each other", DEPTH_MAX);
    } else if ((y->loader->copied += known->nodes) > ALIAS_NODES_MAX) {
        give_up(y, mark, NULL, "aliases stand for more than %d values", ALIAS_NODES_MAX);
    } else if (!(copy = tree_copy(y->loader, known->node))) {
        y->stop = true;
    } else {
        place(y, copy, *known, (struct slice){NULL, 0});
    }
}

static void
on_document(struct yaml *y, struct fy_event *e)
{
    struct fy_document_state *state = e->document_start.document_state;

    if (++y->documents > 1)
        give_up(y, mark_of(y, e), "put it into a file of its own and `include` that",
                "a file holds one document only");
    else if (state && (fy_document_state_version_explicit(state) ||
                       fy_document_state_tags_explicit(state)))
        give_up(y, mark_at(y, 0), NULL, "directives are not supported");
}

static void
on_event(struct yaml *y, struct fy_event *e)
{
    switch ((int) e->type) {
    case FYET_DOCUMENT_START: on_document(y, e); break;
    case FYET_MAPPING_START: on_open(y, e, CONFIG_MAP); break;
    case FYET_SEQUENCE_START: on_open(y, e, CONFIG_LIST); break;
    case FYET_MAPPING_END:
    case FYET_SEQUENCE_END: close_container(y); break;
    case FYET_SCALAR: on_scalar(y, e); break;
    case FYET_ALIAS: on_alias(y, e); break;
    default: break; /* the start and the end of the stream, the end of the document */
    }
}

/* ------------------------------------------------------------------ syntax errors */

/* Where the innermost bracket was opened that is still open; NULL when there is none. */
static const char *
open_bracket_hint(struct yaml *y)
{
    struct config_report *r = y->loader->report;

    for (size_t i = y->depth; i-- > 0;) {
        struct config_mark m = y->frames[i].node->mark;
        char c = m.line ? y->text.at[y->lines.starts[m.line - 1] + m.column - 1] : ' ';

        if (c == '[' || c == '{')
            return arena_printf(&r->arena, "`%c` was opened at %s", c, report_place(r, m)).at;
    }
    return NULL;
}

static const char *
hint_for(struct yaml *y, const char *message)
{
    static const struct {
        const char *part, *hint;
    } known[] = {
        {"nested block mapping on the same line", "put a value that holds `: ` in quotes"},
        {"tab character", "indent with spaces"},
        {"plain scalar cannot start", "put the value in quotes"},
        {"multiline plain key",
         "the lines above and here must start at the same column, or a colon is "
         "missing"},
    };

    if (strstr(message, "closing") || strstr(message, "mismatched"))
        return open_bracket_hint(y);
    for (size_t i = 0; i < countof(known); i++)
        if (strstr(message, known[i].part))
            return known[i].hint;
    return NULL;
}

/* libfyaml's first complaint; the others mostly follow from it. */
static void
report_syntax(struct yaml *y)
{
    struct config_mark mark = {0};
    struct fy_diag_error *e;
    void *at = NULL;

    while ((e = fy_diag_errors_iterate(y->diag, &at)))
        if (e->type >= FYET_ERROR)
            break;
    if (!e && !fy_parser_get_stream_error(y->parser))
        return;
    if (e && y->file >= 0)
        mark = lines_mark_of_character(&y->lines, e->line, e->column, (uint16_t) y->file);
    give_up(y, mark, e ? hint_for(y, e->msg) : NULL, "%s", e ? e->msg : "this is not YAML");
}

/* ------------------------------------------------------------------ parsing */

static bool
start(struct yaml *y)
{
    struct fy_diag_cfg quiet;
    struct fy_parse_cfg how = {.flags = FYPCF_QUIET | FYPCF_COLLECT_DIAG | FYPCF_JSON_NONE};

    fy_diag_cfg_default(&quiet);
    quiet.fp = NULL;
    quiet.level = FYET_ERROR;
    y->diag = how.diag = fy_diag_create(&quiet);
    if (!y->diag)
        return false;
    fy_diag_set_collect_errors(y->diag, true);
    y->pieces = fy_token_iter_create(NULL);
    y->parser = fy_parser_create(&how);
    return y->pieces && y->parser && fy_parser_set_string(y->parser, y->text.at, y->text.n) == 0 &&
           (y->file < 0 || lines_init(&y->lines, y->text));
}

static void
finish(struct yaml *y)
{
    while (y->depth)
        map_free(&y->frames[--y->depth].keys);
    if (y->pieces)
        fy_token_iter_destroy(y->pieces);
    if (y->parser)
        fy_parser_destroy(y->parser);
    if (y->diag)
        fy_diag_destroy(y->diag);
    lines_free(&y->lines);
    map_free(&y->anchors);
    text_free(&y->scalar);
    arena_free(&y->scratch);
}

static bool
has_bad_byte(struct yaml *y)
{
    size_t at = lines_find_bad_byte(y->text);
    unsigned char c = at == SLICE_NOT_FOUND ? 0 : (unsigned char) y->text.at[at];

    if (at == SLICE_NOT_FOUND)
        return false;
    give_up(
        y, mark_at(y, at), c < 0x80 ? "write it as an escape in double quotes" : "save it as UTF-8",
        c < 0x80 ? "the control byte 0x%02x is not allowed" : "the byte 0x%02x is not UTF-8", c);
    return true;
}

static bool
has_long_line(struct yaml *y)
{
    size_t at = lines_find_long(&y->lines, LINE_BYTES_MAX);

    if (at == SLICE_NOT_FOUND)
        return false;
    give_up(y, mark_at(y, at), "break it behind a comma", "a line of more than %d bytes",
            LINE_BYTES_MAX);
    return true;
}

static void
run(struct yaml *y)
{
    struct fy_event *e;

    while (!y->stop && (e = fy_parser_parse(y->parser))) {
        on_event(y, e);
        fy_parser_event_free(y->parser, e);
    }
    if (!y->stop)
        report_syntax(y);
}

struct config_node *
yaml_parse(struct loader *l, struct slice text, int file)
{
    struct yaml y = {.loader = l, .text = text, .file = file};

    arena_init(&y.scratch, NULL, 0, CONFIG_ARENA_MAX);
    text_init(&y.scalar, FILE_BYTES_MAX + 1);
    if (!start(&y))
        no_memory(&y);
    else if (!has_bad_byte(&y) && !has_long_line(&y))
        run(&y);
    if (!y.stop && !y.root)
        y.root = tree_new(l, CONFIG_MAP, mark_at(&y, 0));
    finish(&y);
    return y.stop ? NULL : y.root;
}
