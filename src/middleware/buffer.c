/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/buffer.c - takes bodies as fast as they come, and gives them as slowly as they are
 * wanted.
 *
 *     - buffer
 *     - buffer: {request: off, memory: 1MiB, file: 4GiB, folder: /srv/spool}
 *
 * A server is busy only for as long as it needs itself, not for as long as its client's line does;
 * and a client that takes a minute to send its request keeps nobody busy.  See buffer.h for how it
 * is divided.
 */
#include "middleware/buffer.h"

#include "middleware/middleware.h"

#include <sys/stat.h>

static void
buffer_handle(const struct middleware *self, struct exchange *x)
{
    const struct buffer *o = self->config;

    if (o->request && !spool_request(o, x))
        return;
    exchange_next(x);
    if (o->response)
        spool_response(o, x);
}

static void
buffer_explain(const struct middleware *self, struct exchange *x, struct text *out)
{
    const struct buffer *o = self->config;

    bool request = o->request && x->request.body;

    if (!request && !o->response) {
        text_literal(out, "nothing: the request has no body");
        return;
    }
    text_printf(out, "%s%s%s: %llu bytes in memory, %llu in %.*s",
                request ? "keeps the request" : "", request && o->response ? ", " : "",
                o->response ? "reads the response ahead" : "",
                (unsigned long long) o->each.memory, (unsigned long long) o->each.file,
                SLICE_ARG(o->folder));
}

bool
spool_copy_trailers(struct arena *arena, struct fields *to, const struct fields *from)
{
    fields_init(to, arena, from->n, from->n);
    for (uint32_t i = 0; i < from->n; i++) {
        struct field f = from->at[i];

        f.name = arena_copy(arena, f.name);
        f.value = arena_copy(arena, f.value);
        if (!f.name.at || !f.value.at || !fields_append(to, f.name, f.value, f.id))
            return false;
    }
    return true;
}

/* ------------------------------------------------------------------ at load */

/* It may be mounted later: then there are files from then on. */
static void
look_at_folder(struct config_bind *b, const struct buffer *o)
{
    struct stat s;

    if (o->each.file && (stat(o->folder.at, &s) != 0 || !S_ISDIR(s.st_mode)))
        config_bind_warning(b, &o->folder, "bodies that do not fit into memory will wait for their "
                            "clients", "there is no folder %.*s", SLICE_ARG(o->folder));
}

static void
release_disk(void *what)
{
    spool_disk_close(what);
}

static bool
buffer_check(struct config_bind *b, void *object)
{
    struct buffer *o = object;

    if (!o->response && !o->request)
        return config_bind_error(b, &o->response, NULL, "this would buffer nothing");
    o->used = arena_calloc(config_bind_arena(b), 1, sizeof(*o->used));
    o->folder = config_bind_path(b, &o->folder, o->folder);
    if (!o->used || !o->folder.at)
        return config_bind_error(b, o, NULL, "out of memory");
    o->disk = spool_disk_open(o->folder);
    if (!o->disk || !config_bind_cleanup(b, release_disk, o->disk))
        return config_bind_error(b, o, NULL, "out of memory");
    look_at_folder(b, o);
    return true;
}

static const struct option route_options[] = {
    {"memory", &option_bytes, offsetof(struct spool_limits, memory), .preset = "64MiB",
     .doc = "Memory of all bodies that pass this entry of a `use:`."},
    {"file", &option_bytes, offsetof(struct spool_limits, file), .preset = "16GiB",
     .doc = "The same of their temporary files."},
    {NULL},
};

static const struct option_object route_budget_object = {
    .name = "buffer_route",
    .doc = "How much the bodies of one route may take together.",
    .size = sizeof(struct spool_limits),
    .options = route_options,
};

static const struct option total_options[] = {
    {"memory", &option_bytes, offsetof(struct spool_limits, memory), .preset = "256MiB",
     .doc = "This entry takes no more memory while the process as a whole buffers so much."},
    {"file", &option_bytes, offsetof(struct spool_limits, file), .preset = "64GiB",
     .doc = "The same for temporary files."},
    {NULL},
};

static const struct option_object total_budget_object = {
    .name = "buffer_total",
    .doc = "How much all bodies in the process may take together.",
    .size = sizeof(struct spool_limits),
    .options = total_options,
};

static const struct option buffer_options[] = {
    {"response", &option_bool, offsetof(struct buffer, response), .preset = "on",
     .doc = "Responses are taken from the server as fast as it sends, and given to the client as "
            "it reads. Event streams, gRPC and what has `X-Accel-Buffering: no` pass as they "
            "are."},
    {"request", &option_bool, offsetof(struct buffer, request), .preset = "on",
     .doc = "Bodies of requests are taken in full before a server is asked, gRPC and upgrades "
            "aside."},
    {"memory", &option_bytes, offsetof(struct buffer, each.memory), .preset = "256KiB",
     .max = 1024 * 1024 * 1024, .doc = "Memory for one body; what does not fit goes to a file."},
    {"file", &option_bytes, offsetof(struct buffer, each.file), .preset = "1GiB",
     .doc = "The largest temporary file of one body; 0: none. When it is full, the sender waits."},
    {"folder", &option_string, offsetof(struct buffer, folder), .preset = "/var/tmp",
     .doc = "Where temporary files are. They have no name, and are gone with their exchange."},
    {"route", &option_objects, offsetof(struct buffer, route), .object = &route_budget_object,
     .doc = "Budget of this entry."},
    {"total", &option_objects, offsetof(struct buffer, total), .object = &total_budget_object,
     .doc = "Budget of the process."},
    {NULL},
};

const struct middleware_ops middleware_buffer = {
    .options =
        {
            .name = "buffer",
            .doc = "Keeps bodies between servers and slow clients, in memory and temporary files: "
                   "a server is free as soon as it has answered, and asked only when the request "
                   "is here.",
            .size = sizeof(struct buffer),
            .options = buffer_options,
            .check = buffer_check,
            .ops = &middleware_buffer,
        },
    .handle = buffer_handle,
    .explain = buffer_explain,
};
