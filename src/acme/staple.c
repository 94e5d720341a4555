/* SPDX-License-Identifier: Apache-2.0 */
/* acme/staple.c - when there is something to do for a certificate's response, and doing it. */
#include "acme/staple.h"

#include "acme/schedule.h"
#include "acme/state.h"
#include "base/clock.h"
#include "http/date.h"
#include "observe/log.h"
#include "runtime/fiber.h"
#include "runtime/loop.h"
#include "upstream/fetch.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    FETCH_US = 15000000,
    ATTENDANTS_MAX = 4,
    RETRY_US = 5000000, /* after the first failure; doubled with each */
    GAP_MAX_S = 60,     /* between two responses, whatever they say of their life */
    HALF = 500000,      /* millionths of a response's life */
    QUESTION_MAX = 64 * 1024,
    NAME_MAX_BYTES = 300,
};

struct slice
acme_staple_name(const struct acme_staple *s)
{
    struct slice name = tls_identity_name(s->ids[0].id, 0);

    return name.n ? name : SLICE("a certificate without a name");
}

static bool
is_stapled(const struct acme_staple *s)
{
    return s->response.n && s->life.until_s > acme_now_s();
}

/* ------------------------------------------------------------------ when */

static bool
is_due(const struct acme_staple *s)
{
    return (!is_stapled(s) || acme_now_s() >= s->renewal_s) && loop_now_us() >= s->not_before_us;
}

/* The clock on the wall may jump: it is looked at every hour. */
static uint64_t
next_us(const struct acme_duty *duty)
{
    const struct acme_staple *s = container_of(duty, const struct acme_staple, duty);
    uint64_t now_us = loop_now_us(), at_us = now_us;

    if (!s->question.url.n)
        return TIMER_NEVER;
    if (is_stapled(s) && s->renewal_s > acme_now_s())
        at_us += (uint64_t) (s->renewal_s - acme_now_s()) * 1000000;
    if (at_us < s->not_before_us)
        at_us = s->not_before_us;
    if (at_us > now_us + ACME_HOUR_US)
        at_us = now_us + ACME_HOUR_US;
    return acme_soon_us(at_us);
}

void
acme_staple_wake(struct acme_staple *s)
{
    acme_duty_wake(&s->duty);
}

/* ------------------------------------------------------------------ a response */

static void
show(struct acme_staple *s, struct tls_identity *id)
{
    if (!tls_ocsp_staple(id, text_slice(&s->response), s->life.until_s))
        log_error("certificates: out of memory; %.*s is not stapled",
                  SLICE_ARG(acme_staple_name(s)));
}

static void
show_all(struct acme_staple *s)
{
    for (size_t i = 0; i < s->n_ids; i++)
        show(s, s->ids[i].id);
}

/* However short its life, the next one is not asked for at once: it would storm the responder. */
static void
plan(struct acme_staple *s)
{
    int64_t gap_s = (s->life.until_s - acme_now_s()) / 4;

    s->failures = 0;
    s->renewal_s = acme_renewal_s(s->life.from_s, s->life.until_s, HALF, random_u64());
    gap_s = gap_s > GAP_MAX_S ? GAP_MAX_S : gap_s < 1 ? 1 : gap_s;
    s->not_before_us = loop_now_us() + (uint64_t) gap_s * 1000000;
}

/* Shown from now on if it is good; `why` otherwise. */
static enum tls_ocsp
take_response(struct acme_staple *s, struct slice der, struct text *why)
{
    struct tls_ocsp_life life;
    enum tls_ocsp result = tls_ocsp_verify(s->ids[0].id, der, &life, why);

    if (result == TLS_OCSP_BROKEN || result == TLS_OCSP_USELESS)
        return result; /* what was there before may still be good */
    s->response.n = 0;
    if (result == TLS_OCSP_GOOD) {
        text_put(&s->response, der);
        s->life = life;
        plan(s);
    }
    show_all(s);
    return result;
}

static bool
path_of(const struct acme_staple *s, char out[ACME_PATH_MAX])
{
    char name[NAME_MAX_BYTES];

    return tls_ocsp_file_name(s->ids[0].id, name, sizeof(name)) &&
           acme_state_path(slice_str(s->state), "ocsp", slice_str(name), "der", out);
}

/* One that is not there, or of the name's last certificate, is nothing to speak of. */
static void
load(struct acme_staple *s)
{
    char path[ACME_PATH_MAX], room[200];
    struct text der, why;

    s->loaded = true;
    if (!s->question.url.n || !path_of(s, path))
        return;
    text_init(&der, ACME_FILE_MAX);
    text_fixed(&why, room, sizeof(room));
    if (acme_state_read_sealed(path, &der) == OK && !s->duty.gone &&
        take_response(s, text_slice(&der), &why) == TLS_OCSP_GOOD) {
        s->not_before_us = 0; /* it was fetched by an earlier process */
        log_debug("certificates: %.*s is stapled with what `%s` has",
                  SLICE_ARG(acme_staple_name(s)), path);
    }
    text_free(&der);
}

bool
acme_staple_load(struct acme_staple *s)
{
    if (s->loaded || !acme_duty_is_idle(&s->duty))
        return false;
    load(s);
    return true;
}

static void
save(const struct acme_staple *s)
{
    char path[ACME_PATH_MAX];
    enum err err;

    if (!path_of(s, path))
        return;
    err = acme_state_write_sealed(path, text_slice(&s->response));
    if (err != OK)
        log_warning("certificates: cannot write `%s`: %s; the next start is not stapled at once",
                    path, err_sentence(err));
}

/* ------------------------------------------------------------------ fetching */

