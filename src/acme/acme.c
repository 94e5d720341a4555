/* SPDX-License-Identifier: Apache-2.0 */
/*
 * acme/acme.c - which names are wanted, and who shows their certificates.
 *
 * A server of tls/ has two stores: what it was configured with, and what is kept for it here.  The
 * second is made anew as a whole when something in it changes.
 */
#include "acme/acme.h"

#include "acme/account.h"
#include "acme/challenge.h"
#include "acme/demand.h"
#include "acme/keeper.h"
#include "acme/local.h"
#include "acme/names.h"
#include "base/map.h"
#include "observe/log.h"
#include "runtime/loop.h"
#include "tls/challenge.h"

#include <stdlib.h>

enum {
    PUBLISH_US = 50000,       /* changes are collected for so long */
    PLACEHOLDERS_MAX = 50,    /* made at a time: each takes a millisecond */
    DEMAND_WAITING_MAX = 100, /* names on demand that have no certificate yet */
    DEMAND_MAX = 10000,       /* names on demand, all together */
};

struct follow {
    const struct acme_config *config;
    struct config            *owner;  /* a reference */
    struct tls_server        *server; /* likewise */
    bool                      has_fixed; /* it has certificates of its own */
    struct acme_keeper      **keepers; /* of names that were asked for, in that order */
    size_t                    n;
};

static struct follow *follows;
static size_t n_follows;
static struct map keepers; /* all, by name */
static size_t n_on_demand;
static struct timer publish_timer;
static struct tls_identity *nameless; /* for servers that have nothing else to show yet */

/* ------------------------------------------------------------------ names */

static bool
is_fixed(const struct acme_follow *f, struct slice name)
{
    char room[ACME_NAME_LONGEST + 2];
    struct slice over = acme_name_wildcard_over(name, room);

    return f->fixed && (tls_store_has(f->fixed, name) || (over.n && tls_store_has(f->fixed, over)));
}

static bool
contains(const struct slice *list, size_t n, struct slice name)
{
    for (size_t i = 0; i < n; i++)
        if (slice_eq(list[i], name))
            return true;
    return false;
}

static bool
proves_wildcards(const struct acme_config *config)
{
    enum acme_challenge kinds[ACME_CHALLENGES];

    return acme_challenge_list(config, true, kinds) > 0;
}

/* A wildcard that is wanted as well serves it too. */
static bool
is_below_wildcard(const struct acme_follow *f, struct slice name)
{
    char room[ACME_NAME_LONGEST + 2];
    struct slice over = acme_name_wildcard_over(name, room);

    return over.n && proves_wildcards(f->config) &&
           (contains(f->hosts, f->n_hosts, over) ||
            contains(f->config->names.at, f->config->names.n, over));
}

/* Is it one that a certificate is to be got for? */
static bool
wants(const struct acme_follow *f, struct slice name)
{
    union address ip;

    if (is_fixed(f, name))
        return false;
    if (acme_is_local(name))
        return true;
    if (address_parse_ip(name, 0, &ip) ||
        !acme_name_is_host(acme_name_is_wildcard(name) ? slice_from(name, 2) : name)) {
        log_info("certificates: none for `%.*s`: no authority gives one for that",
                 SLICE_ARG(slice_first(name, 100)));
        return false;
    }
    if (acme_name_is_wildcard(name) && !proves_wildcards(f->config)) {
        if (!contains(f->config->on_demand.at, f->config->on_demand.n, name))
            log_warning("certificates: none for %.*s: a wildcard takes a proof by DNS (`dns:`); or "
                        "let `on_demand` name it", SLICE_ARG(name));
        return false;
    }
    return !is_below_wildcard(f, name);
}

/* ------------------------------------------------------------------ showing what is there */

/* Nobody is waited for, so that nobody is kept waiting: a handshake fails without any. */
static struct tls_identity *
get_nameless(void)
{
    if (!nameless)
        nameless = acme_self_signed(SLICE("maitred.invalid"));
    return nameless;
}

/* left: how many more self-signed ones may be made now; the names that are left out are shown that
 * of another name until the next time. */
static bool
add_keepers(struct tls_store *store, const struct follow *f, size_t *left)
{
    bool good = true;

    for (size_t i = 0; i < f->n && good; i++) {
        struct acme_keeper *k = f->keepers[i];
        struct tls_identity *id;

        if (!k->id && !k->placeholder) {
            if (*left == 0)
                continue;
            --*left;
        }
        id = acme_keeper_identity(k);
        good = id && tls_store_add(store, id);
    }
    return good;
}

