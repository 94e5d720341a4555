/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http/uri.c - request targets: their four forms (RFC 9112 3.2) and their normal path (RFC 3986
 * 6.2.2).
 *
 * Routes, access rules and cache keys look at the normal path, servers get the raw one; so whatever
 * a server could resolve differently from us is refused instead of resolved: dot segments above the
 * root, backslashes, control bytes, encoded zero bytes.
 */
#include "http/uri.h"

#include "base/scan.h"
#include "http/chars.h"

/* ------------------------------------------------------------------ the normal form of a path */

/* True when normalising would change nothing for sure; most paths are so. */
static bool
is_plain(struct slice path)
{
    char before = 0;

    for (size_t i = 0; i < path.n; i++) {
        char c = path.at[i];

        if (!char_is(c, CHAR_PATH) || (before == '/' && (c == '/' || c == '.')))
            return false;
        before = c;
    }
    return true;
}

/* How long the normal path can become; 0 when a byte cannot be in a path. */
static size_t
normal_size(struct slice path)
{
    size_t n = path.n;

    for (size_t i = 0; i < path.n; i++) {
        char c = path.at[i];

        if (char_is(c, CHAR_PATH_ENCODE)) {
            n += 2;
        } else if (c == '%') {
            if (percent_byte(slice_of(path.at + i, path.n - i)) <= 0)
                return 0;
        } else if (!char_is(c, CHAR_PATH)) {
            return 0;
        }
    }
    return n;
}

static char *
put_encoded(char *out, unsigned byte)
{
    static const char hex[] = "0123456789ABCDEF";

    out[0] = '%';
    out[1] = hex[byte >> 4];
    out[2] = hex[byte & 15];
    return out + 3;
}

/* One segment with each character in the only way that the normal form writes it. */
static char *
put_segment(char *out, struct slice segment)
{
    for (size_t i = 0; i < segment.n; i++) {
        char c = segment.at[i];

        if (c == '%') {
            int byte = percent_byte(slice_of(segment.at + i, segment.n - i));

            if (char_is((char) byte, CHAR_UNRESERVED))
                *out++ = (char) byte;
            else
                out = put_encoded(out, (unsigned) byte);
            i += 2;
        } else if (char_is(c, CHAR_PATH_ENCODE)) {
            out = put_encoded(out, (unsigned char) c);
        } else {
            *out++ = c;
        }
    }
    return out;
}

/* Where the last segment of [out, end) begins: at its slash. */
static char *
last_segment(char *out, char *end)
{
    while (end > out && end[-1] != '/')
        end--;
    return end > out ? end - 1 : out;
}

/*
 * Writes the normal path; NULL when dot segments lead above the root.  Segments are written behind
 * a slash and taken back when they turn out to be empty, "." or "..", which takes the one before
 * along; the last one leaves its slash behind, so that "/a/." is "/a/" (RFC 3986 5.2.4).
 */
static char *
put_path(char *out, struct slice path)
{
    char *const start = out;
    struct slice rest = slice_of(path.at + 1, path.n - 1);

    while (slice_is_present(rest)) {
        struct slice raw = slice_cut(&rest, '/'), segment;
        bool is_last = !slice_is_present(rest);
        char *slash = out;

        *out++ = '/';
        out = put_segment(out, raw);
        segment = slice_of(slash + 1, (size_t) (out - slash) - 1);
        if (slice_eq(segment, SLICE(".."))) {
            if (slash == start)
                return NULL;
            out = last_segment(start, slash);
        } else if (segment.n == 0 || slice_eq(segment, SLICE("."))) {
            out = slash;
        } else {
            continue;
        }
        if (is_last)
            *out++ = '/';
    }
    return out;
}

static enum err
normalise(struct slice raw, struct arena *arena, struct slice *normal)
{
    size_t size;
    char *out, *end;

    *normal = raw;
    if (is_plain(raw))
        return OK;
    size = normal_size(raw);
    if (size == 0)
        return ERR_MALFORMED;
    out = arena_alloc(arena, size);
    if (!out)
        return ERR_NO_MEMORY;
    end = put_path(out, raw);
    if (!end)
        return ERR_MALFORMED;
    if (!slice_eq(slice_of(out, (size_t) (end - out)), raw))
        *normal = slice_of(out, (size_t) (end - out));
    return OK;
}

/* ------------------------------------------------------------------ the forms of a target */

bool
target_split_absolute(struct slice raw, struct slice *scheme, struct slice *authority,
                      struct slice *rest)
{
    size_t n = 0;

    if (slice_starts_nocase(raw, SLICE("http://")))
        n = 4;
    else if (slice_starts_nocase(raw, SLICE("https://")))
        n = 5;
    else
        return false;
    *scheme = slice_first(raw, n);
    *rest = slice_from(raw, n + 3);
    n = 0;
    while (n < rest->n && rest->at[n] != '/' && rest->at[n] != '?' && rest->at[n] != '#')
        n++;
    *authority = slice_first(*rest, n);
    *rest = slice_from(*rest, n);
    return authority_is_valid(*authority);
}

/* "/path?query"; after an authority also "?query" and "".  There is no fragment (RFC 9112 3.2). */
static enum err
split_path(struct slice text, struct arena *arena, struct target *t)
{
    t->raw_path = slice_cut(&text, '?');
    t->query = text;
    if (t->query.n && (scan_until(t->query.at, t->query.at + t->query.n, SCAN_WORD) !=
                           t->query.at + t->query.n ||
                       slice_find(t->query, '#') != SLICE_NOT_FOUND))
        return ERR_MALFORMED;
    if (t->raw_path.n == 0)
        t->raw_path = SLICE("/");
    if (t->raw_path.at[0] != '/')
        return ERR_MALFORMED;
    return normalise(t->raw_path, arena, &t->path);
}

enum err
target_parse(struct slice raw, bool is_connect, bool is_options, struct arena *arena,
             struct target *t)
{
    struct slice rest;

    *t = (struct target){.raw = raw};
    if (raw.n == 0)
        return ERR_MALFORMED;
    if (is_connect) {
        t->authority = raw;
        return authority_has_port(raw) ? OK : ERR_MALFORMED;
    }
    if (is_options && slice_eq(raw, SLICE("*"))) {
        t->raw_path = t->path = raw;
        return OK;
    }
    if (raw.at[0] == '/')
        return split_path(raw, arena, t);
    if (!target_split_absolute(raw, &t->scheme, &t->authority, &rest))
        return ERR_MALFORMED;
    return split_path(rest, arena, t);
}
