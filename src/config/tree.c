/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config/tree.c - nodes and their texts.
 *
 * A site with ten thousand routes has tens of thousands of nodes, so texts are packed one behind
 * the other and keys are shared: `host` is stored once, not ten thousand times.
 */
#include "config/load.h"

#include "base/map.h"

enum { TEXT_BLOCK = 16 * 1024 };

struct config_node *
config_node_get(const struct config_node *map, struct slice key)
{
    if (!map || map->kind != CONFIG_MAP)
        return NULL;
    for (struct config_node *n = map->first; n; n = n->next)
        if (slice_eq(n->key, key))
            return n;
    return NULL;
}

bool
config_node_is_null(const struct config_node *node)
{
    return node->kind == CONFIG_SCALAR && !node->quoted &&
           (node->text.n == 0 || slice_eq(node->text, SLICE("~")) ||
            slice_eq(node->text, SLICE("null")));
}

const char *
tree_kind_text(enum config_node_kind kind)
{
    static const char *const names[] = {
        [CONFIG_SCALAR] = "a single value", [CONFIG_LIST] = "a list", [CONFIG_MAP] = "a map"};

    return names[kind];
}

bool
tree_no_memory(struct loader *l)
{
    if (!l->failed)
        config_report_add(l->report, CONFIG_ERROR, (struct config_mark){0}, NULL,
                          "out of memory while loading the configuration");
    l->failed = true;
    return false;
}

struct config_node *
tree_new(struct loader *l, enum config_node_kind kind, struct config_mark mark)
{
    struct config_node *n;

    if (l->nodes >= NODES_MAX) {
        config_report_add(l->report, CONFIG_ERROR, mark, NULL, "more than %d values", NODES_MAX);
        l->failed = true;
        return NULL;
    }
    n = arena_new(l->arena, struct config_node);
    if (!n) {
        tree_no_memory(l);
        return NULL;
    }
    l->nodes++;
    n->kind = kind;
    n->mark = mark;
    return n;
}

struct slice
tree_text(struct loader *l, struct slice s)
{
    char *p;

    if (s.n >= TEXT_BLOCK / 8) {
        struct slice copy = arena_copy(l->arena, s);

        if (!copy.at)
            tree_no_memory(l);
        return copy;
    }
    if (s.n + 1 > (size_t) (l->text_end - l->text_at)) {
        l->text_at = arena_alloc(l->arena, TEXT_BLOCK);
        l->text_end = l->text_at ? l->text_at + TEXT_BLOCK : NULL;
        if (!l->text_at) {
            tree_no_memory(l);
            return (struct slice){NULL, 0};
        }
    }
    p = l->text_at;
    if (s.n)
        memcpy(p, s.at, s.n);
    p[s.n] = '\0';
    l->text_at += s.n + 1;
    return slice_of(p, s.n);
}

struct slice
tree_key(struct loader *l, struct slice s)
{
    struct slice *recent = &l->recent[hash_bytes(s) % RECENT_KEYS];

    if (!recent->at || !slice_eq(*recent, s))
        *recent = tree_text(l, s);
    return *recent;
}

struct config_node *
tree_copy(struct loader *l, const struct config_node *node)
{
    struct config_node *copy = tree_new(l, node->kind, node->mark), **last;

    if (!copy)
        return NULL;
    copy->quoted = node->quoted;
    copy->text = node->text;
    last = &copy->first;
    for (const struct config_node *n = node->first; n; n = n->next) {
        *last = tree_copy(l, n);
        if (!*last)
            return NULL;
        (*last)->key = n->key;
        (*last)->key_mark = n->key_mark;
        last = &(*last)->next;
    }
    return copy;
}

struct config_node *
tree_clone(struct loader *l, const struct config_node *node, const uint16_t *files)
{
    struct config_node *copy = tree_new(l, node->kind, node->mark), **last;

    if (!copy)
        return NULL;
    copy->quoted = node->quoted;
    copy->faulty = node->faulty;
    copy->key_mark = node->key_mark;
    copy->mark.file = files[node->mark.file];
    copy->key_mark.file = files[node->key_mark.file];
    if (node->kind == CONFIG_SCALAR)
        copy->text = tree_text(l, node->text);
    if (node->key.at)
        copy->key = tree_key(l, node->key);
    last = &copy->first;
    for (const struct config_node *n = node->first; n && !l->failed; n = n->next) {
        *last = tree_clone(l, n, files);
        if (!*last)
            return NULL;
        last = &(*last)->next;
    }
    return l->failed ? NULL : copy;
}
