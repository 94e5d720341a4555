/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config/document_find.c - from a JSON Pointer (RFC 6901) to a node.
 *
 * A site has ten thousand routes, and whoever asks for one by its name will ask for the next: the
 * names of the last few long maps and lists are kept in indexes.
 */
#include "config/document_private.h"

#include <stdlib.h>

enum { SHORT_MEMBERS = 24 }; /* up to so many are searched one by one */

/* ------------------------------------------------------------------ tokens */

/* ~1 is a slash, ~0 a tilde. */
static struct slice
decode(struct slice token, char *memory)
{
    size_t n = 0;

    if (slice_find(token, '~') == SLICE_NOT_FOUND)
        return token;
    if (token.n > TOKEN_BYTES_MAX)
        return (struct slice){NULL, 0};
    for (size_t i = 0; i < token.n; i++) {
        char c = token.at[i];

        if (c == '~') {
            c = ++i < token.n ? token.at[i] : '\0';
            if (c != '0' && c != '1')
                return (struct slice){NULL, 0};
            c = c == '0' ? '~' : '/';
        }
        memory[n++] = c;
    }
    return slice_of(memory, n);
}

void
config_pointer_put(struct text *pointer, struct slice token)
{
    text_byte(pointer, '/');
    for (size_t i = 0; i < token.n; i++) {
        if (token.at[i] == '~')
            text_literal(pointer, "~0");
        else if (token.at[i] == '/')
            text_literal(pointer, "~1");
        else
            text_byte(pointer, token.at[i]);
    }
}

struct slice
document_token(struct slice *pointer, char memory[TOKEN_BYTES_MAX])
{
    struct slice rest = *pointer, token;

    if (rest.n == 0 || rest.at[0] != '/')
        return (struct slice){NULL, 0};
    rest = slice_from(rest, 1);
    token = slice_first(rest, slice_find(rest, '/'));
    *pointer = slice_from(rest, token.n);
    return decode(token, memory);
}

/* ------------------------------------------------------------------ the index */

static void
forget_names(struct document_index *index)
{
    map_free(&index->names);
    index->named = index->twice = false;
}

static void
forget(struct document_index *index)
{
    forget_names(index);
    index->of = NULL;
    index->n = 0;
}

void
document_forget_indexes(struct config_document *d)
{
    for (size_t i = 0; i < INDEXES; i++)
        forget(&d->indexes[i]);
}

static struct document_index *
known_index(const struct config_document *d, const struct config_node *node)
{
    for (size_t i = 0; i < INDEXES; i++)
        if (d->indexes[i].of == node)
            return &d->indexes[i];
    return NULL;
}

void
document_forget_index(struct config_document *d, const struct config_node *node)
{
    struct document_index *index = known_index(d, node);

    if (index)
        forget(index);
}

static bool
is_long(const struct config_node *node)
{
    size_t n = 0;

    for (const struct config_node *c = node->first; c; c = c->next)
        if (++n > SHORT_MEMBERS)
            return true;
    return false;
}

static struct slice
name_of(struct meaning m, const struct config_node *container, const struct config_node *child)
{
    return container->kind == CONFIG_MAP ? child->key : meaning_identity(meaning_of_item(m), child);
}

static bool
put_name(struct document_index *index, struct slice name, struct config_node *child)
{
    if (!name.at)
        return true;
    if (map_get(&index->names, name)) {
        index->twice = true;
        return true;
    }
    return map_put(&index->names, name, child);
}

static bool
make_room(struct document_index *index)
{
    size_t room = index->room ? index->room * 2 : 256;
    struct config_node **grown;

    if (index->n < index->room)
        return true;
    grown = realloc(index->items, room * sizeof(struct config_node *));
    if (!grown)
        return false;
    index->items = grown;
    index->room = room;
    return true;
}

struct document_index *
document_index(const struct config_document *d, const struct config_node *node)
{
    struct document_index *index = known_index(d, node);

    if (index)
        return index;
    if (node->kind == CONFIG_SCALAR || !is_long(node))
        return NULL;
    index = &d->indexes[((struct config_document *) d)->turn++ % INDEXES];
    forget(index);
    for (struct config_node *c = node->first; c; c = c->next) {
        if (!make_room(index)) {
            forget(index);
            return NULL;
        }
        index->items[index->n++] = c;
    }
    index->of = node;
    return index;
}

/* False: out of memory. */
static bool
fill_names(struct document_index *index, struct meaning m)
{
    for (size_t i = 0; i < index->n && !index->named; i++)
        if (!put_name(index, name_of(m, index->of, index->items[i]), index->items[i])) {
            forget_names(index);
            return false;
        }
    index->named = true;
    return true;
}

void
document_index_insert(struct config_document *d, struct meaning m, const struct config_node *list,
                      size_t position, struct config_node *item)
{
    struct document_index *index = known_index(d, list);
    struct slice name = name_of(m, list, item);

    if (!index)
        return;
    if (!make_room(index)) {
        forget(index);
        return;
    }
    if (index->named &&
        ((name.at && map_get(&index->names, name)) || !put_name(index, name, item)))
        forget_names(index);
    memmove(&index->items[position + 1], &index->items[position],
            (index->n - position) * sizeof(struct config_node *));
    index->items[position] = item;
    index->n++;
}

