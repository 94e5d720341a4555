/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config/edit_settle.c - what a change says anew, and what it only repeats.
 *
 * Who changes one route sends all of them.  What is as it was keeps its old place, so that messages
 * lead to the file where a person wrote it, and a relative path keeps its folder.  What was read
 * with its secrets hidden may be sent back.
 */
#include "config/edit.h"

#include <stdlib.h>

/* The old node, for the place of the value. */
static struct config_node *
keep(struct edit *e, const struct config_node *old, const struct config_node *value)
{
    struct config_node *copy = tree_new(&e->loader, old->kind, old->mark);

    if (!copy) {
        edit_no_memory(e);
        return NULL;
    }
    *copy = *old;
    copy->next = NULL;
    copy->key = value->key;
    if (!old->key.at || !value->key.at || !slice_eq(old->key, value->key))
        copy->key_mark = value->key_mark;
    return copy;
}

static struct config_node *
unmask(struct edit *e, const struct config_node *old, const struct config_node *value)
{
    if (old && old->kind == CONFIG_SCALAR && !config_node_is_null(old))
        return keep(e, old, value);
    edit_fail(e, CONFIG_EDIT_SYNTAX, value, "write the secret itself",
              "`" CONFIG_MASK "` stands for a secret that is there, and there is none");
    return NULL;
}

static bool
settle_members(struct edit *e, struct meaning m, const struct config_node *old,
               struct config_node *value)
{
    static const struct config_node nothing = {.kind = CONFIG_MAP};
    struct meaning_lookup l = meaning_lookup(m, old ? old : &nothing);
    struct config_node **link = &value->first;

    for (; *link && !e->fault; link = &(*link)->next) {
        struct config_node *member = *link, *next = member->next;
        struct meaning inner = meaning_of_member(m, member->key);
        struct config_node *kept = edit_settle(e, inner, meaning_look_up(&l, member->key), member);

        if (!kept)
            break;
        kept->next = next;
        *link = kept;
    }
    meaning_lookup_free(&l);
    return !e->fault;
}

/* old: those of the list there was; pairs: which of them each is. */
static bool
settle_partners(struct edit *e, struct meaning item, const struct config_node *const *old,
                const struct pair *pairs, struct config_node *value)
{
    struct config_node **link = &value->first;

    for (size_t i = 0; *link && !e->fault; i++, link = &(*link)->next) {
        size_t partner = pairs[i].partner;
        struct config_node *next = (*link)->next, *kept;

        if (pairs[i].equal)
            kept = keep(e, old[partner], *link);
        else
            kept = edit_settle(e, item, partner == PAIR_NONE ? NULL : old[partner], *link);
        if (!kept)
            return false;
        kept->next = next;
        *link = kept;
    }
    return !e->fault;
}

static bool
settle_items(struct edit *e, struct meaning m, const struct config_node *old,
             struct config_node *value)
{
    static const struct config_node nothing = {.kind = CONFIG_LIST};
    size_t n_old, n;
    struct pair *pairs;
    const struct config_node **items = meaning_items(value, &n);
    const struct config_node **before = meaning_items(old ? old : &nothing, &n_old);
    bool ok;

    pairs = calloc(n + 1, sizeof(*pairs));
    ok = items && before && pairs &&
         pair_items(meaning_of_item(m), before, n_old, items, n, pairs);
    if (!ok)
        edit_no_memory(e);
    else
        ok = settle_partners(e, meaning_of_item(m), before, pairs, value);
    free(items);
    free(before);
    free(pairs);
    return ok;
}

/* A single value where a list or an object may stand. */
static struct config_node *
settle_short(struct edit *e, struct meaning m, const struct config_node *old,
             struct config_node *value)
{
    const struct option *shorthand = meaning_shorthand(m);

    if (m.kind == MEANING_LIST) {
        if (old && old->kind == CONFIG_LIST)
            old = meaning_count_items(old) == 1 ? old->first : NULL;
        return edit_settle(e, meaning_of_item(m), old, value);
    }
    if (!shorthand)
        return value;
    return edit_settle(e, meaning_of_member(m, slice_str(shorthand->name)),
                       old ? meaning_member(m, old, slice_str(shorthand->name)) : NULL, value);
}

struct config_node *
edit_settle(struct edit *e, struct meaning m, const struct config_node *old,
            struct config_node *value)
{
    if (meaning_is_secret(m) && value->kind == CONFIG_SCALAR &&
        slice_eq(value->text, SLICE(CONFIG_MASK)))
        return unmask(e, old, value);
    if (old && meaning_equal(m, old, value))
        return keep(e, old, value);
    if (config_node_is_null(value))
        return value;
    if ((m.kind == MEANING_LIST && value->kind != CONFIG_LIST) ||
        (m.kind == MEANING_OBJECT && value->kind != CONFIG_MAP))
        return settle_short(e, m, old, value);
    if (value->kind == CONFIG_MAP && !settle_members(e, m, old, value))
        return NULL;
    if (value->kind == CONFIG_LIST && !settle_items(e, m, old, value))
        return NULL;
    return value;
}
