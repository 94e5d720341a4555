/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/compose.c - one JSON document out of several answers.
 *
 *     - compose:
 *         parts:
 *           user: /users/${query('id')}
 *           orders: {url: "/orders?user=${query('id')}", optional: true, timeout: 1s}
 *
 * The parts are asked for at the same time, each as if a client had, through routes and caches,
 * and put together byte for byte.  All of them have to be here before the first byte is sent: so a
 * part that is missing is an error with a status, or null, and never half a document.
 */
#include "base/check.h"
#include "base/map.h"
#include "middleware/compose_json.h"
#include "middleware/compose_part.h"
#include "middleware/field_names.h"
#include "middleware/middleware.h"
#include "runtime/loop.h"

#define SECOND_US INT64_C(1000000)

/* ------------------------------------------------------------------ the document */

/* A body of bytes that it owns. */
struct document {
    struct body body;
    struct text json;
    bool        given;
};

static enum err
document_next(struct body *b, struct slice *chunk)
{
    struct document *d = container_of(b, struct document, body);

    if (d->given)
        return ERR_END;
    d->given = b->ended = true;
    *chunk = text_slice(&d->json);
    return OK;
}

static void
document_close(struct body *b)
{
    text_free(&container_of(b, struct document, body)->json);
}

static const struct body_ops document_ops = {.next = document_next, .close = document_close};

static struct slice
json_of(const struct compose_fetch *f)
{
    return f->good ? compose_json_trim(text_slice(&f->json)) : SLICE("null");
}

static void
put_keyed(const struct compose_work *w, struct text *out)
{
    for (size_t i = 0; i < w->config->parts.n; i++) {
        const struct compose_fetch *f = &w->fetches[i];

        text_literal(out, "\"");
        text_json(out, f->part->name);
        text_literal(out, "\":");
        text_put(out, json_of(f));
        text_byte(out, ',');
    }
}

/* Keys that some member had, as they are read. */
struct keys {
    struct map  seen;
    struct text decoded; /* those with escapes; it has all its room at once and never moves */
};

/* As it is read: two parts may spell it differently.  Without memory for that: absent. */
static struct slice
key_meant(struct keys *keys, struct slice key)
{
    size_t before = keys->decoded.n;

    if (slice_find(key, '\\') == SLICE_NOT_FOUND)
        return slice_of(key.at + 1, key.n - 2);
    if (!keys->decoded.at && !text_reserve(&keys->decoded, keys->decoded.max_bytes))
        return (struct slice){NULL, 0};
    compose_json_decode(key, &keys->decoded);
    return slice_of(keys->decoded.at + before, keys->decoded.n - before);
}

/* The members of one part; of those with the same key, the first part's stands. */
static bool
put_members(struct text *out, struct slice object, struct keys *keys)
{
    struct slice key, member;

    while (compose_json_member(&object, &key, &member)) {
        struct slice meant = key_meant(keys, key);

        if (!slice_is_present(meant))
            return false;
        if (map_get(&keys->seen, meant))
            continue;
        if (!map_put(&keys->seen, meant, keys))
            return false;
        text_put(out, member);
        text_byte(out, ',');
    }
    return true;
}

static bool
put_flat(const struct compose_work *w, struct text *out)
{
    struct keys keys = {0};
    bool good = true;

    text_init(&keys.decoded, w->bytes);
    for (size_t i = 0; i < w->config->parts.n && good; i++)
        if (w->fetches[i].good)
            good = put_members(out, json_of(&w->fetches[i]), &keys);
    map_free(&keys.seen);
    text_free(&keys.decoded);
    return good;
}

/* Members with a comma behind each, in braces. */
static bool
put_document(const struct compose_work *w, struct text *out)
{
    bool good = true;

    text_byte(out, '{');
    if (w->config->shape == COMPOSE_FLAT)
        good = put_flat(w, out);
    else
        put_keyed(w, out);
    if (out->n > 1)
        out->n--;
    text_literal(out, "}\n");
    return good && !out->full;
}

/* ------------------------------------------------------------------ the answer */

/* Set-Cookie and the like may stand more than once. */
static bool
pass_fields(const struct compose_fetch *f, struct exchange *x)
{
    const struct slice *names = f->part->fields.at;

    if (!f->child)
        return true;
    for (size_t i = 0; i < f->part->fields.n; i++)
        for (const struct field *from = NULL;
             (from = fields_next(&f->child->response.fields, from, names[i]));) {
            struct slice value = arena_copy(&x->arena, from->value);

            if (!slice_is_present(value) ||
                !fields_add_named(&x->response.fields, names[i], value))
                return false;
        }
    return true;
}