void
document_index_remove(struct config_document *d, struct meaning m, const struct config_node *list,
                      size_t position)
{
    struct document_index *index = known_index(d, list);
    struct slice name;

    if (!index)
        return;
    if (index->twice)
        forget_names(index);
    name = name_of(m, list, index->items[position]);
    if (index->named && name.at)
        map_remove(&index->names, name);
    index->n--;
    memmove(&index->items[position], &index->items[position + 1],
            (index->n - position) * sizeof(struct config_node *));
}

void
document_index_rename(struct config_document *d, struct meaning item,
                      const struct config_node *list, struct slice was, struct config_node *node)
{
    struct document_index *index = known_index(d, list);
    struct slice now = meaning_identity(item, node);

    if (!index || !index->named || (was.at && now.at && slice_eq(was, now)))
        return;
    if (!index->twice && was.at)
        map_remove(&index->names, was);
    if (index->twice || (now.at && map_get(&index->names, now)) || !put_name(index, now, node))
        forget_names(index);
}

/* ------------------------------------------------------------------ children */

/* Digits without a leading zero. */
static bool
read_index(struct slice token, size_t *index)
{
    uint64_t value;

    if (!slice_to_u64(token, UINT32_MAX, &value) || (token.n > 1 && token.at[0] == '0'))
        return false;
    *index = (size_t) value;
    return true;
}

static const struct config_node *
item_at(const struct document_index *index, const struct config_node *list, size_t position)
{
    const struct config_node *c = list->first;

    if (index)
        return position < index->n ? index->items[position] : NULL;
    for (size_t i = 0; c && i < position; i++)
        c = c->next;
    return c;
}

static size_t
position_of(const struct document_index *index, const struct config_node *list,
            const struct config_node *item)
{
    size_t i = 0;

    if (item == list)
        return 0;
    if (index)
        while (index->items[i] != item)
            i++;
    else
        for (const struct config_node *c = list->first; c != item; c = c->next)
            i++;
    return i;
}

struct config_node *
document_before(const struct config_document *d, const struct config_node *parent,
                const struct config_node *child, size_t *position)
{
    const struct document_index *index = document_index(d, parent);

    *position = position_of(index, parent, child);
    if (*position == 0)
        return NULL;
    return (struct config_node *) item_at(index, parent, *position - 1);
}

static const struct config_node *
find_named(struct document_index *index, struct meaning m, const struct config_node *list,
           struct slice name)
{
    const struct config_node *c = list->kind == CONFIG_LIST ? list->first : list;
    struct meaning item = meaning_of_item(m);

    if (index && fill_names(index, m))
        return map_get(&index->names, name);
    for (; c; c = c == list ? NULL : c->next) {
        struct slice identity = meaning_identity(item, c);

        if (identity.at && slice_eq(identity, name))
            return c;
    }
    return NULL;
}

static const struct config_node *
find_item(const struct config_document *d, struct meaning m, const struct config_node *list,
          struct slice token, size_t *position)
{
    struct document_index *index = list->kind == CONFIG_LIST ? document_index(d, list) : NULL;
    size_t n = index ? index->n : meaning_count_items(list);
    const struct config_node *found;

    if (read_index(token, position)) {
        if (*position > n)
            *position = SIZE_MAX;
        if (*position < n)
            return list->kind == CONFIG_LIST ? item_at(index, list, *position) : list;
        return NULL;
    }
    if (slice_eq(token, SLICE("-"))) {
        *position = n;
        return NULL;
    }
    found = find_named(index, m, list, token);
    *position = found ? position_of(index, list, found) : SIZE_MAX;
    return found;
}

const struct config_node *
document_child(const struct config_document *d, struct meaning m, const struct config_node *node,
               struct slice token, size_t *position)
{
    struct document_index *index;

    *position = SIZE_MAX;
    if (meaning_is_list(m, node))
        return find_item(d, m, node, token, position);
    index = node->kind == CONFIG_MAP ? document_index(d, node) : NULL;
    return index && fill_names(index, m) ? map_get(&index->names, token)
                                         : meaning_member(m, node, token);
}

const struct config_node *
config_document_find(const struct config_document *d, struct slice pointer)
{
    struct meaning m = meaning_of_root(d->type);
    const struct config_node *node = d->root;

    while (node && pointer.n) {
        char memory[TOKEN_BYTES_MAX];
        struct slice token = document_token(&pointer, memory);
        bool list = meaning_is_list(m, node);
        size_t position;

        if (!token.at)
            return NULL;
        node = document_child(d, m, node, token, &position);
        m = list ? meaning_of_item(m) : meaning_of_member(m, token);
    }
    return node;
}

/* ------------------------------------------------------------------ and back */

static bool
search(struct meaning *m, const struct config_node *at, const struct config_node *wanted)
{
    struct meaning inner;

    if (at == wanted)
        return true;
    for (const struct config_node *c = at->first; c; c = c->next) {
        inner = meaning_of_child(*m, at, c);
        if (search(&inner, c, wanted)) {
            *m = inner;
            return true;
        }
    }
    return false;
}

struct meaning
document_meaning(const struct config_document *d, const struct config_node *node)
{
    struct meaning m = meaning_of_root(d->type);

    if (!search(&m, d->root, node))
        m = (struct meaning){.kind = MEANING_ANY};
    return m;
}
