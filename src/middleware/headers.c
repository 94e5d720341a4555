/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/headers.c - sets, adds and removes fields of requests and responses.
 *
 *     - headers:
 *         when: path starts '/api/'
 *         request: {set: {X-User: "${client.ip}"}, remove: [X-Debug]}
 *         response: {add: {Vary: Origin}}
 *
 * Names are checked when the configuration is loaded, values when they are rendered: a template may
 * bring in anything that a client sent, decoded, and a CR or LF in there must not become a field of
 * its own.  `set` takes the old fields away even when the new value turns out empty or bad, so that
 * a client can never choose a value that the server believes to be ours.
 */
#include "base/check.h"
#include "exchange/exchange.h"
#include "exchange/expr.h"
#include "middleware/field_names.h"
#include "middleware/middleware.h"

enum action { REMOVE, SET, ADD };

/* One step, with the name looked up once. */
struct edit {
    enum action            action;
    enum field_id          id;
    struct slice           name;
    const struct template *value; /* not for REMOVE */
};

/* What is done to one side. */
struct edits {
    struct option_list set, add; /* of struct template_pair */
    struct option_list remove;   /* of struct slice */
    struct edit       *steps;    /* removals first, additions last */
    size_t             n;
};

struct headers {
    struct expr *when;
    struct edits request, response;
};

/* ------------------------------------------------------------------ at load */

/* where: the item in the configuration that this step comes from. */
static bool
step_add(struct config_bind *b, struct edits *e, enum message_side side, const void *where,
         struct edit step)
{
    step.id = field_id_from(step.name);
    e->steps[e->n++] = step;
    return field_name_check(b, where, step.name, side);
}

static bool
pairs_add(struct config_bind *b, struct edits *e, enum message_side side, enum action action,
          const struct option_list *pairs)
{
    const struct template_pair *pair = pairs->at;
    bool ok = true;

    for (size_t i = 0; i < pairs->n; i++)
        ok &= step_add(b, e, side, &pair[i],
                       (struct edit){action, FIELD_OTHER, pair[i].key, pair[i].value});
    return ok;
}

static bool
edits_compile(struct config_bind *b, struct edits *e, enum message_side side)
{
    const struct slice *remove = e->remove.at;
    bool ok = true;

    e->steps = arena_calloc(config_bind_arena(b), e->remove.n + e->set.n + e->add.n + 1,
                            sizeof *e->steps);
    if (!e->steps)
        return config_bind_error(b, e, NULL, "out of memory");
    for (size_t i = 0; i < e->remove.n; i++)
        ok &= step_add(b, e, side, &remove[i], (struct edit){REMOVE, FIELD_OTHER, remove[i], NULL});
    ok &= pairs_add(b, e, side, SET, &e->set);
    ok &= pairs_add(b, e, side, ADD, &e->add);
    return ok;
}

static bool
request_check(struct config_bind *b, void *object)
{
    return edits_compile(b, object, SIDE_REQUEST);
}

static bool
response_check(struct config_bind *b, void *object)
{
    return edits_compile(b, object, SIDE_RESPONSE);
}

static bool
headers_check(struct config_bind *b, void *object)
{
    const struct headers *h = object;

    if (!h->request.n && !h->response.n)
        return config_bind_error(b, h, "give `request` or `response` something to set, add or "
                                       "remove",
                                 "this changes nothing");
    if (h->when && expr_needs_response(h->when) && h->request.n)
        return config_bind_error(b, &h->when, "use two `headers`, one for each side",
                                 "`when` looks at the response, which is not there when the "
                                 "request's fields are changed");
    return true;
}

/* ------------------------------------------------------------------ per request */

/* The fault of the exchange is not touched when there is a real one: this is a note, the request
 * goes on. */
static void
note_bad_value(struct exchange *x, struct slice name)
{
    if (x->fault.reason == REASON_NONE)
        exchange_fault(x, REASON_NONE, ERR_MALFORMED,
                       "headers: the value for %.*s has control bytes and was not sent",
                       SLICE_ARG(name));
}

