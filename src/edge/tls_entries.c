/* SPDX-License-Identifier: Apache-2.0 */
/*
 * edge/tls_entries.c - reading a folder of certificates: NAME.pem or NAME.crt, with NAME.key where
 * the key is in a file of its own, and NAME.ocsp where there is a response to staple.
 *
 * A folder of 10,000 is read again whenever something in it changes.  A file whose inode, size and
 * time are the same is not even opened; where they cannot be seen (the folder may be closed to us,
 * and be read by the supervisor) a file whose content is the same is not parsed.
 */
#include "edge/tls_entries.h"

#include "base/map.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { FILES_MAX = 100000, FILE_MAX_BYTES = 1 << 20, LISTING_MAX = 16 << 20 };

/* ------------------------------------------------------------------ lists of entries */

void
tls_entries_free(struct tls_entries *list)
{
    for (size_t i = 0; i < list->n; i++) {
        free(list->at[i].path);
        tls_identity_release(list->at[i].id);
    }
    free(list->at);
    *list = (struct tls_entries){NULL, 0, 0};
}

static struct tls_entry *
add(struct tls_entries *list)
{
    if (list->n == list->room) {
        size_t room = list->room ? 2 * list->room : 16;
        struct tls_entry *more = reallocarray(list->at, room, sizeof(*more));

        if (!more)
            return NULL;
        list->at = more;
        list->room = room;
    }
    list->at[list->n] = (struct tls_entry){0};
    return &list->at[list->n++];
}

static int
compare_path(const void *path, const void *entry)
{
    return strcmp(path, ((const struct tls_entry *) entry)->path);
}

static const struct tls_entry *
find(const struct tls_entries *list, const char *path)
{
    return list->n ? bsearch(path, list->at, list->n, sizeof(list->at[0]), compare_path) : NULL;
}

bool
tls_entries_same(const struct tls_entries *a, const struct tls_entries *b)
{
    for (size_t i = 0; i < a->n && i < b->n; i++)
        if (a->at[i].id != b->at[i].id)
            return false;
    return a->n == b->n;
}

/* ------------------------------------------------------------------ what is in the folder */

/* Names in the folder, sorted; they lie in the text. */
struct names {
    struct text text;
    char      **at;
    size_t      n;
};

static int
compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *) a, *(char *const *) b);
}

static void
names_free(struct names *names)
{
    text_free(&names->text);
    free(names->at);
}

/* By way of the supervisor, who may read what we may not; else by ourselves. */
static int
list_folder(const struct tls_entries_from *from, struct text *out, int *watch)
{
    const struct config_source *ours = &config_source_system;
    int error = from->source->folder
                    ? from->source->folder(from->source->arg, from->path, out, watch)
                    : EACCES;

    if (error == EACCES && from->source != ours) {
        out->n = 0;
        error = ours->folder(ours->arg, from->path, out, watch);
    }
    return error;
}

/* 0 or an errno. */
static int
read_names(const struct tls_entries_from *from, struct names *names, int *watch)
{
    int error;

    *names = (struct names){.at = NULL};
    text_init(&names->text, LISTING_MAX);
    error = list_folder(from, &names->text, watch);
    if (error)
        return error;
    for (size_t i = 0; i < names->text.n; i++)
        names->n += names->text.at[i] == '\0';
    names->at = names->n <= FILES_MAX ? calloc(names->n + 1, sizeof(*names->at)) : NULL;
    if (!names->at)
        return ENOMEM;
    for (size_t i = 0, at = 0; i < names->n; i++, at += strlen(names->text.at + at) + 1)
        names->at[i] = names->text.at + at;
    qsort(names->at, names->n, sizeof(names->at[0]), compare_names);
    return 0;
}

/* ------------------------------------------------------------------ one certificate */

enum file { FILE_CERTIFICATE, FILE_KEY, FILE_OCSP, FILES };

static const char *const endings[FILES] = {NULL, ".key", ".ocsp"};

/* Paths of what belongs together; those that do not exist are NULL. */
struct set {
    char *paths[FILES];
};

static void
set_free(struct set *set)
{
    for (size_t i = 0; i < FILES; i++)
        free(set->paths[i]);
}

static char *
path_of(const struct tls_entries_from *from, const char *name)
{
    size_t room = strlen(from->path) + strlen(name) + 2;
    char *path = malloc(room);

    if (path)
        snprintf(path, room, "%s/%s", from->path, name);
    return path;
}

/* False when out of memory. */
static bool
gather(const struct tls_entries_from *from, const struct names *names, char *name,
       struct set *set)
{
    char other[NAME_MAX + 8], *wanted = other;
    bool good;

    *set = (struct set){.paths = {path_of(from, name)}};
    good = set->paths[FILE_CERTIFICATE] != NULL;
    for (size_t i = FILE_KEY; i < FILES && good; i++) {
        snprintf(other, sizeof(other), "%.*s%s", (int) strlen(name) - 4, name, endings[i]);
        if (!bsearch(&wanted, names->at, names->n, sizeof(names->at[0]), compare_names))
            continue;
        set->paths[i] = path_of(from, other);
        good = set->paths[i] != NULL;
    }
    return good;
}

