/* SPDX-License-Identifier: Apache-2.0 */
/* acme/options.c - what can be configured of certificates that look after themselves. */
#include "acme/acme.h"

#include "base/base64.h"
#include "http/uri.h"

enum {
    CA_MAX_BYTES = 1024 * 1024,
    SECRET_MIN = 8,
    SECRET_MAX = 512,
    DNS_NAME_LONGEST = 253,
    DNS_LABEL_LONGEST = 63,
};

/* ------------------------------------------------------------------ secrets */

/* Base64 in either alphabet, with padding or without; absent: it is something else. */
static struct slice
decode(struct arena *arena, struct slice letters)
{
    char *plain = arena_alloc(arena, letters.n + 1);
    void *bytes = arena_alloc(arena, BASE64_BYTES(letters.n) + 1);

    if (!plain || !bytes || letters.n > SECRET_MAX)
        return (struct slice){NULL, 0};
    while (letters.n && letters.at[letters.n - 1] == '=')
        letters.n--;
    for (size_t i = 0; i < letters.n; i++)
        plain[i] = letters.at[i] == '+' ? '-' : letters.at[i] == '/' ? '_' : letters.at[i];
    if (!base64_decode(slice_of(plain, letters.n), bytes))
        return (struct slice){NULL, 0};
    return slice_of(bytes, BASE64_BYTES(letters.n));
}

static bool
read_secret(struct config_bind *b, const struct slice *letters, struct slice *secret)
{
    *secret = decode(config_bind_arena(b), *letters);
    return secret->n >= SECRET_MIN ||
           config_bind_error(b, letters, "copy it as it was given to you",
                             "the secret is not base64, or shorter than %d bytes", SECRET_MIN);
}

static bool
check_binding(struct config_bind *b, void *object)
{
    struct acme_binding *e = object;

    return read_secret(b, &e->hmac, &e->secret);
}

/* ------------------------------------------------------------------ proofs by DNS */

/* Letters, digits, hyphens and underscores; whole labels. */
static bool
is_dns_name(struct slice name)
{
    size_t label = 0;

    for (size_t i = 0; i < name.n; i++) {
        char c = name.at[i];

        if (c == '.' ? label == 0 || i + 1 == name.n
                     : !ascii_is_alpha(c) && !ascii_is_digit(c) && c != '-' && c != '_')
            return false;
        label = c == '.' ? 0 : label + 1;
        if (label > DNS_LABEL_LONGEST)
            return false;
    }
    return name.n > 0 && name.n <= DNS_NAME_LONGEST;
}

static bool
check_server(struct config_bind *b, struct acme_dns *d)
{
    struct slice host;
    uint16_t port;

    if (!address_split(d->server, 53, &host, &port) || host.n == 0)
        return config_bind_error(b, &d->server, "as in ns1.example.com or 192.0.2.1:53",
                                 "`%.*s` is not a server", SLICE_ARG(d->server));
    if (!is_dns_name(d->zone))
        return config_bind_error(b, &d->zone, "such as `zone: example.com`",
                                 "an update needs to know the zone");
    if (!is_dns_name(d->key_name))
        return config_bind_error(b, &d->key_name, "the name that the server has for the key",
                                 "updates are signed: `key_name` is missing or no name");
    return read_secret(b, &d->key_secret, &d->secret);
}

static bool
check_dns(struct config_bind *b, void *object)
{
    struct acme_dns *d = object;
    const struct slice *words = d->command.at;

    if (slice_is_present(d->server) == (d->command.n > 0))
        return config_bind_error(b, d, "`server`, `zone`, `key_name`, `key_secret`; or `command`",
                                 "records are made by a server or by a command: one of the two");
    if (d->command.n == 0)
        return check_server(b, d);
    return slice_starts(words[0], SLICE("/")) ||
           config_bind_error(b, &d->command, "write its whole path; there is no shell",
                             "`%.*s` is not the path of a program", SLICE_ARG(words[0]));
}

