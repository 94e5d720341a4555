/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config/edit_merge.c - JSON Merge Patch (RFC 7396): what a patch does not name stays, null
 * removes.
 */
#include "config/edit.h"

/* In a value that is wholly new there is nothing to remove. */
static void
drop_nulls(struct config_node *node)
{
    for (struct config_node **link = &node->first; *link;) {
        if (node->kind == CONFIG_MAP && config_node_is_null(*link)) {
            *link = (*link)->next;
            continue;
        }
        if ((*link)->kind == CONFIG_MAP)
            drop_nulls(*link);
        link = &(*link)->next;
    }
}

static bool
merge_member(struct edit *e, const struct edit_place *p, struct config_node *patch)
{
    struct edit_place child = {.above = p->parent,
                               .parent = p->node,
                               .in = p->meaning,
                               .meaning = meaning_of_member(p->meaning, patch->key),
                               .token = patch->key,
                               .position = SIZE_MAX,
                               .depth = p->depth + 1};
    size_t ignored;

    child.node = (struct config_node *) document_child(e->document, p->meaning, p->node,
                                                       patch->key, &ignored);
    if (config_node_is_null(patch))
        return !child.node || edit_remove(e, &child);
    return edit_merge(e, &child, patch);
}

bool
edit_merge(struct edit *e, const struct edit_place *p, struct config_node *patch)
{
    struct config_node *next;

    if (patch->kind == CONFIG_MAP && p->node && p->meaning.kind != MEANING_LIST &&
        !edit_expand(e, p->meaning, p->node, patch->first ? patch->first->key : SLICE("")))
        return false;
    if (patch->kind != CONFIG_MAP || !p->node || p->node->kind != CONFIG_MAP) {
        struct config_node *value;

        if (patch->kind == CONFIG_MAP)
            drop_nulls(patch);
        value = edit_settle(e, p->meaning, p->node, patch);
        return value && edit_set(e, p, value);
    }
    for (struct config_node *n = patch->first; n; n = next) {
        next = n->next;
        n->next = NULL;
        if (!merge_member(e, p, n))
            return false;
    }
    return true;
}
