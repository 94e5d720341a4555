/* SPDX-License-Identifier: Apache-2.0 */
/*
 * acme/order.c - order, prove, finalize, download; each step straight after the other.
 *
 * A proof that fails spoils its order: the next kind of proof begins a new one.
 */
#include "acme/order.h"

#include "acme/account.h"
#include "acme/certificate.h"
#include "acme/challenge.h"
#include "acme/jose.h"
#include "acme/schedule.h"
#include "runtime/fiber.h"
#include "runtime/loop.h"

enum {
    AUTHORIZATIONS_MAX = 10,
    CHALLENGES_MAX = 20,
    URL_MAX = 2000,
    PAYLOAD_MAX = 16 * 1024,
    TAKES_MAX_US = 300000000, /* all polling of one order */
    POLL_US = 100000,
    POLL_MAX_US = 5000000,
    POLL_MAX_S = 60,
    NOT_READY_MAX = 5,
};

/* An order that is under way. */
struct ordering {
    const struct acme_order *o;
    struct acme_client      *c;
    enum acme_challenge      kind;
    bool                     proof_failed; /* another kind might do better */
    struct slice             url, finalize, certificate;
    struct slice             authorizations[AUTHORIZATIONS_MAX];
    size_t                   n;
    uint64_t                 deadline_us;
    uint64_t                 pause_us; /* of the next poll */
};

/* ------------------------------------------------------------------ asking again and again */

static void
start_polling(struct ordering *g)
{
    g->pause_us = POLL_US;
}

/* Until it makes sense to look again; Retry-After counts, within reason. */
static bool
pause_polling(struct ordering *g, uint64_t wait_s)
{
    uint64_t pause_us = g->pause_us;

    if (wait_s)
        pause_us = (wait_s < POLL_MAX_S ? wait_s : POLL_MAX_S) * 1000000;
    else if (g->pause_us < POLL_MAX_US)
        g->pause_us *= 2;
    if (loop_now_us() + pause_us > g->deadline_us)
        return acme_client_fail(g->c, "%.*s does not come to an end with the order",
                                SLICE_ARG(slice_first(g->o->directory, 100)));
    if (fiber_sleep_until(loop_now_us() + pause_us) != OK)
        return acme_client_fail(g->c, "%s", err_sentence(ERR_CANCELLED));
    return true;
}

/* A URL that outlives the answer it stood in. */
static bool
keep(struct ordering *g, struct slice url, struct slice *out)
{
    if (url.n == 0 || url.n > URL_MAX)
        return acme_client_fail(g->c, "%.*s leaves out a URL",
                                SLICE_ARG(slice_first(g->o->directory, 100)));
    *out = arena_copy(&g->c->arena, url);
    return slice_is_present(*out) || acme_client_fail(g->c, "out of memory");
}

/* ------------------------------------------------------------------ newOrder */

static bool
read_order(struct ordering *g, const struct acme_reply *r)
{
    const struct acme_json *list = acme_json_get(r->json, "authorizations");

    if (!keep(g, r->location, &g->url) ||
        !keep(g, acme_json_get_text(r->json, "finalize"), &g->finalize))
        return false;
    for (g->n = 0; acme_json_at(list, g->n); g->n++)
        if (g->n == AUTHORIZATIONS_MAX)
            return acme_client_fail(g->c, "an order for one name has too many authorizations");
        else if (!keep(g, acme_json_text(acme_json_at(list, g->n)), &g->authorizations[g->n]))
            return false;
    return true;
}

static bool
post_order(struct ordering *g, struct slice replaces)
{
    struct acme_reply r = {0};
    struct text payload;
    bool good;

    text_init(&payload, PAYLOAD_MAX);
    text_literal(&payload, "{\"identifiers\":[{\"type\":\"dns\",\"value\":\"");
    text_json(&payload, g->o->name);
    text_literal(&payload, "\"}]");
    if (replaces.n) {
        text_literal(&payload, ",\"replaces\":\"");
        text_json(&payload, replaces);
        text_byte(&payload, '"');
    }
    text_byte(&payload, '}');
    good = !payload.full || acme_client_fail(g->c, "out of memory");
    good = good && acme_client_post(g->c, g->c->new_order, text_slice(&payload), &r) &&
           read_order(g, &r);
    acme_reply_free(&r);
    text_free(&payload);
    return good;
}