/* ------------------------------------------------------------------ all of it */

static bool
check_directories(struct config_bind *b, struct acme_config *c)
{
    static const struct slice preset =
        SLICE_INIT("https://acme-v02.api.letsencrypt.org/directory");
    const struct slice *urls = c->directories.at;
    struct slice scheme, authority, rest;

    if (c->directories.n > ACME_DIRECTORIES_MAX)
        return config_bind_error(b, &c->directories, NULL, "more than %d authorities",
                                 ACME_DIRECTORIES_MAX);
    if (c->directories.n == 0)
        c->directories = (struct option_list){(void *) &preset, 1};
    for (size_t i = 0; i < c->directories.n && urls; i++)
        if (!target_split_absolute(urls[i], &scheme, &authority, &rest) ||
            !slice_eq_nocase(scheme, SLICE("https")))
            return config_bind_error(b, &c->directories, "it begins with https://",
                                     "`%.*s` is not the address of a directory",
                                     SLICE_ARG(urls[i]));
    return true;
}

static bool
check_challenges(struct config_bind *b, struct acme_config *c)
{
    const int *kinds = c->challenges.at;

    for (size_t i = 0; i < c->challenges.n; i++)
        if (kinds[i] == ACME_DNS_01 && !c->dns)
            return config_bind_error(b, &c->challenges, "add `dns:`",
                                     "dns-01 needs to know how records are made");
    return true;
}

static bool
proves_wildcards(const struct acme_config *c)
{
    const int *kinds = c->challenges.at;

    for (size_t i = 0; i < c->challenges.n; i++)
        if (kinds[i] == ACME_DNS_01)
            return true;
    return c->dns && c->challenges.n == 0;
}

/* Names become lower case; a star may stand for the first label. */
static bool
check_names(struct config_bind *b, struct acme_config *c, struct option_list *list, bool patterns)
{
    struct slice *names = list->at;

    for (size_t i = 0; i < list->n; i++) {
        bool star = slice_starts(names[i], SLICE("*."));

        names[i] = arena_copy(config_bind_arena(b), names[i]);
        for (size_t k = 0; k < names[i].n; k++)
            ((char *) names[i].at)[k] = ascii_lower(names[i].at[k]);
        if (!is_dns_name(star ? slice_from(names[i], 2) : names[i]))
            return config_bind_error(b, list, "as in example.com or *.example.com",
                                     "`%.*s` is not a host name", SLICE_ARG(names[i]));
        if (star && !patterns && !proves_wildcards(c))
            return config_bind_error(b, list, "add `dns:`",
                                     "a certificate for `%.*s` takes a proof by DNS",
                                     SLICE_ARG(names[i]));
    }
    return true;
}

static void
release_client(void *client)
{
    tls_client_release(client);
}

static bool
make_client(struct config_bind *b, struct acme_config *c)
{
    struct tls_client_options o = {.offer_h1 = true};
    char room[300];
    struct text why;

    if (!slice_is_present(c->ca))
        return true;
    if (!config_bind_read(b, &c->ca, c->ca, CA_MAX_BYTES, &o.ca))
        return false;
    text_fixed(&why, room, sizeof(room));
    c->tls = tls_client_new(&o, &why);
    if (!c->tls)
        return config_bind_error(b, &c->ca, NULL, "`%.*s`: %.*s", SLICE_ARG(c->ca), (int) why.n,
                                 why.at);
    return config_bind_cleanup(b, release_client, c->tls);
}

/* A relative folder begins at the configuration's, as all paths in it do. */
static bool
find_state(struct config_bind *b, struct acme_config *c)
{
    if (slice_starts(c->state, SLICE("/")))
        return true;
    c->state = config_bind_path(b, &c->state, c->state);
    return slice_is_present(c->state) || config_bind_error(b, &c->state, NULL, "out of memory");
}

