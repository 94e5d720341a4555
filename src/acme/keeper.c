/* SPDX-License-Identifier: Apache-2.0 */
/* acme/keeper.c - when there is something to do for a certificate, and doing it. */
#include "acme/keeper.h"

#include "acme/local.h"
#include "acme/order.h"
#include "acme/schedule.h"
#include "acme/state.h"
#include "base/clock.h"
#include "http/date.h"
#include "observe/log.h"
#include "runtime/fiber.h"
#include "runtime/loop.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    ATTENDANTS_MAX = 8,
    PEM_MAX = 256 * 1024,
    LOOK_SPREAD_US = 1000000,      /* the first questions of a start do not come all at once */
    LOOK_LEAST_S = 60,             /* RFC 9773 4.3 */
    LOOK_MOST_S = 86400,
    LOOK_S = 6 * 3600,             /* where the authority does not say */
};

/* ------------------------------------------------------------------ small things */

/* "2026-11-21 16:30:00" */
static struct slice
write_date(int64_t at_s, char room[ISO_DATE_LENGTH])
{
    iso_date_write(room, (uint64_t) at_s * 1000000);
    room[10] = ' ';
    return slice_of(room, 19);
}

/* ------------------------------------------------------------------ files */

/* Each authority has a folder, called by its directory's address. */
static bool
path_of(const struct acme_keeper *k, const char *directory, char out[ACME_PATH_MAX])
{
    char folder[200] = "acme/certificates/";
    struct slice url = slice_str(directory);
    size_t n = strlen(folder), scheme = slice_search(url, SLICE("://"));

    if (scheme != SLICE_NOT_FOUND)
        url = slice_from(url, scheme + 3);
    for (size_t i = 0; i < url.n && n < sizeof(folder) - 1; i++) {
        char c = ascii_lower(url.at[i]);

        folder[n++] = ascii_is_alpha(c) || ascii_is_digit(c) || c == '-' || c == '.' ? c : '_';
    }
    folder[n] = '\0';
    return acme_state_path(k->config->state, folder, k->name, "pem", out);
}

/* ------------------------------------------------------------------ taking a certificate */

static bool
is_for(const struct tls_identity *id, struct slice name)
{
    struct slice known;

    for (size_t i = 0; slice_is_present(known = tls_identity_name(id, i)); i++)
        if (slice_eq(known, name))
            return true;
    return false;
}

static void
plan_renewal(struct acme_keeper *k)
{
    k->window_from_s = k->window_to_s = 0;
    k->renewal_s = acme_renewal_s(k->facts.from_s, k->facts.to_s, k->config->renew, random_u64());
    k->look_us = k->directory && k->facts.renewal_id[0]
                     ? loop_now_us() + random_u64() % LOOK_SPREAD_US
                     : TIMER_NEVER;
}

/* False with the reason in `why`: then nothing has changed.  directory NULL: the local one. */
static bool
take_pem(struct acme_keeper *k, struct slice pem, const char *directory, struct text *why)
{
    struct tls_material m = {.certificate = pem};
    struct acme_certificate facts;
    struct text warning; /* short lives are usual here */
    struct tls_identity *id;
    char *copy = directory ? strdup(directory) : NULL;

    text_init(&warning, 1000);
    id = tls_identity_new(&m, why, &warning);
    text_free(&warning);
    if (!id || !acme_certificate_read(pem, &facts) || !is_for(id, k->name) ||
        (directory && !copy)) {
        if (why->n == 0)
            text_literal(why, "it is not for this name");
        tls_identity_release(id);
        free(copy);
        return false;
    }
    tls_identity_release(k->id);
    free(k->directory);
    k->id = id;
    k->directory = copy;
    k->facts = facts;
    plan_renewal(k);
    return true;
}

