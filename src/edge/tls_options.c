/* SPDX-License-Identifier: Apache-2.0 */
/*
 * edge/tls_options.c - `tls:` of a listener, from paths to a server that can shake hands.
 *
 * Certificates are read while the configuration is loaded, so that a file that is missing, expired
 * or does not match is an error with the place that names it, and a reload with such a file changes
 * nothing.
 */
#include "edge/tls_options.h"

#include "edge/tls_folder.h"
#include "tls/ocsp.h"
#include "upstream/server_tls.h"

enum { CA_MAX_BYTES = 1024 * 1024, WHY_MAX = 1000 };

/* ------------------------------------------------------------------ certificates */

/* NULL after a message. */
static struct tls_identity *
load_certificate(struct config_bind *b, const struct tls_listener *l,
                 const struct tls_certificate *c)
{
    struct tls_material m;

    if (c->ocsp.n && l->stapling == TLS_STAPLING_OFF) {
        config_bind_error(b, &c->ocsp, "leave out one of them", "nothing is to be stapled");
        return NULL;
    }
    return upstream_tls_load(b, &(struct upstream_tls_files){&c->certificate, &c->key, &c->ocsp},
                             &m);
}

static bool
has_name(const struct tls_store *store, struct slice name)
{
    return !slice_is_present(name) || tls_store_has(store, name);
}

/* Clients refuse a certificate that must be stapled and is not (RFC 7633); where responses are
 * fetched, acme/stapling.c tells of it. */
static void
warn_unstapled(struct config_bind *b, const struct tls_listener *l, const struct tls_store *store)
{
    struct tls_identity *id;

    for (size_t i = 0; (id = tls_ocsp_identity(store, i)); i++)
        if (l->stapling != TLS_STAPLING_AUTO && !tls_ocsp_is_given(id) && tls_ocsp_must_staple(id))
            config_bind_warning(b, &l->stapling, "`stapling: auto` fetches a response",
                                "the certificate of `%.*s` must be stapled: clients may refuse it",
                                SLICE_ARG(tls_identity_name(id, 0)));
}

/* What the list and the folder say, the default first. */
struct loading {
    struct config_bind  *bind;
    struct tls_listener *listener;
    struct tls_identity **ids;
    size_t               n;
};

/* All of the list; false when one is broken, after all mistakes were told. */
static bool
load_list(struct loading *g)
{
    const struct tls_certificate *c = g->listener->certificates.at;
    size_t n = g->listener->certificates.n;
    bool good = true;

    g->ids = arena_calloc(config_bind_arena(g->bind), n + 1, sizeof(*g->ids));
    if (!g->ids)
        return config_bind_error(g->bind, &g->listener->certificates, NULL, "out of memory");
    for (size_t i = 0; i < n; i++) {
        struct tls_identity *id = load_certificate(g->bind, g->listener, &c[i]);

        if (id)
            g->ids[g->n++] = id;
        else
            good = false;
    }
    return good;
}

static void
say(void *arg, const char *sentence)
{
    const struct loading *g = arg;

    config_bind_warning(g->bind, &g->listener->folder, "the others are used", "%s", sentence);
}

static void
release_folder(void *folder)
{
    tls_folder_free(folder);
}

/* A listener without a folder is one whose folder is empty and does not change. */
static struct tls_store *
load_folder(struct loading *g)
{
    struct tls_listener *l = g->listener;
    struct tls_folder_options o = {
        .source = config_bind_source(g->bind),
        .preset = l->preset,
        .fixed = g->ids,
        .n_fixed = g->n,
    };

    if (slice_is_present(l->folder)) {
        o.path = config_bind_path(g->bind, &l->folder, l->folder).at;
        if (!o.path)
            return NULL;
    }
    l->watch = tls_folder_new(&o, say, g);
    if (!l->watch || !config_bind_cleanup(g->bind, release_folder, l->watch))
        return NULL;
    return tls_folder_store(l->watch);
}

/* NULL after a message. */
static struct tls_store *
load_store(struct config_bind *b, struct tls_listener *l)
{
    struct loading g = {.bind = b, .listener = l};
    struct tls_store *store = NULL;
    bool good = load_list(&g);

    if (good) {
        store = load_folder(&g);
        if (!store)
            config_bind_error(b, &l->certificates, NULL, "out of memory");
    }
    for (size_t i = 0; i < g.n; i++)
        tls_identity_release(g.ids[i]);
    if (store && tls_store_count(store) == 0 && !l->acme)
        config_bind_error(b, &l->folder, "it holds NAME.pem, or NAME.crt and NAME.key",
                          "there is no certificate in `%.*s`", SLICE_ARG(l->folder));
    else if (store && !has_name(store, l->preset) && !l->acme)
        config_bind_error(b, &l->preset, NULL, "no certificate is for `%.*s`",
                          SLICE_ARG(l->preset));
    else
        return store;
    tls_store_release(store);
    return NULL;
}

