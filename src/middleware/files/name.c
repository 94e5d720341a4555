/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/files/name.c - from the path of a URL to the name of a file.
 *
 * The path is in its normal form: dot segments are resolved, slashes joined.  Decoding must not
 * bring any of that back: an encoded slash would be a separator that routes have not seen, a
 * backslash is one to other systems, a zero byte ends a name in C.
 */
#include "http/uri.h"
#include "middleware/files/files.h"

#include <limits.h>

/* What is left behind the prefix; absent when the path lies elsewhere. */
static struct slice
without_prefix(struct slice path, struct slice prefix)
{
    struct slice rest;

    if (slice_ends(prefix, SLICE("/")))
        prefix.n--;
    if (!slice_starts(path, prefix))
        return (struct slice){NULL, 0};
    rest = slice_from(path, prefix.n);
    return rest.n == 0 || rest.at[0] == '/' ? rest : (struct slice){NULL, 0};
}

/* RFC 8615's folder is there for all to see; ACME and others need it. */
static bool
is_hidden(struct slice segment, bool first)
{
    return slice_starts(segment, SLICE(".")) && !(first && slice_eq(segment, SLICE(".well-known")));
}

const char *
files_name_fault(const struct files *f, struct slice name)
{
    struct slice rest = name;
    bool first = true;

    if (name.n >= PATH_MAX)
        return "the path is too long for a file";
    if (slice_find(name, '\0') != SLICE_NOT_FOUND || slice_find(name, '\\') != SLICE_NOT_FOUND)
        return "the path has a zero byte or a backslash";
    while (slice_is_present(rest)) {
        struct slice segment = slice_cut(&rest, '/');

        if (segment.n == 0 ? name.n > 0 : slice_eq(segment, SLICE("..")))
            return "the path is not in its normal form";
        if (!f->hidden && is_hidden(segment, first))
            return "names that begin with a dot are hidden";
        first = false;
    }
    return NULL;
}

const char *
files_name(const struct files *f, struct exchange *x, struct slice *name)
{
    struct slice path = without_prefix(x->request.target.path, f->strip_prefix);
    char *out;

    if (!slice_is_present(path))
        return "the path is outside of strip_prefix";
    if (slice_search(path, SLICE("%2F")) != SLICE_NOT_FOUND)
        return "the path has an encoded slash";
    if (slice_starts(path, SLICE("/")))
        path = slice_from(path, 1);
    if (slice_ends(path, SLICE("/")))
        path.n--;
    out = arena_alloc(&x->arena, path.n + 1);
    if (!out || percent_decode(path, false, out, &name->n) != OK)
        return "the path cannot be decoded";
    out[name->n] = '\0';
    name->at = out;
    return files_name_fault(f, *name);
}
