/* SPDX-License-Identifier: Apache-2.0 */
/* control/admin.c - what can be configured of the API. */
#include "control/admin.h"

#include "base/check.h"

const char *const api_rights[] = {
    [API_READ] = "read", [API_OPERATE] = "operate", [API_ADMIN] = "admin", NULL};

enum { TOKEN_BYTES_MIN = 16 };

static const struct option token_options[] = {
    {"name", &option_string, offsetof(struct admin_token, name), .flags = OPTION_REQUIRED,
     .doc = "Who uses it; it stands in the audit log."},
    {"token", &option_string, offsetof(struct admin_token, token),
     .flags = OPTION_REQUIRED | OPTION_SECRET,
     .doc = "The secret, 16 bytes or more: `${file:/etc/maitred/ci.token}`. It is sent as "
            "`Authorization: Bearer TOKEN`."},
    {"right", &option_choice, offsetof(struct admin_token, right), .preset = "read",
     .choices = api_rights,
     .doc = "`read` sees everything but secrets; `operate` also changes the state of servers, "
            "purges, cancels and reloads; `admin` also changes the configuration."},
    {NULL},
};

static bool
check_token(struct config_bind *b, void *object)
{
    const struct admin_token *t = object;

    if (t->token.n < TOKEN_BYTES_MIN)
        return config_bind_error(b, &t->token, "openssl rand -hex 24 makes a good one",
                                 "the token is shorter than %d bytes", TOKEN_BYTES_MIN);
    return true;
}

static const struct option_object token_object = {
    .name = "token",
    .doc = "Somebody who may use the API.",
    .size = sizeof(struct admin_token),
    .options = token_options,
    .check = check_token,
};

static const struct option admin_options[] = {
    {"listen", &option_objects, offsetof(struct admin_config, listen), .object = &listener_object,
     .flags = OPTION_LIST, .preset = "unix:/run/maitred/admin.sock",
     .doc = "Where the API and the dashboard are. A Unix socket is open to root and to the user "
            "who started maitred; everybody else, and everybody over TCP, needs a token."},
    {"tokens", &option_objects, offsetof(struct admin_config, tokens), .object = &token_object,
     .flags = OPTION_LIST, .doc = "Who may use the API, and how far."},
    {"state", &option_string, offsetof(struct admin_config, state), .preset = "/var/lib/maitred",
     .doc = "A folder in which revisions of the configuration and the history of analytics are "
            "kept; a relative path starts at the folder of the file."},
    {"keep", &option_int, offsetof(struct admin_config, keep), .preset = "500", .min = 2,
     .max = 100000, .doc = "How many revisions are kept."},
    {"dashboard", &option_bool, offsetof(struct admin_config, dashboard), .preset = "on",
     .doc = "Serve the dashboard at `/`."},
    {NULL},
};

static bool
check_listen(struct config_bind *b, const struct admin_config *a)
{
    const struct listener_config *l = a->listen.at;

    for (size_t i = 0; i < a->listen.n; i++) {
        if (l[i].address.any.sa_family == AF_UNIX)
            continue;
        if (a->tokens.n == 0)
            return config_bind_error(b, &l[i].address_text,
                                     "add `tokens:`, or listen on unix:/run/maitred/admin.sock",
                                     "anybody who reaches `%.*s` could change everything",
                                     SLICE_ARG(l[i].address_text));
        if (!l[i].tls && !address_is_loopback(&l[i].address))
            config_bind_warning(b, &l[i].address_text, "add `tls:`",
                                "tokens go over the network in clear");
    }
    return true;
}

static bool
check_admin(struct config_bind *b, void *object)
{
    struct admin_config *a = object;
    const struct admin_token *t = a->tokens.at;

    for (size_t i = 0; i < a->tokens.n; i++)
        for (size_t j = 0; j < i; j++) {
            if (slice_eq(t[i].name, t[j].name))
                return config_bind_error(b, &t[i].name, NULL, "two tokens have the name `%.*s`",
                                         SLICE_ARG(t[i].name));
            if (slice_eq(t[i].token, t[j].token))
                return config_bind_error(b, &t[i].token, NULL, "`%.*s` has the same token",
                                         SLICE_ARG(t[j].name));
        }
    a->state = config_bind_path(b, &a->state, a->state);
    return a->state.at && check_listen(b, a);
}

const struct option_object admin_object = {
    .name = "admin",
    .doc = "The REST API and the dashboard. Without it there is none.",
    .size = sizeof(struct admin_config),
    .options = admin_options,
    .check = check_admin,
};
