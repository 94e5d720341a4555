/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz/expr.c - expressions, templates and replacements, compiled and evaluated.
 *
 * The first byte chooses what the rest is.  An error points into the source; what compiles can be
 * evaluated against any exchange, answers the same when asked again, and is the same when its
 * source is compiled again.
 */
#include "base/check.h"
#include "exchange/route.h"
#include "exchange/testing.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_error(const struct expr_error *error, struct slice source)
{
    CHECK(error->text[0] != '\0');
    CHECK(error->offset <= source.n);
}

/* The clock moves between two evaluations. */
static bool
is_steady(struct slice source)
{
    return slice_search(source, SLICE("time")) == SLICE_NOT_FOUND;
}

static void
check_expr(struct exchange *x, struct slice source, enum expr_type want)
{
    struct expr_error error;
    struct expr *e = expr_compile(&x->arena, source, want, &error), *again;
    struct slice text;

    if (!e) {
        check_error(&error, source);
        return;
    }
    CHECK(slice_eq(expr_source(e), source));
    again = expr_compile(&x->arena, expr_source(e), want, &error);
    CHECK(again != NULL && expr_needs_response(again) == expr_needs_response(e));
    text = expr_text(e, x);
    if (is_steady(source)) {
        struct slice other = expr_text(again, x);

        CHECK(slice_is_present(text) == slice_is_present(other) && slice_eq(text, other));
    }
    if (want == EXPR_BOOL)
        CHECK(slice_eq(text, expr_test(e, x) ? SLICE("true") : SLICE("false")) ||
              !is_steady(source));
    expr_release(e);
    expr_release(again);
}

static void
check_template(struct exchange *x, struct slice source)
{
    struct expr_error error;
    struct template *t = template_compile(&x->arena, source, &error);

    if (!t) {
        check_error(&error, source);
        return;
    }
    CHECK(slice_is_present(template_render(t, x)));
    if (slice_search(source, SLICE("${")) == SLICE_NOT_FOUND)
        CHECK(template_is_constant(t) && slice_eq(template_render(t, x), source));
    template_release(t);
}

/* Pattern, subject and replacement, a line each. */
static void
check_regex(struct exchange *x, struct slice input)
{
    struct slice pattern = slice_cut(&input, '\n'), subject = slice_cut(&input, '\n');
    char why[120];
    size_t offset;
    struct regex *r = regex_compile(pattern, why, sizeof(why), &offset);
    struct slice replaced;

    if (!r) {
        CHECK(offset <= pattern.n);
        return;
    }
    CHECK(slice_eq(regex_source(r), pattern));
    replaced = regex_replace(r, subject, input, &x->arena);
    CHECK(slice_is_present(replaced) == regex_matches(r, subject));
    regex_free(r);
}

static struct exchange *
sample(void)
{
    struct exchange *x = testing_exchange(
        "GET", "https://example.com:8443/api/users?debug=1&name=J%C3%B6rg", "X-Beta", "1",
        "X-Empty", "", "Cookie", "session=s1; group=b", NULL);

    testing_answer(x, 503, "text/plain", "sorry");
    x->request_id = SLICE("0123456789abcdef");
    x->relay.upstream = SLICE("app");
    return x;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice source = slice_of((const char *) data + 1, size ? size - 1 : 0);
    struct exchange *x;

    if (size == 0)
        return 0;
    x = sample();
    switch (data[0] % 4) {
    case 0: check_expr(x, source, EXPR_BOOL); break;
    case 1: check_expr(x, source, EXPR_STRING); break;
    case 2: check_template(x, source); break;
    case 3: check_regex(x, source); break;
    }
    testing_exchange_free(x);
    return 0;
}
