/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/files/files.c - serves the files of a folder.
 *
 *     - files: /srv/www
 *     - files: {root: /srv/app, fallback: /index.html, cache_control: no-cache}
 *
 * What is asked for is found beneath the root or not at all; see name.c and beneath.c.  A file that
 * was served a moment ago costs no system call but those that send it.
 */
#include "middleware/files/files.h"
#include "base/check.h"
#include "http/accept_encoding.h"
#include "middleware/middleware.h"
#include "runtime/loop.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/stat.h>

/* ------------------------------------------------------------------ at load */

static bool
is_plain_name(struct slice s)
{
    return s.n && slice_find(s, '/') == SLICE_NOT_FOUND && slice_find(s, '\0') == SLICE_NOT_FOUND &&
           !slice_eq(s, SLICE(".")) && !slice_eq(s, SLICE(".."));
}

/* "/", or "/a/b": no empty segment, and none of dots. */
static bool
is_plain_path(struct slice s)
{
    struct slice rest = s;

    if (!slice_eq(slice_cut(&rest, '/'), SLICE("")))
        return false;
    while (slice_is_present(rest)) {
        struct slice segment = slice_cut(&rest, '/');

        if (!is_plain_name(segment) && (segment.n || slice_is_present(rest)))
            return false;
    }
    return s.n > 0;
}

static bool
check_root(struct config_bind *b, struct files *f)
{
    struct slice path = config_bind_path(b, &f->root, f->root);
    struct slice copy = arena_copy(config_bind_arena(b), path);
    struct stat st;

    if (!copy.at || !path.at)
        return config_bind_error(b, &f->root, NULL, "out of memory");
    f->folder = copy.at;
    if (stat(f->folder, &st) != 0)
        config_bind_warning(b, &f->root, "it may come later: requests get 404 until then",
                            "there is no folder `%s`, or it may not be read", f->folder);
    else if (!S_ISDIR(st.st_mode))
        return config_bind_error(b, &f->root, "name the folder in which the file lies",
                                 "`%s` is no folder", f->folder);
    return true;
}

static bool
check_paths(struct config_bind *b, const struct files *f)
{
    const struct slice *index = f->index.at;

    for (size_t i = 0; i < f->index.n; i++)
        if (!is_plain_name(index[i]))
            return config_bind_error(b, &f->index, "write `index.html`",
                                     "`%.*s` is not the name of a file", SLICE_ARG(index[i]));
    if (f->fallback.n && (!is_plain_path(f->fallback) || slice_ends(f->fallback, SLICE("/"))))
        return config_bind_error(b, &f->fallback, "write `/index.html`",
                                 "`%.*s` is not the path of a file", SLICE_ARG(f->fallback));
    if (f->fallback.n && f->next)
        return config_bind_error(b, &f->fallback, "leave one of them out",
                                 "with `next`, there is nothing left to fall back from");
    if (f->strip_prefix.n && !is_plain_path(f->strip_prefix))
        return config_bind_error(b, &f->strip_prefix, "write `/assets/`", "`%.*s` is not a path",
                                 SLICE_ARG(f->strip_prefix));
    return true;
}

static bool
check_values(struct config_bind *b, const struct files *f)
{
    struct option_pair *own = f->types.at;

    if (!is_field_value(f->cache_control))
        return config_bind_error(b, &f->cache_control, NULL, "it has control bytes");
    if (f->charset.n && !is_token(f->charset))
        return config_bind_error(b, &f->charset, "write `utf-8`", "`%.*s` is not a charset",
                                 SLICE_ARG(f->charset));
    for (size_t i = 0; i < f->types.n; i++) {
        if (slice_starts(own[i].key, SLICE(".")))
            own[i].key = slice_from(own[i].key, 1);
        if (!is_plain_name(own[i].key) || slice_find(own[i].key, '.') != SLICE_NOT_FOUND)
            return config_bind_error(b, &f->types, "write `webp: image/webp`",
                                     "`%.*s` is not an extension", SLICE_ARG(own[i].key));
        if (own[i].value.n == 0 || !is_field_value(own[i].value))
            return config_bind_error(b, &f->types, NULL, "`%.*s` has no type that could be sent",
                                     SLICE_ARG(own[i].key));
    }
    return true;
}

static bool
files_check(struct config_bind *b, void *object)
{
    static _Atomic uint64_t last_id;
    struct files *f = object;

    f->id = atomic_fetch_add(&last_id, 1);
    return check_root(b, f) && check_paths(b, f) && check_values(b, f);
}

/* ------------------------------------------------------------------ searching */

/* A client that names the plain form likes it so much; one that does not is served the smaller. */
static unsigned
q_of_plain(const struct accept_encoding *a)
{
    for (unsigned i = 0; i < a->n; i++)
        if (slice_eq_nocase(a->at[i].coding, SLICE("identity")))
            return a->at[i].q;
    return 0;
}

