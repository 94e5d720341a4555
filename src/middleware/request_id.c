/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/request_id.c - gives every request a name that the logs of client, proxy and server
 * share.
 *
 *     - request_id: {header: X-Request-ID, trust: false, response: true}
 *
 * An id that a client made up is worth nothing and may be chosen to confuse: it is taken over only
 * from trusted proxies, or when the configuration says so, and only when it is one short visible
 * word.
 */
#include "base/check.h"
#include "exchange/exchange.h"
#include "middleware/field_names.h"
#include "middleware/middleware.h"

enum { ID_MAX = 128 };

struct request_id {
    struct slice  header;
    bool          trust;
    bool          response;
    enum field_id id; /* of header */
};

static bool
request_id_check(struct config_bind *b, void *object)
{
    struct request_id *r = object;

    r->id = field_id_from(r->header);
    return field_name_check(b, &r->header, r->header, SIDE_REQUEST);
}

static bool
is_fit(struct slice id)
{
    if (id.n == 0 || id.n > ID_MAX)
        return false;
    for (size_t i = 0; i < id.n; i++)
        if (id.at[i] < 0x21 || id.at[i] > 0x7E)
            return false;
    return true;
}

/* The client's id when it may name the request; absent otherwise.  Two of them name nothing. */
static struct slice
client_id(const struct request_id *r, const struct exchange *x)
{
    const struct fields *fields = &x->request.fields;
    const struct field *f;

    if (!r->trust && !x->client->trusted)
        return (struct slice){NULL, 0};
    f = fields_next(fields, NULL, r->header);
    if (!f || !is_fit(f->value) || fields_next(fields, f, r->header))
        return (struct slice){NULL, 0};
    return f->value;
}

static void
put(const struct request_id *r, struct fields *fields, struct slice id)
{
    if (id.n == 0)
        return; /* out of memory: the request can do without */
    if (r->id == FIELD_OTHER)
        fields_set_named(fields, r->header, id);
    else
        fields_set(fields, r->id, id);
}

static void
request_id_handle(const struct middleware *self, struct exchange *x)
{
    const struct request_id *r = self->config;

    if (x->request_id.n == 0) /* else somebody has used it already */
        x->request_id = client_id(r, x);
    put(r, &x->request.fields, exchange_request_id(x));
    exchange_next(x);
    if (r->response && x->response.status)
        put(r, &x->response.fields, x->request_id);
}

static void
request_id_explain(const struct middleware *self, struct exchange *x, struct text *out)
{
    const struct request_id *r = self->config;

    text_printf(out, "%s an id in %.*s",
                slice_is_present(client_id(r, x)) ? "takes over the client's" : "makes",
                SLICE_ARG(r->header));
}

static const struct option request_id_options[] = {
    {"header", &option_string, offsetof(struct request_id, header), .preset = "X-Request-ID",
     .doc = "Field that carries the id, in both directions."},
    {"trust", &option_bool, offsetof(struct request_id, trust), .preset = "false",
     .doc = "Take over the id of any client. Those in the listener's `trusted_proxies` are trusted "
            "anyway. An id is 1 to 128 visible ASCII characters; anything else is replaced."},
    {"response", &option_bool, offsetof(struct request_id, response), .preset = "true",
     .doc = "Send the id to the client too."},
    {NULL},
};

const struct middleware_ops middleware_request_id = {
    .options =
        {
            .name = "request_id",
            .doc = "Gives every request an id that server, client and logs see.",
            .size = sizeof(struct request_id),
            .options = request_id_options,
            .check = request_id_check,
            .takes_defaults = true,
            .ops = &middleware_request_id,
        },
    .handle = request_id_handle,
    .explain = request_id_explain,
};