/* The value to send, empty for none. */
static struct slice
value_of(const struct edit *e, struct exchange *x, struct fields *f)
{
    struct slice value = template_render(e->value, x);

    if (!slice_is_present(value)) {
        f->overflow = true; /* out of memory: better no message than one that lacks a field */
        return SLICE("");
    }
    if (!is_field_value(value)) {
        note_bad_value(x, e->name);
        return SLICE("");
    }
    return slice_trim(value);
}

static void
edit_remove(const struct edit *e, struct fields *f)
{
    if (e->id == FIELD_OTHER)
        fields_remove_named(f, e->name);
    else if (fields_has(f, e->id))
        fields_remove(f, e->id);
}

static void
edit_apply(const struct edit *e, struct exchange *x, struct fields *f)
{
    /* Rendered first: it may read the very field that it replaces. */
    struct slice value = e->action == REMOVE ? SLICE("") : value_of(e, x, f);

    if (e->action != ADD)
        edit_remove(e, f);
    if (value.n)
        fields_append(f, e->name, value, e->id);
}

static void
edits_apply(const struct edits *e, struct exchange *x, struct fields *f)
{
    for (size_t i = 0; i < e->n; i++)
        edit_apply(&e->steps[i], x, f);
}

static void
headers_handle(const struct middleware *self, struct exchange *x)
{
    const struct headers *h = self->config;
    bool late = h->when && expr_needs_response(h->when);
    bool applies = late || !h->when || expr_test(h->when, x);

    if (applies)
        edits_apply(&h->request, x, &x->request.fields);
    exchange_next(x);
    if (late)
        applies = expr_test(h->when, x);
    if (applies && x->response.status)
        edits_apply(&h->response, x, &x->response.fields);
}

static void
headers_explain(const struct middleware *self, struct exchange *x, struct text *out)
{
    const struct headers *h = self->config;

    if (h->when && !expr_needs_response(h->when) && !expr_test(h->when, x))
        text_literal(out, "changes nothing: `when` is false");
    else
        text_printf(out, "changes fields: %zu of the request, %zu of the response", h->request.n,
                    h->response.n);
}

/* ------------------------------------------------------------------ the table */

static const struct option edits_options[] = {
    {"set", &option_template_pairs, offsetof(struct edits, set), .flags = OPTION_MAP,
     .doc = "Fields by name; the value is a template. Takes the place of all fields of that name. "
            "A value that comes out empty is not sent."},
    {"add", &option_template_pairs, offsetof(struct edits, add), .flags = OPTION_MAP,
     .doc = "Fields by name; the value is a template. Added to those that are there."},
    {"remove", &option_string, offsetof(struct edits, remove), .flags = OPTION_LIST,
     .doc = "Names of fields to take away; this happens before `set` and `add`."},
    {NULL},
};

static const struct option_object request_object = {
    .name = "request_fields",
    .doc = "What is done to the request's fields before it goes to the server.",
    .size = sizeof(struct edits),
    .options = edits_options,
    .check = request_check,
};

static const struct option_object response_object = {
    .name = "response_fields",
    .doc = "What is done to the response's fields before it goes to the client.",
    .size = sizeof(struct edits),
    .options = edits_options,
    .check = response_check,
};

static const struct option headers_options[] = {
    {"request", &option_objects, offsetof(struct headers, request), .object = &request_object,
     .doc = "Changes to the request's fields."},
    {"response", &option_objects, offsetof(struct headers, response), .object = &response_object,
     .doc = "Changes to the response's fields; they are made to answers of maitred itself too."},
    {"when", &option_expr, offsetof(struct headers, when),
     .doc = "Only when this expression is true. One that looks at the response (`status >= 400`) "
            "is for `response` alone."},
    {NULL},
};

const struct middleware_ops middleware_headers = {
    .options =
        {
            .name = "headers",
            .doc = "Sets, adds and removes fields of requests and responses.",
            .size = sizeof(struct headers),
            .options = headers_options,
            .check = headers_check,
            .ops = &middleware_headers,
        },
    .handle = headers_handle,
    .explain = headers_explain,
};
