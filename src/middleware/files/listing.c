/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/files/listing.c - what is in a folder, as a page.
 *
 * Made by a thread of the pool: a folder is read entry by entry, and each entry looked at.  Only
 * what could be fetched is listed: files and folders, and links that lead to one below the root.
 */
#include "base/check.h"
#include "base/text.h"
#include "http/date.h"
#include "middleware/files/files.h"
#include "runtime/loop.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAMES_MAX_BYTES = 4 * 1024 * 1024, PAGE_MAX_BYTES = 16 * 1024 * 1024 };

struct item {
    struct slice name;
    bool         folder;
    uint64_t     size;
    int64_t      modified_s;
};

struct listing {
    const struct files *files;
    struct slice        name; /* of the folder */
    int                 root, folder;
    int                 error; /* an errno */
    struct arena        arena; /* of the items */
    struct item        *items;
    size_t              n;
    struct text         page;
};

/* ------------------------------------------------------------------ what is there */

/* False: nothing to be listed. */
static bool
look_at(const struct listing *l, const char *name, struct stat *st)
{
    char path[PATH_MAX];
    int fd, n;
    bool known;

    n = snprintf(path, sizeof(path), "%.*s%s%s", SLICE_ARG(l->name), l->name.n ? "/" : "", name);
    if (n < 0 || (size_t) n >= sizeof(path) ||
        files_name_fault(l->files, slice_of(path, (size_t) n)) ||
        fstatat(l->folder, name, st, AT_SYMLINK_NOFOLLOW) != 0)
        return false;
    if (!S_ISLNK(st->st_mode))
        return S_ISREG(st->st_mode) || S_ISDIR(st->st_mode);
    fd = files_open_beneath(l->root, path, O_PATH, false);
    if (fd < 0)
        return false;
    known = fstat(fd, st) == 0 && (S_ISREG(st->st_mode) || S_ISDIR(st->st_mode));
    close(fd);
    return known;
}

static void
add_item(struct listing *l, const char *name)
{
    struct slice copy;
    struct stat st;

    if ((name[0] == '.' && !l->files->hidden) || !strcmp(name, ".") || !strcmp(name, "..") ||
        !look_at(l, name, &st))
        return;
    copy = arena_copy(&l->arena, slice_str(name));
    if (!copy.at) {
        l->error = ENOMEM;
        return;
    }
    l->items[l->n++] = (struct item){
        .name = copy,
        .folder = S_ISDIR(st.st_mode),
        .size = (uint64_t) st.st_size,
        .modified_s = st.st_mtim.tv_sec,
    };
}

/* The stream owns the folder's descriptor from here on. */
static void
read_items(struct listing *l)
{
    DIR *stream = fdopendir(l->folder);
    const struct dirent *entry;

    if (!stream) {
        l->error = errno;
        close(l->folder);
        return;
    }
    l->items = arena_calloc(&l->arena, FILES_LISTED_MAX, sizeof(*l->items));
    if (!l->items)
        l->error = ENOMEM;
    while (!l->error && l->n < FILES_LISTED_MAX && (entry = readdir(stream)))
        add_item(l, entry->d_name);
    closedir(stream);
}

/* Folders first, then by name. */
static int
compare_items(const void *a, const void *b)
{
    const struct item *one = a, *two = b;

    if (one->folder != two->folder)
        return one->folder ? -1 : 1;
    return slice_compare(one->name, two->name);
}

/* ------------------------------------------------------------------ the page */

static void
put_encoded(struct text *out, struct slice name)
{
    for (size_t i = 0; i < name.n; i++) {
        char c = name.at[i];

        if (ascii_is_alpha(c) || ascii_is_digit(c) || strchr("-._~", c))
            text_byte(out, c);
        else
            text_printf(out, "%%%02X", (unsigned char) c);
    }
}

