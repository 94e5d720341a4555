/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config/document_diff.c - what makes one document into another, as a patch (RFC 6902).
 *
 * The patch is for another version of the same files, so it says what it means: items by name where
 * they have one that no other has; where they have none it tests, before it changes something
 * there, that the item is the one it was.
 *
 * Of a list that was put into another order as many items as possible stay where they are: a
 * longest increasing subsequence of their old positions (Schensted 1961); the others move.
 */
#include "config/edit.h"

#include <stdlib.h>

struct diff {
    struct text *out;
    struct text  path; /* of where we are */
    bool         mask;
    bool         full;
    size_t       n;    /* operations */
};

/* A list while the operations are carried out. */
struct list_diff {
    struct meaning             item;
    const struct config_node **from, **to; /* the items before, and after */
    size_t                     n_from, n_to;
    struct pair               *pairs;      /* of `to`: which of `from` each was */
    bool                      *stays;      /* of `to`: its partner is not moved */
    bool                      *named_from, *named_to;
    size_t                    *now;        /* indices: of `from`, or n_from + of `to` */
    size_t                     n_now;
};

static void write_difference(struct diff *d, struct meaning m, const struct config_node *a,
                             const struct config_node *b, bool tested);

/* ------------------------------------------------------------------ operations */

static void
begin(struct diff *d, const char *what)
{
    text_printf(d->out, "%s{\"op\":\"%s\",\"path\":\"", d->n++ ? ",\n " : "", what);
    text_json(d->out, text_slice(&d->path));
    text_byte(d->out, '"');
}

static void
write_operation(struct diff *d, const char *what, struct meaning m,
                const struct config_node *value)
{
    begin(d, what);
    if (value) {
        text_literal(d->out, ",\"value\":");
        document_write_json(m, value, d->mask, d->out);
    }
    text_byte(d->out, '}');
}

static void
write_move(struct diff *d, struct slice from)
{
    begin(d, "move");
    text_literal(d->out, ",\"from\":\"");
    text_json(d->out, from);
    text_literal(d->out, "\"}");
}

/* ------------------------------------------------------------------ members */

static bool
counts(struct meaning m, const struct config_node *member)
{
    return m.kind != MEANING_OBJECT || !config_node_is_null(member);
}

static void
write_members(struct diff *d, struct meaning m, const struct config_node *a,
              const struct config_node *b, bool tested)
{
    struct meaning_lookup in_a = meaning_lookup(m, a), in_b = meaning_lookup(m, b);
    size_t here = d->path.n;

    for (const struct config_node *n = meaning_first(m, a); n; n = meaning_next(a, n)) {
        const struct config_node *other = meaning_look_up(&in_b, meaning_key(m, a, n));

        if (!counts(m, n) || (other && counts(m, other)))
            continue;
        config_pointer_put(&d->path, meaning_key(m, a, n));
        write_operation(d, "remove", m, NULL);
        d->path.n = here;
    }
    for (const struct config_node *n = meaning_first(m, b); n; n = meaning_next(b, n)) {
        struct slice key = meaning_key(m, b, n);
        const struct config_node *old = meaning_look_up(&in_a, key);
        struct meaning inner = meaning_of_member(m, key);

        if (!counts(m, n))
            continue;
        config_pointer_put(&d->path, key);
        if (old && counts(m, old))
            write_difference(d, inner, old, n, tested);
        else
            write_operation(d, "add", inner, n);
        d->path.n = here;
    }
    meaning_lookup_free(&in_a);
    meaning_lookup_free(&in_b);
}

/* ------------------------------------------------------------------ items */

static const struct config_node *
node_now(const struct list_diff *l, size_t at)
{
    size_t i = l->now[at];

    return i < l->n_from ? l->from[i] : l->to[i - l->n_from];
}

/* Whether the item there is found by its name, now. */
static bool
is_named_now(const struct list_diff *l, size_t at)
{
    size_t i = l->now[at];

    return i < l->n_from ? l->named_from[i] : l->named_to[i - l->n_from];
}

/* The item at that place of the list, or the end. */
static void
put_place(struct diff *d, const struct list_diff *l, size_t at)
{
    if (at == l->n_now)
        text_literal(&d->path, "/-");
    else if (is_named_now(l, at))
        config_pointer_put(&d->path, meaning_identity(l->item, node_now(l, at)));
    else
        text_printf(&d->path, "/%zu", at);
}

/* Of an item without a name. */
static void
write_test(struct diff *d, const struct list_diff *l, size_t at, bool tested)
{
    if (!tested && at < l->n_now && !is_named_now(l, at))
        write_operation(d, "test", l->item, node_now(l, at));
}