/* Where renewals are looked after, the authority hears which certificate this one is for (RFC 9773
 * 5); it may not like that, but an order is what counts. */
static bool
new_order(struct ordering *g)
{
    bool tells = g->c->renewal_info.n && g->o->replaces.n;

    if (tells && post_order(g, g->o->replaces))
        return true;
    if (tells && (g->c->trouble.status < 400 || g->c->trouble.wait_s))
        return false;
    return post_order(g, SLICE(""));
}

/* ------------------------------------------------------------------ proofs */

static bool
is_usable_token(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!ascii_is_alpha(s.at[i]) && !ascii_is_digit(s.at[i]) && s.at[i] != '-' &&
            s.at[i] != '_')
            return false;
    return s.n > 0 && s.n <= ACME_TOKEN_MAX;
}

/* The challenge of our kind in an authorization; NULL: it is not offered. */
static const struct acme_json *
find_challenge(const struct ordering *g, const struct acme_json *authorization)
{
    const struct acme_json *list = acme_json_get(authorization, "challenges"), *found;
    struct slice type = slice_str(acme_challenge_kinds[g->kind]->type);

    for (size_t i = 0; i < CHALLENGES_MAX && (found = acme_json_at(list, i)); i++)
        if (slice_eq(acme_json_get_text(found, "type"), type))
            return found;
    return NULL;
}

/* What the authority found wrong. */
static bool
fail_proof(struct ordering *g, const struct acme_json *authorization)
{
    const struct acme_json *error = acme_json_get(find_challenge(g, authorization), "error");
    struct slice detail = acme_json_get_text(error, "detail");

    g->proof_failed = true;
    if (detail.n == 0)
        detail = SLICE("no reason is given");
    return acme_client_fail(g->c, "%.*s does not accept the proof by %s: %.*s",
                            SLICE_ARG(slice_first(g->o->directory, 100)),
                            acme_challenge_kinds[g->kind]->type,
                            SLICE_ARG(slice_first(detail, 250)));
}

/* Until the authority has made up its mind. */
static bool
await_authorization(struct ordering *g, struct slice url)
{
    for (start_polling(g);;) {
        struct acme_reply r;
        bool good = acme_client_post(g->c, url, (struct slice){NULL, 0}, &r);
        struct slice status = acme_json_get_text(r.json, "status");
        bool pending = good && slice_eq(status, SLICE("pending"));
        uint64_t wait_s = r.wait_s;

        if (good && !pending && !slice_eq(status, SLICE("valid")))
            good = fail_proof(g, r.json);
        acme_reply_free(&r);
        if (!pending)
            return good;
        if (!pause_polling(g, wait_s))
            return false;
    }
}

/* An authorization that nobody will prove would count as open for days. */
static void
drop_authorization(struct ordering *g, struct slice url)
{
    struct acme_trouble before = g->c->trouble;
    struct acme_reply r;

    (void) acme_client_post(g->c, url, SLICE("{\"status\":\"deactivated\"}"), &r);
    acme_reply_free(&r);
    g->c->trouble = before;
}

/* What was shown is hidden even when nobody waits for the certificate any more. */
static void
hide(const struct acme_challenge_kind *kind, struct acme_proof *p)
{
    struct fiber *self = fiber_self();
    enum err cancelled = self->cancelled;

    fiber_uncancel(self);
    p->hurry = cancelled != OK;
    kind->hide(p);
    if (cancelled != OK)
        fiber_cancel(self, cancelled);
}

static bool
show_and_ask(struct ordering *g, struct acme_proof *p, struct slice challenge,
             struct slice authorization)
{
    const struct acme_challenge_kind *kind = acme_challenge_kinds[g->kind];
    struct acme_reply r;
    bool good;

    if (!kind->show(p)) {
        g->proof_failed = true;
        acme_client_fail(g->c, "%s", p->why);
        drop_authorization(g, authorization);
        good = false;
    } else {
        good = acme_client_post(g->c, challenge, SLICE("{}"), &r);
        acme_reply_free(&r);
        good = good && await_authorization(g, authorization);
    }
    hide(kind, p);
    return good;
}