static bool
fill_store(struct tls_store *store, const struct follow *f, size_t *left)
{
    const struct map_slot *slot;
    bool good = add_keepers(store, f, left);

    for (size_t i = 0; good && f->config->on_demand.n && (slot = map_each(&keepers, &i));) {
        const struct acme_keeper *k = slot->value;

        if (k->id && acme_name_is_allowed(&f->config->on_demand, k->name))
            good = tls_store_add(store, k->id);
    }
    if (good && tls_store_count(store) == 0 && !f->has_fixed)
        good = get_nameless() && tls_store_add(store, nameless);
    return good;
}

static void publish(void);

static void
on_publish(struct timer *t)
{
    (void) t;
    publish();
}

static void
publish_soon(void)
{
    if (timer_is_set(&publish_timer))
        return;
    publish_timer.fire = on_publish;
    timer_set(&loop_self()->timers, &publish_timer, loop_now_us() + PUBLISH_US);
}

static void
publish(void)
{
    size_t left = PLACEHOLDERS_MAX;

    timer_clear(&loop_self()->timers, &publish_timer);
    for (size_t i = 0; i < n_follows; i++) {
        struct tls_store *store = tls_store_new();

        if (store && fill_store(store, &follows[i], &left))
            tls_server_keep(follows[i].server, store);
        else
            log_error("certificates: out of memory; what was shown before is shown on");
        tls_store_release(store);
    }
    if (left == 0)
        publish_soon();
}

/* ------------------------------------------------------------------ what keepers tell */

static void
on_changed(struct acme_keeper *k)
{
    if (tls_challenge_is_expected(k->name)) { /* somebody waits */
        publish();
        tls_challenge_unexpect(k->name);
    } else {
        publish_soon();
    }
}

static void
forget(struct acme_keeper *k)
{
    tls_challenge_unexpect(k->name);
    map_remove(&keepers, k->name);
    acme_keeper_drop(k);
}

static void
on_idle(struct acme_keeper *k)
{
    n_on_demand--;
    forget(k);
}

static const struct acme_keeper_events events = {.changed = on_changed, .idle = on_idle};

/* NULL when out of memory. */
static struct acme_keeper *
add_keeper(struct slice name, const struct follow *f)
{
    struct acme_keeper *k = acme_keeper_new(name, f->config, f->owner, &events);

    if (k && !map_put(&keepers, k->name, k)) {
        acme_keeper_drop(k);
        return NULL;
    }
    return k;
}

/* ------------------------------------------------------------------ on demand */

static bool
is_room_for_more(void)
{
    const struct map_slot *slot;
    size_t waiting = 0;

    for (size_t i = 0; (slot = map_each(&keepers, &i));) {
        const struct acme_keeper *k = slot->value;

        waiting += !k->wanted && !k->id;
    }
    if (waiting < DEMAND_WAITING_MAX && n_on_demand < DEMAND_MAX)
        return true;
    log_warning("certificates: too many names on demand: %zu, of which %zu have no certificate yet",
                n_on_demand, waiting);
    return false;
}

static void
get_on_demand(const struct follow *f, struct slice name)
{
    struct acme_keeper *k;

    if (map_get(&keepers, name) || !is_room_for_more())
        return;
    k = add_keeper(name, f);
    if (!k)
        return;
    n_on_demand++;
    (void) tls_challenge_expect(k->name); /* out of memory: the client does not wait */
    acme_keeper_wake(k);
}

/* An acme_wish_f. */
static void
grant(const struct tls_server *server, struct slice name)
{
    for (size_t i = 0; i < n_follows; i++)
        if (follows[i].server == server)
            get_on_demand(&follows[i], name);
}

static bool
publish_allowances(struct config *owner)
{
    struct acme_allowance *list = calloc(n_follows + 1, sizeof(*list));
    size_t n = 0;
    bool good;

    for (size_t i = 0; list && i < n_follows; i++)
        if (follows[i].config->on_demand.n)
            list[n++] = (struct acme_allowance){follows[i].server, &follows[i].config->on_demand};
    good = acme_demand_allow(list, n, owner, grant) && list;
    free(list);
    return good;
}

/* ------------------------------------------------------------------ following */

static void
follow_free(struct follow *f)
{
    tls_server_release(f->server);
    config_free(f->owner);
    free(f->keepers);
}

static void
release_follows(struct follow *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        follow_free(&list[i]);
    free(list);
}