static void
take_out(struct list_diff *l, size_t at)
{
    l->n_now--;
    memmove(&l->now[at], &l->now[at + 1], (l->n_now - at) * sizeof(size_t));
}

static void
put_in(struct list_diff *l, size_t at, size_t what)
{
    memmove(&l->now[at + 1], &l->now[at], (l->n_now - at) * sizeof(size_t));
    l->now[at] = what;
    l->n_now++;
}

static bool
write_removals(struct diff *d, struct list_diff *l, bool tested)
{
    bool *kept = calloc(l->n_from + 1, sizeof(*kept));
    size_t here = d->path.n;

    if (!kept)
        return false;
    for (size_t j = 0; j < l->n_to; j++)
        if (l->pairs[j].partner != PAIR_NONE)
            kept[l->pairs[j].partner] = true;
    for (size_t i = l->n_from; i-- > 0;) {
        if (kept[i])
            continue;
        put_place(d, l, i);
        write_test(d, l, i, tested);
        write_operation(d, "remove", l->item, NULL);
        d->path.n = here;
        take_out(l, i);
    }
    free(kept);
    return true;
}

static size_t
place_of(const struct list_diff *l, size_t what, size_t from)
{
    for (size_t i = 0; i < l->n_now; i++) {
        size_t at = (from + i) % l->n_now;

        if (l->now[at] == what)
            return at;
    }
    return 0;
}

/* Takes the item from where it is to `at`; the place where it is then. */
static size_t
write_moved(struct diff *d, struct list_diff *l, size_t what, size_t at, bool tested)
{
    size_t was = place_of(l, what, at), here = d->path.n;
    char *from;
    size_t n;

    put_place(d, l, was);
    write_test(d, l, was, tested);
    n = d->path.n;
    from = malloc(n + 1);
    if (from)
        memcpy(from, d->path.at, n);
    d->full |= !from;
    d->path.n = here;
    take_out(l, was);
    if (was < at)
        at--;
    put_place(d, l, at);
    write_move(d, slice_of(from, from ? n : 0));
    d->path.n = here;
    free(from);
    put_in(l, at, what);
    return at;
}

static void
write_added(struct diff *d, struct list_diff *l, size_t j, size_t at, bool tested)
{
    size_t here = d->path.n;

    put_place(d, l, at);
    write_test(d, l, at, tested);
    write_operation(d, "add", l->item, l->to[j]);
    d->path.n = here;
    put_in(l, at, l->n_from + j);
}

/* A name that comes from another option than before is gone on the way. */
static bool
keeps_name(const struct list_diff *l, const struct config_node *a, const struct config_node *b)
{
    const struct config_node *x = meaning_member(l->item, a, SLICE("name"));
    const struct config_node *y = meaning_member(l->item, b, SLICE("name"));

    return (x && x->text.at == meaning_identity(l->item, a).at) ==
           (y && y->text.at == meaning_identity(l->item, b).at);
}

/* What changed inside of an item that is where it belongs. */
static void
write_inside(struct diff *d, struct list_diff *l, size_t j, size_t at, bool tested)
{
    const struct config_node *old = l->from[l->pairs[j].partner];
    size_t here = d->path.n;
    bool named = is_named_now(l, at);

    if (!l->pairs[j].equal) {
        put_place(d, l, at);
        if (!named && !tested && !meaning_equal(l->item, old, l->to[j]))
            write_test(d, l, at, tested);
        if (named && !keeps_name(l, old, l->to[j]))
            write_operation(d, "replace", l->item, l->to[j]);
        else
            write_difference(d, l->item, old, l->to[j], tested || !named);
        d->path.n = here;
    }
    l->now[at] = l->n_from + j;
}

static void
write_items(struct diff *d, struct list_diff *l, bool tested)
{
    size_t at = 0; /* behind the last that is in its place */

    for (size_t j = 0; j < l->n_to; j++) {
        if (l->pairs[j].partner == PAIR_NONE) {
            write_added(d, l, j, at, tested);
        } else {
            if (l->stays[j])
                at = place_of(l, l->pairs[j].partner, at);
            else
                at = write_moved(d, l, l->pairs[j].partner, at, tested);
            write_inside(d, l, j, at, tested);
        }
        at++;
    }
}

/* ------------------------------------------------------------------ what stays */