/* ------------------------------------------------------------------ the server */

static void
release_server(void *server)
{
    tls_server_release(server);
}

static bool
make_server(struct config_bind *b, struct tls_listener *l, struct tls_store *store)
{
    struct tls_server_options o = {
        .store = store,
        .client_mode = l->client ? (enum tls_client_mode) l->client->mode : TLS_CLIENT_OFF,
        .profile = (enum tls_profile) l->profile,
        .refuse_unknown = l->unknown_names == TLS_UNKNOWN_REFUSE,
        .no_tickets = !l->tickets,
        .no_stapling = l->stapling == TLS_STAPLING_OFF,
        .keylog = l->keylog.at,
    };
    const void *field = l->client ? (const void *) &l->client->ca : &l->certificates;
    struct text why;

    if (l->client && !config_bind_read(b, &l->client->ca, l->client->ca, CA_MAX_BYTES,
                                       &o.client_ca))
        return false;
    text_init(&why, WHY_MAX);
    l->server = tls_server_new(&o, &why);
    if (!l->server)
        config_bind_error(b, l->keylog.at && why.n > 12 && memcmp(why.at, "cannot write", 12) == 0
                                 ? (const void *) &l->keylog
                                 : field,
                          NULL, "%.*s", (int) why.n, why.at);
    text_free(&why);
    if (l->server && slice_is_present(l->keylog))
        config_bind_warning(b, &l->keylog, "for debugging only",
                            "whoever reads `%.*s` can decrypt recorded connections",
                            SLICE_ARG(l->keylog));
    return l->server && config_bind_cleanup(b, release_server, l->server);
}

static void
release_store(void *store)
{
    tls_store_release(store);
}

/* Names that it is for need no certificate that comes by itself. */
static bool
keep_store(struct config_bind *b, struct tls_listener *l, struct tls_store *store)
{
    tls_store_hold(store);
    l->fixed = store;
    return config_bind_cleanup(b, release_store, store);
}

static bool
watch_folder(struct config_bind *b, struct tls_listener *l)
{
    if (slice_is_present(l->folder) && !tls_folder_watch(l->watch, l->server))
        config_bind_warning(b, &l->folder, "after a change of certificates, reload (SIGHUP)",
                            "`%.*s` cannot be watched", SLICE_ARG(l->folder));
    return true;
}

/* As paths of files: from where the configuration is. */
static bool
find_state(struct config_bind *b, struct tls_listener *l)
{
    if (!slice_starts(l->state, SLICE("/")))
        l->state = config_bind_path(b, &l->state, l->state);
    return slice_is_present(l->state) || config_bind_error(b, &l->state, NULL, "out of memory");
}

static bool
check_listener(struct config_bind *b, void *object)
{
    struct tls_listener *l = object;
    struct tls_store *store;
    bool good;

    if (l->certificates.n == 0 && !slice_is_present(l->folder) && !l->acme)
        return config_bind_error(b, &l->certificates,
                                 "such as `certificates: [/etc/ssl/site.pem]`, or `acme: {}`",
                                 "there is no certificate");
    store = load_store(b, l);
    good = store && find_state(b, l) && keep_store(b, l, store) && make_server(b, l, store) &&
           watch_folder(b, l);
    if (good)
        warn_unstapled(b, l, store);
    tls_store_release(store);
    return good;
}

/* ------------------------------------------------------------------ tables */

static const struct option certificate_options[] = {
    {"certificate", &option_string, offsetof(struct tls_certificate, certificate),
     .flags = OPTION_REQUIRED,
     .doc =
         "Path of a PEM file: the certificate, those of its issuers, in any order, and maybe the "
         "key."},
    {"key", &option_string, offsetof(struct tls_certificate, key),
     .doc =
         "Path of the private key (PEM, without passphrase), where it has a file of its own. Or "
         "a URI such as `pkcs11:token=web;object=site?pin-source=file:/etc/maitred/pin`: the key "
         "stays in its token, and OpenSSL signs there, by a provider that its configuration "
         "loads or by the engine of that name."},
    {"ocsp", &option_string, offsetof(struct tls_certificate, ocsp),
     .doc = "Path of an OCSP response (DER) to staple, instead of one that is fetched; it is read "
            "again with each reload."},
    {NULL},
};

static const struct option_object certificate_object = {
    .name = "certificate",
    .doc = "A certificate with its key; just the path of a file with both may stand for it.",
    .size = sizeof(struct tls_certificate),
    .options = certificate_options,
    .shorthand = "certificate",
};

static const char *const client_modes[] = {
    [TLS_CLIENT_OFF] = "off",
    [TLS_CLIENT_OPTIONAL] = "optional",
    [TLS_CLIENT_REQUIRED] = "required",
    NULL,
};

