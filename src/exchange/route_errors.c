/* SPDX-License-Identifier: Apache-2.0 */
/* exchange/route_errors.c - a route's own error pages: which status they are for, and what they
 * say. */
#include "exchange/route_conditions.h"

#include "http/message.h"

enum { FILE_MAX = 1024 * 1024 };

/* ------------------------------------------------------------------ the key */

/* "404", "4xx" or "5xx", "default". */
static bool
read_status(struct error_page *page)
{
    struct slice s = page->status;
    uint64_t status;

    if (slice_eq(s, SLICE("default"))) {
        page->low = 400;
        page->high = 599;
        return true;
    }
    if (slice_eq(s, SLICE("4xx")) || slice_eq(s, SLICE("5xx"))) {
        page->low = (unsigned) (s.at[0] - '0') * 100;
        page->high = page->low + 99;
        return true;
    }
    if (!slice_to_u64(s, 599, &status) || status < 400)
        return false;
    page->low = page->high = (unsigned) status;
    return true;
}

static bool
check_page(struct config_bind *b, void *object)
{
    struct error_page *page = object;

    if (!read_status(page))
        return config_bind_error(b, &page->status, "as in 404, 5xx or default",
                                 "`%.*s` is no error status", SLICE_ARG(page->status));
    if (!is_field_value(page->type) || !page->type.n)
        return config_bind_error(b, &page->type, "as in text/html; charset=utf-8",
                                 "this is no media type");
    if (!page->text == !page->file.n)
        return config_bind_error(b, page, NULL, "an error page is either a `text` or a `file`");
    return !page->file.n || config_bind_read(b, &page->file, page->file, FILE_MAX, &page->content);
}

static const struct option page_options[] = {
    {"status", &option_string, offsetof(struct error_page, status), .flags = OPTION_KEY,
     .doc = "What the page is for: a status such as `404`, a class such as `5xx`, or `default`."},
    {"text", &option_template, offsetof(struct error_page, text), .doc = "What the page says."},
    {"file", &option_string, offsetof(struct error_page, file),
     .doc = "A file with the page, up to 1 MiB; it is read when the configuration is loaded."},
    {"type", &option_string, offsetof(struct error_page, type),
     .preset = "text/html; charset=utf-8", .doc = "Its media type."},
    {NULL},
};

const struct option_object route_errors_object = {
    .name = "error_page",
    .doc = "A page for an error that maitred itself answers with.  Errors of servers pass "
           "unchanged.",
    .size = sizeof(struct error_page),
    .options = page_options,
    .shorthand = "text",
    .check = check_page,
};

/* ------------------------------------------------------------------ the page */

/* The one that says most precisely what it is for. */
static const struct error_page *
page_for(const struct route *route, unsigned status)
{
    const struct error_page *pages = route->errors.at, *best = NULL;

    for (size_t i = 0; i < route->errors.n; i++) {
        const struct error_page *p = &pages[i];

        if (status >= p->low && status <= p->high &&
            (!best || p->high - p->low < best->high - best->low))
            best = p;
    }
    return best;
}

bool
route_error_page(const struct route *route, unsigned status, struct exchange *x, struct slice *text,
                 struct slice *type)
{
    const struct error_page *page = page_for(route, status);

    if (!page)
        return false;
    *text = page->text ? template_render(page->text, x) : page->content;
    *type = page->type;
    return slice_is_present(*text);
}
