/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config/meaning.h - private: what the tables say of the nodes of a tree that is not bound.
 *
 * Whoever walks down a tree from its root carries a meaning along, and so knows where one item
 * stands for a list, a text for an object, what is a secret, and which of two ways to write a thing
 * are the same.
 */
#ifndef CONFIG_MEANING_H
#define CONFIG_MEANING_H

#include "config/option.h"

#include "base/map.h"

enum meaning_kind {
    MEANING_ANY,      /* the tables do not say */
    MEANING_VALUE,    /* a single one, of an option */
    MEANING_OBJECT,   /* a map; or what its shorthand stands for */
    MEANING_LIST,     /* of an option; a single item may stand for it */
    MEANING_MAP,      /* of an option, with free keys */
    MEANING_VARIANT,  /* a name, or a map with it as its only key */
    MEANING_DEFAULTS, /* `defaults:`: parts of objects, by their types' names */
};

struct meaning {
    enum meaning_kind           kind;
    bool                        root;   /* the object at the top */
    const struct option        *option; /* whose value, or part of whose value, it is */
    const struct option_object *object; /* of DEFAULTS: the type of the root */
};

struct meaning meaning_of_root(const struct option_object *type);
/* Of what stands under a key. */
struct meaning meaning_of_member(struct meaning m, struct slice key);
/* Of the items of a list. */
struct meaning meaning_of_item(struct meaning m);
/* Of what is below a node, which may stand for a list or an object. */
struct meaning meaning_of_child(struct meaning m, const struct config_node *parent,
                                const struct config_node *child);
bool meaning_is_secret(struct meaning m);
/* The option that something else than a map stands for; NULL: there is none. */
const struct option *meaning_shorthand(struct meaning m);

/* Member of a map, or the node itself where it stands for that member; NULL: there is none. */
const struct config_node *meaning_member(struct meaning m, const struct config_node *node,
                                         struct slice key);
/* The first member of an object, or the node itself as above; NULL: there is none. */
const struct config_node *meaning_first(struct meaning m, const struct config_node *node);
/* The one behind; and the key of a member, which is not its own where it is the node itself. */
const struct config_node *meaning_next(const struct config_node *node,
                                       const struct config_node *member);
struct slice meaning_key(struct meaning m, const struct config_node *node,
                         const struct config_node *member);
/* Whether it is a list, or stands for one. */
bool meaning_is_list(struct meaning m, const struct config_node *node);
size_t meaning_count_items(const struct config_node *list);
/* Those of a list, or the node alone.  NULL: out of memory.  free() it. */
const struct config_node **meaning_items(const struct config_node *list, size_t *n);
/* The name, or address, by which an item of a list is found; absent: it has none. */
struct slice meaning_identity(struct meaning item, const struct config_node *node);

/* The text of a scalar in the form that its kind writes: `yes` is `true`. */
struct slice meaning_text(struct meaning m, const struct config_node *scalar);
/* Whether both mean the same. */
bool meaning_equal(struct meaning m, const struct config_node *a, const struct config_node *b);
/* The same for what is equal, in every process. */
uint64_t meaning_hash(struct meaning m, const struct config_node *node);

/* The members of a map by key: quick when they are asked for in their order, or there are many. */
struct meaning_lookup {
    struct meaning            meaning;
    const struct config_node *node, *next;
    struct map                index;
};
struct meaning_lookup meaning_lookup(struct meaning m, const struct config_node *node);
const struct config_node *meaning_look_up(struct meaning_lookup *l, struct slice key);
void meaning_lookup_free(struct meaning_lookup *l);

#endif
