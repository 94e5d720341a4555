/* SPDX-License-Identifier: Apache-2.0 */
/* http/cache_target.c - paths that deceive, and the URIs that an answer names. */
#include "http/cache_target.h"

#include "http/chars.h"

/* ------------------------------------------------------------------ deception */

/* What servers are told to let everybody keep because of its name. */
static bool
is_static(struct slice extension)
{
    static const struct slice extensions[] = {
        SLICE_INIT("avif"), SLICE_INIT("bmp"),   SLICE_INIT("css"),  SLICE_INIT("eot"),
        SLICE_INIT("gif"),  SLICE_INIT("gz"),    SLICE_INIT("ico"),  SLICE_INIT("jpeg"),
        SLICE_INIT("jpg"),  SLICE_INIT("js"),    SLICE_INIT("mjs"),  SLICE_INIT("mp3"),
        SLICE_INIT("mp4"),  SLICE_INIT("ogg"),   SLICE_INIT("otf"),  SLICE_INIT("pdf"),
        SLICE_INIT("png"),  SLICE_INIT("svg"),   SLICE_INIT("swf"),  SLICE_INIT("tif"),
        SLICE_INIT("tiff"), SLICE_INIT("ttf"),   SLICE_INIT("wasm"), SLICE_INIT("webm"),
        SLICE_INIT("webp"), SLICE_INIT("woff"),  SLICE_INIT("woff2"), SLICE_INIT("zip"),
    };

    for (size_t i = 0; i < sizeof(extensions) / sizeof(*extensions); i++)
        if (slice_eq_nocase(extensions[i], extension))
            return true;
    return false;
}

/* What follows the last dot; empty when that is no plain name. */
static struct slice
extension_of(struct slice path)
{
    size_t n = path.n;

    while (n && (ascii_is_alpha(path.at[n - 1]) || ascii_is_digit(path.at[n - 1])))
        n--;
    return n && path.at[n - 1] == '.' ? slice_from(path, n) : slice_of(path.at, 0);
}

/* Where some server ends the path, and another does not. */
static bool
has_separator(struct slice path)
{
    for (size_t i = 0; i < path.n; i++) {
        int byte = percent_byte(slice_from(path, i));

        if (path.at[i] == ';')
            return true;
        if (byte >= 0 && (byte < 0x20 || byte == 0x7F ||
                          slice_find(SLICE("/\\;?#%"), (char) byte) != SLICE_NOT_FOUND))
            return true;
    }
    return false;
}

static bool
is_document(struct slice content_type)
{
    struct slice type = slice_trim(slice_cut(&content_type, ';'));
    size_t suffix = slice_find(type, '+');

    if (slice_eq_nocase(type, SLICE("image/svg+xml")))
        return false;
    return slice_eq_nocase(type, SLICE("text/html")) || slice_eq_nocase(type, SLICE("text/xml")) ||
           slice_eq_nocase(type, SLICE("application/json")) ||
           slice_eq_nocase(type, SLICE("application/xml")) ||
           (suffix != SLICE_NOT_FOUND &&
            (slice_eq_nocase(slice_from(type, suffix), SLICE("+xml")) ||
             slice_eq_nocase(slice_from(type, suffix), SLICE("+json"))));
}

enum cache_refusal
cache_target_refuses(const struct target *target, unsigned status, struct slice content_type)
{
    struct slice extension = extension_of(target->path);

    if (status < 200 || status > 299 || !is_static(extension))
        return CACHE_MAY_STORE;
    if (has_separator(target->path))
        return CACHE_REFUSED_PATH;
    return is_document(content_type) ? CACHE_REFUSED_TYPE : CACHE_MAY_STORE;
}

/* ------------------------------------------------------------------ references */

static unsigned
port_of(struct slice scheme, uint16_t port)
{
    if (port)
        return port;
    return slice_eq_nocase(scheme, SLICE("https")) ? 443 : 80;
}

static bool
is_same_origin(const struct cache_origin *o, struct slice scheme, struct slice text,
               struct arena *arena)
{
    struct authority a;

    if (!slice_eq_nocase(o->scheme, scheme) || authority_parse(text, arena, &a) != OK)
        return false;
    return slice_eq(o->host, a.host) && port_of(o->scheme, o->port) == port_of(scheme, a.port);
}

static bool
has_scheme(struct slice reference)
{
    for (size_t i = 0; i < reference.n; i++) {
        char c = reference.at[i];

        if (c == ':')
            return i > 0;
        if (!ascii_is_alpha(c) && !ascii_is_digit(c) && c != '+' && c != '-' && c != '.')
            return false;
    }
    return false;
}

/* Relative to the base's path: in place of its last segment, or of its query (RFC 3986 5.2.2). */
static struct slice
merge(const struct target *base, struct slice reference, struct arena *arena)
{
    struct slice folder = base->path;

    if (reference.n && reference.at[0] == '/')
        return reference;
    if (reference.n && reference.at[0] != '?')
        while (folder.n && folder.at[folder.n - 1] != '/')
            folder.n--;
    if (reference.n == 0 && slice_is_present(base->query))
        return arena_printf(arena, "%.*s?%.*s", SLICE_ARG(folder), SLICE_ARG(base->query));
    return arena_printf(arena, "%.*s%.*s", SLICE_ARG(folder), SLICE_ARG(reference));
}

/* "path?query" of a reference of this origin, not yet in normal form; absent: of another one. */
static struct slice
path_of(const struct cache_origin *origin, const struct target *base, struct slice reference,
        struct arena *arena)
{
    struct slice absent = {NULL, 0}, scheme, authority, rest = reference;

    if (slice_starts(reference, SLICE("//")))
        reference = arena_printf(arena, "%.*s:%.*s", SLICE_ARG(origin->scheme),
                                 SLICE_ARG(reference));
    if (!reference.at)
        return absent;
    if (!has_scheme(reference))
        return merge(base, rest, arena);
    if (!target_split_absolute(reference, &scheme, &authority, &rest) ||
        !is_same_origin(origin, scheme, authority, arena))
        return absent;
    if (rest.n && rest.at[0] == '/')
        return rest;
    return arena_printf(arena, "/%.*s", SLICE_ARG(rest));
}

struct slice
cache_target_resolve(const struct cache_origin *origin, const struct target *base,
                     struct slice reference, struct arena *arena)
{
    struct slice absent = {NULL, 0}, path;
    struct target t;

    reference = slice_trim(reference);
    path = path_of(origin, base, slice_first(reference, slice_find(reference, '#')), arena);
    if (!path.at || target_parse(path, false, false, arena, &t) != OK)
        return absent;
    if (!slice_is_present(t.query))
        return t.path;
    return arena_printf(arena, "%.*s?%.*s", SLICE_ARG(t.path), SLICE_ARG(t.query));
}
