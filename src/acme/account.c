/* SPDX-License-Identifier: Apache-2.0 */
/* acme/account.c - accounts: from the state folder, or made. */
#include "acme/account.h"

#include "acme/jose.h"
#include "acme/state.h"
#include "base/list.h"
#include "observe/log.h"
#include "runtime/fiber.h"
#include "runtime/loop.h"

#include <stdio.h>
#include <stdlib.h>

enum { NAME_LENGTH = 32, URL_MAX = 2000, PAYLOAD_MAX = 8192, LOOK_US = 20000 };

static const char folder[] = "acme/accounts";

struct account {
    struct list link;
    char        name[NAME_LENGTH + 1]; /* of its files */
    EVP_PKEY   *key;
    char        url[URL_MAX + 1]; /* empty: none yet */
    bool        busy; /* a fiber is getting it */
};

static struct list accounts = {&accounts, &accounts};

/* ------------------------------------------------------------------ which one */

static bool
make_name(const struct acme_client *c, const struct acme_config *config, char *out)
{
    unsigned char hash[ACME_SHA256_BYTES];
    char room[4096];
    struct text t;

    text_fixed(&t, room, sizeof(room));
    text_printf(&t, "%.*s\n%.*s\n%.*s", SLICE_ARG(c->directory), SLICE_ARG(config->email),
                config->binding ? (int) config->binding->key_id.n : 0,
                config->binding ? config->binding->key_id.at : "");
    if (t.full || !acme_sha256(text_slice(&t), hash))
        return false;
    for (size_t i = 0; i < NAME_LENGTH / 2; i++)
        snprintf(out + 2 * i, 3, "%02x", hash[i]);
    return true;
}

static struct account *
find(const char *name)
{
    list_each (link, &accounts) {
        struct account *a = list_entry(link, struct account, link);

        if (strcmp(a->name, name) == 0)
            return a;
    }
    return NULL;
}

/* NULL when out of memory. */
static struct account *
account_of(const struct acme_client *c, const struct acme_config *config)
{
    char name[NAME_LENGTH + 1];
    struct account *a;

    if (!make_name(c, config, name))
        return NULL;
    a = find(name);
    if (a || !(a = calloc(1, sizeof(*a))))
        return a;
    memcpy(a->name, name, sizeof(name));
    list_append(&accounts, &a->link);
    return a;
}

/* ------------------------------------------------------------------ files */

static bool
path_of(const struct account *a, const struct acme_config *config, const char *suffix, char *out)
{
    return acme_state_path(config->state, folder, slice_str(a->name), suffix, out);
}

/* True: there is such a file, and it is as it was written. */
static bool
load_file(const struct account *a, const struct acme_config *config, const char *suffix,
          struct text *out)
{
    char path[ACME_PATH_MAX];
    enum err e = ERR_NOT_FOUND;

    out->n = 0;
    if (path_of(a, config, suffix, path))
        e = acme_state_read_sealed(path, out);
    if (e != OK && e != ERR_NOT_FOUND)
        log_warning("certificates: `%s` is of no use (%s): the account is made, or asked for, anew",
                    path, e == ERR_MALFORMED ? "it is not as it was written" : err_sentence(e));
    return e == OK;
}

/* What is not there, or cannot be read, is made anew. */
static void
load(struct account *a, const struct acme_config *config)
{
    struct text t;

    text_init(&t, ACME_FILE_MAX);
    if (load_file(a, config, "pem", &t))
        a->key = acme_key_read(text_slice(&t));
    if (a->key && load_file(a, config, "url", &t) && t.n <= URL_MAX)
        snprintf(a->url, sizeof(a->url), "%.*s", (int) t.n, t.at);
    text_free(&t);
}

static bool
save_file(const struct account *a, const struct acme_config *config, const char *suffix,
          struct slice content)
{
    char path[ACME_PATH_MAX];
    enum err e;

    if (!path_of(a, config, suffix, path))
        return false;
    e = acme_state_write_sealed(path, content);
    if (e != OK)
        log_warning("certificates: cannot write `%s`: %s", path, err_sentence(e));
    return e == OK;
}

/* The key is on the disk before anybody hears of it. */
static bool
make_key(struct acme_client *c, struct account *a, const struct acme_config *config)
{
    struct text pem;
    bool good;

    a->key = acme_key_new();
    if (!a->key)
        return acme_client_fail(c, "out of memory");
    text_init(&pem, ACME_FILE_MAX);
    good = acme_key_write(a->key, &pem) && save_file(a, config, "pem", text_slice(&pem));
    text_free(&pem);
    if (good)
        return true;
    EVP_PKEY_free(take(&a->key));
    return acme_client_fail(c, "the key of the account cannot be kept in `%.*s`",
                            SLICE_ARG(slice_first(config->state, 200)));
}