static bool
prove_pending(struct ordering *g, const struct acme_json *json, struct slice authorization)
{
    const struct acme_json *challenge = find_challenge(g, json);
    struct slice token = acme_json_get_text(challenge, "token"), url, name = g->o->name;
    char thumbprint[ACME_SHA256_LETTERS];
    struct acme_proof p = {.config = g->o->config};

    if (!challenge) {
        g->proof_failed = true;
        return acme_client_fail(g->c, "%.*s takes no proof by %s for this name",
                                SLICE_ARG(slice_first(g->o->directory, 100)),
                                acme_challenge_kinds[g->kind]->type);
    }
    if (!is_usable_token(token) || !acme_thumbprint(g->c->key, thumbprint))
        return acme_client_fail(g->c, "the challenge has no token that could be used");
    if (!keep(g, acme_json_get_text(challenge, "url"), &url))
        return false;
    p.name = slice_starts(name, SLICE("*.")) ? slice_from(name, 2) : name;
    p.token = arena_copy(&g->c->arena, token);
    p.authorization = arena_printf(&g->c->arena, "%.*s.%.*s", SLICE_ARG(token),
                                   ACME_SHA256_LETTERS, thumbprint);
    if (!slice_is_present(p.token) || !slice_is_present(p.authorization))
        return acme_client_fail(g->c, "out of memory");
    return show_and_ask(g, &p, url, authorization);
}

/* What was proved before need not be proved again. */
static bool
prove(struct ordering *g, struct slice authorization)
{
    struct acme_reply r;
    bool good = acme_client_post(g->c, authorization, (struct slice){NULL, 0}, &r);
    struct slice status = acme_json_get_text(r.json, "status");

    if (good && slice_eq(status, SLICE("pending")))
        good = prove_pending(g, r.json, authorization);
    else if (good && !slice_eq(status, SLICE("valid")))
        good = fail_proof(g, r.json);
    acme_reply_free(&r);
    return good;
}

/* ------------------------------------------------------------------ the certificate */

static bool
post_request(struct ordering *g, EVP_PKEY *key, struct acme_reply *r)
{
    struct text der, payload;
    bool good;

    *r = (struct acme_reply){0};
    text_init(&der, PAYLOAD_MAX);
    text_init(&payload, PAYLOAD_MAX);
    good = acme_request_write(key, g->o->name, &der);
    text_literal(&payload, "{\"csr\":\"");
    acme_put_letters(&payload, text_slice(&der));
    text_literal(&payload, "\"}");
    if (!good || payload.full)
        good = acme_client_fail(g->c, "out of memory");
    else
        good = acme_client_post(g->c, g->finalize, text_slice(&payload), r);
    text_free(&payload);
    text_free(&der);
    return good;
}

/* The order may need a moment to notice that all is proved. */
static bool
finalize(struct ordering *g, EVP_PKEY *key, struct acme_reply *r)
{
    start_polling(g);
    for (int i = 0;; i++) {
        if (post_request(g, key, r))
            return true;
        if (i == NOT_READY_MAX || strcmp(g->c->trouble.problem, "orderNotReady") != 0)
            return false;
        acme_reply_free(r);
        *r = (struct acme_reply){0};
        if (!pause_polling(g, 0))
            return false;
    }
}

/* r: the answer to finalize.  Until the certificate's URL is known. */
static bool
await_certificate(struct ordering *g, struct acme_reply *r)
{
    for (start_polling(g);;) {
        struct slice status = acme_json_get_text(r->json, "status");
        uint64_t wait_s = r->wait_s;

        if (slice_eq(status, SLICE("valid")))
            return keep(g, acme_json_get_text(r->json, "certificate"), &g->certificate);
        if (slice_eq(status, SLICE("invalid")) || !slice_is_present(status)) {
            struct slice detail = acme_json_get_text(acme_json_get(r->json, "error"), "detail");

            return acme_client_fail(g->c, "%.*s refuses the order: %.*s",
                                    SLICE_ARG(slice_first(g->o->directory, 100)),
                                    SLICE_ARG(slice_first(detail, 250)));
        }
        acme_reply_free(r);
        *r = (struct acme_reply){0};
        if (!pause_polling(g, wait_s) ||
            !acme_client_post(g->c, g->url, (struct slice){NULL, 0}, r))
            return false;
    }
}