static bool
answer(const struct compose_work *w, struct exchange *x)
{
    enum { ROOM = 1024 };
    struct document *d = arena_new(&x->arena, struct document);
    bool good;

    if (!d)
        return false;
    /* Names are part of it, escaped, and the bounds of all else are known. */
    text_init(&d->json, w->bytes + COMPOSE_PARTS_MAX * (size_t) ROOM);
    if (!put_document(w, &d->json)) {
        text_free(&d->json);
        return false;
    }
    exchange_respond(x, 200, SLICE(""), SLICE(""));
    good = fields_add(&x->response.fields, FIELD_CONTENT_TYPE, SLICE("application/json"));
    for (size_t i = 0; i < w->config->parts.n && good; i++)
        good = !w->fetches[i].good || pass_fields(&w->fetches[i], x);
    d->body = (struct body){
        .ops = &document_ops, .length = (int64_t) d->json.n, .ready = true};
    x->response.body = &d->body;
    return good;
}

static void
refuse(struct exchange *x, const struct compose_fetch *f)
{
    unsigned status = f->late ? 504 : 502;

    compose_counts(loop_self()->number)->refused++;
    if (f->status)
        exchange_refuse(x, status, REASON_PART_FAILED, "compose: part %.*s: status %u, %s",
                        SLICE_ARG(f->part->name), f->status, f->problem);
    else
        exchange_refuse(x, status, REASON_PART_FAILED, "compose: part %.*s: %s",
                        SLICE_ARG(f->part->name), f->problem);
}

static void
compose(const struct compose *c, struct exchange *x)
{
    struct compose_work w = {.x = x, .config = c};
    const struct compose_fetch *missing;
    enum err e;

    w.fetches = arena_calloc(&x->arena, c->parts.n, sizeof(*w.fetches));
    if (!w.fetches) {
        exchange_refuse(x, 503, REASON_OUT_OF_MEMORY, "compose");
        return;
    }
    e = compose_fetch_all(&w);
    missing = compose_missing(&w);
    if (e != OK)
        exchange_fault(x, REASON_CLIENT_GONE, e, "while parts were fetched");
    else if (missing)
        refuse(x, missing);
    else if (!answer(&w, x))
        exchange_refuse(x, 503, REASON_OUT_OF_MEMORY, "compose");
    compose_work_free(&w);
}

/* Parts that are made of parts, and so on, are counted together. */
static void
compose_within_limits(const struct compose *c, struct exchange *x)
{
    struct compose_tree *tree = compose_tree_join(x->serial);

    if (!tree) {
        exchange_refuse(x, 503, REASON_OUT_OF_MEMORY, "compose");
        return;
    }
    tree->parts += c->parts.n;
    if (x->depth > COMPOSE_DEPTH_MAX || tree->parts > COMPOSE_TREE_MAX)
        exchange_refuse(x, 508, REASON_COMPOSITION_LIMIT, "compose: parts of parts of parts");
    else
        compose(c, x);
    compose_tree_leave(tree);
}

static void
compose_handle(const struct middleware *self, struct exchange *x)
{
    if (x->request.method != METHOD_GET && x->request.method != METHOD_HEAD) {
        exchange_refuse(x, 405, REASON_UNSUPPORTED, "compose answers GET and HEAD");
        fields_set(&x->response.fields, FIELD_ALLOW, SLICE("GET, HEAD"));
        return;
    }
    compose_counts(loop_self()->number)->answers++;
    compose_within_limits(self->config, x);
}

static void
compose_explain(const struct middleware *self, struct exchange *x, struct text *out)
{
    const struct compose *c = self->config;
    const struct compose_part *parts = c->parts.at;

    text_literal(out, "answers with");
    for (size_t i = 0; i < c->parts.n; i++) {
        struct slice url = compose_url_render(parts[i].url, x);

        text_printf(out, "%s %.*s from %.*s", i ? "," : "", SLICE_ARG(parts[i].name),
                    SLICE_ARG(slice_is_present(url) ? url : SLICE("no URL")));
    }
}

/* ------------------------------------------------------------------ at load */

static bool
compose_link(void *config, const struct middleware_linker *l)
{
    struct compose *c = config;

    c->keeper = l->keeper;
    return true;
}