static const struct option client_options[] = {
    {"ca", &option_string, offsetof(struct tls_client_certificates, ca), .flags = OPTION_REQUIRED,
     .doc = "Path of the certificates (PEM) of those who issue clients' certificates."},
    {"mode", &option_choice, offsetof(struct tls_client_certificates, mode), .preset = "required",
     .choices = client_modes,
     .doc =
         "`required`: no connection without a certificate; `optional`: one that is sent must be "
         "good; `off`: none is asked for."},
    {NULL},
};

static const struct option_object client_object = {
    .name = "tls_client",
    .doc = "Certificates of clients (mutual TLS).",
    .size = sizeof(struct tls_client_certificates),
    .options = client_options,
    .shorthand = "ca",
};

static const char *const unknown_names[] = {
    [TLS_UNKNOWN_DEFAULT] = "default",
    [TLS_UNKNOWN_REFUSE] = "refuse",
    NULL,
};

static const char *const profiles[] = {
    [TLS_INTERMEDIATE] = "intermediate",
    [TLS_MODERN] = "modern",
    NULL,
};

static const char *const staplings[] = {
    [TLS_STAPLING_AUTO] = "auto",
    [TLS_STAPLING_FILE] = "file",
    [TLS_STAPLING_OFF] = "off",
    NULL,
};

static const struct option listener_options[] = {
    {"certificates", &option_objects, offsetof(struct tls_listener, certificates),
     .flags = OPTION_LIST, .object = &certificate_object,
     .doc =
         "Which certificate a client gets depends on the name that it asks for; for one name there "
         "may be one with an ECDSA and one with an RSA key."},
    {"folder", &option_string, offsetof(struct tls_listener, folder),
     .doc = "Folder of certificates: NAME.pem with certificate and key, or NAME.pem or NAME.crt "
            "beside NAME.key. It is watched; what changes there is used a moment later, and a file "
            "that is broken leaves in use what was there before."},
    {"default", &option_string, offsetof(struct tls_listener, preset),
     .doc = "Name of the certificate for clients that ask for no name, or for one that nobody has; "
            "by default the first."},
    {"unknown_names", &option_choice, offsetof(struct tls_listener, unknown_names),
     .preset = "default", .choices = unknown_names,
     .doc =
         "Clients that ask for a name that no certificate is for, or for none: `default` shows "
         "them the default certificate, `refuse` ends the handshake."},
    {"profile", &option_choice, offsetof(struct tls_listener, profile), .preset = "intermediate",
     .choices = profiles,
     .doc = "`intermediate`: TLS 1.2 and 1.3; `modern`: TLS 1.3 only. Forward secrecy and "
            "authenticated ciphers in both."},
    {"acme", &option_objects, offsetof(struct tls_listener, acme), .flags = OPTION_POINTER,
     .object = &acme_object,
     .doc = "Certificates that are got, and renewed, by themselves: for each host that routes of "
            "this listener name and that no certificate above is for."},
    {"client", &option_objects, offsetof(struct tls_listener, client), .flags = OPTION_POINTER,
     .object = &client_object, .doc = "Certificates of clients (mutual TLS)."},
    {"tickets", &option_bool, offsetof(struct tls_listener, tickets), .preset = "true",
     .doc =
         "Clients that come back spare a full handshake. The keys are in memory only, are replaced "
         "every eight hours and survive a reload."},
    {"stapling", &option_choice, offsetof(struct tls_listener, stapling), .preset = "auto",
     .choices = staplings,
     .doc =
         "OCSP responses shown with certificates: `auto` fetches them, and keeps them fresh, for "
         "certificates that name a responder and have no file with one; `file` shows those of "
         "files only; `off` none."},
    {"state", &option_string, offsetof(struct tls_listener, state), .preset = "/var/lib/maitred",
     .doc = "Folder where fetched OCSP responses outlive a restart (in `ocsp/`); it is made when "
            "there is one to keep."},
    {"keylog", &option_string, offsetof(struct tls_listener, keylog),
     .doc = "Path of a file to which the keys of all connections are written, for tools like "
            "Wireshark. For debugging only."},
    {"handshake_timeout", &option_duration, offsetof(struct tls_listener, handshake_timeout_us),
     .preset = "10s", .min = 1000, .max = 3600000000, .doc = "How long a handshake may take."},
    {"hsts", &option_duration, offsetof(struct tls_listener, hsts_us), .preset = "180d",
     .max = 315360000000000,
     .doc =
         "Answers say that browsers are to use https only, for that long "
         "(Strict-Transport-Security), unless the server has said so itself; 0 is off."},
    {NULL},
};

const struct option_object tls_listener_object = {
    .name = "tls",
    .doc = "TLS on a listener; just the path of a certificate, or a list of them, may stand for "
           "it.",
    .size = sizeof(struct tls_listener),
    .options = listener_options,
    .shorthand = "certificates",
    .check = check_listener,
};
