/* SPDX-License-Identifier: Apache-2.0 */
/*
 * acme/stapling.c - which certificates want a response.
 *
 * What servers show changes under us: a reload, a folder, ACME.  Once a second it is looked whether
 * a server has another store than before, which takes two comparisons; only then its certificates
 * are gone through.  Each that names a responder has an entry (staple.h), by its bytes, so that a
 * reload or a second listener with the same certificate finds the response that is there.
 */
#include "acme/stapling.h"

#include "acme/staple.h"
#include "base/map.h"
#include "observe/log.h"
#include "runtime/loop.h"

#include <stdlib.h>

enum {
    LOOK_US = 1000000,
    LOADED_MAX = 1000, /* from files before clients are served; the others a moment later */
};

/* One server, and the stores that were gone through last; references. */
struct followed {
    struct tls_server *server;
    struct tls_store  *stores[2];
    char              *state;
};

static struct followed *followed;
static size_t n_followed;
static struct map staples; /* by certificate */
static uint32_t look_round;
static struct timer look_timer;

/* ------------------------------------------------------------------ what is shown */

static void
drop(struct acme_staple *s)
{
    (void) map_remove(&staples, s->certificate);
    acme_staple_drop(s);
}

/* NULL when out of memory. */
static struct acme_staple *
add(struct tls_identity *id, const char *state)
{
    struct acme_staple *s = acme_staple_new(id, state);

    if (!s)
        return NULL;
    if (!acme_staple_attach(s, id, look_round) || !map_put(&staples, s->certificate, s)) {
        acme_staple_drop(s);
        return NULL;
    }
    return s;
}

/* A certificate with a file is its operator's business.  False when out of memory. */
static bool
consider(struct tls_identity *id, const char *state)
{
    struct acme_staple *s;

    if (!tls_ocsp_concerns(id) || tls_ocsp_is_given(id))
        return true;
    s = map_get(&staples, tls_ocsp_certificate(id));
    if (s)
        return acme_staple_attach(s, id, look_round);
    s = add(id, state);
    if (s && s->must && !s->question.url.n)
        log_warning("certificates: %.*s must be stapled, but names no responder, or its issuer is "
                    "not in the chain: clients may refuse it", SLICE_ARG(acme_staple_name(s)));
    return s != NULL;
}

static bool
consider_store(const struct tls_store *store, const char *state)
{
    struct tls_identity *id;
    bool good = true;

    for (size_t i = 0; store && (id = tls_ocsp_identity(store, i)); i++)
        good = consider(id, state) && good;
    return good;
}

/* Everything anew from what is shown now.  False when out of memory: some are not looked after. */
static bool
look(void)
{
    const struct map_slot *slot;
    bool good = true;

    look_round++;
    for (size_t i = 0; i < n_followed; i++)
        for (size_t j = 0; j < 2; j++)
            good = consider_store(followed[i].stores[j], followed[i].state) && good;
    for (size_t i = 0; (slot = map_each(&staples, &i));)
        if (acme_staple_detach_old(slot->value, look_round)) {
            drop(slot->value);
            i--; /* another may have moved there */
        }
    return good;
}

/* The references keep a new store from having an old one's address.  True: something is new. */
static bool
hold_stores(struct followed *f)
{
    bool changed = false;

    for (unsigned i = 0; i < 2; i++) {
        struct tls_store *now = tls_ocsp_store(f->server, i);

        if (now == f->stores[i])
            continue;
        if (now)
            tls_store_hold(now);
        tls_store_release(f->stores[i]);
        f->stores[i] = now;
        changed = true;
    }
    return changed;
}

static void
wake_all(void)
{
    const struct map_slot *slot;

    for (size_t i = 0; (slot = map_each(&staples, &i));)
        acme_staple_wake(slot->value);
}

static void
on_look(struct timer *t)
{
    static bool again; /* after a want of memory */
    bool changed = again;

    for (size_t i = 0; i < n_followed; i++)
        changed = hold_stores(&followed[i]) || changed;
    if (changed) {
        again = !look();
        wake_all();
    }
    timer_set(&loop_self()->timers, t, loop_now_us() + LOOK_US);
}

/* ------------------------------------------------------------------ from outside */

static void
release_followed(struct followed *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < 2; j++)
            tls_store_release(list[i].stores[j]);
        tls_server_release(list[i].server);
        free(list[i].state);
    }
    free(list);
}

/* NULL when out of memory. */
static struct followed *
copy_list(const struct acme_stapling_follow *list, size_t n)
{
    struct followed *copy = calloc(n + 1, sizeof(*copy));
    bool good = copy != NULL;

    for (size_t i = 0; i < n && good; i++) {
        tls_server_hold(list[i].server);
        copy[i].server = list[i].server;
        copy[i].state = strndup(list[i].state.at, list[i].state.n);
        good = copy[i].state != NULL;
    }
    if (good)
        return copy;
    if (copy)
        release_followed(copy, n);
    return NULL;
}

/* So that a restart staples at once.  Nobody else adds or drops entries meanwhile: the timer does
 * not run. */
static void
load_all(void)
{
    const struct map_slot *slot;
    size_t left = LOADED_MAX;

    for (size_t i = 0; left && (slot = map_each(&staples, &i));)
        left -= acme_staple_load(slot->value);
}

bool
acme_stapling_follow(const struct acme_stapling_follow *list, size_t n)
{
    struct followed *fresh = copy_list(list, n);
    bool good;

    if (!fresh)
        return false;
    timer_clear(&loop_self()->timers, &look_timer);
    release_followed(followed, n_followed);
    followed = fresh;
    n_followed = n;
    for (size_t i = 0; i < n; i++)
        (void) hold_stores(&fresh[i]);
    good = look();
    load_all();
    wake_all();
    look_timer.fire = on_look;
    timer_set(&loop_self()->timers, &look_timer, loop_now_us() + LOOK_US);
    return good;
}

void
acme_stapling_stop(void)
{
    const struct map_slot *slot;

    if (!followed)
        return;
    timer_clear(&loop_self()->timers, &look_timer);
    for (size_t i = 0; (slot = map_each(&staples, &i));) {
        drop(slot->value);
        i--;
    }
    map_free(&staples);
    release_followed(take(&followed), n_followed);
    n_followed = 0;
}
