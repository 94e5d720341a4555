/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config/document.h - a configuration that can be changed while it is looked at.
 *
 * What files say is read once, includes joined, but nothing replaced, defaulted or checked: a tree
 * of nodes as people wrote it.  Changes come as texts of JSON or YAML, at places that JSON Pointers
 * (RFC 6901) name; the result is loaded like any file, and its complaints point into the files, or
 * into the text of the change.
 *
 * Pointers   "/routes/3/to", and where the items of a list have a `name` or an `address` also
 *            "/routes/shop/to", "/upstreams/app/servers/10.0.0.1:80".  What consists of digits is
 *            an index; "-" is the place behind the last.  A list written as a single item counts
 *            as a list of one.
 * Changes    are all or nothing: one that fails leaves the document as it was.  What a change
 *            says as it was said before keeps its place in the files, relative paths their folder.
 *            Those of a change start at the folder of the main file.  `include` is for files: a
 *            change that says it is refused.
 * Secrets    are written as "***" (CONFIG_MASK) where a mask is asked for; a change that writes the
 *            mask back where a secret stands keeps the secret.  None is moved or copied to where
 *            something else than that secret stands.
 * Threads    a document belongs to one thread at a time.
 */
#ifndef CONFIG_DOCUMENT_H
#define CONFIG_DOCUMENT_H

#include "config/config.h"

#define CONFIG_MASK "***"

struct config_document;

/* Reads a file and all that it includes; path NULL: `text`, called `name` in messages.  type: the
 * table of its root, which must outlive the document.  NULL after reporting errors. */
struct config_document *config_document_open(const char *path, const char *name, struct slice text,
                                             const struct option_object *type,
                                             const struct config_source *source,
                                             struct config_report *report);
/* The same, to be changed by itself.  NULL: out of memory. */
struct config_document *config_document_copy(const struct config_document *d);
void config_document_free(struct config_document *d);

/* A pointer goes on by one token: "/", and the token escaped (RFC 6901 3). */
void config_pointer_put(struct text *pointer, struct slice token);
/* The node at a pointer ("" is the root), as it was written; NULL: there is none. */
const struct config_node *config_document_find(const struct config_document *d,
                                               struct slice pointer);

enum config_edit {
    CONFIG_EDIT_PUT,    /* the value there becomes the text; made if its parent is there; an item
                         * of a list that its pointer names takes its name from there */
    CONFIG_EDIT_ADD,    /* a further item of the list there, which may be absent; a conflict when
                         * one has its name */
    CONFIG_EDIT_MERGE,  /* RFC 7396: null removes */
    CONFIG_EDIT_PATCH,  /* RFC 6902, pointers relative to the place */
    CONFIG_EDIT_REMOVE, /* no text */
};

/* Why an edit could not be made. */
enum config_edit_fault {
    CONFIG_EDIT_OK,
    CONFIG_EDIT_SYNTAX,    /* the text is neither JSON nor YAML, or no such patch (reported) */
    CONFIG_EDIT_NOT_FOUND, /* a place does not exist (reported) */
    CONFIG_EDIT_CONFLICT,  /* a `test` failed, or the name is taken (reported) */
    CONFIG_EDIT_MEMORY,
};

/* name: what messages call the text, such as "request body". */
enum config_edit_fault config_document_edit(struct config_document *d, enum config_edit how,
                                            struct slice pointer, const char *name,
                                            struct slice text, struct config_report *report);

/* Whether the last change brought, or moved, something that loading takes from the surroundings:
 * ${env:...} or ${file:...}.  Messages may tell what that is. */
bool config_document_asks(const struct config_document *d);

/* What makes `from` into `to`: a patch (RFC 6902) as JSON that finds items of lists by name where
 * they have one, and tests what it replaces or removes where they have none, so that it fits
 * another version of the file or says that it does not.  `add` at a name means before that item.
 * "[]\n": nothing.  mask: hide secrets, for people; such a patch is not for use.  False: out of
 * memory. */
bool config_document_diff(const struct config_document *from, const struct config_document *to,
                          bool mask, struct text *out);

enum config_format { CONFIG_JSON, CONFIG_YAML };

/* A node of the document as text, with a newline at its end.  Types come from the table: integers
 * and booleans are such in JSON, everything else is a string.  mask: hide secrets. */
void config_document_write(const struct config_document *d, const struct config_node *node,
                           enum config_format format, bool mask, struct text *out);

/* Of a node and all below it, the same for the same meaning: the order of maps and the way things
 * are written do not count.  For entity tags. */
uint64_t config_document_hash(const struct config_document *d, const struct config_node *node);
/* Of the bytes of all files it was read from. */
uint64_t config_document_origin(const struct config_document *d);

/* Gives the messages of a report the JSON Pointers of the nodes that they are about, as far as
 * these are in the document; items of lists by their index. */
void config_document_point(const struct config_document *d, struct config_report *report);

/* Replaces, defaults, binds and checks.  The document may be changed or freed afterwards.  NULL
 * after reporting errors. */
struct config *config_load_document(const struct config_document *d,
                                    const struct config_source *source,
                                    struct config_report *report);

#endif