static bool
want(struct follow *f, const struct acme_follow *asked, struct slice name)
{
    struct acme_keeper *k;

    if (!wants(asked, name))
        return true;
    k = map_get(&keepers, name);
    if (!k)
        k = add_keeper(name, f);
    else if (!k->wanted)
        acme_keeper_use(k, f->config, f->owner);
    if (!k)
        return false;
    for (size_t i = 0; k->wanted && i < f->n; i++)
        if (f->keepers[i] == k)
            return true;
    k->wanted = true;
    f->keepers[f->n++] = k;
    return true;
}

static bool
begin(struct follow *f, const struct acme_follow *asked, struct config *owner)
{
    const struct slice *names = asked->config->names.at;
    bool good;

    tls_server_hold(asked->server);
    *f = (struct follow){
        .config = asked->config,
        .owner = config_hold(owner),
        .server = asked->server,
        .has_fixed = asked->fixed && tls_store_count(asked->fixed) > 0,
        .keepers = calloc(asked->n_hosts + asked->config->names.n + 1, sizeof(*f->keepers)),
    };
    good = f->keepers != NULL;
    for (size_t i = 0; good && i < asked->n_hosts; i++)
        good = want(f, asked, asked->hosts[i]);
    for (size_t i = 0; good && i < asked->config->names.n; i++)
        good = want(f, asked, names[i]);
    return good;
}

/* Names that nobody wants any more go, but those that somebody had on demand and may have. */
static void
sort_out(void)
{
    const struct map_slot *slot;
    size_t i = 0;

    n_on_demand = 0;
    while ((slot = map_each(&keepers, &i))) {
        struct acme_keeper *k = slot->value;
        const struct follow *by = NULL;

        for (size_t j = 0; j < n_follows && !by; j++)
            if (acme_name_is_allowed(&follows[j].config->on_demand, k->name))
                by = &follows[j];
        if (k->wanted)
            continue;
        if (by) {
            acme_keeper_use(k, by->config, by->owner);
            n_on_demand++;
        } else {
            forget(k);
            i--; /* another may have moved there */
        }
    }
}

/* Those that are new are read; this waits for files, and others may run meanwhile. */
static void
load_all(void)
{
    for (size_t i = 0; i < n_follows; i++)
        for (size_t j = 0; j < follows[i].n; j++) {
            struct acme_keeper *k = follows[i].keepers[j];

            if (!k->loaded)
                acme_keeper_load(k);
        }
    publish();
    for (size_t i = 0; i < n_follows; i++)
        for (size_t j = 0; j < follows[i].n; j++)
            acme_keeper_wake(follows[i].keepers[j]);
}

bool
acme_follow(const struct acme_follow *list, size_t n, struct config *owner)
{
    struct follow *old = follows, *fresh = calloc(n + 1, sizeof(*fresh));
    const struct map_slot *slot;
    size_t n_old = n_follows;
    bool good = true;

    if (!fresh)
        return false;
    for (size_t i = 0; (slot = map_each(&keepers, &i));)
        ((struct acme_keeper *) slot->value)->wanted = false;
    follows = fresh;
    for (n_follows = 0; n_follows < n; n_follows++)
        good = begin(&fresh[n_follows], &list[n_follows], owner) && good;
    sort_out();
    good = publish_allowances(owner) && good;
    release_follows(old, n_old);
    load_all();
    return good;
}

void
acme_stop(void)
{
    const struct map_slot *slot;
    size_t i = 0;

    (void) acme_demand_allow(NULL, 0, NULL, NULL);
    while ((slot = map_each(&keepers, &i))) {
        forget(slot->value);
        i--;
    }
    map_free(&keepers);
    release_follows(take(&follows), n_follows);
    n_follows = 0;
    if (timer_is_set(&publish_timer))
        timer_clear(&loop_self()->timers, &publish_timer);
    tls_identity_release(take(&nameless));
    if (acme_keepers_busy() > 0)
        return; /* what follows is in use */
    acme_account_exit();
    acme_local_exit();
}

void
acme_each(void (*visit)(void *arg, const struct acme_name *n), void *arg)
{
    const struct map_slot *slot;

    for (size_t i = 0; (slot = map_each(&keepers, &i));) {
        const struct acme_keeper *k = slot->value;
        uint64_t now_us = clock_monotonic_us();
        struct acme_name n = {
            .name = k->name,
            .directory = k->directory ? slice_str(k->directory) : SLICE(""),
            .why = k->failures ? slice_str(k->why) : SLICE(""),
            .failures = k->failures,
            .next_s = k->renewal_s,
            .has_one = k->id != NULL,
            .on_demand = !k->wanted,
        };

        if (k->failures && k->not_before_us > now_us)
            n.next_s = (int64_t) ((uint64_t) clock_wall_us() + k->not_before_us - now_us) /
                       1000000;
        visit(arg, &n);
    }
}