static bool
check_acme(struct config_bind *b, void *object)
{
    struct acme_config *c = object;

    if (slice_is_present(c->email) &&
        (slice_find(c->email, '@') == SLICE_NOT_FOUND || c->email.n > 254))
        return config_bind_error(b, &c->email, NULL, "`%.*s` is not an address for mail",
                                 SLICE_ARG(slice_first(c->email, 100)));
    return check_directories(b, c) && check_challenges(b, c) &&
           check_names(b, c, &c->names, false) && check_names(b, c, &c->on_demand, true) &&
           find_state(b, c) && make_client(b, c);
}

/* ------------------------------------------------------------------ comparing */

static bool
same_lists(const struct option_list *a, const struct option_list *b)
{
    const struct slice *x = a->at, *y = b->at;

    for (size_t i = 0; i < a->n && i < b->n; i++)
        if (!slice_eq(x[i], y[i]))
            return false;
    return a->n == b->n;
}

static bool
same_dns(const struct acme_dns *a, const struct acme_dns *b)
{
    return !a || !b ? a == b
                    : slice_eq(a->server, b->server) && slice_eq(a->zone, b->zone) &&
                          slice_eq(a->key_name, b->key_name) &&
                          slice_eq(a->key_secret, b->key_secret) &&
                          a->delay_us == b->delay_us && a->timeout_us == b->timeout_us &&
                          same_lists(&a->command, &b->command);
}

static bool
same_binding(const struct acme_binding *a, const struct acme_binding *b)
{
    return !a || !b ? a == b : slice_eq(a->key_id, b->key_id) && slice_eq(a->hmac, b->hmac);
}

bool
acme_config_same(const struct acme_config *a, const struct acme_config *b)
{
    return slice_eq(a->email, b->email) && same_lists(&a->directories, &b->directories) &&
           slice_eq(a->ca, b->ca) && a->challenges.n == b->challenges.n &&
           (a->challenges.n == 0 ||
            memcmp(a->challenges.at, b->challenges.at, a->challenges.n * sizeof(int)) == 0) &&
           same_dns(a->dns, b->dns) && same_binding(a->binding, b->binding);
}

/* ------------------------------------------------------------------ tables */

static const struct option binding_options[] = {
    {"key_id", &option_string, offsetof(struct acme_binding, key_id), .flags = OPTION_REQUIRED,
     .doc = "What the certificate authority calls the account."},
    {"hmac", &option_string, offsetof(struct acme_binding, hmac),
     .flags = OPTION_REQUIRED | OPTION_SECRET, .doc = "Its secret, in base64."},
    {NULL},
};

static const struct option_object binding_object = {
    .name = "acme_eab",
    .doc = "The account with the certificate authority that ours belongs to.",
    .size = sizeof(struct acme_binding),
    .options = binding_options,
    .check = check_binding,
};

static const struct option dns_options[] = {
    {"server", &option_string, offsetof(struct acme_dns, server),
     .doc = "The name server that takes updates (RFC 2136), `host` or `host:port`."},
    {"zone", &option_string, offsetof(struct acme_dns, zone),
     .doc = "The zone that the records go to, such as `example.com`."},
    {"key_name", &option_string, offsetof(struct acme_dns, key_name),
     .doc = "Name of the key (TSIG, hmac-sha256) that updates are signed with."},
    {"key_secret", &option_string, offsetof(struct acme_dns, key_secret), .flags = OPTION_SECRET,
     .doc = "The key, in base64."},
    {"ttl", &option_duration, offsetof(struct acme_dns, ttl_us), .preset = "60s", .min = 1000000,
     .max = 86400000000, .doc = "How long the records may be remembered by others."},
    {"command", &option_string, offsetof(struct acme_dns, command), .flags = OPTION_LIST,
     .doc = "Instead of a server: a program, with its arguments, that is run without a shell with "
            "`add` or `remove`, the record's name and its value as further arguments. It ends with "
            "status 0 when the record is there."},
    {"delay", &option_duration, offsetof(struct acme_dns, delay_us), .preset = "0",
     .max = 3600000000,
     .doc = "How long to wait before the authority is asked to look, after the server itself "
            "shows the record or the command has ended: for servers that copy it from others."},
    {"timeout", &option_duration, offsetof(struct acme_dns, timeout_us), .preset = "1m",
     .min = 100000, .max = 3600000000,
     .doc = "How long a run of the command may take, or an update until the server shows the "
            "record."},
    {NULL},
};