/* Changes when a file may have changed; 0: nobody can tell. */
static uint64_t
stamp_of(const struct set *set)
{
    uint64_t parts[FILES][5] = {{0}};
    struct stat st;

    for (size_t i = 0; i < FILES; i++) {
        if (!set->paths[i])
            continue;
        if (stat(set->paths[i], &st) != 0)
            return 0;
        parts[i][0] = st.st_dev;
        parts[i][1] = st.st_ino;
        parts[i][2] = (uint64_t) st.st_size;
        parts[i][3] = (uint64_t) st.st_mtim.tv_sec;
        parts[i][4] = (uint64_t) st.st_mtim.tv_nsec;
    }
    return hash_bytes(slice_of((const char *) parts, sizeof(parts)));
}

static int
read_file(const struct tls_entries_from *from, const char *path, struct text *out)
{
    const struct config_source *ours = &config_source_system;
    int error = from->source->read(from->source->arg, path, out);

    if (error == EACCES && from->source != ours) {
        out->n = 0;
        error = ours->read(ours->arg, path, out);
    }
    return error;
}

static void
say_about(const struct tls_entries_from *from, const char *path, struct slice what)
{
    char sentence[PATH_MAX + 1200];

    snprintf(sentence, sizeof(sentence), "`%s`: %.*s", path, SLICE_ARG(what));
    from->say(from->arg, sentence);
}

/* Texts of the files; false after a message. */
static bool
read_set(const struct tls_entries_from *from, const struct set *set, struct text *texts)
{
    for (size_t i = 0; i < FILES; i++) {
        int error = set->paths[i] ? read_file(from, set->paths[i], &texts[i]) : 0;

        if (error) {
            say_about(from, set->paths[i], slice_str(strerror(error)));
            return false;
        }
    }
    return true;
}

static struct tls_identity *
parse(const struct tls_entries_from *from, const char *path, const struct text *texts)
{
    const struct tls_material m = {
        .certificate = text_slice(&texts[FILE_CERTIFICATE]),
        .key = text_slice(&texts[FILE_KEY]),
        .ocsp = text_slice(&texts[FILE_OCSP]),
    };
    struct text why, warning;
    struct tls_identity *id;

    text_init(&why, 1000);
    text_init(&warning, 1000);
    id = tls_identity_new(&m, &why, &warning);
    if (!id || warning.n)
        say_about(from, path, text_slice(id ? &warning : &why));
    text_free(&why);
    text_free(&warning);
    return id;
}

static uint64_t
content_of(const struct text *texts)
{
    uint64_t parts[FILES];

    for (size_t i = 0; i < FILES; i++)
        parts[i] = hash_bytes(text_slice(&texts[i]));
    return hash_bytes(slice_of((const char *) parts, sizeof(parts)));
}

/* The identity in e; NULL stays where there never was a good one. */
static void
load(const struct tls_entries_from *from, const struct set *set, const struct tls_entry *before,
     struct tls_entry *e)
{
    struct text texts[FILES];

    for (size_t i = 0; i < FILES; i++)
        text_init(&texts[i], FILE_MAX_BYTES);
    if (read_set(from, set, texts)) {
        e->content = content_of(texts);
        if (!before || !before->id || before->content != e->content)
            e->id = parse(from, e->path, texts);
    }
    for (size_t i = 0; i < FILES; i++)
        text_free(&texts[i]);
}

static bool
add_file(const struct tls_entries_from *from, const struct names *names, char *name,
         const struct tls_entries *before, struct tls_entries *now)
{
    struct tls_entry *e = add(now);
    const struct tls_entry *old;
    struct set set;
    bool good = e && gather(from, names, name, &set);

    if (good) {
        e->path = set.paths[FILE_CERTIFICATE];
        e->stamp = stamp_of(&set);
        old = find(before, e->path);
        if (old && old->id && e->stamp && e->stamp == old->stamp)
            e->content = old->content;
        else
            load(from, &set, old, e);
        if (!e->id && old && old->id) {
            e->id = old->id;
            tls_identity_hold(e->id);
        }
        set.paths[FILE_CERTIFICATE] = NULL; /* the entry's now */
    }
    if (e)
        set_free(&set);
    return good;
}

bool
tls_entries_read(struct tls_entries *now, const struct tls_entries *before,
                 const struct tls_entries_from *from, int *watch)
{
    struct names names;
    int error = read_names(from, &names, watch);

    if (error)
        say_about(from, from->path, slice_str(strerror(error)));
    for (size_t i = 0; !error && i < names.n; i++) {
        struct slice name = slice_str(names.at[i]);

        if ((slice_ends(name, SLICE(".pem")) || slice_ends(name, SLICE(".crt"))) &&
            !add_file(from, &names, names.at[i], before, now))
            error = ENOMEM;
    }
    names_free(&names);
    if (error)
        tls_entries_free(now);
    return !error;
}
