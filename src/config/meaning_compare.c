/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config/meaning_compare.c - whether two nodes mean the same, and a hash of what a node means.
 *
 * What does not count: the order of maps, quotes, an item that stands for a list of one, a text
 * that stands for an object, a name that stands for a variant without options, an absent value
 * written as null, `yes` for `true`.
 */
#include "config/meaning.h"

#define HASH_NULL UINT64_C(0x9e3779b97f4a7c15)
#define HASH_LIST UINT64_C(0xc2b2ae3d27d4eb4f)
#define HASH_MAP  UINT64_C(0x165667b19e3779f9)

static struct slice
bool_text(struct slice text)
{
    static const struct slice words[][3] = {
        {SLICE_INIT("true"), SLICE_INIT("yes"), SLICE_INIT("on")},
        {SLICE_INIT("false"), SLICE_INIT("no"), SLICE_INIT("off")},
    };

    for (size_t i = 0; i < 6; i++)
        if (slice_eq(words[i / 3][i % 3], text))
            return words[i / 3][0];
    return text;
}

struct slice
meaning_text(struct meaning m, const struct config_node *scalar)
{
    if (m.kind == MEANING_VALUE && m.option->kind == &option_bool)
        return bool_text(scalar->text);
    return scalar->text;
}

/* A variant's name and options; NULL: it has none. */
static bool
read_variant(const struct config_node *node, struct slice *name, const struct config_node **value)
{
    *value = NULL;
    if (node->kind == CONFIG_SCALAR) {
        *name = node->text;
        return !config_node_is_null(node);
    }
    if (node->kind != CONFIG_MAP || !node->first || node->first->next)
        return false;
    *name = node->first->key;
    if (!config_node_is_null(node->first))
        *value = node->first;
    return true;
}

/* ------------------------------------------------------------------ equal */

static bool
equal_scalars(struct meaning m, const struct config_node *a, const struct config_node *b)
{
    if (config_node_is_null(a) || config_node_is_null(b))
        return config_node_is_null(a) && config_node_is_null(b);
    return slice_eq(meaning_text(m, a), meaning_text(m, b));
}

/* Written the same way, most of the time the end of the matter. */
static bool
is_same(const struct config_node *a, const struct config_node *b)
{
    const struct config_node *c = a->first, *d = b->first;

    if (a->kind != b->kind)
        return false;
    if (a->kind == CONFIG_SCALAR)
        return equal_scalars((struct meaning){.kind = MEANING_ANY}, a, b);
    for (; c && d; c = c->next, d = d->next)
        if ((a->kind == CONFIG_MAP && !slice_eq(c->key, d->key)) || !is_same(c, d))
            return false;
    return !c && !d;
}

static bool
counts(struct meaning m, const struct config_node *member)
{
    return m.kind != MEANING_OBJECT || !config_node_is_null(member);
}

static size_t
count_members(struct meaning m, const struct config_node *node)
{
    size_t n = 0;

    for (const struct config_node *c = meaning_first(m, node); c; c = meaning_next(node, c))
        n += counts(m, c);
    return n;
}

static bool
equal_members(struct meaning m, const struct config_node *a, const struct config_node *b)
{
    struct meaning_lookup l = meaning_lookup(m, b);
    bool equal = count_members(m, a) == count_members(m, b);

    for (const struct config_node *c = meaning_first(m, a); c && equal; c = meaning_next(a, c)) {
        struct slice key = meaning_key(m, a, c);
        const struct config_node *d;

        if (!counts(m, c))
            continue;
        d = meaning_look_up(&l, key);
        equal = d && counts(m, d) && meaning_equal(meaning_of_member(m, key), c, d);
    }
    meaning_lookup_free(&l);
    return equal;
}

static bool
equal_items(struct meaning m, const struct config_node *a, const struct config_node *b)
{
    const struct config_node *c = a->kind == CONFIG_LIST ? a->first : a;
    const struct config_node *d = b->kind == CONFIG_LIST ? b->first : b;
    size_t n = meaning_count_items(a);

    if (n != meaning_count_items(b))
        return false;
    for (size_t i = 0; i < n; i++, c = c->next, d = d->next)
        if (!meaning_equal(meaning_of_item(m), c, d))
            return false;
    return true;
}

/* Of which the tables do not say anything, or which is not what they say. */
static bool
equal_any(const struct config_node *a, const struct config_node *b)
{
    struct meaning any = {.kind = MEANING_ANY};

    if (a->kind != b->kind)
        return false;
    if (a->kind == CONFIG_LIST)
        return equal_items(any, a, b);
    return a->kind == CONFIG_MAP ? equal_members(any, a, b) : equal_scalars(any, a, b);
}

