/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config/edit.h - private: a change of a document in progress.
 *
 * Nodes are changed in place, and each is put aside before: a change that fails is undone.  What a
 * change brings are nodes of its own; what it says as it was said before becomes a copy of the old
 * node, with its place, whose members are the old ones.
 */
#ifndef CONFIG_EDIT_H
#define CONFIG_EDIT_H

#include "config/document_private.h"

struct edit_undo;

struct edit {
    struct config_document *document;
    struct loader           loader;      /* into the document's arena */
    struct arena            scratch;
    struct edit_undo       *undo;        /* the last first */
    enum config_edit_fault  fault;       /* the first */
    uint16_t                file;        /* of the text, in the document */
    uint16_t                report_file; /* and in the report */
};

/* Where a pointer leads. */
struct edit_place {
    struct config_node *above;  /* the parent's parent, NULL: the place is not so deep */
    struct config_node *parent; /* NULL: the place is the root */
    struct meaning      in;     /* what the parent means */
    bool                list;   /* the parent is one */
    struct config_node *node;   /* NULL: there is none yet */
    struct meaning      meaning;
    struct slice        token;  /* the last of the pointer */
    size_t              position; /* in a list, also where one would be; SIZE_MAX: nowhere */
    size_t              depth;  /* of the node, the root's is 0 */
};

/* ------------------------------------------------------------------ edit.c */

/* Notes the fault and reports it at a node of the text (NULL: nowhere).  Always false. */
bool edit_fail(struct edit *e, enum config_edit_fault fault, const struct config_node *at,
               const char *hint, const char *format, ...) __attribute__((format(printf, 5, 6)));
/* As above: out of memory. */
bool edit_no_memory(struct edit *e);
/* Whether something in a tree is replaced when it is loaded.  file: from there only, -1: any. */
bool edit_asks(const struct config_node *node, int file);
/* Puts a node aside before it is changed. */
bool edit_touch(struct edit *e, struct config_node *node);
void edit_undo(struct edit *e);

/* Follows a pointer, on which what stands for maps and lists becomes such.  at: who asks.  False
 * when it ends before its last token, which place->node == NULL says is not there. */
bool edit_walk(struct edit *e, struct slice pointer, const struct config_node *at,
               struct edit_place *place);
/* Says that there is nothing at a place. */
bool edit_missing(struct edit *e, const struct edit_place *place, const struct config_node *at);
/* Makes something that stands for a map or list one: a scalar for a list of one, say.  token: which
 * member is wanted. */
bool edit_expand(struct edit *e, struct meaning m, struct config_node *node, struct slice token);

/* The value takes the place of the node there, or becomes a member of the map. */
bool edit_set(struct edit *e, const struct edit_place *place, struct config_node *value);
/* The value becomes an item of the list, at place->position. */
bool edit_insert(struct edit *e, const struct edit_place *place, struct config_node *value);
bool edit_remove(struct edit *e, const struct edit_place *place);

/* ------------------------------------------------------------------ edit_settle.c */

/* What is to stand where `old` stands (NULL: nothing) when a change says `value`: see above; the
 * mask of a secret becomes the secret.  NULL after a fault. */
struct config_node *edit_settle(struct edit *e, struct meaning m, const struct config_node *old,
                                struct config_node *value);

/* ------------------------------------------------------------------ edit_merge.c */

/* RFC 7396: puts the patch into the node at a place. */
bool edit_merge(struct edit *e, const struct edit_place *place, struct config_node *patch);

/* ------------------------------------------------------------------ edit_patch.c */

/* RFC 6902: carries out a list of operations on what a pointer names. */
bool edit_patch(struct edit *e, struct slice base, const struct config_node *operations);

/* ------------------------------------------------------------------ pair.c */

#define PAIR_NONE SIZE_MAX

struct pair {
    size_t partner; /* index, or PAIR_NONE */
    bool   equal;   /* and both are known to mean the same */
};

/* For each item of `b` the one of `a` that it most likely was.  False: out of memory. */
bool pair_items(struct meaning item, const struct config_node *const *a, size_t n_a,
                const struct config_node *const *b, size_t n_b, struct pair *pairs);
/* Whether each item has a name that no other in its list has; malloc'd, NULL: out of memory. */
bool *pair_names(struct meaning item, const struct config_node *const *items, size_t n);

#endif
