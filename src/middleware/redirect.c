/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/redirect.c - sends the client somewhere else.
 *
 *     - redirect: https
 *     - redirect: "https://www.example.com${uri}"
 *     - redirect: {to: /new/, status: 301}
 *
 * 308 is the default: unlike 301 it does not turn a POST into a GET (RFC 9110 15.4.9).  The target
 * is percent-encoded where it must be, so that decoded values in it cannot add fields to the
 * response; and more than one slash at its start is joined to one, so that a request for
 * //evil.example/ cannot turn `redirect: "${uri}"` into a door to another site.
 */
#include "base/check.h"
#include "exchange/exchange.h"
#include "exchange/expr.h"
#include "middleware/middleware.h"
#include "middleware/uri_encode.h"

/* Where to: a template, or the word `https`. */
struct destination {
    struct template *template;
    bool             https;
};

struct redirect {
    struct destination to;
    int                status; /* index into statuses */
    struct expr       *when;
};

static const char *const status_names[] = {"301", "302", "303", "307", "308", NULL};
static const unsigned    statuses[] = {301, 302, 303, 307, 308};

/* ------------------------------------------------------------------ at load */

static bool
destination_parse(struct config_bind *b, const struct option *o, const struct config_node *node,
                  void *out)
{
    struct destination *d = out;

    d->https = node->kind == CONFIG_SCALAR && slice_eq(node->text, SLICE("https"));
    if (node->kind == CONFIG_SCALAR && node->text.n == 0)
        return option_error(b, node, "`https`, a path or a whole URI", "there is nowhere to go");
    if (node->kind == CONFIG_SCALAR && slice_starts(node->text, SLICE("//")))
        return option_error(b, node, "write the scheme: `https://...`, or `${scheme}://...`",
                            "a target cannot start with two slashes");
    return d->https || option_template.parse(b, o, node, &d->template);
}

static void
destination_schema(const struct option *o, struct text *out)
{
    option_template.schema(o, out);
}

static const struct option_kind destination_kind = {
    .name = "target",
    .syntax = "`https`, or a template: `\"https://www.example.com${uri}\"`, `/new/`",
    .size = sizeof(struct destination),
    .parse = destination_parse,
    .schema = destination_schema,
};

/* ------------------------------------------------------------------ per request */

/* The same host and URI by https.  The port goes: the other scheme listens elsewhere. */
static struct slice
https_target(struct exchange *x)
{
    const struct request *q = &x->request;
    struct slice path = q->forward_path ? q->target.path : q->target.raw_path;
    struct slice query = q->target.query;
    bool ipv6 = slice_find(q->host, ':') != SLICE_NOT_FOUND;

    if (!slice_starts(path, SLICE("/")))
        path = SLICE("/"); /* OPTIONS * */
    return arena_printf(&x->arena, "https://%s%.*s%s%.*s%s%.*s", ipv6 ? "[" : "",
                        SLICE_ARG(q->host), ipv6 ? "]" : "", SLICE_ARG(path),
                        slice_is_present(query) ? "?" : "", SLICE_ARG(query));
}

/* Absent when out of memory. */
static struct slice
target_of(const struct redirect *r, struct exchange *x)
{
    struct slice target = r->to.https ? https_target(x) : template_render(r->to.template, x);

    if (!slice_is_present(target))
        return target;
    target = uri_encode(slice_trim(target), URI_WHOLE, &x->arena);
    while (slice_starts(target, SLICE("//")))
        target = slice_from(target, 1);
    return target;
}

static void
redirect_answer(const struct redirect *r, struct exchange *x)
{
    struct slice target = target_of(r, x);

    if (!slice_is_present(target)) {
        exchange_refuse(x, 503, REASON_OUT_OF_MEMORY, "redirect: out of memory");
        return;
    }
    if (target.n == 0) {
        exchange_refuse(x, 500, REASON_MISCONFIGURED, "redirect: the target came out empty");
        return;
    }
    exchange_respond(x, statuses[r->status], SLICE(""), SLICE(""));
    fields_add(&x->response.fields, FIELD_LOCATION, target);
    exchange_fault(x, REASON_REDIRECT, OK, NULL);
}

/* Who came by https is where `redirect: https` leads to. */
static bool
redirect_applies(const struct redirect *r, struct exchange *x)
{
    if (r->to.https && slice_eq(x->scheme, SLICE("https")))
        return false;
    return !r->when || expr_test(r->when, x);
}

static void
redirect_handle(const struct middleware *self, struct exchange *x)
{
    const struct redirect *r = self->config;

    if (!redirect_applies(r, x))
        exchange_next(x);
    else if (r->to.https && x->request.host.n == 0)
        exchange_refuse(x, 400, REASON_BAD_REQUEST, "redirect: the request names no host");
    else
        redirect_answer(r, x);
}

static void
redirect_explain(const struct middleware *self, struct exchange *x, struct text *out)
{
    const struct redirect *r = self->config;

    if (redirect_applies(r, x))
        text_printf(out, "answers %u, go to %.*s", statuses[r->status], SLICE_ARG(target_of(r, x)));
    else
        text_printf(out, "lets the request through: %s",
                    r->when && !expr_test(r->when, x) ? "`when` is false" : "it is https already");
}

/* ------------------------------------------------------------------ the table */

static const struct option redirect_options[] = {
    {"to", &destination_kind, offsetof(struct redirect, to), .flags = OPTION_REQUIRED,
     .doc = "Where to: `https` for the same host and URI by https (requests that are https already "
            "go on), or a template for Location."},
    {"status", &option_choice, offsetof(struct redirect, status), .preset = "308",
     .choices = status_names,
     .doc = "301 and 308 are for ever, 302, 303 and 307 for now; 307 and 308 keep the method, 303 "
            "makes it GET."},
    {"when", &option_request_expr, offsetof(struct redirect, when),
     .doc = "Only when this expression is true; other requests go on."},
    {NULL},
};

const struct middleware_ops middleware_redirect = {
    .options =
        {
            .name = "redirect",
            .doc = "Sends the client somewhere else.",
            .size = sizeof(struct redirect),
            .options = redirect_options,
            .shorthand = "to",
            .ops = &middleware_redirect,
        },
    .answers = true,
    .handle = redirect_handle,
    .explain = redirect_explain,
};