/* Of the first authority in the configuration's order that one is there from. */
static void
load_from_state(struct acme_keeper *k)
{
    const struct slice *urls = k->config->directories.at;

    for (size_t i = 0; i < k->config->directories.n && !k->id; i++) {
        char path[ACME_PATH_MAX], room[200];
        struct text pem, why;
        enum err e = ERR_NOT_FOUND;

        text_init(&pem, PEM_MAX);
        text_fixed(&why, room, sizeof(room));
        if (path_of(k, urls[i].at, path))
            e = acme_state_read_sealed(path, &pem);
        if (e == ERR_MALFORMED)
            text_literal(&why, "it is not as it was written");
        else if (e != OK && e != ERR_NOT_FOUND)
            text_printf(&why, "%s", err_sentence(e));
        if (e != ERR_NOT_FOUND &&
            (e != OK || !take_pem(k, text_slice(&pem), urls[i].at, &why)))
            log_warning("certificates: `%s` is of no use (%.*s); there will be a new one", path,
                        (int) why.n, why.at);
        text_free(&pem);
    }
}

static bool
issue_locally(struct acme_keeper *k, char *why, size_t room)
{
    struct text pem, told;
    bool good;

    text_init(&pem, PEM_MAX);
    text_fixed(&told, why, room - 1);
    good = acme_local_issue(k->config->state, k->name, &pem, why, room) &&
           take_pem(k, text_slice(&pem), NULL, &told);
    if (told.n)
        why[told.n] = '\0';
    text_free(&pem);
    return good;
}

/* ------------------------------------------------------------------ failure and success */

/* When the first of the authorities wants to be asked again (Retry-After); 0: at any time. */
static uint64_t
first_directory_us(const struct acme_keeper *k, const struct acme_config *config)
{
    uint64_t first_us = k->local ? 0 : UINT64_MAX;

    for (size_t i = 0; i < config->directories.n; i++)
        if (k->directory_wait_us[i] < first_us)
            first_us = k->directory_wait_us[i];
    return first_us;
}

static void
note_failure(struct acme_keeper *k, const struct acme_config *config, const char *why)
{
    char date[ISO_DATE_LENGTH], shown[80] = "a self-signed certificate is shown meanwhile";
    uint64_t wait_us, later_us = first_directory_us(k, config);

    k->failures++;
    snprintf(k->why, sizeof(k->why), "%s", why);
    wait_us = acme_backoff_us(config->retry_us, k->failures, random_u64());
    if (later_us > loop_now_us() + wait_us)
        wait_us = later_us - loop_now_us();
    k->not_before_us = loop_now_us() + wait_us;
    if (k->id)
        snprintf(shown, sizeof(shown), "the certificate in use %s %.*s UTC",
                 k->facts.to_s < acme_now_s() ? "has expired:" : "lasts until",
                 SLICE_ARG(write_date(k->facts.to_s, date)));
    log_warning("certificates: no new one for %.*s, attempt %u: %s; next in %llu s; %s",
                SLICE_ARG(k->name), k->failures, k->why,
                (unsigned long long) (wait_us / 1000000 + 1), shown);
}

/* Whatever its dates say, the next one is not ordered at once: a wrong clock would storm the
 * authority. */
static void
note_success(struct acme_keeper *k, const struct acme_config *config)
{
    char to[ISO_DATE_LENGTH], renewal[ISO_DATE_LENGTH];

    k->failures = 0;
    k->why[0] = '\0';
    k->not_before_us = loop_now_us() + config->retry_us;
    memset(k->directory_wait_us, 0, sizeof(k->directory_wait_us));
    log_info("certificates: %.*s has one of %s until %.*s UTC, to be renewed %.*s",
             SLICE_ARG(k->name), k->directory ? k->directory : "the local authority",
             SLICE_ARG(write_date(k->facts.to_s, to)),
             SLICE_ARG(write_date(k->renewal_s, renewal)));
}

/* ------------------------------------------------------------------ ordering */

/* What was ordered is used even if it cannot be written. */
static void
save(struct acme_keeper *k, struct slice pem)
{
    char path[ACME_PATH_MAX];
    enum err e = path_of(k, k->directory, path) ? acme_state_write_sealed(path, pem) : ERR_LIMIT;

    if (e != OK)
        log_warning("certificates: cannot write `%s`: %s; the next start orders anew", path,
                    err_sentence(e));
}

static bool
order_from(struct acme_keeper *k, const struct acme_config *config, struct slice directory,
           struct acme_trouble *trouble)
{
    struct acme_order o = {.config = config, .directory = directory, .name = k->name};
    char room[200];
    struct text pem, why;
    bool good;