static bool
equal_variants(struct meaning m, const struct config_node *a, const struct config_node *b)
{
    static const struct config_node empty = {.kind = CONFIG_MAP};
    const struct config_node *x, *y;
    struct slice one, two;

    if (!read_variant(a, &one, &x) || !read_variant(b, &two, &y))
        return equal_any(a, b);
    return slice_eq(one, two) &&
           meaning_equal(meaning_of_member(m, one), x ? x : &empty, y ? y : &empty);
}

/* Something that can be read as an object: a map, its shorthand, nothing. */
static bool
is_object(struct meaning m, const struct config_node *node)
{
    return node->kind == CONFIG_MAP || config_node_is_null(node) || m.object->shorthand;
}

bool
meaning_equal(struct meaning m, const struct config_node *a, const struct config_node *b)
{
    if (a == b || is_same(a, b))
        return true;
    switch (m.kind) {
    case MEANING_OBJECT:
        if (is_object(m, a) && is_object(m, b))
            return equal_members(m, a, b);
        break;
    case MEANING_LIST:
        if (meaning_is_list(m, a) && meaning_is_list(m, b))
            return equal_items(m, a, b);
        break;
    case MEANING_MAP:
    case MEANING_DEFAULTS:
        if (a->kind == CONFIG_MAP && b->kind == CONFIG_MAP)
            return equal_members(m, a, b);
        break;
    case MEANING_VARIANT: return equal_variants(m, a, b);
    case MEANING_VALUE:
        if (a->kind == CONFIG_SCALAR && b->kind == CONFIG_SCALAR)
            return equal_scalars(m, a, b);
        break;
    case MEANING_ANY: break;
    }
    return equal_any(a, b);
}

/* ------------------------------------------------------------------ hash */

static uint64_t
mix(uint64_t a, uint64_t b)
{
    uint64_t pair[2] = {a, b};

    return hash_stable(slice_of((const char *) pair, sizeof(pair)));
}

/* A sum, so that the order does not count. */
static uint64_t
hash_members(struct meaning m, const struct config_node *node)
{
    uint64_t sum = HASH_MAP;

    for (const struct config_node *c = meaning_first(m, node); c; c = meaning_next(node, c)) {
        struct slice key = meaning_key(m, node, c);

        if (counts(m, c))
            sum += mix(hash_stable(key), meaning_hash(meaning_of_member(m, key), c));
    }
    return sum;
}

static uint64_t
hash_items(struct meaning m, const struct config_node *node)
{
    const struct config_node *c = node->kind == CONFIG_LIST ? node->first : node;
    size_t n = meaning_count_items(node);
    uint64_t hash = HASH_LIST;

    for (size_t i = 0; i < n; i++, c = c->next)
        hash = mix(hash, meaning_hash(meaning_of_item(m), c));
    return hash;
}

static uint64_t
hash_scalar(struct meaning m, const struct config_node *node)
{
    return config_node_is_null(node) ? HASH_NULL : hash_stable(meaning_text(m, node));
}

static uint64_t
hash_any(const struct config_node *node)
{
    struct meaning any = {.kind = MEANING_ANY};

    if (node->kind == CONFIG_LIST)
        return hash_items(any, node);
    return node->kind == CONFIG_MAP ? hash_members(any, node) : hash_scalar(any, node);
}

static uint64_t
hash_variant(struct meaning m, const struct config_node *node)
{
    const struct config_node *value;
    struct slice name;

    if (!read_variant(node, &name, &value))
        return hash_any(node);
    return mix(hash_stable(name),
               value ? meaning_hash(meaning_of_member(m, name), value) : HASH_MAP);
}

uint64_t
meaning_hash(struct meaning m, const struct config_node *node)
{
    switch (m.kind) {
    case MEANING_OBJECT:
        if (is_object(m, node))
            return hash_members(m, node);
        break;
    case MEANING_LIST:
        if (meaning_is_list(m, node))
            return hash_items(m, node);
        break;
    case MEANING_MAP:
    case MEANING_DEFAULTS:
        if (node->kind == CONFIG_MAP)
            return hash_members(m, node);
        break;
    case MEANING_VARIANT: return hash_variant(m, node);
    case MEANING_VALUE:
        if (node->kind == CONFIG_SCALAR)
            return hash_scalar(m, node);
        break;
    case MEANING_ANY: break;
    }
    return hash_any(node);
}
