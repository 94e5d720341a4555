/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config/document_private.h - private: what the files document*.c share.
 */
#ifndef CONFIG_DOCUMENT_PRIVATE_H
#define CONFIG_DOCUMENT_PRIVATE_H

#include "config/document.h"
#include "config/load.h"
#include "config/meaning.h"

enum { TOKEN_BYTES_MAX = 4096, INDEXES = 4 };

/* The members or items of a long map or list. */
struct document_index {
    const struct config_node *of;    /* NULL: of none */
    struct config_node      **items; /* in their order; malloc'd */
    size_t                    n, room;
    struct map                names; /* of struct config_node; the first of those with one name */
    bool                      named; /* names are there */
    bool                      twice; /* there are several of some name */
};

struct config_document {
    const struct option_object *type;
    struct arena                arena; /* of nodes, texts and files */
    struct config_node         *root;
    struct config_file         *files; /* marks say which; those of changes have a base */
    size_t                      n_files;
    uint64_t                    origin;
    bool                        moved_asks; /* the last change moved what asks the surroundings */
    struct document_index      *indexes; /* of the last that were asked for: looking does not
                                          * change a document, but fills these */
    unsigned                    turn;    /* which goes next */
};

/* ------------------------------------------------------------------ document.c */

/* One more file; -1 when there are too many or memory is used up.  base absent: none. */
int document_add_file(struct config_document *d, struct slice path, struct slice text,
                      struct slice base);

/* ------------------------------------------------------------------ document_find.c */

/* Cuts the first token off a pointer; decoded, in memory if need be.  Absent: there is none, or it
 * is malformed (then *pointer stays present). */
struct slice document_token(struct slice *pointer, char memory[TOKEN_BYTES_MAX]);
/* The member or item that a token names; NULL: there is none.  position: of an item, or where it
 * would be: for `-` and the index behind the last their number; else SIZE_MAX. */
const struct config_node *document_child(const struct config_document *d, struct meaning m,
                                         const struct config_node *node, struct slice token,
                                         size_t *position);
/* Where a child is in its map or list, and the one before it; NULL: it is the first. */
struct config_node *document_before(const struct config_document *d,
                                    const struct config_node *parent,
                                    const struct config_node *child, size_t *position);
/* What a node of the document means. */
struct meaning document_meaning(const struct config_document *d, const struct config_node *node);

/* The index of a map or list; NULL: it is short, or memory is used up. */
struct document_index *document_index(const struct config_document *d,
                                      const struct config_node *node);
/* After changes of which the indexes were not told. */
void document_forget_indexes(struct config_document *d);
/* An item, whose name it was, may have another one now. */
void document_index_rename(struct config_document *d, struct meaning item,
                           const struct config_node *list, struct slice was,
                           struct config_node *node);
/* Of this node, whose members or items are others now. */
void document_forget_index(struct config_document *d, const struct config_node *node);
/* The item is now in the list at that position, or is not any more. */
void document_index_insert(struct config_document *d, struct meaning m,
                           const struct config_node *list, size_t position,
                           struct config_node *item);
void document_index_remove(struct config_document *d, struct meaning m,
                           const struct config_node *list, size_t position);

/* ------------------------------------------------------------------ document_write.c */

/* What a scalar in that place means: of a list of one, or where it stands for an object. */
struct meaning document_scalar_meaning(struct meaning m);
/* In one line, without its end. */
void document_write_json(struct meaning m, const struct config_node *node, bool mask,
                         struct text *out);

/* ------------------------------------------------------------------ document_yaml.c */

void document_write_yaml(struct meaning m, const struct config_node *node, bool mask,
                         struct text *out);

#endif
