/* SPDX-License-Identifier: Apache-2.0 */
/* acme/demand.c - a list that workers read, and messages that they send. */
#include "acme/demand.h"

#include "acme/names.h"
#include "runtime/quiesce.h"
#include "tls/challenge.h"

#include <stdlib.h>

enum { MESSAGES_MAX = 100 }; /* on their way at a time; whoever comes then is not served */

/* Immutable. */
struct demand {
    struct config        *owner;
    acme_wish_f          *grant;
    struct loop          *control;
    size_t                n;
    struct acme_allowance of[];
};

struct wish {
    struct message           message;
    acme_wish_f             *grant;
    const struct tls_server *server;
    size_t                   n;
    char                     name[ACME_NAME_LONGEST];
};

static _Atomic(struct demand *) current;
static _Atomic unsigned messages;

/* ------------------------------------------------------------------ workers */

static bool
is_allowed(const struct demand *d, const struct tls_server *server, struct slice name)
{
    for (size_t i = 0; i < d->n; i++)
        if (d->of[i].server == server)
            return acme_name_is_allowed(d->of[i].patterns, name) && acme_name_is_host(name);
    return false;
}

static void
deliver(struct message *m)
{
    struct wish *w = container_of(m, struct wish, message);

    atomic_fetch_sub(&messages, 1);
    w->grant(w->server, slice_of(w->name, w->n));
    free(w);
}

/* A tls_challenge_wanted_f. */
static bool
on_wanted(const struct tls_server *server, struct slice name)
{
    const struct demand *d = atomic_load(&current);
    struct wish *w;

    if (!d || !is_allowed(d, server, name) || atomic_load(&messages) >= MESSAGES_MAX)
        return false;
    w = calloc(1, sizeof(*w));
    if (!w)
        return false;
    atomic_fetch_add(&messages, 1);
    w->message.run = deliver;
    w->grant = d->grant;
    w->server = server;
    w->n = name.n;
    memcpy(w->name, name.at, name.n);
    loop_post(d->control, &w->message);
    return true;
}

/* ------------------------------------------------------------------ control thread */

static void
demand_free(void *what)
{
    struct demand *d = what;

    config_free(d->owner);
    free(d);
}

bool
acme_demand_allow(const struct acme_allowance *list, size_t n, struct config *owner,
                  acme_wish_f *grant)
{
    struct demand *d = n ? calloc(1, sizeof(*d) + n * sizeof(d->of[0])) : NULL, *old;

    if (d) {
        d->owner = config_hold(owner);
        d->grant = grant;
        d->control = loop_self();
        d->n = n;
        memcpy(d->of, list, n * sizeof(*list));
    }
    old = atomic_exchange(&current, d);
    tls_challenge_on_wanted(d ? on_wanted : NULL);
    if (old)
        workers_retire(demand_free, old);
    return d || n == 0;
}
