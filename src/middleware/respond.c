/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/respond.c - answers without asking a server.
 *
 *     - respond: 404
 *     - respond: {status: 503, text: "Back at noon.\n", fields: {Retry-After: "3600"}}
 *
 * An error without a text gets the error page of the route, or the built-in one.
 */
#include "base/check.h"
#include "exchange/exchange.h"
#include "exchange/expr.h"
#include "middleware/field_names.h"
#include "middleware/middleware.h"

struct respond {
    int64_t            status;
    struct template   *text; /* NULL: none given */
    struct slice       type;
    struct option_list fields; /* of struct template_pair */
    struct expr       *when;
};

static bool
respond_check(struct config_bind *b, void *object)
{
    const struct respond *r = object;
    const struct template_pair *pair = r->fields.at;

    if (r->text && status_has_no_body((unsigned) r->status))
        return config_bind_error(b, &r->text, "leave `text` out, or choose another status",
                                 "an answer with status %u has no body", (unsigned) r->status);
    if (!is_field_value(r->type))
        return config_bind_error(b, &r->type, NULL, "`type` has control bytes");
    for (size_t i = 0; i < r->fields.n; i++)
        if (!field_name_check(b, &pair[i], pair[i].key, SIDE_RESPONSE))
            return false;
    return true;
}

static void
fields_put(const struct respond *r, struct exchange *x)
{
    const struct template_pair *pair = r->fields.at;

    for (size_t i = 0; i < r->fields.n; i++) {
        struct slice value = template_render(pair[i].value, x);

        if (is_field_value(value) && value.n)
            fields_set_named(&x->response.fields, pair[i].key, slice_trim(value));
        else if (value.n)
            exchange_fault(x, REASON_RESPOND, ERR_MALFORMED,
                           "respond: the value for %.*s has control bytes and was not sent",
                           SLICE_ARG(pair[i].key));
    }
}

static void
respond_answer(const struct respond *r, struct exchange *x)
{
    unsigned status = (unsigned) r->status;
    struct slice text = r->text ? template_render(r->text, x) : SLICE("");

    if (!slice_is_present(text)) {
        exchange_refuse(x, 503, REASON_OUT_OF_MEMORY, "respond: out of memory");
        return;
    }
    if (!r->text && status >= 400) {
        exchange_refuse(x, status, REASON_RESPOND, NULL);
    } else {
        exchange_respond(x, status, r->type, text);
        exchange_fault(x, REASON_RESPOND, OK, NULL);
    }
    fields_put(r, x);
}

static void
respond_handle(const struct middleware *self, struct exchange *x)
{
    const struct respond *r = self->config;

    if (r->when && !expr_test(r->when, x))
        exchange_next(x);
    else
        respond_answer(r, x);
}

static void
respond_explain(const struct middleware *self, struct exchange *x, struct text *out)
{
    const struct respond *r = self->config;

    if (r->when && !expr_test(r->when, x))
        text_literal(out, "lets the request through: `when` is false");
    else
        text_printf(out, "answers %u", (unsigned) r->status);
}

static const struct option respond_options[] = {
    {"status", &option_int, offsetof(struct respond, status), .preset = "200", .min = 200,
     .max = 599, .doc = "Status of the answer."},
    {"text", &option_template, offsetof(struct respond, text),
     .doc = "The body, a template. Without one, an error gets the error page of its route "
            "(`errors`) or the built-in page, anything else an empty body."},
    {"type", &option_string, offsetof(struct respond, type), .preset = "text/plain; charset=utf-8",
     .doc = "Content-Type of `text`. In `text/html`, what comes from clients is not escaped: keep "
            "variables out."},
    {"fields", &option_template_pairs, offsetof(struct respond, fields), .flags = OPTION_MAP,
     .doc = "More fields by name; the value is a template. An empty one is not sent."},
    {"when", &option_request_expr, offsetof(struct respond, when),
     .doc = "Only when this expression is true; other requests go on."},
    {NULL},
};

const struct middleware_ops middleware_respond = {
    .options =
        {
            .name = "respond",
            .doc = "Answers without asking a server.",
            .size = sizeof(struct respond),
            .options = respond_options,
            .shorthand = "status",
            .check = respond_check,
            .ops = &middleware_respond,
        },
    .answers = true,
    .handle = respond_handle,
    .explain = respond_explain,
};
