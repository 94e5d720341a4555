/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/rewrite.c - changes path, query and Host of what the server is asked for.
 *
 *     - rewrite: {prefix: {from: /api/, to: /}}
 *     - rewrite: {regex: '^/u/(\d+)', to: '/users/$1'}
 *     - rewrite: {path: "/site${path}", query: "lang=${header('accept-language')}",
 *      host: app.internal}
 *
 * Patterns see the normal form of the path, so that /a/../api/ or %61pi cannot slip past one.  A
 * result is encoded where it must be and normalised again, for the middleware behind this one.  It
 * is a path and nothing else: a '?' in it is data, and one with dot segments is refused, because a
 * decoded query value in a template must not lead a request out of the folder that the
 * configuration names.
 */
#include "base/check.h"
#include "exchange/exchange.h"
#include "exchange/expr.h"
#include "middleware/middleware.h"
#include "middleware/uri_encode.h"

struct prefix {
    struct slice from, to;
};

struct rewrite {
    struct prefix   *prefix; /* one of these three, or none */
    struct regex    *regex;
    struct template *path;
    struct slice     to; /* replacement for regex */
    struct template *query;
    struct template *host;
    struct expr     *when;
};

/* ------------------------------------------------------------------ at load */

static bool
is_plain_path(struct slice s)
{
    return slice_find(s, '?') == SLICE_NOT_FOUND && slice_find(s, '#') == SLICE_NOT_FOUND &&
           !uri_has_dot_segment(s);
}

static const char *
query_hint(struct slice to)
{
    return slice_find(to, '?') == SLICE_NOT_FOUND ? NULL : "a query has an option of its own, "
                                                           "`query`";
}

/* Requests are compared in normal form, so that is what the pattern must be in: /caf%c3%a9/ and
 * /café/ are one prefix. */
static bool
normalise(struct slice *path, struct arena *arena)
{
    struct slice encoded = uri_encode(*path, URI_PATH, arena);
    struct target t;

    if (!slice_is_present(encoded) || target_parse(encoded, false, false, arena, &t) != OK)
        return false;
    *path = t.path;
    return true;
}

static bool
prefix_check(struct config_bind *b, void *object)
{
    struct prefix *p = object;
    const char *why = "must be a path that starts with `/`, without `?`, `#`, `.` and `..`";

    if (!slice_starts(p->from, SLICE("/")) || !is_plain_path(p->from) ||
        !normalise(&p->from, config_bind_arena(b)))
        return config_bind_error(b, &p->from, NULL, "`from` %s", why);
    if ((p->to.n && !slice_starts(p->to, SLICE("/"))) || !is_plain_path(p->to))
        return config_bind_error(b, &p->to, query_hint(p->to), "`to` %s", why);
    return true;
}

static bool
replacement_check(struct config_bind *b, const struct rewrite *r)
{
    if (!r->regex && r->to.n)
        return config_bind_error(b, &r->to, "`prefix: {from: /old/, to: /new/}` needs no "
                                            "expression",
                                 "`to` belongs to `regex`, which is missing");
    if (r->regex && !slice_is_present(r->to))
        return config_bind_error(b, &r->regex, "for example `to: '/users/$1'`",
                                 "`regex` needs `to`, which takes the place of what matched");
    if (!is_plain_path(r->to))
        return config_bind_error(b, &r->to, query_hint(r->to),
                                 "`to` must be a path without `?`, `#`, `.` and `..`");
    return true;
}

static bool
rewrite_check(struct config_bind *b, void *object)
{
    const struct rewrite *r = object;
    int patterns = !!r->prefix + !!r->regex + !!r->path;

    if (patterns > 1)
        return config_bind_error(b, r, "write one `rewrite` after the other",
                                 "only one of `prefix`, `regex` and `path` can be given");
    if (!patterns && !r->query && !r->host)
        return config_bind_error(b, r, "give one of `prefix`, `regex`, `path`, `query`, `host`",
                                 "this rewrites nothing");
    return replacement_check(b, r);
}

/* ------------------------------------------------------------------ per request */

/* "/api" stands for /api and all below it, not for /apix. */
static bool
prefix_matches(const struct prefix *p, struct slice path)
{
    if (!slice_starts(path, p->from))
        return false;
    return p->from.at[p->from.n - 1] == '/' || path.n == p->from.n || path.at[p->from.n] == '/';
}

