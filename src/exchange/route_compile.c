/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exchange/route_compile.c - what a route's options say, checked and brought into the form in which
 * it is asked: patterns normalised like the targets that they are compared with.
 */
#include "base/check.h"
#include "exchange/route_conditions.h"
#include "http/message.h"
#include "http/uri.h"

#include <stdio.h>

enum { HOST_MAX = 253 };

static bool
fault(struct route_fault *f, const void *field, const char *hint, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Always false. */
static bool
fault(struct route_fault *f, const void *field, const char *hint, const char *format, ...)
{
    va_list args;

    f->field = field;
    f->hint = hint;
    va_start(args, format);
    vsnprintf(f->text, sizeof(f->text), format, args);
    va_end(args);
    return false;
}

static bool
no_memory(struct route_fault *f, const void *field)
{
    return fault(f, field, NULL, "out of memory");
}

/* ------------------------------------------------------------------ hosts */

/* The host itself, or what stands behind "*.". */
static bool
compile_name(struct arena *arena, struct slice *host, struct route_fault *f)
{
    bool wild = slice_starts(*host, SLICE("*."));
    struct slice name = wild ? slice_from(*host, 2) : *host;
    struct authority a;

    if (slice_find(name, '*') != SLICE_NOT_FOUND)
        return fault(f, host, "as in *.example.com",
                     "a `*` in a host can only stand in front, before a dot");
    if (authority_parse(name, arena, &a) != OK || a.host.n > HOST_MAX)
        return fault(f, host,
                     slice_find(name, ':') == SLICE_NOT_FOUND
                         ? "write international names in their xn-- form"
                         : "write an IPv6 address in brackets, and no port",
                     "`%.*s` is no host name or address", SLICE_ARG(*host));
    if (a.port || (!a.ipv6 && slice_find(name, ':') != SLICE_NOT_FOUND))
        return fault(f, host, "routes do not look at the port; `when: port == 8443` does",
                     "a host is written without a port");
    if (wild && a.ipv6)
        return fault(f, host, NULL, "an address has nothing below it");
    if (wild)
        *host = arena_printf(arena, "*.%.*s", SLICE_ARG(a.host));
    else
        *host = arena_copy(arena, a.host);
    return host->at || no_memory(f, host);
}

static bool
compile_hosts(struct arena *arena, struct route *r, struct route_conditions *c,
              struct route_fault *f)
{
    struct slice *hosts = r->hosts.at;

    c->any_host = r->hosts.n == 0;
    for (size_t i = 0; i < r->hosts.n; i++) {
        if (slice_eq(hosts[i], SLICE("*")))
            c->any_host = true;
        else if (!compile_name(arena, &hosts[i], f))
            return false;
    }
    return true;
}

/* ------------------------------------------------------------------ paths */

static bool
bad_path(const struct slice *field, struct route_fault *f)
{
    struct slice written = *field;

    if (written.n == 0 || written.at[0] != '/')
        return fault(f, field, NULL, "a path starts with `/`");
    if (slice_find(written, '?') != SLICE_NOT_FOUND)
        return fault(f, field, "match parameters with `query:`", "a path has no `?`");
    return fault(f, field, NULL, "`%.*s` is no path that a request can have", SLICE_ARG(written));
}

/*
 * A prefix is normalised with a letter behind it, which is then taken off: so "/." stays "/." (the
 * start of every hidden file) instead of becoming "/", and "/a%2" is seen to be cut in the middle
 * of an encoding.
 */
static bool
normalise(struct arena *arena, struct slice written, bool prefix, struct slice *normal)
{
    struct slice raw = arena_printf(arena, "%.*s%s", SLICE_ARG(written), prefix ? "x" : "");
    struct target t;

    if (!raw.at || target_parse(raw, false, false, arena, &t) != OK || slice_is_present(t.query) ||
        slice_is_present(t.scheme))
        return false;
    *normal = prefix ? slice_first(t.path, t.path.n - 1) : t.path;
    return true;
}

static bool
compile_path(struct arena *arena, const struct slice *field, struct path_pattern *p,
             struct route_fault *f)
{
    struct slice written = *field;
    bool star = slice_ends(written, SLICE("*"));
    struct slice stem = star ? slice_first(written, written.n - 1) : written;

    if (slice_find(stem, '*') != SLICE_NOT_FOUND)
        return fault(f, field, "use `path_regex:` for more than a prefix",
                     "a `*` in a path can only stand at its end");
    p->prefix = star || slice_ends(stem, SLICE("/"));
    if (stem.n == 0 || stem.at[0] != '/' || !normalise(arena, stem, p->prefix, &p->text))
        return bad_path(field, f);
    return true;
}

static bool
compile_paths(struct arena *arena, struct route *r, struct route_conditions *c,
              struct route_fault *f)
{
    const struct slice *paths = r->paths.at;

    c->any_path = r->paths.n == 0;
    c->paths = arena_calloc(arena, r->paths.n + 1, sizeof(*c->paths));
    if (!c->paths)
        return no_memory(f, &r->paths);
    for (c->n_paths = 0; c->n_paths < r->paths.n; c->n_paths++) {
        struct path_pattern *p = &c->paths[c->n_paths];

        if (!compile_path(arena, &paths[c->n_paths], p, f))
            return false;
        /* "/" takes everything, the "*" of OPTIONS too. */
        c->any_path |= p->prefix && p->text.n == 1;
    }
    return true;
}

/* ------------------------------------------------------------------ methods */

static bool
compile_methods(struct route *r, struct route_conditions *c, struct route_fault *f)
{
    const struct slice *methods = r->methods.at;

    for (size_t i = 0; i < r->methods.n; i++) {
        enum method m = method_from(methods[i]);

        if (!is_token(methods[i]))
            return fault(f, &methods[i], NULL, "`%.*s` is no method", SLICE_ARG(methods[i]));
        for (size_t j = 0; j < methods[i].n; j++)
            if (methods[i].at[j] >= 'a' && methods[i].at[j] <= 'z')
                return fault(f, &methods[i], "as in GET", "methods are written in capitals");
        if (m != METHOD_OTHER)
            c->methods |= (uint32_t) 1 << m;
    }
    return true;
}

/* ------------------------------------------------------------------ header, query, cookie */

static bool
compile_pair(const struct option_pair *pair, struct pair_condition *p, struct route_fault *f)
{
    char why[120];
    size_t offset;

    p->name = pair->key;
    p->value = pair->value;
    if (p->source != PAIR_QUERY && !is_token(p->name))
        return fault(f, pair, NULL, "`%.*s` is no name of a %s", SLICE_ARG(p->name),
                     p->source == PAIR_HEADER ? "field" : "cookie");
    p->test = slice_eq(p->value, SLICE("*")) ? PAIR_PRESENT : PAIR_EQUAL;
    if (!slice_starts(p->value, SLICE("~")))
        return true;
    p->test = PAIR_MATCHES;
    p->value = slice_from(p->value, 1);
    p->regex = regex_compile(p->value, why, sizeof(why), &offset);
    return p->regex || fault(f, pair, NULL, "bad regular expression for `%.*s`, at byte %zu: %s",
                             SLICE_ARG(p->name), offset + 1, why);
}

static bool
compile_pairs(const struct option_list *list, enum pair_source source, struct route_conditions *c,
              struct route_fault *f)
{
    const struct option_pair *pairs = list->at;

    for (size_t i = 0; i < list->n; i++) {
        struct pair_condition *p = &c->pairs[c->n_pairs++];

        p->source = source;
        if (!compile_pair(&pairs[i], p, f))
            return false;
    }
    return true;
}

static bool
compile_all_pairs(struct arena *arena, struct route *r, struct route_conditions *c,
                  struct route_fault *f)
{
    c->pairs = arena_calloc(arena, r->headers.n + r->queries.n + r->cookies.n, sizeof(*c->pairs));
    if (!c->pairs && r->headers.n + r->queries.n + r->cookies.n)
        return no_memory(f, &r->headers);
    return compile_pairs(&r->headers, PAIR_HEADER, c, f) &&
           compile_pairs(&r->queries, PAIR_QUERY, c, f) &&
           compile_pairs(&r->cookies, PAIR_COOKIE, c, f);
}

/* ------------------------------------------------------------------ the whole */

bool
route_compile(struct arena *arena, struct route *r, struct route_fault *f)
{
    struct route_conditions *c = arena_new(arena, struct route_conditions);

    r->compiled = c;
    if (!c)
        return no_memory(f, r);
    if (!compile_hosts(arena, r, c, f) || !compile_paths(arena, r, c, f) ||
        !compile_methods(r, c, f) || !compile_all_pairs(arena, r, c, f))
        return false;
    c->only_host_and_path = !r->methods.n && !c->n_pairs && !r->clients.n && !r->scheme.n &&
                            !r->listener.n && !r->when && !r->path_regex;
    return true;
}

bool
route_conditions_need_release(const struct route_conditions *c)
{
    for (size_t i = 0; i < c->n_pairs; i++)
        if (c->pairs[i].regex)
            return true;
    return false;
}

void
route_conditions_release(void *conditions)
{
    struct route_conditions *c = conditions;

    for (size_t i = 0; c && i < c->n_pairs; i++)
        regex_free(take(&c->pairs[i].regex));
}