    if (k->id && k->directory && slice_eq(slice_str(k->directory), directory))
        o.replaces = slice_str(k->facts.renewal_id);
    *trouble = (struct acme_trouble){0};
    text_init(&pem, PEM_MAX);
    text_fixed(&why, room, sizeof(room));
    good = acme_order_run(&o, &pem, trouble) && !k->duty.gone;
    if (good && !take_pem(k, text_slice(&pem), directory.at, &why)) {
        good = false;
        snprintf(trouble->why, sizeof(trouble->why), "what %.*s gave is no good: %.*s",
                 SLICE_ARG(slice_first(directory, 100)), (int) why.n, why.at);
    }
    if (good)
        save(k, text_slice(&pem));
    text_free(&pem);
    return good;
}

/* One authority after the other; one that wants to be left alone is. */
static bool
order(struct acme_keeper *k, const struct acme_config *config, struct acme_trouble *trouble)
{
    const struct slice *urls = config->directories.at;
    bool asked = false;

    for (size_t i = 0; i < config->directories.n && !k->duty.gone; i++) {
        uint64_t *wait_us = &k->directory_wait_us[i];

        if (*wait_us > loop_now_us())
            continue;
        asked = true;
        if (order_from(k, config, urls[i], trouble))
            return true;
        *wait_us = loop_now_us() + trouble->wait_s * 1000000;
        if (i + 1 < config->directories.n && !k->duty.gone)
            log_info("certificates: %.*s: %s", SLICE_ARG(k->name), trouble->why);
    }
    if (!asked)
        snprintf(trouble->why, sizeof(trouble->why), "%.300s; it wants to be asked later",
                 k->why[0] ? k->why : "the authority has answered so before");
    return false;
}

static void
renew(struct acme_keeper *k, const struct acme_config *config)
{
    struct acme_trouble trouble = {0};
    bool good = k->local ? issue_locally(k, trouble.why, sizeof(trouble.why))
                         : order(k, config, &trouble);

    if (k->duty.gone)
        return;
    if (good)
        note_success(k, config);
    else
        note_failure(k, config, trouble.why);
    k->events->changed(k);
}

/* ------------------------------------------------------------------ when to renew */

/* What the authority says counts; a new window means another time in it. */
static void
look(struct acme_keeper *k, const struct acme_config *config)
{
    uint64_t wait_s = LOOK_S;
    struct acme_window w;

    acme_window_ask(config, slice_str(k->directory), slice_str(k->facts.renewal_id), &w);
    if (w.again_s)
        wait_s = w.again_s < LOOK_LEAST_S  ? LOOK_LEAST_S
                 : w.again_s > LOOK_MOST_S ? LOOK_MOST_S
                                           : w.again_s;
    k->look_us = loop_now_us() + wait_s * 1000000;
    if (!w.known || (w.from_s == k->window_from_s && w.to_s == k->window_to_s))
        return;
    k->window_from_s = w.from_s;
    k->window_to_s = w.to_s;
    k->renewal_s = acme_window_s(w.from_s, w.to_s, random_u64());
    log_debug("certificates: %.*s is to be renewed at %lld, its authority says",
              SLICE_ARG(k->name), (long long) k->renewal_s);
}

/* The configuration does not name the authority any more. */
static bool
is_foreign(const struct acme_keeper *k)
{
    const struct slice *urls = k->config->directories.at;

    for (size_t i = 0; i < k->config->directories.n; i++)
        if (k->directory && slice_eq(slice_str(k->directory), urls[i]))
            return false;
    return k->directory != NULL;
}

static bool
is_due(const struct acme_keeper *k)
{
    return (!k->id || acme_now_s() >= k->renewal_s || is_foreign(k)) &&
           loop_now_us() >= k->not_before_us;
}

