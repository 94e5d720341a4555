/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config/config.h - the configuration engine: from text to checked C structs.
 *
 * Every object and option is declared once, in a table beside the code that uses it
 * (config/option.h).  From the tables come parsing, validation, defaults, the JSON Schema, the
 * reference in docs/ and, later, what the REST API accepts.  The engine knows no feature.
 *
 * Steps      text -> tree of nodes with marks (YAML, a strict subset) -> includes joined ->
 *            ${env:X} and ${file:...} replaced -> defaults merged, bound to structs by the tables,
 *            checked.  config/document.h is for who stops after the second and changes the tree.
 * Errors     all of them at once, in a report; each with file:line:column, the line, a caret and,
 *            where one is likely, a suggestion.
 * Lifetime   everything a loaded configuration points at lives in its arena until the last
 *            reference is given back by config_free().
 * Threads    loading happens on one thread; what was loaded is never changed, any thread reads.
 */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include "base/arena.h"
#include "base/slice.h"
#include "base/text.h"

#include <stdatomic.h>
#include <stdio.h>

struct option_object;

/* Where something stands.  line 0: in no file (a default, or the command line). */
struct config_mark {
    uint32_t line, column; /* from 1; the column counts bytes */
    uint16_t file;         /* index into config.files */
};

/* ------------------------------------------------------------------ the tree */

enum config_node_kind { CONFIG_SCALAR, CONFIG_LIST, CONFIG_MAP };

/* Texts and keys end in a zero byte that n does not count, and hold no other. */
struct config_node {
    enum config_node_kind kind;
    bool                  quoted; /* scalar in quotes or a block: never null */
    bool                  faulty; /* a replacement in it failed and was reported */
    struct config_mark    mark;
    struct config_mark    key_mark;
    struct slice          text;   /* scalar */
    struct slice          key;    /* as a map's member */
    struct config_node   *first;  /* members in their order */
    struct config_node   *next;   /* sibling */
};

/* Nothing, `~` or `null` without quotes: the value is absent. */
bool config_node_is_null(const struct config_node *node);
/* Member of a map, NULL when absent or not a map. */
struct config_node *config_node_get(const struct config_node *map, struct slice key);

/* ------------------------------------------------------------------ the report */

enum config_severity { CONFIG_ERROR, CONFIG_WARNING };

struct config_message {
    struct config_message *next;
    enum config_severity   severity;
    struct config_mark     mark;
    struct slice           text; /* one sentence, no full stop */
    struct slice           hint; /* how to go on; may be empty */
    struct slice           pointer; /* config_document_point(); else absent */
};

struct config_file {
    struct slice path;
    struct slice text;
    struct slice base; /* of a change of a document, which is no file: relative paths in it start at
                        * the folder of this one; else absent */
};

struct config_report {
    struct arena           arena;
    struct config_message *messages; /* sorted by place when printed */
    size_t                 errors, warnings;
    struct config_file    *files;
    size_t                 n_files;
    struct config_mark    *secrets; /* where some stand, as far as that is known: lines with them
                                     * are not shown */
    size_t                 n_secrets;
};

void config_report_init(struct config_report *r);
void config_report_free(struct config_report *r);
/* hint may be NULL.  At most 100 messages are kept; the rest is only counted. */
void config_report_add(struct config_report *r, enum config_severity severity,
                       struct config_mark mark, const char *hint, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/*
 * As a compiler prints:
 *
 *     site.yaml:12:5: error: unknown key `helath`
 *        12 |     helath: {path: /healthz}
 *           |     ^~~~~~
 *     hint: did you mean `health`?
 */
void config_report_print(const struct config_report *r, struct text *out);
/* The same on standard error. */
void config_report_tell(const struct config_report *r);

/* ------------------------------------------------------------------ loading */

/* How files and the environment are read, so that tests and a supervisor can stand in. */
struct config_source {
    /* The whole file into out; 0 or an errno. */
    int (*read)(void *arg, const char *path, struct text *out);
    const char *(*env)(void *arg, const char *name); /* NULL when unset */
    void *arg;
    /* The paths that match a pattern with `*`, `?` or `[`, sorted, into out, each ending in a zero
     * byte; 0 or an errno.  NULL: no pattern matches anything. */
    int (*match)(void *arg, const char *pattern, struct text *out);
    /* What is in a folder, hidden files apart, in any order, into out: names, each ending in a zero
     * byte.  And a descriptor of inotify, which becomes the caller's and tells of every change
     * since the names were read.  0 or an errno.  NULL: no folder can be read. */
    int (*folder)(void *arg, const char *path, struct text *out, int *watch);
};

/* Reads the file system and getenv(); files up to 64 MiB. */
extern const struct config_source config_source_system;
/* For sources of one's own: the rest of an open file into out; 0 or an errno. */
int config_read_descriptor(int fd, struct text *out);

/* What was set where: sorted by address once loading is done (16 bytes a value). */
struct config_marks {
    struct config_place *places; /* malloc'd; config/bind.h */
    size_t               n, room;
};

struct config {
    _Atomic uint32_t            refs;
    struct arena                arena;
    const struct option_object *type;
    void                       *root;   /* a struct as `type` describes it */
    struct config_node         *tree;   /* after includes, defaults and replacements */
    struct config_node         *defaults; /* `defaults:`, NULL when there are none */
    struct config_cleanup      *cleanups; /* run when it is freed, the last registered first */
    struct config_file         *files;  /* paths; texts are dropped after loading */
    size_t                      n_files;
    struct config_marks         marks;  /* see config_where() */
};

/*
 * Loads and binds.  NULL when there are errors (the report has them); warnings alone do not fail.
 * `version:`, `include:` and `defaults:` at the top are the engine's own keys.  source may be NULL:
 * the system.
 */
struct config *config_load_file(const char *path, const struct option_object *type,
                                const struct config_source *source, struct config_report *report);
/* The same from memory; name stands for the path in messages. */
struct config *config_load_text(const char *name, struct slice text,
                                const struct option_object *type,
                                const struct config_source *source, struct config_report *report);
/* One more reference: for what must outlive the snapshot.  c itself. */
struct config *config_hold(struct config *c);
/* Gives a reference back; with the last one everything goes.  NULL: nothing happens. */
void config_free(struct config *c);

/* Where the value of an option was set, given the address of its field in the bound struct; line 0
 * when it has its default. */
struct config_mark config_where(const struct config *c, const void *field);
/* Where an object stands in a file, given the address of its struct; else line 0. */
struct config_mark config_where_object(const struct config *c, const void *object);
/* "site.yaml:12:5", or "default". */
struct slice config_where_text(const struct config *c, const void *field, struct arena *arena);

/* The generated texts. */
void config_write_schema(const struct option_object *type, const char *title, struct text *out);
/* Markdown: one section an object, a table of its options: name, type, default, meaning. */
void config_write_reference(const struct option_object *type, struct text *out);

#endif
