/* SPDX-License-Identifier: Apache-2.0 */
/* exchange/error_page.c - the built-in pages, and the fields of errors (RFC 9209, RFC 9457). */
#include "exchange/error_page.h"

#include "exchange/grpc.h"
#include "exchange/route.h"

enum { PAGE_MAX = 16 * 1024 };

/* ------------------------------------------------------------------ which format */

/* The weight of a media range in thousandths (RFC 9110 12.4.2); 1000 when there is none. */
static unsigned
quality(struct slice parameters)
{
    unsigned q = 0, unit = 1000;

    while (slice_is_present(parameters)) {
        struct slice p = slice_trim(slice_cut(&parameters, ';'));

        if (!slice_starts_nocase(p, SLICE("q=")))
            continue;
        for (size_t i = 2; i < p.n && unit; i++) {
            if (ascii_is_digit(p.at[i])) {
                q += (unsigned) (p.at[i] - '0') * unit;
                unit /= 10;
            }
        }
        return q;
    }
    return 1000;
}

static bool
is_json(struct slice range)
{
    return range.n >= 4 && slice_eq_nocase(slice_from(range, range.n - 4), SLICE("json"));
}

struct likings {
    unsigned html, json; /* highest weight so far, in thousandths */
    bool     json_first; /* the more so when weights are equal */
};

static void
weigh(struct likings *l, struct slice element)
{
    struct slice range = slice_trim(slice_cut(&element, ';'));
    unsigned q = quality(element);

    if (slice_eq_nocase(range, SLICE("text/html")) && q > l->html) {
        l->html = q;
    } else if (is_json(range) && q > l->json) {
        l->json_first = l->html == 0;
        l->json = q;
    }
}

enum page_format
error_page_format(const struct fields *request)
{
    struct likings l = {0};

    if (!fields_has(request, FIELD_ACCEPT))
        return PAGE_TEXT;
    for (const struct field *f = NULL; (f = fields_next(request, f, SLICE("Accept")));) {
        struct slice rest = f->value, element;

        while (slice_next_element(&rest, &element))
            weigh(&l, element);
    }
    if (l.html == 0 && l.json == 0)
        return PAGE_TEXT;
    return l.json > l.html || (l.json == l.html && l.json_first) ? PAGE_JSON : PAGE_HTML;
}

/* ------------------------------------------------------------------ in plain words */

/* What a person makes of it: a headline, and how to go on. */
struct words {
    unsigned    status; /* a class (4, 5) or a status */
    const char *headline, *advice;
};

static const struct words words_of_status[] = {
    {400, "This request could not be understood",
     "Something between you and this site garbled it. Try again, or start from the home page."},
    {401, "Please sign in", "This page is only for those who are signed in."},
    {403, "This page is not open to you", "If you think it should be, ask those who run the site."},
    {404, "There is nothing here",
     "Check the address for a typing mistake, or start from the home page."},
    {405, "This cannot be done here", "The page exists, but not for this kind of request."},
    {408, "The request took too long to arrive", "Check your connection and try again."},
    {413, "That was too much at once", "What you sent is larger than this site accepts."},
    {414, "The address is too long", "Shorten the address, or start from the home page."},
    {429, "Too many requests", "Wait a moment, then try again."},
    {431, "The request is too large",
     "Removing the cookies of this site in your browser often helps."},
    {500, "Something went wrong on our side",
     "It is not your fault. Please try again in a moment."},
    {502, "The service behind this site failed",
     "It is not your fault. Please try again in a moment."},
    {503, "The site is not available right now",
     "It is not your fault. Please try again in a moment."},
    {504, "The service behind this site did not answer in time",
     "It is not your fault. Please try again in a moment."},
    {4, "This request could not be served",
     "Check what was asked for, or start from the home page."},
    {5, "Something went wrong on our side", "It is not your fault. Please try again in a moment."},
    {0, "Nothing to see here", "Start from the home page."},
};

static const struct words *
words_for(unsigned status)
{
    const struct words *w = words_of_status;

    while (w->status && w->status != status && w->status != status / 100)
        w++;
    return w;
}

/* ------------------------------------------------------------------ the pages */

struct page {
    unsigned     status;
    struct slice phrase, sentence, code, request_id;
};

/* The reason's sentence, as one that starts with a capital and ends with a full stop. */
static void
put_sentence(struct text *t, const struct page *p)
{
    text_byte(t, (char) (p->sentence.at[0] & ~0x20));
    text_put(t, slice_from(p->sentence, 1));
    text_byte(t, '.');
}

