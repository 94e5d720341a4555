/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/ip_filter.c - lets clients in by their address.
 *
 *     - ip_filter: {allow: [10.0.0.0/8, "2001:db8::/32"], deny: [10.6.6.6]}
 *
 * `deny` is asked first.  With an `allow`, whoever is not in it is denied; without one, everybody
 * else is let in.  The address is the client's behind trusted proxies, which X-Forwarded-For cannot
 * forge.
 */
#include "base/check.h"
#include "exchange/exchange.h"
#include "middleware/address_set.h"
#include "middleware/middleware.h"

struct ip_filter {
    struct option_list allow, deny; /* of struct network */
    struct address_set allowed, denied;
};

static bool
ip_filter_check(struct config_bind *b, void *object)
{
    struct ip_filter *f = object;
    struct arena *arena = config_bind_arena(b);

    if (!f->allow.n && !f->deny.n)
        return config_bind_error(b, f, "give networks in `allow` or `deny`",
                                 "this lets everybody in");
    if (!address_set_compile(&f->allowed, f->allow.at, f->allow.n, arena) ||
        !address_set_compile(&f->denied, f->deny.at, f->deny.n, arena))
        return config_bind_error(b, f, NULL, "out of memory");
    return true;
}

/* Why not, NULL when the client may come in. */
static const char *
objection(const struct ip_filter *f, const union address *client)
{
    if (address_set_has(&f->denied, client))
        return "is in `deny`";
    if (f->allow.n && !address_set_has(&f->allowed, client))
        return "is not in `allow`";
    return NULL;
}

static void
ip_filter_handle(const struct middleware *self, struct exchange *x)
{
    const char *why = objection(self->config, &x->client_address);

    if (why)
        exchange_refuse(x, 403, REASON_NOT_ALLOWED, "ip_filter: %.*s %s", SLICE_ARG(x->client_ip),
                        why);
    else
        exchange_next(x);
}

static void
ip_filter_explain(const struct middleware *self, struct exchange *x, struct text *out)
{
    const char *why = objection(self->config, &x->client_address);

    text_printf(out, "%s: %.*s %s", why ? "answers 403" : "lets the client in",
                SLICE_ARG(x->client_ip), why ? why : "is allowed");
}

static const struct option ip_filter_options[] = {
    {"allow", &option_network, offsetof(struct ip_filter, allow), .flags = OPTION_LIST,
     .doc = "Networks and addresses that are let in; when there are any, everybody else is denied. "
            "`unix` stands for clients on Unix sockets."},
    {"deny", &option_network, offsetof(struct ip_filter, deny), .flags = OPTION_LIST,
     .doc = "Networks and addresses that are denied, also when `allow` has them."},
    {NULL},
};

const struct middleware_ops middleware_ip_filter = {
    .options =
        {
            .name = "ip_filter",
            .doc = "Lets clients in by their address; others are answered 403.",
            .size = sizeof(struct ip_filter),
            .options = ip_filter_options,
            .shorthand = "allow",
            .check = ip_filter_check,
            .ops = &middleware_ip_filter,
        },
    .handle = ip_filter_handle,
    .explain = ip_filter_explain,
};
