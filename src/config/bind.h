/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config/bind.h - private: from the tree to structs.
 */
#ifndef CONFIG_BIND_H
#define CONFIG_BIND_H

#include "config/load.h"
#include "config/option.h"

enum { TYPE_BUCKETS = 64, OPTIONS_MAX = 256 };

/* What is worked out once for every type of object. */
struct bind_type {
    struct bind_type           *next;
    const struct option_object *object;
    struct slice               *names;      /* of the options */
    size_t                      n;
    void                       *image;      /* an object of which nothing is set */
    struct config_node        **presets;    /* parsed when first needed */
    const struct option        *shorthand;  /* NULL when there is none */
    const struct option        *key;        /* the one with OPTION_KEY */
    bool                        settles;    /* absent options need work in every object */
    bool                        has_required;
    bool                        bound;      /* at least one object was */
};

/* The object that is being bound. */
struct bind_here {
    const struct config_node *node; /* NULL outside of any */
    const char               *at;
    size_t                    bytes;
};

struct config_bind {
    struct loader       *loader;
    struct bind_type    *types[TYPE_BUCKETS];
    struct bind_here     here;
    const struct option *preset;  /* whose default is being read: mistakes are ours */
    bool                 partial; /* an object that only shows whether its keys are right */
};

/* ------------------------------------------------------------------ bind.c */

/* Binds the whole tree to a struct of this type; false after messages. */
bool bind_root(struct loader *l, const struct option_object *type, struct config_node *tree);
enum bind_how {
    BIND_PLAIN,
    BIND_KEYED, /* in a map, whose key goes into the option with OPTION_KEY */
    BIND_EMPTY, /* only its name stands in the file */
};

/* Binds one object into out, which has object->size bytes.  False: it is broken, a required value
 * is missing, and nobody may look at it. */
bool bind_object(struct config_bind *b, const struct option_object *object,
                 const struct config_node *node, enum bind_how how, void *out);
/* Reads the node into the option's field of the object. */
bool bind_option(struct config_bind *b, const struct bind_type *type, const struct option *o,
                 const struct config_node *node, void *object);

/* ------------------------------------------------------------------ types.c */

/* NULL after a message when out of memory. */
struct bind_type *type_of(struct config_bind *b, const struct option_object *object);
/* The option with that name, NULL when there is none. */
const struct option *type_find(const struct bind_type *type, struct slice name);
/* The default of an option as a node; NULL when it has none or is faulty. */
const struct config_node *type_preset(struct config_bind *b, const struct bind_type *type,
                                      const struct option *o);
/* An object that lies in its parent's struct. */
bool option_is_embedded(const struct option *o);
/* Bytes of one item of a list, or of the field when there is only one. */
size_t option_item_bytes(const struct option *o);
size_t option_field_bytes(const struct option *o);

/* ------------------------------------------------------------------ defaults.c */

/* Checks the names in the map under `defaults:` against the types that exist. */
void defaults_check(struct config_bind *b, const struct option_object *root);
/* After binding: defaults that no object has taken are checked as well. */
void defaults_check_unused(struct config_bind *b, const struct option_object *root);
/* Merges the defaults of its type into the object's node; false when out of memory. */
bool defaults_apply(struct config_bind *b, const struct bind_type *type, struct config_node *node);

/* ------------------------------------------------------------------ marks.c */

struct config_place {
    const void *field;
    uintptr_t   node; /* struct config_node *, with bits of enum place_flags */
};

enum place_flags { PLACE_VALUE = 0, PLACE_KEY = 1, PLACE_OBJECT = 2 };

/* Nodes that are in no file are not remembered.  False when out of memory. */
bool marks_add(struct config_marks *m, const void *field, const struct config_node *node,
               enum place_flags flags);
/* For look-ups by halves; nothing may be added any more. */
void marks_finish(struct config_marks *m);
void marks_free(struct config_marks *m);
/* Of the value (or, with PLACE_OBJECT, the object) at that address, while marks are still added. */
struct config_mark marks_search(const struct config_marks *m, const void *field,
                                enum place_flags flags);
/* Of the object that starts at or nearest before the address. */
struct config_mark marks_nearest_object(const struct config_marks *m, const void *field);

/* ------------------------------------------------------------------ messages.c */

/* "an integer", "a duration". */
const char *message_with_article(struct config_bind *b, const char *noun);
/* "a list", "nothing", "`10`": what stands where something else was expected. */
const char *message_found(struct config_bind *b, const struct config_node *node);
/* "label `a`, `b`, `c`", of at most a few dozen names. */
const char *message_names(struct config_bind *b, const char *label, const struct slice *names,
                          size_t n);

/* ------------------------------------------------------------------ services.c */

/* What config_bind_cleanup() registered. */
void cleanups_run(struct config *c);

#endif