/* Codings that the client takes, by its liking, then in the order of the options. */
static void
choose_codings(const struct files *f, const struct exchange *x, struct files_search *s)
{
    const int *mine = f->precompressed.at;
    struct accept_encoding a;
    unsigned q[FILES_CODINGS];

    if (f->precompressed.n == 0 || !fields_has(&x->request.fields, FIELD_ACCEPT_ENCODING))
        return;
    accept_encoding_parse(&a, &x->request.fields);
    for (size_t i = 0; i < f->precompressed.n && s->n < FILES_CODINGS; i++) {
        unsigned this = accept_encoding_q(&a, files_codings[mine[i]].name);
        size_t at = s->n;

        if (this == 0 || this < q_of_plain(&a))
            continue;
        for (; at > 0 && q[at - 1] < this; at--) {
            q[at] = q[at - 1];
            s->codings[at] = s->codings[at - 1];
        }
        q[at] = this;
        s->codings[at] = (uint8_t) mine[i];
        s->n++;
    }
}

/* All that the outcome hangs on, so that equal keys mean the same file.  False: no memory. */
static bool
make_key(struct files_search *s, struct exchange *x, struct slice name)
{
    enum { HEAD = sizeof(uint64_t) + 2 };
    char *key = arena_alloc(&x->arena, HEAD + name.n);

    if (!key)
        return false;
    memcpy(key, &s->files->id, sizeof(uint64_t));
    key[HEAD - 2] = (char) s->slash;
    key[HEAD - 1] = (char) s->n;
    for (uint8_t i = 0; i < s->n; i++)
        key[HEAD - 1] = (char) (key[HEAD - 1] << 2 | s->codings[i]);
    memcpy(key + HEAD, name.at, name.n);
    s->key = slice_of(key, HEAD + name.n);
    return true;
}

static void
search_waiting(void *arg)
{
    files_search(arg, true);
}

static void
search_disk(struct files_search *s)
{
    files_search(s, false);
    if (s->error != EAGAIN)
        return;
    files_count(FILES_WAITED);
    offload(search_waiting, s);
}

static void
search(struct files_search *s)
{
    s->opened = files_cache_find(s->key);
    s->error = 0;
    if (s->opened) {
        files_count(FILES_FOUND);
        return;
    }
    search_disk(s);
    if (s->error == EMFILE || s->error == ENFILE) {
        files_cache_drop();
        search_disk(s);
    }
    if (!s->opened)
        return;
    files_count(FILES_OPENED);
    files_cache_keep(s->opened);
}

/* ------------------------------------------------------------------ answers */

/* ENXIO, ENODEV: a socket, or a device that nobody drives. */
static bool
is_absence(int error)
{
    return error == ENOENT || error == ENOTDIR || error == ENAMETOOLONG || error == ELOOP ||
           error == EXDEV || error == ENXIO || error == ENODEV;
}

static void
refuse(struct exchange *x, int error)
{
    const char *sentence = err_sentence(err_from_errno(error));

    if (error == EACCES || error == EPERM)
        exchange_refuse(x, 403, REASON_FILE_DENIED, "files: the file may not be read");
    else if (error == EMFILE || error == ENFILE)
        exchange_refuse(x, 503, REASON_OUT_OF_DESCRIPTORS, "files: %s", sentence);
    else if (error == ENOMEM)
        exchange_refuse(x, 503, REASON_OUT_OF_MEMORY, "files");
    else if (error == ESTALE)
        exchange_refuse(x, 503, REASON_FILE_CHANGED, "files: it changes all the time");
    else
        exchange_refuse(x, 500, REASON_FILE_FAILED, "files: %s (errno %d)", sentence, error);
    x->fault.err = err_from_errno(error);
}

/* The last segment with a slash behind it: right wherever the folder is mounted, and whatever was
 * rewritten on the way here. */
static void
redirect_to_folder(struct exchange *x)
{
    struct slice segment = x->request.target.path, query = x->request.target.query, target;
    size_t slash;

    while ((slash = slice_find(segment, '/')) != SLICE_NOT_FOUND)
        segment = slice_from(segment, slash + 1);
    target = arena_printf(&x->arena, "./%.*s/%s%.*s", SLICE_ARG(segment),
                          slice_is_present(query) ? "?" : "", SLICE_ARG(query));
    if (!target.at) {
        refuse(x, ENOMEM);
        return;
    }
    exchange_respond(x, 301, SLICE(""), SLICE(""));
    fields_add(&x->response.fields, FIELD_LOCATION, target);
    exchange_fault(x, REASON_REDIRECT, OK, NULL);
}

/* Nothing is there, at least nothing that clients may know of. */
static void
answer_absent(const struct files *f, struct exchange *x, const char *why)
{
    if (f->next)
        exchange_next(x);
    else
        exchange_refuse(x, 404, REASON_NOT_FOUND, "files: %s", why);
}

