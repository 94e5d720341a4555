/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/skeleton.c - the first thing to copy when you write a middleware.
 *
 *     - skeleton: {field: X-Greeting, value: "Hello, ${client.ip}", max_length: 100}
 *
 * It refuses what asks for a path that is too long, and puts a field into the response of
 * everything else: one thing before the request goes on and one after the response has come back.
 * It is compiled and tested with the rest, so that it is never out of date, but it is not in the
 * list of what is built in.
 *
 * To make it yours: copy this file and skeleton_test.c, replace `skeleton`, add one line to
 * middleware/middleware.h and one to main/builtin.c.  docs/guide/writing-a-middleware.md walks
 * through it.
 */
#include "base/check.h"
#include "exchange/exchange.h"
#include "exchange/expr.h"
#include "middleware/field_names.h"
#include "middleware/middleware.h"

/*
 * Your options as C.  The configuration engine fills one of these for each time that somebody
 * writes `skeleton` in a `use:`; it lives as long as the configuration, and nobody writes to it
 * afterwards: all workers read it at once.  What is made of the options (tables, ids) goes here
 * too, made in check().
 */
struct skeleton {
    struct slice     field;
    struct template *value; /* compiled when the configuration is loaded */
    int64_t          max_length;
    enum field_id    id; /* of field: looked up once and not per request */
};

/* ------------------------------------------------------------------ at load */

/*
 * Called once all options of one object are set.  The place for relations between them, and for
 * whatever can be prepared.  Say what is wrong, and in the hint how to go on: the engine adds file,
 * line and a caret.  Memory comes from config_bind_arena(b).
 */
static bool
skeleton_check(struct config_bind *b, void *object)
{
    struct skeleton *s = object;

    s->id = field_id_from(s->field);
    return field_name_check(b, &s->field, s->field, SIDE_RESPONSE);
}

/* ------------------------------------------------------------------ per request */

static bool
is_too_long(const struct skeleton *s, const struct exchange *x)
{
    return x->request.target.path.n > (uint64_t) s->max_length;
}

/*
 * What comes out of a template may hold anything that a client sent, line breaks too.  Whoever puts
 * it into a field checks it; what is bad is left out.
 */
static void
greet(const struct skeleton *s, struct exchange *x)
{
    struct slice value = template_render(s->value, x);

    if (value.n == 0 || !is_field_value(value))
        return;
    if (s->id == FIELD_OTHER)
        fields_set_named(&x->response.fields, s->field, value);
    else
        fields_set(&x->response.fields, s->id, value);
}

/*
 * The middleware itself.  It runs on the exchange's own fiber, so it may simply wait: for a body's
 * next chunk, a timer, another server.  What it must not do is block the thread; offload() is for
 * that.
 *
 * Keep what belongs to one exchange in local variables: they live across exchange_next().  For what
 * a body source has to find later there is exchange_slot(x, self).  Memory of an exchange is
 * x->arena.
 */
static void
skeleton_handle(const struct middleware *self, struct exchange *x)
{
    const struct skeleton *s = self->config;

    /* Before: the request.  Who does not call exchange_next() answers. */
    if (is_too_long(s, x)) {
        exchange_refuse_limit(x, 414, REASON_TARGET_TOO_LONG, &s->max_length,
                              "skeleton.max_length");
        return;
    }

    exchange_next(x);

    /* After: the response, whoever made it.  Its body has not been pulled yet: to change it, wrap
     * it (exchange/body.h; body_limit.c does so with the request's). */
    greet(s, x);
}

/* One line for `maitred explain`: what it would do to this request.  It must not wait or answer. */
static void
skeleton_explain(const struct middleware *self, struct exchange *x, struct text *out)
{
    const struct skeleton *s = self->config;

    if (is_too_long(s, x))
        text_printf(out, "answers 414: the path has %zu bytes", x->request.target.path.n);
    else
        text_printf(out, "sets %.*s in the response", SLICE_ARG(s->field));
}

/* ------------------------------------------------------------------ the table */

/*
 * From this come parsing, defaults, bounds, error messages, the JSON Schema that editors complete
 * from, and the reference manual.  Every option has a default that a careful operator would choose,
 * or OPTION_REQUIRED; units are in the type (option_duration, option_bytes), not in the name.
 */
static const struct option skeleton_options[] = {
    {"field", &option_string, offsetof(struct skeleton, field), .preset = "X-Greeting",
     .doc = "Name of the field that is set in the response."},
    {"value", &option_template, offsetof(struct skeleton, value), .preset = "Hello, ${client.ip}",
     .doc = "Its value, a template; an empty one is not sent."},
    {"max_length", &option_int, offsetof(struct skeleton, max_length), .preset = "1000", .min = 1,
     .max = 65536, .doc = "Longest path that is let through, in bytes."},
    {NULL},
};

/* All that the rest of the program knows of it. */
const struct middleware_ops middleware_skeleton = {
    .options =
        {
            .name = "skeleton", /* what stands in `use:` */
            .doc = "Greets; an example for people who write middleware.",
            .size = sizeof(struct skeleton),
            .options = skeleton_options,
            .shorthand = "value", /* `skeleton: "Good morning"` is short
                                   * for {value: "Good morning"} */
            .check = skeleton_check,
            .ops = &middleware_skeleton,
        },
    .handle = skeleton_handle,
    .explain = skeleton_explain,
};
