/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config/load.h - private: from text to one tree of nodes.
 *
 * Nodes and their texts live in the arena of the configuration, or document, being made; the texts
 * of files in the report, which shows their lines.  Whatever goes wrong is a message in the report;
 * `failed` says that there is no tree worth binding (bad syntax, a file that cannot be read, out of
 * memory).
 */
#ifndef CONFIG_LOAD_H
#define CONFIG_LOAD_H

#include "config/config.h"

enum {
    DEPTH_MAX = 64,              /* of nodes inside each other */
    NODES_MAX = 2000000,         /* of all files */
    ALIAS_NODES_MAX = 250000,    /* copied by aliases */
    INCLUDE_DEPTH_MAX = 8,
    FILE_BYTES_MAX = 64 << 20,
    LINE_BYTES_MAX = 1 << 20,    /* libfyaml keeps a line of JSON whole, in sixty times its size */
    SECRET_BYTES_MAX = 1 << 20,  /* ${file:...} */
    RECENT_KEYS = 64,
};

#define CONFIG_ARENA_MAX ((size_t) 1 << 30)

struct loader {
    struct config              *config; /* being made; NULL while there are but nodes */
    struct arena               *arena;  /* of nodes and texts */
    struct config_report       *report;
    const struct config_source *source;
    struct config_node         *defaults; /* the map under `defaults:`, NULL when there is none */
    size_t                      nodes;
    size_t                      copied;   /* of them by aliases */
    bool                        failed;
    char                       *text_at, *text_end; /* texts are packed: a node's is
                                                     * 10 bytes or so */
    struct slice                recent[RECENT_KEYS]; /* most keys come again and again */
};

/* ------------------------------------------------------------------ report.c */

/* Index of a new file in the report, whose arena keeps both; -1 when there are too many. */
int report_add_file(struct config_report *r, struct slice path, struct slice text);
/* True while messages are kept and not only counted, so that costly hints can be spared. */
bool report_keeps(const struct config_report *r);
/* A secret stands there. */
void report_secret(struct config_report *r, struct config_mark mark);
/* The file from whose folder relative paths at that place start; empty: the current folder. */
struct slice report_base(const struct config_report *r, struct config_mark mark);
/* "site.yaml:3:5" into the report's arena. */
const char *report_place(struct config_report *r, struct config_mark mark);

/* ------------------------------------------------------------------ tree.c */

/* NULL, after a message, when there are too many nodes or no memory. */
struct config_node *tree_new(struct loader *l, enum config_node_kind kind, struct config_mark mark);
/* at is NULL, after a message, when out of memory. */
struct slice tree_text(struct loader *l, struct slice s);
/* As tree_text; equal keys share their bytes. */
struct slice tree_key(struct loader *l, struct slice s);
/* The node and all below it; key and next are the caller's to set.  NULL as tree_new. */
struct config_node *tree_copy(struct loader *l, const struct config_node *node);
/* The same with texts of its own, for another arena.  files: where places in each file go. */
struct config_node *tree_clone(struct loader *l, const struct config_node *node,
                               const uint16_t *files);
/* Always false. */
bool tree_no_memory(struct loader *l);
/* "a map", "a list", "a single value". */
const char *tree_kind_text(enum config_node_kind kind);

/* ------------------------------------------------------------------ yaml.c */

/* The tree of a text: of a file of the report, or of a preset (file < 0: its nodes are in no file).
 * NULL and failed after bad syntax.  An empty text is an empty map. */
struct config_node *yaml_parse(struct loader *l, struct slice text, int file);

/* Where the byte at `offset` of a scalar's text stands in its file; the node's mark when that
 * cannot be told (replacements, folded blocks). */
struct config_mark yaml_locate(const struct config_report *r, const struct config_node *node,
                               size_t offset);

/* ------------------------------------------------------------------ json.c */

/* The tree of a text that is JSON; NULL, in silence, when it is something else or memory is used
 * up. */
struct config_node *tree_parse_json(struct loader *l, struct slice text, uint16_t file);

/* ------------------------------------------------------------------ substitute.c */

/* True when there is something in the text that would be replaced. */
bool substitute_needed(struct slice text);
/* Replaces ${env:X}, ${env:X:-fallback} and ${file:/path} in all scalars of a tree; those for which
 * that fails are reported and faulty. */
void substitute_tree(struct loader *l, struct config_node *node);

/* ------------------------------------------------------------------ load.c */

/* The configuration of a tree, whose memory is l->config's; NULL after messages, and l->config is
 * gone.  errors: how many the report had when reading began. */
struct config *load_tree(struct loader *l, struct config_node *tree,
                         const struct option_object *type, size_t errors);
/* Makes l->config; false, after a message, when out of memory. */
bool load_start(struct loader *l, const struct option_object *type);

/* ------------------------------------------------------------------ include.c, merge.c */

/* A path as written in the file `base`: relative ones start at its folder.  Zero-terminated, in the
 * report's arena; at is NULL when out of memory. */
struct slice include_path(struct loader *l, struct slice base, struct slice path);
/* The tree of a file and of all that it includes, without the keys `version` and `include`. */
struct config_node *include_file(struct loader *l, const char *path);
struct config_node *include_text(struct loader *l, const char *name, struct slice text);

/* Joins `from` into `into`, both maps; names defined twice are errors. */
void merge_join(struct loader *l, struct config_node *into, struct config_node *from);
/* Adds copies of those members of `defaults` that `map` lacks; maps in both are merged likewise. */
bool merge_defaults(struct loader *l, struct config_node *map, const struct config_node *defaults);
/* Takes a member out of a map; NULL when there is none. */
struct config_node *merge_take(struct config_node *map, struct slice key);

#endif