static const struct option_object dns_object = {
    .name = "acme_dns",
    .doc = "How proofs get into the DNS, which certificates for wildcards need.",
    .size = sizeof(struct acme_dns),
    .options = dns_options,
    .check = check_dns,
};

static const char *const challenges[] = {
    [ACME_HTTP_01] = "http-01",
    [ACME_TLS_ALPN_01] = "tls-alpn-01",
    [ACME_DNS_01] = "dns-01",
    NULL,
};

static const struct option acme_options[] = {
    {"email", &option_string, offsetof(struct acme_config, email),
     .doc = "Where the certificate authority can reach whoever is responsible."},
    {"directory", &option_string, offsetof(struct acme_config, directories), .flags = OPTION_LIST,
     .doc = "Certificate authorities, by the addresses of their ACME directories; when the first "
            "does not give a certificate the next is asked. By default that of Let's Encrypt. To "
            "name one, or none, is to agree to its terms of service."},
    {"ca", &option_string, offsetof(struct acme_config, ca),
     .doc = "Path of the certificates (PEM) by which the directories themselves are trusted; by "
            "default those that the system trusts."},
    {"challenge", &option_choice, offsetof(struct acme_config, challenges), .flags = OPTION_LIST,
     .choices = challenges,
     .doc = "Ways to prove that a name is ours, in the order in which they are tried. By default "
            "`dns-01` with `dns:`; else `tls-alpn-01` (the authority comes to port 443), then "
            "`http-01` (port 80, on any listener without TLS)."},
    {"dns", &option_objects, offsetof(struct acme_config, dns), .flags = OPTION_POINTER,
     .object = &dns_object, .doc = "How proofs get into the DNS."},
    {"eab", &option_objects, offsetof(struct acme_config, binding), .flags = OPTION_POINTER,
     .object = &binding_object,
     .doc = "External account binding, for authorities that want to know whose account it is."},
    {"names", &option_string, offsetof(struct acme_config, names), .flags = OPTION_LIST,
     .doc = "Host names that get certificates beside those that routes name, such as "
            "`*.example.com`."},
    {"on_demand", &option_string, offsetof(struct acme_config, on_demand), .flags = OPTION_LIST,
     .doc = "Names, or patterns such as `*.customers.example.com` (any depth), that get a "
            "certificate when a client first asks for one; it waits for it a moment. Nobody else "
            "does."},
    {"renew", &option_percent, offsetof(struct acme_config, renew), .preset = "66.6%", .min = 1,
     .max = 1000000,
     .doc = "After what part of its life a certificate is renewed, where the authority does not "
            "say when (ARI, RFC 9773)."},
    {"retry", &option_duration, offsetof(struct acme_config, retry_us), .preset = "1m",
     .min = 100000, .max = 3600000000,
     .doc = "How long to wait after a failure before a name is tried again; the wait doubles with "
            "each failure in a row, up to six hours."},
    {"state", &option_string, offsetof(struct acme_config, state), .preset = "/var/lib/maitred",
     .doc = "Folder where accounts and certificates are kept. The worker's user must be able to "
            "write to it."},
    {NULL},
};

const struct option_object acme_object = {
    .name = "acme",
    .doc = "Certificates that are got, and renewed, by themselves (ACME, RFC 8555); just the "
           "address for mail may stand for it.",
    .size = sizeof(struct acme_config),
    .options = acme_options,
    .shorthand = "email",
    .check = check_acme,
};