/* The slash between both parts is not lost when `from` ends in one and `to` does not; one too many
 * is joined when the result is normalised. */
static struct slice
prefix_replace(const struct prefix *p, struct slice path, struct arena *arena)
{
    struct slice rest = slice_from(path, p->from.n);
    size_t n = p->to.n + 1 + rest.n;
    char *out = arena_alloc(arena, n);

    if (!out)
        return (struct slice){NULL, 0};
    if (p->to.n)
        memcpy(out, p->to.at, p->to.n);
    out[p->to.n] = '/';
    if (rest.n)
        memcpy(out + p->to.n + 1, rest.at, rest.n);
    if (rest.n == 0 && p->to.n)
        n--; /* all of it matched: `to` as it is written */
    return slice_of(out, n);
}

/* False when the pattern does not match: then nothing is rewritten. */
static bool
path_make(const struct rewrite *r, struct exchange *x, struct slice *path)
{
    struct slice old = x->request.target.path;

    if (r->prefix) {
        if (!prefix_matches(r->prefix, old))
            return false;
        *path = prefix_replace(r->prefix, old, &x->arena);
    } else if (r->regex) {
        if (!regex_matches(r->regex, old))
            return false;
        *path = regex_replace(r->regex, old, r->to, &x->arena);
    } else {
        *path = r->path ? template_render(r->path, x) : old;
    }
    return true;
}

/* Where the request goes from here.  All of it is rendered before any of it is set, so that every
 * template sees the request as it was. */
struct aim {
    struct slice path, query, host;
};

static bool
aim_take(const struct rewrite *r, struct exchange *x, struct aim *aim)
{
    aim->query = SLICE("");
    aim->host = SLICE("");
    aim->path = uri_encode(aim->path, URI_PATH, &x->arena);
    if (r->query)
        aim->query = template_render(r->query, x);
    if (slice_is_present(aim->query))
        aim->query = uri_encode(aim->query, URI_QUERY, &x->arena);
    if (r->host)
        aim->host = template_render(r->host, x);
    return slice_is_present(aim->path) && slice_is_present(aim->query) &&
           slice_is_present(aim->host);
}

static enum err
path_set(struct exchange *x, struct slice path)
{
    struct target t;
    enum err err = target_parse(path, false, false, &x->arena, &t);

    /* A template may even make an absolute form; its authority is not ours to send. */
    if (err == OK && (slice_is_present(t.authority) || uri_has_dot_segment(path)))
        err = ERR_MALFORMED;
    if (err == OK)
        x->request.target.path = t.path;
    return err;
}

static enum err
host_set(struct exchange *x, struct slice host)
{
    struct authority a;
    enum err err = authority_parse(host, &x->arena, &a);

    if (err == OK && !fields_set(&x->request.fields, FIELD_HOST, host))
        err = ERR_NO_MEMORY;
    return err;
}

/* What a rewrite came to that it should not have. */
struct mistake {
    enum err     err;
    const char  *what;
    struct slice value;
};

static bool
aim_set(const struct rewrite *r, struct exchange *x, const struct aim *aim, struct mistake *m)
{
    *m = (struct mistake){path_set(x, aim->path), "path", aim->path};
    if (m->err == OK && r->host)
        *m = (struct mistake){host_set(x, aim->host), "host", aim->host};
    if (m->err != OK)
        return false;
    if (r->query)
        x->request.target.query = aim->query.n ? aim->query : (struct slice){NULL, 0};
    if (r->query || r->prefix || r->regex || r->path)
        x->request.forward_path = true;
    return true;
}

/* "OPTIONS *" and CONNECT name no resource that could be moved. */
static bool
has_path(const struct exchange *x)
{
    return x->request.method != METHOD_CONNECT && slice_starts(x->request.target.path, SLICE("/"));
}

/* True when there is something to do: *path is where to, absent when out of memory. */
static bool
rewrite_matches(const struct rewrite *r, struct exchange *x, struct slice *path)
{
    return has_path(x) && (!r->when || expr_test(r->when, x)) && path_make(r, x, path);
}

/* Sends the request there.  False when it cannot be done, and m says why. */
static bool
rewrite_to(const struct rewrite *r, struct exchange *x, struct slice path, struct mistake *m)
{
    struct aim aim = {.path = path};

    *m = (struct mistake){ERR_NO_MEMORY, "path", SLICE("")};
    return slice_is_present(path) && aim_take(r, x, &aim) && aim_set(r, x, &aim, m);
}