static bool
download(struct ordering *g, EVP_PKEY *key, struct text *out)
{
    struct acme_reply r;
    bool good = acme_client_post(g->c, g->certificate, (struct slice){NULL, 0}, &r);

    if (good) {
        good = acme_key_write(key, out);
        text_put(out, r.body);
        if (!good || out->full)
            good = acme_client_fail(g->c, "the certificate is too long");
    }
    acme_reply_free(&r);
    return good;
}

static bool
get_certificate(struct ordering *g, struct text *out)
{
    EVP_PKEY *key = acme_key_new();
    struct acme_reply r = {0};
    bool good = key || acme_client_fail(g->c, "out of memory");

    good = good && finalize(g, key, &r) && await_certificate(g, &r);
    acme_reply_free(&r);
    good = good && download(g, key, out);
    EVP_PKEY_free(key);
    return good;
}

/* ------------------------------------------------------------------ all together */

static bool
run_with(struct ordering *g, struct text *out)
{
    bool good;

    g->proof_failed = false;
    good = new_order(g);
    for (size_t i = 0; good && i < g->n; i++)
        good = prove(g, g->authorizations[i]);
    return good && get_certificate(g, out);
}

/* One kind of proof after the other. */
static bool
run(struct ordering *g, struct text *out)
{
    enum acme_challenge kinds[ACME_CHALLENGES];
    size_t n = acme_challenge_list(g->o->config, slice_starts(g->o->name, SLICE("*.")), kinds);

    if (n == 0)
        return acme_client_fail(g->c, "a wildcard takes a proof by DNS: set `dns`");
    for (size_t i = 0; i < n; i++) {
        g->kind = kinds[i];
        if (run_with(g, out))
            return true;
        if (!g->proof_failed)
            return false;
    }
    return false;
}

static bool
open_and_run(struct ordering *g, struct text *out)
{
    if (!acme_client_open(g->c) || !acme_account_open(g->c, g->o->config))
        return false;
    if (run(g, out))
        return true;
    if (strcmp(g->c->trouble.problem, "accountDoesNotExist") != 0)
        return false;
    acme_account_forget(g->c, g->o->config);
    return acme_account_open(g->c, g->o->config) && run(g, out);
}

bool
acme_order_run(const struct acme_order *o, struct text *out, struct acme_trouble *trouble)
{
    struct acme_client c;
    struct ordering g = {.o = o, .c = &c, .deadline_us = loop_now_us() + TAKES_MAX_US};
    bool good;

    acme_client_init(&c, o->directory, o->config->tls);
    good = open_and_run(&g, out);
    *trouble = c.trouble;
    acme_client_free(&c);
    return good;
}

/* ------------------------------------------------------------------ when to renew */

static void
ask_window(struct acme_client *c, struct slice renewal_id, struct acme_window *w)
{
    struct slice url = arena_printf(&c->arena, "%.*s/%.*s", SLICE_ARG(c->renewal_info),
                                    SLICE_ARG(renewal_id));
    const struct acme_json *window;
    struct acme_reply r;

    if (!slice_is_present(url))
        return;
    if (acme_client_get(c, url, &r)) {
        window = acme_json_get(r.json, "suggestedWindow");
        w->known = acme_time_read(acme_json_get_text(window, "start"), &w->from_s) &&
                   acme_time_read(acme_json_get_text(window, "end"), &w->to_s) &&
                   w->from_s < w->to_s; /* RFC 9773 4.2: else it is to be ignored */
    }
    w->again_s = r.wait_s;
    acme_reply_free(&r);
}

void
acme_window_ask(const struct acme_config *config, struct slice directory, struct slice renewal_id,
                struct acme_window *w)
{
    struct acme_client c;

    *w = (struct acme_window){0};
    acme_client_init(&c, directory, config->tls);
    if (acme_client_open(&c) && c.renewal_info.n)
        ask_window(&c, renewal_id, w);
    acme_client_free(&c);
}