static void
note_failure(struct acme_staple *s, struct slice why)
{
    uint64_t wait_us = acme_backoff_us(RETRY_US, ++s->failures, random_u64());
    const char *state = is_stapled(s)      ? "the last response is still shown"
                        : s->must ? "clients may refuse the certificate: it must be stapled"
                                           : "nothing is stapled";

    if (wait_us > ACME_HOUR_US)
        wait_us = ACME_HOUR_US;
    s->not_before_us = loop_now_us() + wait_us;
    LOG_AT(s->failures == 1 || !is_stapled(s) ? LOG_LEVEL_WARNING : LOG_LEVEL_DEBUG,
           "certificates: no OCSP response for %.*s, attempt %u: %.*s; next in %llu s; %s",
           SLICE_ARG(acme_staple_name(s)), s->failures, SLICE_ARG(why),
           (unsigned long long) (wait_us / 1000000 + 1), state);
}

static void
note_success(const struct acme_staple *s)
{
    char until[ISO_DATE_LENGTH];

    iso_date_write(until, (uint64_t) s->life.until_s * 1000000);
    log_info("certificates: %.*s is stapled until %.19sZ", SLICE_ARG(acme_staple_name(s)), until);
}

/* What came of asking. */
static void
conclude(struct acme_staple *s, enum err err, const struct fetch_answer *a)
{
    char room[300];
    struct text why;
    enum tls_ocsp result = TLS_OCSP_BROKEN;

    text_fixed(&why, room, sizeof(room));
    if (err != OK)
        text_printf(&why, "%s", a->why);
    else if (a->status != 200)
        text_printf(&why, "the responder answers %u", a->status);
    else
        result = take_response(s, a->body, &why);
    if (result == TLS_OCSP_GOOD)
        note_success(s);
    else
        note_failure(s, text_slice(&why));
    /* One that is revoked must not come back with the next start. */
    if (result == TLS_OCSP_GOOD || result == TLS_OCSP_DENIED)
        save(s);
}

static void
fetch(struct acme_staple *s)
{
    const struct field type = {
        .name = field_name(FIELD_CONTENT_TYPE),
        .value = SLICE("application/ocsp-request"),
        .id = FIELD_CONTENT_TYPE,
    };
    const struct fetch f = {
        .url = s->question.url,
        .method = METHOD_POST,
        .fields = &type,
        .n_fields = 1,
        .body = s->question.request,
        .deadline_us = loop_now_us() + FETCH_US,
        .max_bytes = TLS_OCSP_MAX,
    };
    struct fetch_answer a;
    enum err err = http_fetch(&f, &a);

    if (!s->duty.gone)
        conclude(s, err, &a);
    fetch_answer_free(&a);
}

/* ------------------------------------------------------------------ entries */

static void
staple_free(struct acme_duty *duty)
{
    struct acme_staple *s = container_of(duty, struct acme_staple, duty);

    for (size_t i = 0; i < s->n_ids; i++)
        tls_identity_release(s->ids[i].id);
    free(s->ids);
    free((char *) s->certificate.at);
    text_free(&s->response);
    arena_free(&s->arena);
    free(s);
}

static void
attend(struct acme_duty *duty)
{
    struct acme_staple *s = container_of(duty, struct acme_staple, duty);

    if (!s->loaded)
        load(s);
    if (!duty->gone && is_due(s))
        fetch(s);
}

static enum acme_turn
turn(struct acme_duty *duty)
{
    (void) duty;
    return ACME_TURN_LAST;
}

static ACME_DUTIES(staples, .name = "stapling", .attendants_max = ATTENDANTS_MAX, .turn = turn,
                   .attend = attend, .next_us = next_us, .free = staple_free);

void
acme_staple_drop(struct acme_staple *s)
{
    acme_duty_drop(&s->duty);
}

struct acme_staple *
acme_staple_new(const struct tls_identity *id, const char *state)
{
    struct slice der = tls_ocsp_certificate(id);
    struct acme_staple *s = calloc(1, sizeof(*s));
    char *copy = malloc(der.n);

    if (!s || !copy) {
        free(s);
        free(copy);
        return NULL;
    }
    memcpy(copy, der.at, der.n);
    s->certificate = slice_of(copy, der.n);
    s->must = tls_ocsp_must_staple(id);
    acme_duty_init(&s->duty, &staples);
    text_init(&s->response, TLS_OCSP_MAX);
    arena_init(&s->arena, NULL, 0, QUESTION_MAX);
    s->state = arena_copy(&s->arena, slice_of(state, strlen(state) + 1)).at;
    if (s->state && tls_ocsp_question(id, &s->arena, &s->question))
        return s;
    staple_free(&s->duty);
    return NULL;
}

/* ------------------------------------------------------------------ who shows it */

static struct acme_shown *
find(const struct acme_staple *s, const struct tls_identity *id)
{
    for (size_t i = 0; i < s->n_ids; i++)
        if (s->ids[i].id == id)
            return &s->ids[i];
    return NULL;
}

bool
acme_staple_attach(struct acme_staple *s, struct tls_identity *id, uint32_t round)
{
    struct acme_shown *known = find(s, id), *more;

    if (known) {
        known->round = round;
        return true;
    }
    more = reallocarray(s->ids, s->n_ids + 1, sizeof(*more));
    if (!more)
        return false;
    tls_identity_hold(id);
    s->ids = more;
    s->ids[s->n_ids++] = (struct acme_shown){id, round};
    if (is_stapled(s))
        show(s, id);
    return true;
}

bool
acme_staple_detach_old(struct acme_staple *s, uint32_t round)
{
    size_t kept = 0;

    for (size_t i = 0; i < s->n_ids; i++) {
        if (s->ids[i].round == round)
            s->ids[kept++] = s->ids[i];
        else
            tls_identity_release(s->ids[i].id);
    }
    s->n_ids = kept;
    return kept == 0;
}