static void
refuse(struct exchange *x, const struct mistake *m)
{
    if (m->err == ERR_NO_MEMORY)
        exchange_refuse(x, 503, REASON_OUT_OF_MEMORY, "rewrite: out of memory");
    else
        exchange_refuse(x, 500, REASON_MISCONFIGURED, "rewrite: `%.*s` is not a %s",
                        SLICE_ARG(slice_first(m->value, 200)), m->what);
}

static void
rewrite_handle(const struct middleware *self, struct exchange *x)
{
    const struct rewrite *r = self->config;
    struct slice path;
    struct mistake m;

    if (rewrite_matches(r, x, &path) && !rewrite_to(r, x, path, &m))
        refuse(x, &m);
    else
        exchange_next(x);
}

/* The request is rewritten here too, so that what follows in the chain is explained as it will
 * be. */
static void
rewrite_explain(const struct middleware *self, struct exchange *x, struct text *out)
{
    const struct rewrite *r = self->config;
    const struct target *t = &x->request.target;
    struct slice path;
    struct mistake m;

    if (!rewrite_matches(r, x, &path)) {
        text_literal(out, "does not match: nothing is rewritten");
    } else if (!rewrite_to(r, x, path, &m)) {
        text_printf(out, "answers 500: `%.*s` is not a %s", SLICE_ARG(m.value), m.what);
    } else {
        text_printf(out, "asks the server for %.*s", SLICE_ARG(t->path));
        if (r->query && slice_is_present(t->query))
            text_printf(out, "?%.*s", SLICE_ARG(t->query));
        if (r->host)
            text_printf(out, " of %.*s", SLICE_ARG(fields_value(&x->request.fields, FIELD_HOST)));
    }
}

/* ------------------------------------------------------------------ the table */

static const struct option prefix_options[] = {
    {"from", &option_string, offsetof(struct prefix, from), .flags = OPTION_REQUIRED,
     .doc = "Start of the path that is replaced. Without a slash at its end it stands for that "
            "path and all below it: `/api` matches `/api` and `/api/x`, not `/apis`."},
    {"to", &option_string, offsetof(struct prefix, to), .preset = "/",
     .doc = "What takes its place."},
    {NULL},
};

static const struct option_object prefix_object = {
    .name = "rewrite_prefix",
    .doc = "One start of a path for another.",
    .size = sizeof(struct prefix),
    .options = prefix_options,
    .check = prefix_check,
};

static const struct option rewrite_options[] = {
    {"prefix", &option_objects, offsetof(struct rewrite, prefix), .object = &prefix_object,
     .flags = OPTION_POINTER,
     .doc = "Replaces the start of the path. When the path starts otherwise, nothing is "
            "rewritten."},
    {"regex", &option_regex, offsetof(struct rewrite, regex),
     .doc = "Regular expression (PCRE2) for the path, without query; the first match is replaced "
            "by `to`. When it does not match, nothing is rewritten."},
    {"to", &option_string, offsetof(struct rewrite, to),
     .doc = "What takes the place of what `regex` matched; `$1` to `$9` and `${name}` are its "
            "groups."},
    {"path", &option_template, offsetof(struct rewrite, path),
     .doc = "The new path, a template. What may not stand in a path is percent-encoded, a `?` too; "
            "one with `.` or `..` as a segment is refused with 500."},
    {"query", &option_template, offsetof(struct rewrite, query),
     .doc = "The new query, a template; an empty one takes the query away. Without this option the "
            "query stays as it is. `${query}` is the whole old one."},
    {"host", &option_template, offsetof(struct rewrite, host),
     .doc = "The Host that the server is asked for, a template. Routes and logs keep the "
            "client's."},
    {"when", &option_request_expr, offsetof(struct rewrite, when),
     .doc = "Only when this expression is true."},
    {NULL},
};

const struct middleware_ops middleware_rewrite = {
    .options =
        {
            .name = "rewrite",
            .doc = "Changes path, query and Host of what the server is asked for.",
            .size = sizeof(struct rewrite),
            .options = rewrite_options,
            .check = rewrite_check,
            .ops = &middleware_rewrite,
        },
    .handle = rewrite_handle,
    .explain = rewrite_explain,
};