/* What describes the content of one part says nothing about the document. */
static bool
describes_content(struct slice name)
{
    return slice_starts_nocase(name, SLICE("Content-")) || slice_eq_nocase(name, SLICE("ETag")) ||
           slice_eq_nocase(name, SLICE("Last-Modified")) ||
           slice_eq_nocase(name, SLICE("Accept-Ranges"));
}

static bool
part_check(struct config_bind *b, void *object)
{
    const struct compose_part *p = object;
    const struct slice *names = p->fields.at;

    for (size_t i = 0; i < p->fields.n; i++) {
        if (!field_name_check(b, &names[i], names[i], SIDE_RESPONSE))
            return false;
        if (describes_content(names[i]))
            return config_bind_error(b, &names[i], NULL,
                                     "`%.*s` describes the part, not the document",
                                     SLICE_ARG(names[i]));
    }
    return true;
}

static bool
compose_check(struct config_bind *b, void *object)
{
    const struct compose *c = object;
    const struct compose_part *p = c->parts.at;

    if (c->parts.n == 0 || c->parts.n > COMPOSE_PARTS_MAX)
        return config_bind_error(b, &c->parts, NULL, "a document has 1 to %d parts, this one %zu",
                                 COMPOSE_PARTS_MAX, c->parts.n);
    for (size_t i = 0; i < c->parts.n; i++)
        if (p[i].name.n > 128)
            return config_bind_error(b, &c->parts, NULL, "a part's name has at most 128 bytes");
    return true;
}

static const struct option part_options[] = {
    {"name", &option_string, offsetof(struct compose_part, name), .flags = OPTION_KEY,
     .doc = "The key in `parts`, which is its key in the document too."},
    {"url", &compose_url_option, offsetof(struct compose_part, url), .flags = OPTION_REQUIRED,
     .doc = "What is asked for: a path, or a URL whose host some route serves. Values of "
            "expressions are percent-encoded, but for `path`, `raw_path`, `uri` and `query`."},
    {"optional", &option_bool, offsetof(struct compose_part, optional), .preset = "no",
     .doc = "Without it, the part is null (`shape: flat`: left out) when it fails; else the whole "
            "answer is 502, or 504 when it took too long."},
    {"timeout", &option_duration, offsetof(struct compose_part, timeout_us), .preset = "5s",
     .min = 1000, .max = 600 * SECOND_US, .doc = "How long it may take until it is there."},
    {"fields", &option_string, offsetof(struct compose_part, fields), .flags = OPTION_LIST,
     .doc = "Fields of its answer that the document's answer gets too, such as `Set-Cookie`."},
    {NULL},
};

static const struct option_object part_object = {
    .name = "compose_part",
    .doc = "A part of a composed document: the answer to a request of our own. It has failed when "
           "its status is not 2xx or its content is not JSON.",
    .size = sizeof(struct compose_part),
    .options = part_options,
    .shorthand = "url",
    .check = part_check,
};

static const char *const shapes[] = {"keyed", "flat", NULL};

static const struct option compose_options[] = {
    {"parts", &option_objects, offsetof(struct compose, parts), .object = &part_object,
     .flags = OPTION_MAP | OPTION_REQUIRED, .doc = "What the document is made of, by name."},
    {"shape", &option_choice, offsetof(struct compose, shape), .preset = "keyed",
     .choices = shapes,
     .doc = "`keyed`: each part under its name. `flat`: the members of all parts in one object; "
            "of those with the same key, the one of the first part."},
    {"bytes", &option_bytes, offsetof(struct compose, bytes), .preset = "1MiB", .min = 1,
     .max = 8 * 1024 * 1024,
     .doc = "How long all parts may be together; one that would make it more has failed."},
    {"credentials", &option_choice, offsetof(struct compose, credentials), .preset = "same_host",
     .choices = compose_credentials_names, .doc = COMPOSE_CREDENTIALS_DOC},
    {NULL},
};

const struct middleware_ops middleware_compose = {
    .options =
        {
            .name = "compose",
            .doc = "Answers with one JSON document that is made of several answers, each asked for "
                   "as if a client had, through routes and caches.",
            .size = sizeof(struct compose),
            .options = compose_options,
            .check = compose_check,
            .ops = &middleware_compose,
        },
    .answers = true,
    .handle = compose_handle,
    .explain = compose_explain,
    .link = compose_link,
};
