/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config/option.h - option tables: how a feature declares what can be configured.
 *
 *     struct retry { uint64_t timeout_us; int64_t attempts; };
 *
 *     static const struct option retry_options[] = {
 *         {"timeout", &option_duration, offsetof(struct retry, timeout_us), .preset = "2s",
 *          .min = 1000, .max = 3600000000, .doc = "How long one attempt may take."},
 *         {"attempts", &option_int, offsetof(struct retry, attempts), .preset = "3", .min = 1,
 *          .max = 10, .doc = "How many servers are tried."},
 *         {NULL},
 *     };
 *     const struct option_object retry_object = {"retry", "Retries.", sizeof(struct retry),
 *      retry_options};
 *
 * The type of a value comes from the table, never from the look of the text: `no` is a string where
 * a string is wanted.
 */
#ifndef CONFIG_OPTION_H
#define CONFIG_OPTION_H

#include "base/address.h"
#include "config/config.h"

struct option;
struct config_bind; /* a binding in progress: the config being made and the report */

/* How a value is read from a node and described in the schema.  One per type of value. */
struct option_kind {
    const char *name;   /* for people: "duration" */
    const char *syntax; /* for the reference: "`10s`, `1m30s`, `250ms`" */
    size_t      size;   /* of the field */
    /* Fills out; false after reporting an error with option_error(). */
    bool (*parse)(struct config_bind *b, const struct option *o, const struct config_node *node,
                  void *out);
    /* Writes the JSON Schema of one value, such as {"type":"string","pattern":"..."}. */
    void (*schema)(const struct option *o, struct text *out);
};

enum option_flags {
    OPTION_REQUIRED = 1, /* without it: either preset, or the field stays zero when absent */
    OPTION_LIST = 2,     /* a struct option_list; a single item may stand for a list of one */
    OPTION_MAP = 4,      /* a struct option_list; the items' keys are in OPTION_KEY or node->key */
    OPTION_KEY = 8,      /* struct slice: the key of the object in its map */
    OPTION_POINTER = 16, /* the field is a pointer, NULL when absent (objects only) */
    OPTION_SECRET = 32,  /* masked wherever the configuration is shown */
    OPTION_HIDDEN = 64,  /* not in schema and reference (for tests and tools) */
};

struct option {
    const char                        *name;
    const struct option_kind          *kind;
    size_t                             offset;
    const char                        *preset;   /* the default, as a user would write it */
    int64_t                            min, max; /* int, bytes, duration (us), rate (its count),
                                                  * percent; both 0: none; INT64_MIN and INT64_MAX
                                                  * are open ends */
    const char *const                 *choices;  /* option_choice: ends with NULL */
    const struct option_object        *object;   /* option_object */
    const struct option_object *const *variants; /* option_variant: ends with NULL */
    unsigned                           flags;
    const char                        *doc; /* a sentence or two; the unit where not obvious */
};

struct option_object {
    const char          *name; /* "route" */
    const char          *doc;
    size_t               size;
    const struct option *options; /* ends with name NULL; may be NULL
                                   * for an object without options */
    const char          *shorthand; /* option that a scalar or list in
                                     * the object's place stands for */
    /* After all options are set: relations between them.  Reports with config_bind_error(). */
    bool (*check)(struct config_bind *b, void *object);
    /* `defaults: NAME:` gives the options that are absent in an object of this type; maps are
     * merged by key, lists and scalars are replaced. */
    bool takes_defaults;
    const void *ops; /* free for whoever lists variants: the implementation behind the object */
};

/* Items beside each other, each kind->size or object->size bytes. */
struct option_list {
    void  *at;
    size_t n;
};

/* One of several kinds of objects: `name`, or `name: {options}`. */
struct option_variant {
    const struct option_object *object; /* NULL when absent */
    void                       *value;
};

struct option_rate {
    uint64_t count;
    uint64_t per_us; /* 100/s: 100 and 1000000 */
};

