/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/hide_origin.c - answers in the server's name without saying which, where, or made of
 * what.
 *
 *     - hide_origin: {server: replace, also: [X-Varnish]}
 *
 * Part of every chain.  Software and versions in fields help attackers only; addresses behind the
 * proxy help nobody else.  Via stays: it is about proxies (RFC 9110 7.6.3), and ours is written
 * elsewhere.
 *
 * Every response passes here, so the common one costs a look at one word of bits and one pass over
 * the fields that this word speaks of; memory is taken only where a value is rewritten.
 */
#include "base/check.h"
#include "exchange/exchange.h"
#include "middleware/field_names.h"
#include "middleware/middleware.h"
#include "middleware/origin.h"

enum server_mode { SERVER_REPLACE, SERVER_REMOVE, SERVER_KEEP };

enum { NAME_MAX_BYTES = 63 }; /* of a name without an id: lengths is a word of bits */

#define BIT(n) (UINT64_C(1) << (n))

struct hide_origin {
    int                server; /* enum server_mode */
    bool               powered_by, location, cookie_domain;
    struct option_list also; /* of struct slice */
    /* Made of the above: */
    uint64_t      looked_at; /* bit of each field id that may need something done */
    uint64_t      removed;   /* bit of each field id that goes */
    uint64_t      lengths;   /* bit n: a name of n bytes is in `names` */
    struct slice *names;     /* those without an id that go */
    size_t        n_names;
};

/* What common frameworks say of themselves and of the host they run on. */
static const struct slice powered_by[] = {
    SLICE_INIT("X-Powered-By"),        SLICE_INIT("X-AspNet-Version"),
    SLICE_INIT("X-AspNetMvc-Version"), SLICE_INIT("X-Runtime"),
    SLICE_INIT("X-Generator"),         SLICE_INIT("X-Backend-Server"),
};

/* ------------------------------------------------------------------ at load */

static void
name_add(struct hide_origin *h, struct slice name)
{
    enum field_id id = field_id_from(name);

    if (id != FIELD_OTHER) {
        h->removed |= BIT(id);
        return;
    }
    h->lengths |= BIT(name.n);
    h->names[h->n_names++] = name;
}

static bool
also_add(struct config_bind *b, struct hide_origin *h)
{
    const struct slice *also = h->also.at;

    for (size_t i = 0; i < h->also.n; i++) {
        if (!field_name_check(b, &also[i], also[i], SIDE_RESPONSE))
            return false;
        if (also[i].n > NAME_MAX_BYTES)
            return config_bind_error(b, &also[i], NULL, "a name here has at most %d bytes",
                                     NAME_MAX_BYTES);
        name_add(h, also[i]);
    }
    return true;
}

static bool
hide_origin_check(struct config_bind *b, void *object)
{
    struct hide_origin *h = object;

    h->names = arena_calloc(config_bind_arena(b), countof(powered_by) + h->also.n,
                            sizeof *h->names);
    if (!h->names)
        return config_bind_error(b, h, NULL, "out of memory");
    if (h->server == SERVER_REMOVE)
        h->removed |= BIT(FIELD_SERVER);
    for (size_t i = 0; h->powered_by && i < countof(powered_by); i++)
        name_add(h, powered_by[i]);
    if (!also_add(b, h))
        return false;
    h->looked_at = h->removed;
    if (h->server == SERVER_REPLACE)
        h->looked_at |= BIT(FIELD_SERVER);
    if (h->location)
        h->looked_at |= BIT(FIELD_LOCATION) | BIT(FIELD_CONTENT_LOCATION) | BIT(FIELD_OTHER);
    if (h->cookie_domain)
        h->looked_at |= BIT(FIELD_SET_COOKIE);
    if (h->n_names)
        h->looked_at |= BIT(FIELD_OTHER);
    return true;
}

/* ------------------------------------------------------------------ per response */

static bool
is_named(const struct hide_origin *h, struct slice name)
{
    if (name.n > NAME_MAX_BYTES || !(h->lengths >> name.n & 1))
        return false;
    for (size_t i = 0; i < h->n_names; i++)
        if (slice_eq_nocase(h->names[i], name))
            return true;
    return false;
}

