/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/server_tls.c - from paths to what handshakes with servers need.
 *
 * As with listeners, files are read while the configuration is loaded: one that is missing or does
 * not match is an error with its place.  There is a client for each set of protocols that can be
 * offered (ALPN), because a session that was agreed with one set is not resumed with another.
 */
#include "upstream/server.h"

#include "base/map.h"

#include <pthread.h>
#include <stdlib.h>

enum { FILE_MAX_BYTES = 1024 * 1024, WHY_MAX = 1000 };

static const char *const profiles[] = {
    [TLS_INTERMEDIATE] = "intermediate",
    [TLS_MODERN] = "modern",
    NULL,
};

/* ------------------------------------------------------------------ files */

static bool
read_file(struct config_bind *b, const struct slice *path, struct slice *content)
{
    return !path || !slice_is_present(*path) ||
           config_bind_read(b, path, *path, FILE_MAX_BYTES, content);
}

/* A key that stays where it is has a name with a scheme. */
static bool
is_uri(struct slice key)
{
    size_t n = slice_find(key, ':');

    for (size_t i = 0; n != SLICE_NOT_FOUND && i < n; i++)
        if (!(key.at[i] >= 'a' && key.at[i] <= 'z') && !(i && key.at[i] >= '0' && key.at[i] <= '9'))
            return false;
    return n != SLICE_NOT_FOUND && n > 1;
}

/* What a message may say of a key: the query of a URI may hold a PIN. */
static struct slice
without_secret(struct slice key)
{
    return is_uri(key) ? slice_first(key, slice_find(key, '?')) : key;
}

static bool
read_files(struct config_bind *b, const struct upstream_tls_files *f, struct tls_material *m)
{
    *m = (struct tls_material){.certificate = {NULL, 0}};
    if (f->key && is_uri(*f->key))
        m->key_uri = *f->key;
    return read_file(b, f->certificate, &m->certificate) &&
           (m->key_uri.n || read_file(b, f->key, &m->key)) && read_file(b, f->ocsp, &m->ocsp);
}

struct tls_identity *
upstream_tls_load(struct config_bind *b, const struct upstream_tls_files *f,
                  struct tls_material *m)
{
    struct slice key = f->key ? *f->key : (struct slice){NULL, 0};
    struct tls_identity *id;
    struct text why, warning;

    if (!read_files(b, f, m))
        return NULL;
    text_init(&why, WHY_MAX);
    text_init(&warning, WHY_MAX);
    id = tls_identity_new(m, &why, &warning);
    if (!id)
        config_bind_error(b, f->certificate, NULL, "`%.*s`%s%.*s: %.*s",
                          SLICE_ARG(*f->certificate), key.n ? " with " : "",
                          SLICE_ARG(without_secret(key)), (int) why.n, why.at);
    else if (warning.n)
        config_bind_warning(b, f->certificate, "renew it", "`%.*s`: %.*s",
                            SLICE_ARG(*f->certificate), (int) warning.n, warning.at);
    text_free(&why);
    text_free(&warning);
    return id;
}

/* ------------------------------------------------------------------ options */

static void
add_terms(struct upstream_tls *t, struct slice s)
{
    t->terms = (t->terms ^ hash_bytes(s)) * 0x9E3779B97F4A7C15u | 1;
}

/* False after a message; *id NULL: none is configured. */
static bool
load_identity(struct config_bind *b, struct upstream_tls *t, struct tls_identity **id)
{
    struct tls_material m;

    *id = NULL;
    if (!slice_is_present(t->certificate))
        return !slice_is_present(t->key) ||
               config_bind_error(b, &t->key, "add `certificate`", "a key without its certificate");
    *id = upstream_tls_load(b, &(struct upstream_tls_files){&t->certificate, &t->key, NULL}, &m);
    if (!*id)
        return false;
    add_terms(t, m.certificate);
    add_terms(t, m.key_uri.n ? m.key_uri : m.key);
    return true;
}

static void
release_client(void *client)
{
    tls_client_release(client);
}

static bool
make_client(struct config_bind *b, const struct upstream_tls *t, struct tls_client_options o,
            bool h1, bool h2, struct tls_client **client)
{
    struct text why;

    o.offer_h1 = h1;
    o.offer_h2 = h2;
    text_init(&why, WHY_MAX);
    *client = tls_client_new(&o, &why);
    if (!*client)
        config_bind_error(b, &t->ca, NULL, "%.*s", (int) why.n, why.at);
    text_free(&why);
    return *client && config_bind_cleanup(b, release_client, *client);
}

