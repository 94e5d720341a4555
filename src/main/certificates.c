/* SPDX-License-Identifier: Apache-2.0 */
/* main/certificates.c - from routes and listeners to names, and to who is stapled. */
#include "main/certificates.h"

#include "acme/stapling.h"
#include "main/folder.h"
#include "observe/log.h"
#include "tls/ocsp.h"

#include <stdio.h>
#include <stdlib.h>

static const struct app *followed;

/* ------------------------------------------------------------------ the state folder */

/* There may be OCSP responses to keep. */
static bool
has_responses(const struct tls_listener *l)
{
    struct tls_identity *id;

    for (size_t i = 0; l->stapling == TLS_STAPLING_AUTO && (id = tls_ocsp_identity(l->fixed, i));
         i++)
        if (tls_ocsp_concerns(id) && !tls_ocsp_is_given(id))
            return true;
    return false;
}

void
certificates_prepare(const struct app *a)
{
    const struct listener_config *l = a->snapshot.listeners.at;

    for (size_t i = 0; i < a->snapshot.listeners.n; i++) {
        if (l[i].tls && l[i].tls->acme)
            folder_prepare(a, l[i].tls->acme->state, "certificates");
        if (l[i].tls && has_responses(l[i].tls))
            folder_prepare(a, l[i].tls->state, "certificates");
    }
}

/* ------------------------------------------------------------------ names */

/* A route counts unless it is for other listeners, or for http only. */
static bool
concerns(const struct route *r, const struct listener_config *l)
{
    return (r->listener.n == 0 || slice_eq(r->listener, l->name)) &&
           (r->scheme.n == 0 || slice_eq_nocase(r->scheme, SLICE("https")));
}

static bool
has_host(const struct app *a, const struct listener_config *l, struct slice name)
{
    const struct route *r = a->settings->routes.at;

    for (size_t i = 0; i < a->settings->routes.n; i++)
        for (size_t j = 0; concerns(&r[i], l) && j < r[i].hosts.n; j++)
            if (!name.n || slice_eq_nocase(((const struct slice *) r[i].hosts.at)[j], name))
                return true;
    return false;
}

static void
check_listener(const struct app *a, const struct listener_config *l, struct config_report *report)
{
    const struct acme_config *acme = l->tls->acme;

    if (!acme->names.n && !acme->on_demand.n && !has_host(a, l, SLICE("")))
        config_report_add(report, CONFIG_WARNING, config_where_object(a->snapshot.config, acme),
                          "name hosts in routes, or under `names` or `on_demand`",
                          "no certificate will be got: no route of this listener names a host");
    if (l->tls->preset.n && !tls_store_has(l->tls->fixed, l->tls->preset) &&
        !has_host(a, l, l->tls->preset))
        config_report_add(report, CONFIG_WARNING,
                          config_where(a->snapshot.config, &l->tls->preset),
                          "name a host of a route, or of a certificate",
                          "no certificate is for `%.*s`", SLICE_ARG(l->tls->preset));
}

void
certificates_check(const struct app *a, struct config_report *report)
{
    const struct listener_config *l = a->snapshot.listeners.at;

    for (size_t i = 0; i < a->snapshot.listeners.n; i++)
        if (l[i].tls && l[i].tls->acme)
            check_listener(a, &l[i], report);
}

/* The name that `default:` asks for comes first: the first one is shown to clients that ask for
 * none. */
static void
put_default_first(struct slice *hosts, size_t n, struct slice preset)
{
    for (size_t i = 1; i < n; i++)
        if (slice_eq_nocase(hosts[i], preset)) {
            struct slice first = hosts[0];

            hosts[0] = hosts[i];
            hosts[i] = first;
        }
}

/* All hosts that requests of this listener are routed by. */
static bool
collect(const struct app *a, const struct listener_config *l, struct acme_follow *f)
{
    const struct route *r = a->settings->routes.at;
    struct slice *hosts;
    size_t n = 0;

    for (size_t i = 0; i < a->settings->routes.n; i++)
        n += concerns(&r[i], l) ? r[i].hosts.n : 0;
    hosts = calloc(n + 1, sizeof(*hosts));
    if (!hosts)
        return false;
    *f = (struct acme_follow){
        .config = l->tls->acme,
        .server = l->tls->server,
        .fixed = l->tls->fixed,
        .hosts = hosts,
        .n_hosts = n,
    };
    n = 0;
    for (size_t i = 0; i < a->settings->routes.n; i++)
        for (size_t j = 0; concerns(&r[i], l) && j < r[i].hosts.n; j++)
            hosts[n++] = ((const struct slice *) r[i].hosts.at)[j];
    put_default_first(hosts, n, l->tls->preset);
    return true;
}

static size_t
follow_stapling(const struct app *a)
{
    const struct listener_config *l = a->snapshot.listeners.at;
    struct acme_stapling_follow *list = calloc(a->snapshot.listeners.n + 1, sizeof(*list));
    size_t n = 0;

    for (size_t i = 0; list && i < a->snapshot.listeners.n; i++)
        if (l[i].tls && l[i].tls->stapling == TLS_STAPLING_AUTO)
            list[n++] = (struct acme_stapling_follow){l[i].tls->server, l[i].tls->state};
    if ((n || followed) && (!list || !acme_stapling_follow(list, n)))
        log_error("certificates: out of memory; some are not stapled");
    free(list);
    return n;
}

void
certificates_follow(const struct app *a)
{
    const struct listener_config *l = a->snapshot.listeners.at;
    struct acme_follow *list = calloc(a->snapshot.listeners.n + 1, sizeof(*list));
    bool good = list != NULL;
    size_t n = 0;

    for (size_t i = 0; good && i < a->snapshot.listeners.n; i++)
        if (l[i].tls && l[i].tls->acme)
            good = collect(a, &l[i], &list[n++]);
    if ((n || followed) && (!good || !acme_follow(list, n, a->snapshot.config)))
        log_error("certificates: out of memory; some names are not looked after");
    for (size_t i = 0; i < n; i++)
        free((void *) list[i].hosts);
    free(list);
    n += follow_stapling(a);
    followed = n ? a : NULL;
}

void
certificates_forget(const struct app *a)
{
    if (followed != a)
        return;
    followed = NULL;
    acme_stapling_stop();
    acme_stop();
}
