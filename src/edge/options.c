/* SPDX-License-Identifier: Apache-2.0 */
/* edge/options.c - what can be configured of a listener. */
#include "edge/edge.h"

static const char *const redirects[] = {
    [LISTENER_REDIRECT_OFF] = "off",
    [LISTENER_REDIRECT_HTTPS] = "https",
    NULL,
};

static const struct option listener_options[] = {
    {"address", &option_string, offsetof(struct listener_config, address_text),
     .flags = OPTION_REQUIRED,
     .doc =
         "Where to listen: `:8080` (all addresses), `127.0.0.1:80`, `[::1]:80`, "
         "`unix:/run/x.sock`."},
    {"name", &option_string, offsetof(struct listener_config, name), .flags = 0,
     .doc = "For logs and for the `listener` condition of routes; by default the address."},
    {"trusted_proxies", &option_network, offsetof(struct listener_config, trusted_proxies),
     .flags = OPTION_LIST,
     .doc =
         "Peers whose `X-Forwarded-*` and `Forwarded` fields are believed; those of others are "
         "dropped."},
    {"proxy_protocol", &option_bool, offsetof(struct listener_config, proxy_protocol),
     .preset = "false",
     .doc =
         "Every connection begins with a PROXY protocol header, version 1 or 2, that tells the "
         "client's address."},
    {"backlog", &option_int, offsetof(struct listener_config, backlog), .preset = "4096", .min = 1,
     .max = 65535, .doc = "How many connections may wait to be accepted."},
    {"head_timeout", &option_duration, offsetof(struct listener_config, head_timeout_us),
     .preset = "10s", .min = 1000, .max = 3600000000,
     .doc = "How long the head of a request may take to arrive."},
    {"idle_timeout", &option_duration, offsetof(struct listener_config, idle_timeout_us),
     .preset = "75s", .min = 1000, .max = 86400000000,
     .doc = "How long a connection may wait for its next request."},
    {"requests", &option_int, offsetof(struct listener_config, requests), .preset = "0",
     .max = 4000000000, .doc = "How many requests a connection may carry; 0 is no limit."},
    {"max_head", &option_bytes, offsetof(struct listener_config, max_head), .preset = "16KiB",
     .min = 256, .max = 16384,
     .doc = "Largest head of a request, start line and fields; 431 above it."},
    {"max_target", &option_bytes, offsetof(struct listener_config, max_target), .preset = "8KiB",
     .min = 64, .max = 16384, .doc = "Longest request target; 414 above it."},
    {"max_fields", &option_int, offsetof(struct listener_config, max_fields), .preset = "100",
     .min = 4, .max = 200, .doc = "Most fields of a request; 431 above it."},
    {"http2", &option_objects, offsetof(struct listener_config, http2), .object = &h2_object,
     .doc = "HTTP/2, and its limits."},
    {"tls", &option_objects, offsetof(struct listener_config, tls), .flags = OPTION_POINTER,
     .object = &tls_listener_object, .doc = "TLS: https instead of http."},
    {"redirect", &option_choice, offsetof(struct listener_config, redirect), .preset = "off",
     .choices = redirects,
     .doc =
         "`https`: every request is answered with a redirect (308) to the same address by https, "
         "but those of certificate authorities (`/.well-known/acme-challenge/`)."},
    {NULL},
};

static bool
check_listener(struct config_bind *b, void *object)
{
    struct listener_config *l = object;

    if (!address_parse(l->address_text, &l->address))
        return config_bind_error(
            b, &l->address_text, "write it as :8080, 127.0.0.1:80, [::1]:80 or unix:/path",
            "`%.*s` is not an address to listen on", SLICE_ARG(l->address_text));
    if (!slice_is_present(l->name))
        l->name = l->address_text;
    if (l->name.n > 63)
        return config_bind_error(b, &l->name, NULL, "the name is longer than 63 bytes");
    if (l->tls && l->redirect == LISTENER_REDIRECT_HTTPS)
        return config_bind_error(b, &l->redirect, "it belongs to the listener of port 80",
                                 "the listener has TLS: there is nothing to redirect to");
    if (l->tls && l->tls->server && l->http2.enabled)
        tls_server_offer_h2(l->tls->server);
    return true;
}

const struct option_object listener_object = {
    .name = "listener",
    .doc = "An address that clients connect to; just the address may stand for it.",
    .size = sizeof(struct listener_config),
    .options = listener_options,
    .shorthand = "address",
    .check = check_listener,
    .takes_defaults = true,
};