/* ------------------------------------------------------------------ newAccount */

/* RFC 8555 7.3.4: the authority's key signs ours. */
static bool
put_binding(struct acme_client *c, const struct acme_binding *e, struct text *out)
{
    char header_room[4096], jwk_room[512];
    struct text header, jwk;

    text_fixed(&header, header_room, sizeof(header_room));
    text_fixed(&jwk, jwk_room, sizeof(jwk_room));
    text_literal(&header, "{\"alg\":\"HS256\",\"kid\":\"");
    text_json(&header, e->key_id);
    text_literal(&header, "\",\"url\":\"");
    text_json(&header, c->new_account);
    text_literal(&header, "\"}");
    text_literal(out, ",\"externalAccountBinding\":");
    return !header.full && acme_jwk_write(c->key, &jwk) &&
           acme_jws_write_mac(e->secret, text_slice(&header), text_slice(&jwk), out);
}

static bool
write_payload(struct acme_client *c, const struct acme_config *config, struct text *out)
{
    bool good = true;

    text_literal(out, "{\"termsOfServiceAgreed\":true");
    if (slice_is_present(config->email)) {
        text_literal(out, ",\"contact\":[\"mailto:");
        text_json(out, config->email);
        text_literal(out, "\"]");
    }
    if (config->binding)
        good = put_binding(c, config->binding, out);
    text_literal(out, "}");
    return (good && !out->full) || acme_client_fail(c, "out of memory");
}

static bool
is_account_url(struct slice url)
{
    return url.n > 0 && url.n <= URL_MAX && slice_find(url, '\n') == SLICE_NOT_FOUND;
}

/* Gives the URL of the account that there is for this key, or of a new one. */
static bool
ask_for_account(struct acme_client *c, struct account *a, const struct acme_config *config)
{
    struct acme_reply r = {0};
    struct text payload;
    bool good;

    c->key = a->key;
    c->account = (struct slice){NULL, 0};
    if (c->wants_binding && !config->binding)
        return acme_client_fail(c, "%.*s wants accounts that belong to external ones: set `eab`",
                                SLICE_ARG(slice_first(c->directory, 200)));
    text_init(&payload, PAYLOAD_MAX);
    good = write_payload(c, config, &payload) &&
           acme_client_post(c, c->new_account, text_slice(&payload), &r);
    if (good && !is_account_url(r.location))
        good = acme_client_fail(c, "the new account has no URL");
    if (good) {
        snprintf(a->url, sizeof(a->url), "%.*s", SLICE_ARG(r.location));
        /* Without this file the authority is asked again next time: no harm. */
        (void) save_file(a, config, "url", slice_str(a->url));
        log_info("certificates: account with %.*s: %s", SLICE_ARG(c->directory), a->url);
    }
    acme_reply_free(&r);
    text_free(&payload);
    return good;
}

/* ------------------------------------------------------------------ all together */

static bool
get(struct acme_client *c, struct account *a, const struct acme_config *config)
{
    if (!a->key)
        load(a, config);
    if (!a->key && !make_key(c, a, config))
        return false;
    return a->url[0] || ask_for_account(c, a, config);
}

bool
acme_account_open(struct acme_client *c, const struct acme_config *config)
{
    struct account *a = account_of(c, config);
    bool good;

    if (!a)
        return acme_client_fail(c, "out of memory");
    while (a->busy)
        if (fiber_sleep_until(loop_now_us() + LOOK_US) != OK)
            return acme_client_fail(c, "%s", err_sentence(ERR_CANCELLED));
    a->busy = true;
    good = get(c, a, config);
    a->busy = false;
    if (!good)
        return false;
    c->key = a->key;
    c->account = arena_copy(&c->arena, slice_str(a->url));
    return slice_is_present(c->account) || acme_client_fail(c, "out of memory");
}

void
acme_account_forget(struct acme_client *c, const struct acme_config *config)
{
    struct account *a = account_of(c, config);

    c->account = (struct slice){NULL, 0};
    if (a)
        a->url[0] = '\0';
}

void
acme_account_exit(void)
{
    struct list *link;

    while ((link = list_pop(&accounts))) {
        struct account *a = list_entry(link, struct account, link);

        EVP_PKEY_free(a->key);
        free(a);
    }
}