/* Marks a longest increasing subsequence of the partners. */
static bool
mark_staying(struct list_diff *l)
{
    size_t *ends = calloc(l->n_to + 1, sizeof(*ends));   /* of the best run of each length */
    size_t *before = calloc(l->n_to + 1, sizeof(*before));
    size_t n = 0;

    for (size_t j = 0; ends && before && j < l->n_to; j++) {
        size_t low = 0, high = n;

        if (l->pairs[j].partner == PAIR_NONE)
            continue;
        while (low < high) {
            size_t middle = low + (high - low) / 2;

            if (l->pairs[ends[middle]].partner < l->pairs[j].partner)
                low = middle + 1;
            else
                high = middle;
        }
        before[j] = low ? ends[low - 1] : PAIR_NONE;
        ends[low] = j;
        if (low == n)
            n++;
    }
    if (ends && before && n)
        for (size_t j = ends[n - 1]; j != PAIR_NONE; j = before[j])
            l->stays[j] = true;
    free(before);
    free(ends);
    return ends && before;
}

static bool
prepare(struct list_diff *l, struct meaning m, const struct config_node *a,
        const struct config_node *b)
{
    *l = (struct list_diff){.item = meaning_of_item(m)};
    l->from = meaning_items(a, &l->n_from);
    l->to = meaning_items(b, &l->n_to);
    l->n_now = l->n_from;
    l->pairs = calloc(l->n_to + 1, sizeof(*l->pairs));
    l->stays = calloc(l->n_to + 1, sizeof(bool));
    l->now = calloc(l->n_from + l->n_to + 1, sizeof(size_t));
    if (!l->from || !l->to || !l->pairs || !l->stays || !l->now)
        return false;
    for (size_t i = 0; i < l->n_from; i++)
        l->now[i] = i;
    l->named_from = pair_names(l->item, l->from, l->n_from);
    l->named_to = pair_names(l->item, l->to, l->n_to);
    return l->named_from && l->named_to &&
           pair_items(l->item, l->from, l->n_from, l->to, l->n_to, l->pairs) && mark_staying(l);
}

/* A name is one only while no other item has it, before, after and on the way. */
static bool
agree_on_names(struct list_diff *l)
{
    struct map names = {0};
    bool ok = true;

    for (size_t i = 0; i < l->n_from && ok; i++) {
        struct slice name = meaning_identity(l->item, l->from[i]);

        if (name.at)
            ok = map_put(&names, name, &l->named_from[i]);
    }
    for (size_t j = 0; j < l->n_to && ok; j++) {
        struct slice name = meaning_identity(l->item, l->to[j]);
        bool *other = name.at ? map_get(&names, name) : NULL;

        if (!other)
            continue;
        if (!l->named_to[j])
            *other = false;
        if (!*other)
            l->named_to[j] = false;
    }
    map_free(&names);
    return ok;
}

static void
write_list(struct diff *d, struct meaning m, const struct config_node *a,
           const struct config_node *b, bool tested)
{
    struct list_diff l;

    if (!prepare(&l, m, a, b) || !agree_on_names(&l) || !write_removals(d, &l, tested))
        d->full = true;
    else
        write_items(d, &l, tested);
    free(l.from);
    free(l.to);
    free(l.pairs);
    free(l.stays);
    free(l.named_from);
    free(l.named_to);
    free(l.now);
}

/* ------------------------------------------------------------------ any two nodes */

static bool
has_members(struct meaning m, const struct config_node *node)
{
    if (m.kind == MEANING_OBJECT)
        return node->kind == CONFIG_MAP || m.object->shorthand || config_node_is_null(node);
    return node->kind == CONFIG_MAP && m.kind != MEANING_LIST;
}

/* `cache: {...}` of another variant is another thing. */
static bool
is_other_variant(struct meaning m, const struct config_node *a, const struct config_node *b)
{
    return m.kind == MEANING_VARIANT &&
           (!a->first || !b->first || !slice_eq(a->first->key, b->first->key));
}

static void
write_difference(struct diff *d, struct meaning m, const struct config_node *a,
                 const struct config_node *b, bool tested)
{
    if (meaning_is_list(m, a) && meaning_is_list(m, b))
        write_list(d, m, a, b, tested);
    else if (has_members(m, a) && has_members(m, b) && !is_other_variant(m, a, b))
        write_members(d, m, a, b, tested);
    else if (!meaning_equal(m, a, b))
        write_operation(d, "replace", m, b);
}

bool
config_document_diff(const struct config_document *from, const struct config_document *to,
                     bool mask, struct text *out)
{
    struct diff d = {.out = out, .mask = mask};

    text_init(&d.path, 1 << 20);
    text_byte(out, '[');
    write_difference(&d, meaning_of_root(from->type), from->root, to->root, false);
    text_literal(out, "]\n");
    d.full |= d.path.full || out->full;
    text_free(&d.path);
    return !d.full;
}