static void
answer_found(struct files_search *s, struct exchange *x, struct slice name)
{
    if (s->opened)
        files_send(s->files, x, s->opened);
    else if (!s->slash)
        redirect_to_folder(x);
    else
        files_list(s->files, x, name);
}

static bool
is_found(const struct files_search *s)
{
    return s->opened || (s->folder && (!s->slash || s->files->listing));
}

/* False: nothing of that name, and nobody has answered. */
static bool
answer_name(const struct files *f, struct exchange *x, struct slice name, bool slash)
{
    struct files_search s = {.files = f, .name = name.at, .slash = slash};

    choose_codings(f, x, &s);
    if (!make_key(&s, x, name)) {
        refuse(x, ENOMEM);
        return true;
    }
    search(&s);
    if (s.error && !is_absence(s.error))
        refuse(x, s.error);
    else if (!s.error && is_found(&s))
        answer_found(&s, x, name);
    else
        return false;
    return true;
}

static void
files_handle(const struct middleware *self, struct exchange *x)
{
    const struct files *f = self->config;
    bool reads = x->request.method == METHOD_GET || x->request.method == METHOD_HEAD;
    struct slice name = {NULL, 0};
    const char *why;

    if (!reads && f->next) {
        exchange_next(x);
        return;
    }
    if (!reads) {
        exchange_refuse(x, 405, REASON_UNSUPPORTED, "files are only read");
        fields_set(&x->response.fields, FIELD_ALLOW, SLICE("GET, HEAD"));
        return;
    }
    why = files_name(f, x, &name);
    if (!why && answer_name(f, x, name, slice_ends(x->request.target.path, SLICE("/"))))
        return;
    if (f->fallback.n && answer_name(f, x, slice_from(f->fallback, 1), false))
        return;
    answer_absent(f, x, why ? why : "there is no such file");
}

static void
files_explain(const struct middleware *self, struct exchange *x, struct text *out)
{
    const struct files *f = self->config;
    struct slice name;
    const char *why = files_name(f, x, &name);

    if (why)
        text_printf(out, "has no file for it: %s", why);
    else
        text_printf(out, "looks for %s/%.*s", f->folder, SLICE_ARG(name));
    if (why || f->next || f->fallback.n)
        text_printf(out, "; else %s", f->next         ? "it goes on"
                                      : f->fallback.n ? "the fallback"
                                                      : "404");
}

/* ------------------------------------------------------------------ the table */

static const char *const coding_names[] = {"br", "zstd", "gzip", NULL};

#define AT(field) offsetof(struct files, field)

static const struct option files_options[] = {
    {"root", &option_string, AT(root), .flags = OPTION_REQUIRED,
     .doc = "The folder. A relative path starts at the folder of the configuration file. Links in "
            "it are followed as long as they stay below it."},
    {"index", &option_string, AT(index), .preset = "index.html", .flags = OPTION_LIST,
     .doc = "Names of files that stand for a folder, the first that is there; `[]`: none."},
    {"fallback", &option_string, AT(fallback),
     .doc = "Path below the root of a file that is sent, with status 200, for what is not there: "
            "`/index.html` for applications that route in the browser."},
    {"next", &option_bool, AT(next), .preset = "false",
     .doc = "What is not there, and what is not GET or HEAD, goes on along the chain, to a server "
            "for example."},
    {"strip_prefix", &option_string, AT(strip_prefix),
     .doc = "What is taken off the path at its start: with `/assets/`, `/assets/a.css` is `a.css` "
            "in the folder."},
    {"listing", &option_bool, AT(listing), .preset = "false",
     .doc = "A folder without an index is answered with a list of what is in it."},
    {"hidden", &option_bool, AT(hidden), .preset = "false",
     .doc = "Serves also names that begin with a dot (`.well-known` at the root always is)."},
    {"precompressed", &option_choice, AT(precompressed), .preset = "[br, zstd, gzip]",
     .choices = coding_names, .flags = OPTION_LIST,
     .doc = "Forms of a file that may lie beside it (`a.css.br`, `a.css.zst`, `a.css.gz`), the "
            "preferred one first. One that is older than the file is not used; `[]`: none is "
            "looked for."},
    {"cache_control", &option_string, AT(cache_control),
     .doc = "The field Cache-Control, such as `max-age=3600`. Without it, none is sent."},
    {"charset", &option_string, AT(charset), .preset = "utf-8",
     .doc = "Said in the Content-Type of texts; empty: nothing is said."},
    {"types", &option_pairs, AT(types), .flags = OPTION_MAP,
     .doc = "More Content-Types by extension, or other ones: `{gpx: application/gpx+xml}`."},
    {NULL},
};

const struct middleware_ops middleware_files = {
    .options =
        {
            .name = "files",
            .doc = "Serves the files of a folder.",
            .size = sizeof(struct files),
            .options = files_options,
            .shorthand = "root",
            .takes_defaults = true,
            .check = files_check,
            .ops = &middleware_files,
        },
    .answers = true,
    .handle = files_handle,
    .explain = files_explain,
};