static void
put_item(struct text *out, const struct item *item)
{
    struct slice slash = item->folder ? SLICE("/") : SLICE("");
    enum { MINUTES = 16, DATE_ROOM = 24 };
    char date[DATE_ROOM];

    iso_date_write(date, item->modified_s < 0 ? 0 : (uint64_t) item->modified_s * 1000000);
    date[10] = ' '; /* in place of the T */
    text_literal(out, "<tr><td><a href=\"./");
    put_encoded(out, item->name);
    text_put(out, slash);
    text_literal(out, "\">");
    text_html(out, item->name);
    text_put(out, slash);
    text_literal(out, "</a><td>");
    text_put(out, slice_of(date, MINUTES));
    text_literal(out, "<td>");
    if (!item->folder)
        text_u64(out, item->size);
    text_literal(out, "\n");
}

static void
put_page(struct listing *l)
{
    struct text *out = &l->page;

    text_literal(out, "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">"
                      "<meta name=\"viewport\" content=\"width=device-width\">\n<title>/");
    text_html(out, l->name);
    text_literal(out, "</title>\n<style>body{font:1em sans-serif;margin:2em}td{padding:0 2em 0 0}"
                      "td:last-child{text-align:right}</style>\n<h1>/");
    text_html(out, l->name);
    text_literal(out, "</h1>\n<table>\n");
    if (l->name.n)
        text_literal(out, "<tr><td><a href=\"../\">../</a><td><td>\n");
    for (size_t i = 0; i < l->n; i++)
        put_item(out, &l->items[i]);
    text_literal(out, "</table>\n");
    if (l->n == FILES_LISTED_MAX)
        text_printf(out, "<p>Only %d entries are shown.\n", FILES_LISTED_MAX);
    text_literal(out, "</html>\n");
}

static void
make_page(struct listing *l)
{
    read_items(l);
    if (l->error)
        return;
    qsort(l->items, l->n, sizeof(*l->items), compare_items);
    put_page(l);
    if (l->page.full)
        l->error = ENOMEM;
}

static void
make_listing(void *arg)
{
    struct listing *l = arg;

    l->root = files_open_root(l->files->folder, false);
    if (l->root < 0) {
        l->error = -l->root;
        return;
    }
    l->folder = files_open_beneath(l->root, l->name.at, O_RDONLY | O_DIRECTORY, false);
    if (l->folder < 0)
        l->error = -l->folder;
    else
        make_page(l);
    close(l->root);
}

/* ------------------------------------------------------------------ the answer */

struct page_body {
    struct body body;
    struct text text;
    bool        given;
};

static enum err
page_next(struct body *b, struct slice *chunk)
{
    struct page_body *p = container_of(b, struct page_body, body);

    if (p->given)
        return ERR_END;
    p->given = b->ended = true;
    *chunk = text_slice(&p->text);
    return OK;
}

static void
page_close(struct body *b)
{
    text_free(&container_of(b, struct page_body, body)->text);
}

static const struct body_ops page_ops = {.next = page_next, .close = page_close};

static void
refuse(struct exchange *x, const struct listing *l)
{
    if (l->error == EACCES || l->error == EPERM)
        exchange_refuse(x, 403, REASON_FILE_DENIED, "files: the folder may not be read");
    else if (l->error == ENOMEM)
        exchange_refuse(x, 503, REASON_OUT_OF_MEMORY, "files: a listing");
    else
        exchange_refuse(x, 500, REASON_FILE_FAILED, "files: a listing: %s",
                        err_sentence(err_from_errno(l->error)));
}

void
files_list(const struct files *f, struct exchange *x, struct slice name)
{
    struct page_body *p = arena_new(&x->arena, struct page_body);
    struct listing l = {.files = f, .name = name, .error = p ? 0 : ENOMEM};

    arena_init(&l.arena, NULL, 0, NAMES_MAX_BYTES);
    text_init(&l.page, PAGE_MAX_BYTES);
    if (p)
        offload(make_listing, &l);
    arena_free(&l.arena);
    if (l.error) {
        text_free(&l.page);
        refuse(x, &l);
        return;
    }
    exchange_respond(x, 200, SLICE(""), SLICE(""));
    p->text = l.page;
    p->body = (struct body){.ops = &page_ops, .length = (int64_t) l.page.n, .ready = true};
    x->response.body = &p->body;
    fields_add(&x->response.fields, FIELD_CONTENT_TYPE, SLICE("text/html; charset=utf-8"));
    exchange_fault(x, REASON_RESPOND, OK, NULL);
}