static bool
check(struct config_bind *b, void *object)
{
    struct upstream_tls *t = object;
    struct tls_client_options o = {
        .insecure = !t->verify,
        .profile = (enum tls_profile) t->profile,
    };
    bool good;

    if (!t->verify && slice_is_present(t->ca))
        return config_bind_error(b, &t->ca, "leave out one of them",
                                 "nobody is verified, but `ca` says by whom");
    if (!read_file(b, &t->ca, &o.ca) || !load_identity(b, t, &o.identity))
        return false;
    add_terms(t, o.ca);
    add_terms(t, t->name);
    add_terms(t, t->sni);
    add_terms(t, slice_str(t->verify ? "verify" : ""));
    add_terms(t, slice_str(profiles[t->profile]));
    good = make_client(b, t, o, true, false, &t->h1) && make_client(b, t, o, false, true, &t->h2) &&
           make_client(b, t, o, true, true, &t->any);
    tls_identity_release(o.identity);
    if (good && !t->verify)
        config_bind_warning(b, &t->verify, "name the issuer with `ca` instead",
                            "anybody on the way can pretend to be the server");
    return good;
}

static const struct option tls_options[] = {
    {"verify", &option_bool, offsetof(struct upstream_tls, verify), .preset = "true",
     .doc = "Whether a server must show a certificate for its name, by an issuer that is trusted."},
    {"ca", &option_string, offsetof(struct upstream_tls, ca),
     .doc = "Path of the certificates (PEM) of issuers that are trusted; by default whom the "
            "system trusts."},
    {"name", &option_string, offsetof(struct upstream_tls, name),
     .doc = "The name (or IP address) that certificates must be for; by default that of the server "
            "in `servers`."},
    {"sni", &option_string, offsetof(struct upstream_tls, sni),
     .doc = "The name that servers are asked for (Server Name Indication); by default the same."},
    {"certificate", &option_string, offsetof(struct upstream_tls, certificate),
     .doc = "Path of a certificate (PEM) to show to servers that ask for one."},
    {"key", &option_string, offsetof(struct upstream_tls, key),
     .doc = "Path of its private key, where it has a file of its own; or its URI in a token, as in "
            "`certificates` of a listener."},
    {"profile", &option_choice, offsetof(struct upstream_tls, profile), .preset = "intermediate",
     .choices = profiles, .doc = "`intermediate`: TLS 1.2 and 1.3; `modern`: TLS 1.3 only."},
    {NULL},
};

const struct option_object upstream_tls_object = {
    .name = "upstream_tls",
    .doc = "TLS to servers; `tls: {}` is enough where they have certificates that the system "
           "trusts.",
    .size = sizeof(struct upstream_tls),
    .options = tls_options,
    .check = check,
};

/* ------------------------------------------------------------------ handshakes */

/* An address without its port. */
static struct slice
host_of(struct slice address)
{
    struct slice host;
    uint16_t port;

    return address_split(address, 1, &host, &port) ? host : (struct slice){NULL, 0};
}

enum err
server_tls_connect(struct sock *sock, const struct server *s, const struct upstream_tls *tls,
                   enum upstream_http http, struct tls_session_slot *slot, uint64_t deadline_us,
                   char why[120])
{
    struct tls_client *const clients[] = {
        [UPSTREAM_HTTP1] = tls->h1,
        [UPSTREAM_HTTP2] = tls->h2,
        [UPSTREAM_HTTP_ANY] = tls->any,
    };
    struct tls_call call = {.name = tls->name, .sni = tls->sni, .slot = slot};
    const char *own = atomic_load(&s->name);
    char copy[256] = "";
    enum err e;

    /* Copied, because the handshake waits and the name may be replaced meanwhile. */
    if (own)
        snprintf(copy, sizeof(copy), "%s", own);
    if (!slice_is_present(call.name))
        call.name = copy[0] ? slice_str(copy) : host_of(s->text);
    e = tls_connect(sock, clients[http], &call, deadline_us);
    snprintf(why, 120, "%s", call.why);
    return e;
}

/* ------------------------------------------------------------------ without options */

static struct upstream_tls plain = {.verify = true, .terms = 1};

static void
make_plain(void)
{
    const struct tls_client_options h1 = {.offer_h1 = true}, h2 = {.offer_h2 = true},
                                    any = {.offer_h1 = true, .offer_h2 = true};
    char room[200];
    struct text why;

    text_fixed(&why, room, sizeof(room));
    plain.h1 = tls_client_new(&h1, &why);
    plain.h2 = tls_client_new(&h2, &why);
    plain.any = tls_client_new(&any, &why);
}

struct upstream_tls *
upstream_tls_plain(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, make_plain);
    return plain.h1 && plain.h2 && plain.any ? &plain : NULL;
}
