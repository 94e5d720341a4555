/* SPDX-License-Identifier: Apache-2.0 */
/* acme/local.c - the local authority: read or made once, then used. */
#include "acme/local.h"

#include "acme/acme.h"
#include "acme/certificate.h"
#include "acme/jose.h"
#include "acme/state.h"
#include "base/address.h"
#include "base/check.h"
#include "base/clock.h"
#include "observe/log.h"
#include "runtime/loop.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { PEM_MAX = 16 * 1024, SUBJECT_MAX = 64, HOST_MAX = 32, LOOK_US = 20000 };

#define DAY_S 86400ull
#define AUTHORITY_VALID_S (3650 * DAY_S)
#define CERTIFICATE_VALID_S (90 * DAY_S)

static const char constraints[] =
    "critical,permitted;DNS:localhost,permitted;IP:127.0.0.0/255.0.0.0,"
    "permitted;IP:0:0:0:0:0:0:0:1/ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";

/* Of one state folder; a process has one, as good as always. */
struct authority {
    struct authority *next;
    char              state[ACME_PATH_MAX];
    struct text       pem; /* certificate, then key */
    size_t            certificate_n;
};

static struct authority *authorities;
static bool busy; /* a fiber is reading or making one */

/* ------------------------------------------------------------------ which names */

bool
acme_is_local(struct slice name)
{
    union address a;

    if (address_parse_ip(name, 0, &a))
        return a.any.sa_family == AF_INET ? ntohl(a.v4.sin_addr.s_addr) >> 24 == 127
                                          : IN6_IS_ADDR_LOOPBACK(&a.v6.sin6_addr);
    return slice_eq(name, SLICE("localhost")) || slice_ends(name, SLICE(".localhost"));
}

/* ------------------------------------------------------------------ files */

bool
acme_local_ca_path(struct slice state, char *out, size_t room)
{
    int n = snprintf(out, room, "%.*s/local/ca.pem", SLICE_ARG(state));

    return n > 0 && (size_t) n < room;
}

static bool
paths_of(const struct authority *a, char *certificate, char *key)
{
    return acme_local_ca_path(slice_str(a->state), certificate, ACME_PATH_MAX) &&
           acme_state_path(slice_str(a->state), "local", SLICE("ca"), "key", key);
}

/* Certificate and key belong together, and last a while. */
static bool
is_good(struct slice pem, char *why, size_t room)
{
    struct tls_material m = {.certificate = pem};
    struct acme_certificate c;
    struct tls_identity *id;
    struct text t, warning;

    text_fixed(&t, why, room - 1);
    text_init(&warning, 1000);
    id = tls_identity_new(&m, &t, &warning);
    why[t.n] = '\0';
    text_free(&warning);
    tls_identity_release(id);
    if (!id || !acme_certificate_read(pem, &c))
        return false;
    if (c.to_s < (int64_t) (clock_wall_us() / 1000000 + CERTIFICATE_VALID_S)) {
        snprintf(why, room, "it expires soon");
        return false;
    }
    return true;
}

/* False: there is none that could be used. */
static bool
load(struct authority *a)
{
    char certificate[ACME_PATH_MAX], key[ACME_PATH_MAX], why[200];
    enum err e;

    if (!paths_of(a, certificate, key))
        return false;
    e = acme_state_read(certificate, &a->pem);
    a->certificate_n = a->pem.n;
    if (e == OK)
        e = acme_state_read(key, &a->pem);
    if (e == ERR_NOT_FOUND)
        return false;
    if (e == OK && is_good(text_slice(&a->pem), why, sizeof(why)))
        return true;
    log_warning("certificates: the local authority `%s` is of no use (%s); there will be a new one,"
                " which wants to be trusted anew", certificate, e == OK ? why : err_sentence(e));
    return false;
}

/* ------------------------------------------------------------------ making it */

static void
save(const struct authority *a)
{
    struct slice pem = text_slice(&a->pem);
    char certificate[ACME_PATH_MAX], key[ACME_PATH_MAX];
    enum err e = ERR_LIMIT;

    if (paths_of(a, certificate, key)) {
        e = acme_state_write(key, slice_from(pem, a->certificate_n));
        if (e == OK)
            e = acme_state_write(certificate, slice_first(pem, a->certificate_n));
    }
    if (e == OK)
        log_info(
            "certificates: made a local authority: `%s`; `maitred trust` tells how to trust it",
            certificate);
    else
        log_warning("certificates: the local authority cannot be kept in `%s`: %s; the next start "
                    "makes another one", a->state, err_sentence(e));
}

/* Several machines' authorities may stand in one browser: each is called by its machine. */
static bool
make(struct authority *a)
{
    char host[HOST_MAX + 1] = "", subject[SUBJECT_MAX];
    struct acme_recipe recipe = {
        .valid_s = AUTHORITY_VALID_S,
        .authority = true,
        .constraints = constraints,
    };
    size_t key;

    a->pem.n = 0;
    (void) gethostname(host, HOST_MAX);
    snprintf(subject, sizeof(subject), "maitred local authority%s%s", host[0] ? " of " : "", host);
    recipe.subject = slice_str(subject);
    if (!acme_certificate_make(&recipe, &a->pem))
        return false;
    key = slice_search(text_slice(&a->pem), SLICE("-----BEGIN PRIVATE KEY"));
    if (key == SLICE_NOT_FOUND)
        return false;
    a->certificate_n = key;
    save(a);
    return true;
}

static void
authority_free(struct authority *a)
{
    text_free(&a->pem);
    free(a);
}

static const struct authority *
find(struct slice state)
{
    for (const struct authority *a = authorities; a; a = a->next)
        if (slice_eq(slice_str(a->state), state))
            return a;
    return NULL;
}

static const struct authority *
load_or_make(struct slice state)
{
    struct authority *a = calloc(1, sizeof(*a));

    if (!a)
        return NULL;
    text_init(&a->pem, PEM_MAX);
    snprintf(a->state, sizeof(a->state), "%.*s", SLICE_ARG(state));
    if (!load(a) && !make(a)) {
        authority_free(a);
        return NULL;
    }
    a->next = authorities;
    authorities = a;
    return a;
}

/* NULL when out of memory, or cancelled. */
static const struct authority *
authority_of(struct slice state)
{
    const struct authority *a;

    while (!(a = find(state)) && busy)
        if (fiber_sleep_until(loop_now_us() + LOOK_US) != OK)
            return NULL;
    if (a)
        return a;
    busy = true;
    a = load_or_make(state);
    busy = false;
    return a;
}

void
acme_local_exit(void)
{
    while (authorities) {
        struct authority *a = authorities;

        authorities = a->next;
        authority_free(a);
    }
}

/* ------------------------------------------------------------------ issuing */

bool
acme_local_issue(struct slice state, struct slice name, struct text *out, char *why, size_t room)
{
    const struct slice names[] = {name, SLICE("127.0.0.1"), SLICE("::1")};
    const struct authority *a = authority_of(state);
    struct acme_recipe recipe = {
        .subject = name,
        .names = names,
        .n_names = countof(names),
        .valid_s = CERTIFICATE_VALID_S,
    };

    if (a) {
        recipe.issuer = text_slice(&a->pem);
        if (acme_certificate_make(&recipe, out)) {
            text_put(out, slice_first(text_slice(&a->pem), a->certificate_n));
            return true;
        }
    }
    snprintf(why, room, "the local authority cannot be made");
    return false;
}