/* The kinds that everybody needs.  Field type in brackets. */
extern const struct option_kind option_bool;      /* [bool] true false yes no on off */
extern const struct option_kind option_int;       /* [int64_t] */
extern const struct option_kind option_bytes;     /* [uint64_t] 512, 16KiB, 64MiB, 10GB */
extern const struct option_kind option_duration;  /* [uint64_t, us] 250ms, 10s, 1m30s, 2h, 7d; a
                                                   * unit is needed, but 0 */
extern const struct option_kind option_rate_kind; /* [struct option_rate] 100/s, 10/m, 5/h */
extern const struct option_kind option_percent;   /* [uint64_t, millionths] 5%, 0.1% */
extern const struct option_kind option_string;    /* [struct slice] */
extern const struct option_kind option_choice;    /* [int] index into choices */
extern const struct option_kind option_network;   /* [struct network] 10.0.0.0/8 */
extern const struct option_kind option_address;   /* [union address] :80,
                                                   * 127.0.0.1:80, unix:/path */
extern const struct option_kind option_objects;   /* [the struct itself, or a
                                                   * pointer with OPTION_POINTER] */
extern const struct option_kind option_variants;  /* [struct option_variant] */
extern const struct option_kind option_any;       /* [const struct config_node *]
                                                   * kept as it is, unread */
/* [struct option_pair, with OPTION_MAP: a struct option_list of them] free keys with string
 * values */
extern const struct option_kind option_pairs;

struct option_pair {
    struct slice key, value;
};

/* ---------------------------------------------------------------- for parse and check functions */

struct arena *config_bind_arena(struct config_bind *b);
/* release(what) runs in config_free(), last registered first: for what an arena cannot hold, such
 * as compiled regular expressions.  False when out of memory (then it has run already). */
bool config_bind_cleanup(struct config_bind *b, void (*release)(void *what), void *what);
/* Error at a node; hint may be NULL.  Always false, so that `return option_error(...)` reads
 * well. */
bool option_error(struct config_bind *b, const struct config_node *node, const char *hint,
                  const char *format, ...) __attribute__((format(printf, 4, 5)));
/* True when the node is a scalar; else false after the error "expected a duration, found a
 * list". */
bool option_scalar(struct config_bind *b, const struct option *o, const struct config_node *node);
/* Error at the place where a field of the object was set (its object's place when it has its
 * default). */
bool config_bind_error(struct config_bind *b, const void *field, const char *hint,
                       const char *format, ...) __attribute__((format(printf, 4, 5)));
void config_bind_warning(struct config_bind *b, const void *field, const char *hint,
                         const char *format, ...) __attribute__((format(printf, 4, 5)));
/* Error at an offset inside a scalar: the caret points at that byte of the text (expressions). */
bool option_error_inside(struct config_bind *b, const struct config_node *node, size_t offset,
                         const char *hint, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/*
 * Binds an object as if `{}` stood for it in the configuration: presets and `defaults: NAME:` of
 * `config` apply (config may be NULL: presets only).  For objects that are there without being
 * written, such as middleware that is in every route.  Lives in the arena; NULL after reporting an
 * error.  A preset that needs config_bind_cleanup() is refused: nobody would run it.
 */
void *config_bind_defaults(const struct config *config, struct arena *arena,
                           const struct option_object *object, struct config_report *report);
/*
 * Reads a file that an option names, with the loading's own source (a relative path starts at the
 * folder of the file in which the field was set), up to max_bytes, into the arena.  False after
 * reporting an error at `field`.
 */
bool config_bind_read(struct config_bind *b, const void *field, struct slice path, size_t max_bytes,
                      struct slice *content);
/* What this loading reads with; outlives it when it is the system's. */
const struct config_source *config_bind_source(const struct config_bind *b);
/* A path that an option names as it is opened: a relative one starts at the folder of the file in
 * which the field was set.  In the arena; absent when out of memory. */
struct slice config_bind_path(struct config_bind *b, const void *field, struct slice path);
/* The name among `names` that is nearest to `given` (Damerau-Levenshtein, at most a third of its
 * length wrong), as the hint "did you mean `x`?" in the arena; NULL when none is near. */
const char *config_suggest(struct arena *arena, struct slice given, const struct slice *names,
                           size_t n);

#endif
