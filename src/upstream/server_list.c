/* SPDX-License-Identifier: Apache-2.0 */
/* upstream/server_list.c - reading lists of servers. */
#include "upstream/server_list.h"

#include "base/check.h"

#include <errno.h>

enum { TEXT_MAX = 64 << 20 };

struct listed_server {
    struct slice address;
    int64_t      weight, tier, max_connections;
    struct slice region;
    int          state;
};

struct listed_servers {
    struct option_list servers; /* of struct listed_server */
};

static const struct option server_options[] = {
    {"address", &option_string, offsetof(struct listed_server, address), .flags = OPTION_REQUIRED,
     .doc = "Where the server listens: `10.0.0.1:8080` or `unix:/run/app.sock`; no names."},
    {"weight", &option_int, offsetof(struct listed_server, weight), .min = 1, .max = LB_WEIGHT_MAX,
     .doc = "How large its share is, compared with the others'."},
    {"tier", &option_int, offsetof(struct listed_server, tier), .min = 0, .max = 255,
     .doc = "0 is used first, higher ones when lower ones fail."},
    {"region", &option_string, offsetof(struct listed_server, region),
     .doc = "Where it stands: a name of `regions`."},
    {"max_connections", &option_int, offsetof(struct listed_server, max_connections), .min = 0,
     .max = 1000000, .doc = "At most so many at once, of all workers; 0: no limit."},
    {"state", &option_choice, offsetof(struct listed_server, state), .choices = server_states,
     .doc = "What its operator wants of it."},
    {NULL},
};

static bool
check_server(struct config_bind *b, void *object)
{
    struct listed_server *s = object;
    union address address;

    return address_parse(s->address, &address) ||
           config_bind_error(b, &s->address, "write it as 10.0.0.1:8080 or unix:/path",
                             "`%.*s` is not an address with its port", SLICE_ARG(s->address));
}

static const struct option_object server_object = {
    .name = "server",
    .doc = "One server; just its address may stand for it.",
    .size = sizeof(struct listed_server),
    .options = server_options,
    .shorthand = "address",
    .check = check_server,
};

static const struct option list_options[] = {
    {"servers", &option_objects, offsetof(struct listed_servers, servers), .object = &server_object,
     .flags = OPTION_LIST | OPTION_REQUIRED, .doc = "Addresses, or maps with an address."},
    {NULL},
};

static const struct option_object list_object = {
    .name = "list of servers",
    .doc = "The servers that a file lists.",
    .size = sizeof(struct listed_servers),
    .options = list_options,
};

/* ------------------------------------------------------------------ only this text */

static int
read_nothing(void *arg, const char *path, struct text *out)
{
    (void) arg;
    (void) path;
    (void) out;
    return EPERM;
}

static const char *
no_environment(void *arg, const char *name)
{
    (void) arg;
    (void) name;
    return NULL;
}

static const struct config_source only_the_text = {.read = read_nothing, .env = no_environment};

/* ------------------------------------------------------------------ a list at the top */

/* Over blanks, comments and the start of a document. */
static struct slice
skip_to_content(struct slice text)
{
    while (text.n) {
        if (text.at[0] == '#' || slice_starts(text, SLICE("---")))
            (void) slice_cut(&text, '\n');
        else if (strchr(" \t\r\n", text.at[0]))
            text = slice_from(text, 1);
        else
            break;
    }
    return text;
}

/*
 * The engine wants a map at the top.  A bare list gets one around it, on a line of its own, which
 * complain() takes into account.  What stands before the list becomes empty lines.
 */
static bool
wrap(struct slice text, struct text *out)
{
    struct slice content = skip_to_content(text);
    bool flow = content.n && content.at[0] == '[';

    if (!flow && (content.n == 0 || content.at[0] != '-')) {
        text_put(out, text);
        return false;
    }
    text_put(out, flow ? SLICE("{\"servers\":\n") : SLICE("servers:\n"));
    for (const char *at = text.at; at < content.at; at++)
        text_byte(out, *at == '\n' ? '\n' : ' ');
    text_put(out, content);
    if (flow)
        text_put(out, slice_ends(content, SLICE("\n")) ? SLICE("}\n") : SLICE("\n}\n"));
    return true;
}

/* The first message.  A hint that names a place is left out of a wrapped one: it would be a line
 * too far. */
static void
complain(const struct config_report *report, bool wrapped, struct text *complaint)
{
    const struct config_message *m = report->messages;
    struct slice path;
    uint32_t line;

    while (m && m->severity != CONFIG_ERROR)
        m = m->next;
    if (!m || report->n_files == 0)
        return;
    path = report->files[0].path;
    line = m->mark.line - (wrapped && m->mark.line > 1);
    text_printf(complaint, "%.*s:%u:%u: error: %.*s", SLICE_ARG(path), line, m->mark.column,
                SLICE_ARG(m->text));
    if (m->hint.n && !(wrapped && slice_search(m->hint, path) != SLICE_NOT_FOUND))
        text_printf(complaint, "; hint: %.*s", SLICE_ARG(m->hint));
}

struct config *
server_list_read(const char *path, struct slice text, struct text *complaint)
{
    struct config_report report;
    struct config *list;
    struct text whole;
    bool wrapped;

    if (slice_starts(text, SLICE("\xEF\xBB\xBF")))
        text = slice_from(text, 3);
    text_init(&whole, TEXT_MAX);
    wrapped = wrap(text, &whole);
    config_report_init(&report);
    list = whole.full ? NULL
                      : config_load_text(path, text_slice(&whole), &list_object, &only_the_text,
                                         &report);
    if (!list)
        complain(&report, wrapped, complaint);
    config_report_free(&report);
    text_free(&whole);
    return list;
}

/* ------------------------------------------------------------------ what it says */

size_t
server_list_count(const struct config *list)
{
    return ((const struct listed_servers *) list->root)->servers.n;
}

static bool
is_said(const struct config *list, const void *field)
{
    return config_where(list, field).line > 0;
}

struct discovered
server_list_get(const struct config *list, size_t i, const struct server_config *entry)
{
    const struct listed_servers *all = list->root;
    const struct listed_server *s = &((const struct listed_server *) all->servers.at)[i];
    union address address;
    struct discovered d;

    CHECK(i < all->servers.n && address_parse(s->address, &address));
    d = discovered_of(entry, &address);
    if (is_said(list, &s->weight))
        d.weight = (uint32_t) s->weight;
    if (is_said(list, &s->tier))
        d.tier = (uint16_t) s->tier;
    if (is_said(list, &s->region))
        d.region = s->region;
    if (is_said(list, &s->max_connections))
        d.max_connections = s->max_connections;
    if (is_said(list, &s->state))
        d.state = (enum server_state) s->state;
    return d;
}