/* The clock on the wall may jump: it is looked at every hour. */
static uint64_t
next_us(const struct acme_duty *duty)
{
    const struct acme_keeper *k = container_of(duty, const struct acme_keeper, duty);
    uint64_t now_us = loop_now_us(), at_us = now_us + ACME_HOUR_US, left_s;

    if (!k->id || is_foreign(k)) {
        at_us = k->not_before_us;
    } else {
        left_s = k->renewal_s > acme_now_s() ? (uint64_t) (k->renewal_s - acme_now_s()) : 0;
        if (left_s < ACME_HOUR_US / 1000000)
            at_us = now_us + left_s * 1000000;
        if (at_us < k->not_before_us)
            at_us = k->not_before_us;
        if (at_us > k->look_us)
            at_us = k->look_us;
    }
    return acme_soon_us(at_us);
}

/* ------------------------------------------------------------------ attendants */

static void
keeper_free(struct acme_duty *duty)
{
    struct acme_keeper *k = container_of(duty, struct acme_keeper, duty);

    tls_identity_release(k->id);
    tls_identity_release(k->placeholder);
    config_free(k->owner);
    free(k->directory);
    free(k);
}

/* A reload may change k's configuration meanwhile: the one it began with is held. */
static void
attend(struct acme_duty *duty)
{
    struct acme_keeper *k = container_of(duty, struct acme_keeper, duty);
    const struct acme_config *config = k->config;
    struct config *owner = config_hold(k->owner);

    if (!k->loaded) {
        acme_keeper_load(k); /* on demand: it may have been here before */
        if (k->id && !k->duty.gone)
            k->events->changed(k);
    }
    if (k->id && k->look_us <= loop_now_us() && !k->duty.gone)
        look(k, config);
    if (is_due(k) && !k->duty.gone)
        renew(k, config);
    config_free(owner);
}

/* First those that somebody waits for. */
static enum acme_turn
turn(struct acme_duty *duty)
{
    struct acme_keeper *k = container_of(duty, struct acme_keeper, duty);

    if (k->wanted)
        return ACME_TURN_LAST;
    if (k->id || k->failures == 0)
        return ACME_TURN_FIRST;
    k->events->idle(k);
    return ACME_TURN_NONE;
}

static ACME_DUTIES(certificates, .name = "certificates", .attendants_max = ATTENDANTS_MAX,
                   .turn = turn, .attend = attend, .next_us = next_us, .free = keeper_free);

size_t
acme_keepers_busy(void)
{
    return certificates.attendants;
}

/* ------------------------------------------------------------------ from outside */

struct acme_keeper *
acme_keeper_new(struct slice name, const struct acme_config *config, struct config *owner,
                const struct acme_keeper_events *events)
{
    struct acme_keeper *k = calloc(1, sizeof(*k) + name.n + 1);
    char *copy;

    if (!k)
        return NULL;
    copy = (char *) (k + 1);
    memcpy(copy, name.at, name.n);
    k->name = slice_of(copy, name.n);
    k->local = acme_is_local(name);
    k->config = config;
    k->owner = config_hold(owner);
    k->look_us = TIMER_NEVER;
    acme_duty_init(&k->duty, &certificates);
    k->events = events;
    return k;
}

void
acme_keeper_use(struct acme_keeper *k, const struct acme_config *config, struct config *owner)
{
    struct config *old = k->owner;

    if (!acme_config_same(k->config, config)) { /* what failed may do now */
        k->failures = 0;
        k->not_before_us = 0;
        memset(k->directory_wait_us, 0, sizeof(k->directory_wait_us));
    }
    k->config = config;
    k->owner = config_hold(owner);
    config_free(old);
}

void
acme_keeper_load(struct acme_keeper *k)
{
    char why[200] = "";

    k->loaded = true;
    if (!k->local)
        load_from_state(k);
    else if (!issue_locally(k, why, sizeof(why)))
        note_failure(k, k->config, why);
}

struct tls_identity *
acme_keeper_identity(struct acme_keeper *k)
{
    if (k->id) {
        tls_identity_release(take(&k->placeholder));
        return k->id;
    }
    if (!k->placeholder)
        k->placeholder = acme_self_signed(k->name);
    return k->placeholder;
}

void
acme_keeper_wake(struct acme_keeper *k)
{
    acme_duty_wake(&k->duty);
}

void
acme_keeper_drop(struct acme_keeper *k)
{
    acme_duty_drop(&k->duty);
}