/* False: the field goes. */
static bool
publish(const struct hide_origin *h, struct exchange *x, struct field *f)
{
    if (h->removed >> f->id & 1)
        return false;
    if (f->id == FIELD_OTHER && is_named(h, f->name))
        return false;
    if (f->id == FIELD_SERVER)
        f->value = SLICE("maitred");
    else if (f->id == FIELD_SET_COOKIE)
        f->value = origin_publish_cookie(x, f->value);
    else if (f->id != FIELD_OTHER)
        f->value = origin_publish_uri(x, f->value);
    else if (h->location && slice_eq_nocase(f->name, SLICE("Refresh")))
        f->value = origin_publish_refresh(x, f->value);
    else
        return true;
    return slice_is_present(f->value); /* out of memory: better no field than a telling one */
}

static void
hide(const struct hide_origin *h, struct exchange *x)
{
    struct fields *f = &x->response.fields;
    uint32_t kept = 0;

    for (uint32_t i = 0; i < f->n; i++) {
        struct field field = f->at[i];

        if (!(h->looked_at >> field.id & 1) || publish(h, x, &field))
            f->at[kept++] = field;
    }
    f->n = kept;
    f->present &= ~h->removed;
}

static void
hide_origin_handle(const struct middleware *self, struct exchange *x)
{
    const struct hide_origin *h = self->config;

    exchange_next(x);
    if (slice_is_present(x->relay.upstream) && x->response.fields.present & h->looked_at)
        hide(h, x);
}

static void
hide_origin_explain(const struct middleware *self, struct exchange *x, struct text *out)
{
    const struct hide_origin *h = self->config;
    static const char *const server[] = {"replaces Server", "removes Server", "keeps Server"};

    (void) x;
    text_printf(out, "%s%s%s%s", server[h->server],
                h->powered_by ? ", removes X-Powered-By and its like" : "",
                h->location ? ", rewrites redirects" : "",
                h->cookie_domain ? ", drops cookie domains" : "");
}

/* ------------------------------------------------------------------ the table */

static const char *const server_modes[] = {
    [SERVER_REPLACE] = "replace",
    [SERVER_REMOVE] = "remove",
    [SERVER_KEEP] = "keep",
    NULL,
};

static const struct option hide_origin_options[] = {
    {"server", &option_choice, offsetof(struct hide_origin, server), .preset = "remove",
     .choices = server_modes,
     .doc = "What becomes of the server's `Server` field; `replace` makes it `maitred`."},
    {"powered_by", &option_bool, offsetof(struct hide_origin, powered_by), .preset = "true",
     .doc = "Remove X-Powered-By, X-AspNet-Version, X-AspNetMvc-Version, X-Runtime, X-Generator "
            "and X-Backend-Server."},
    {"location", &option_bool, offsetof(struct hide_origin, location), .preset = "true",
     .doc = "Rewrite Location, Content-Location and Refresh that name the server's address, or the "
            "host that it was asked for, to the scheme and host that the client asked for."},
    {"cookie_domain", &option_bool, offsetof(struct hide_origin, cookie_domain), .preset = "true",
     .doc = "Drop a cookie's Domain when it names the server: the cookie then belongs to the host "
            "that the client asked for."},
    {"also", &option_string, offsetof(struct hide_origin, also), .flags = OPTION_LIST,
     .doc = "Names of more fields to remove from what servers send."},
    {NULL},
};

const struct middleware_ops middleware_hide_origin = {
    .options =
        {
            .name = "hide_origin",
            .doc = "Hides the servers' identity. Part of every route; name it in `use` to change "
                   "its options or its place. Answers of maitred itself are left alone.",
            .size = sizeof(struct hide_origin),
            .options = hide_origin_options,
            .check = hide_origin_check,
            .takes_defaults = true,
            .ops = &middleware_hide_origin,
        },
    .handle = hide_origin_handle,
    .explain = hide_origin_explain,
    .by_default = true,
};