static const char style[] =
    ":root{color-scheme:light dark;--paper:#f6f5f2;--card:#fff;--ink:#22252b;--soft:#6b7078;"
    "--line:#e3e1da;--mark:#b4532a}"
    "@media(prefers-color-scheme:dark){:root{--paper:#15171b;--card:#1d2026;--ink:#e8e6e1;"
    "--soft:#9aa0a9;--line:#31353d;--mark:#e58a5f}}"
    "*{box-sizing:border-box}"
    "body{margin:0;min-height:100vh;display:grid;place-items:center;padding:1.5rem;"
    "background:var(--paper);color:var(--ink);"
    "font:1rem/1.6 system-ui,-apple-system,\"Segoe UI\",Roboto,sans-serif}"
    "main{width:100%;max-width:34rem;padding:2.5rem;background:var(--card);"
    "border:1px solid var(--line);border-radius:14px}"
    ".status{margin:0;color:var(--mark);font-weight:600;letter-spacing:.02em}"
    "h1{margin:.4rem 0 .8rem;font-size:1.7rem;line-height:1.25}"
    "p{margin:.5rem 0}"
    "dl{display:grid;grid-template-columns:auto 1fr;gap:.15rem 1rem;margin:1.8rem 0 0;"
    "padding-top:1.2rem;border-top:1px solid var(--line);color:var(--soft);font-size:.85rem}"
    "dd{margin:0;overflow-wrap:anywhere;font-family:ui-monospace,Menlo,Consolas,monospace}";

static void
put_html(struct text *t, const struct page *p)
{
    const struct words *w = words_for(p->status);

    text_literal(t, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                    "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
                    "<meta name=\"robots\" content=\"noindex\">\n");
    text_printf(t, "<title>%u ", p->status);
    text_html(t, p->phrase);
    text_printf(t, "</title>\n<style>%s</style>\n</head>\n<body>\n<main>\n<p class=\"status\">%u ",
                style, p->status);
    text_html(t, p->phrase);
    text_printf(t, "</p>\n<h1>%s</h1>\n<p>", w->headline);
    put_sentence(t, p);
    text_printf(t, "</p>\n<p>%s</p>\n<dl>\n<dt>Reason</dt><dd>", w->advice);
    text_html(t, p->code);
    text_literal(t, "</dd>\n<dt>Request</dt><dd>");
    text_html(t, p->request_id);
    text_literal(t, "</dd>\n</dl>\n</main>\n</body>\n</html>\n");
}

static void
put_json(struct text *t, const struct page *p)
{
    text_literal(t, "{\"type\":\"about:blank\",\"title\":\"");
    text_json(t, p->phrase);
    text_printf(t, "\",\"status\":%u,\"detail\":\"", p->status);
    put_sentence(t, p);
    text_literal(t, "\",\"reason\":\"");
    text_json(t, p->code);
    text_literal(t, "\",\"request_id\":\"");
    text_json(t, p->request_id);
    text_literal(t, "\"}\n");
}

static void
put_plain(struct text *t, const struct page *p)
{
    text_printf(t, "%u %.*s\n", p->status, SLICE_ARG(p->phrase));
    put_sentence(t, p);
    text_printf(t, "\n\nreason: %.*s\nrequest: %.*s\n", SLICE_ARG(p->code),
                SLICE_ARG(p->request_id));
}

static struct slice
built_in(struct exchange *x, unsigned status, struct slice *type)
{
    struct page p = {
        .status = status,
        .phrase = status_phrase(status),
        .sentence = slice_str(reason_sentence(x->fault.reason)),
        .code = slice_str(reason_code(x->fault.reason)),
        .request_id = exchange_request_id(x),
    };
    struct slice page;
    struct text t;

    text_init(&t, PAGE_MAX);
    switch (error_page_format(&x->request.fields)) {
    case PAGE_TEXT:
        *type = SLICE("text/plain; charset=utf-8");
        put_plain(&t, &p);
        break;
    case PAGE_HTML:
        *type = SLICE("text/html; charset=utf-8");
        put_html(&t, &p);
        break;
    case PAGE_JSON:
        *type = SLICE("application/problem+json");
        put_json(&t, &p);
        break;
    }
    page = t.full ? (struct slice){NULL, 0} : arena_copy(&x->arena, text_slice(&t));
    text_free(&t);
    return page;
}

/* ------------------------------------------------------------------ fields and all */

static void
add_proxy_status(struct exchange *x)
{
    enum reason r = x->fault.reason;
    struct slice value;

    if (!*reason_proxy_status(r))
        return;
    value = arena_printf(&x->arena, "maitred; error=%s; details=\"%s\"", reason_proxy_status(r),
                         reason_sentence(r));
    if (slice_is_present(value))
        fields_add(&x->response.fields, FIELD_PROXY_STATUS, value);
}

static void
answer_page(struct exchange *x, unsigned status)
{
    struct slice page, type = {NULL, 0};

    if (!x->route || !route_error_page(x->route, status, x, &page, &type))
        page = built_in(x, status, &type);
    exchange_respond(x, status, type, page);
    fields_add(&x->response.fields, FIELD_CACHE_CONTROL, SLICE("no-store"));
    if (status == 503)
        fields_add(&x->response.fields, FIELD_RETRY_AFTER, SLICE("1"));
}

void
error_page_answer(struct exchange *x, unsigned status)
{
    if (grpc_asked(x) == GRPC_NONE)
        answer_page(x, status);
    else
        grpc_refuse(x, status);
    add_proxy_status(x);
}
