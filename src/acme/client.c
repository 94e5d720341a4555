/* SPDX-License-Identifier: Apache-2.0 */
/* acme/client.c - requests to a certificate authority, and what its answers mean. */
#include "acme/client.h"

#include "acme/jose.h"
#include "base/check.h"
#include "base/clock.h"
#include "http/date.h"
#include "runtime/loop.h"

#include <stdio.h>

enum {
    ANSWER_MAX = 256 * 1024,
    REQUEST_MAX = 64 * 1024,
    URL_MAX = 2000,
    TIMEOUT_US = 30000000,
    NONCES_MAX = 12, /* refused in a row: pebble refuses half of them on purpose when told to */
    WAIT_MAX_S = 7 * 86400,
};

/* ------------------------------------------------------------------ trouble */

bool
acme_client_fail(struct acme_client *c, const char *format, ...)
{
    va_list args;

    c->trouble = (struct acme_trouble){0};
    va_start(args, format);
    vsnprintf(c->trouble.why, sizeof(c->trouble.why), format, args);
    va_end(args);
    return false;
}

static void
copy(char *out, size_t room, struct slice s)
{
    size_t n = s.n < room - 1 ? s.n : room - 1;

    if (n)
        memcpy(out, s.at, n);
    out[n] = '\0';
}

/* RFC 8555 6.7: a problem document, or just a status. */
static bool
fail_with_reply(struct acme_client *c, const struct acme_reply *r)
{
    static const struct slice ours = SLICE_INIT("urn:ietf:params:acme:error:");
    struct slice type = acme_json_get_text(r->json, "type");
    struct slice detail = acme_json_get_text(r->json, "detail");

    if (slice_starts(type, ours))
        type = slice_from(type, ours.n);
    if (detail.n || type.n)
        acme_client_fail(c, "%.*s answers %u %.*s: %.*s", SLICE_ARG(slice_first(c->directory, 100)),
                         r->status, SLICE_ARG(slice_first(type, 60)),
                         SLICE_ARG(slice_first(detail, 200)));
    else
        acme_client_fail(c, "%.*s answers with status %u",
                         SLICE_ARG(slice_first(c->directory, 100)), r->status);
    copy(c->trouble.problem, sizeof(c->trouble.problem), type);
    c->trouble.status = r->status;
    c->trouble.wait_s = r->wait_s;
    return false;
}

/* ------------------------------------------------------------------ answers */

/* Seconds or a date (RFC 9110 10.2.3). */
static uint64_t
read_retry_after(const struct fields *f)
{
    struct slice value = fields_value(f, FIELD_RETRY_AFTER);
    int64_t now_s = (int64_t) (clock_wall_us() / 1000000), at_s;
    uint64_t wait_s = 0;

    if (value.n == 0)
        return 0;
    if (!slice_to_u64(value, WAIT_MAX_S, &wait_s) && http_date_parse(value, now_s, &at_s) &&
        at_s > now_s)
        wait_s = (uint64_t) (at_s - now_s);
    return wait_s < WAIT_MAX_S ? wait_s : WAIT_MAX_S;
}

static void
keep_nonce(struct acme_client *c, const struct fields *f)
{
    const struct field *nonce = fields_find(f, SLICE("Replay-Nonce"));

    if (!nonce || nonce->value.n == 0 || nonce->value.n > sizeof(c->nonce))
        return;
    memcpy(c->nonce, nonce->value.at, nonce->value.n);
    c->nonce_n = nonce->value.n;
}

/* False: there is no answer. */
static bool
ask(struct acme_client *c, struct fetch *f, struct acme_reply *r)
{
    *r = (struct acme_reply){0};
    f->tls = c->tls;
    f->deadline_us = loop_now_us() + TIMEOUT_US;
    f->max_bytes = ANSWER_MAX;
    if (http_fetch(f, &r->answer) != OK)
        return acme_client_fail(c, "%s", r->answer.why);
    r->status = r->answer.status;
    r->body = r->answer.body;
    r->json = acme_json_read(r->body);
    r->location = fields_value(&r->answer.fields, FIELD_LOCATION);
    r->wait_s = read_retry_after(&r->answer.fields);
    keep_nonce(c, &r->answer.fields);
    return true;
}

void
acme_reply_free(struct acme_reply *r)
{
    acme_json_free(take(&r->json));
    fetch_answer_free(&r->answer);
}

bool
acme_client_get(struct acme_client *c, struct slice url, struct acme_reply *r)
{
    struct fetch f = {.url = url, .method = METHOD_GET};

    return ask(c, &f, r) && (r->status < 300 || fail_with_reply(c, r));
}

/* ------------------------------------------------------------------ the directory */

void
acme_client_init(struct acme_client *c, struct slice directory, struct tls_client *tls)
{
    *c = (struct acme_client){.directory = directory, .tls = tls};
    arena_init(&c->arena, NULL, 0, 64 * 1024);
}

void
acme_client_free(struct acme_client *c)
{
    arena_free(&c->arena);
}

static bool
keep_url(struct acme_client *c, const struct acme_json *directory, const char *name,
         struct slice *url)
{
    struct slice found = acme_json_get_text(directory, name);

    if (!slice_is_present(found) || found.n > URL_MAX)
        return false;
    *url = arena_copy(&c->arena, found);
    return slice_is_present(*url);
}

bool
acme_client_open(struct acme_client *c)
{
    struct acme_reply r;
    bool good = acme_client_get(c, c->directory, &r);

    if (good) {
        const struct acme_json *meta = acme_json_get(r.json, "meta");

        c->wants_binding = acme_json_is_true(acme_json_get(meta, "externalAccountRequired"));
        (void) keep_url(c, r.json, "renewalInfo", &c->renewal_info);
        if (!keep_url(c, r.json, "newNonce", &c->new_nonce) ||
            !keep_url(c, r.json, "newAccount", &c->new_account) ||
            !keep_url(c, r.json, "newOrder", &c->new_order))
            good = acme_client_fail(c, "%.*s is not the directory of a certificate authority",
                                    SLICE_ARG(slice_first(c->directory, 200)));
    }
    acme_reply_free(&r);
    return good;
}

/* ------------------------------------------------------------------ signed requests */

static bool
get_nonce(struct acme_client *c)
{
    struct fetch f = {.url = c->new_nonce, .method = METHOD_HEAD};
    struct acme_reply r;
    bool good;

    if (c->nonce_n)
        return true;
    good = ask(c, &f, &r) && (r.status < 300 || fail_with_reply(c, &r));
    if (good && c->nonce_n == 0)
        good = acme_client_fail(c, "%.*s gives no nonce",
                                SLICE_ARG(slice_first(c->new_nonce, 200)));
    acme_reply_free(&r);
    return good;
}

/* Each nonce is used once. */
static bool
write_header(struct acme_client *c, struct slice url, struct text *out)
{
    bool good = true;

    text_literal(out, "{\"alg\":\"ES256\",\"nonce\":\"");
    text_json(out, slice_of(c->nonce, c->nonce_n));
    text_literal(out, "\",\"url\":\"");
    text_json(out, url);
    text_literal(out, "\",");
    if (slice_is_present(c->account)) {
        text_literal(out, "\"kid\":\"");
        text_json(out, c->account);
        text_literal(out, "\"}");
    } else {
        text_literal(out, "\"jwk\":");
        good = acme_jwk_write(c->key, out);
        text_literal(out, "}");
    }
    c->nonce_n = 0;
    return good && !out->full;
}

static bool
post_once(struct acme_client *c, struct slice url, struct slice payload, struct acme_reply *r)
{
    static const struct field type = {
        .name = SLICE_INIT("Content-Type"),
        .value = SLICE_INIT("application/jose+json"),
    };
    struct fetch f = {.url = url, .method = METHOD_POST, .fields = &type, .n_fields = 1};
    struct text header, body;
    bool good;

    *r = (struct acme_reply){0};
    if (!get_nonce(c))
        return false;
    text_init(&header, REQUEST_MAX);
    text_init(&body, REQUEST_MAX);
    good = write_header(c, url, &header) &&
           acme_jws_write(c->key, text_slice(&header), payload, &body);
    f.body = text_slice(&body);
    good = good ? ask(c, &f, r) : acme_client_fail(c, "out of memory");
    text_free(&header);
    text_free(&body);
    return good && (r->status < 300 || fail_with_reply(c, r));
}

bool
acme_client_post(struct acme_client *c, struct slice url, struct slice payload,
                 struct acme_reply *r)
{
    bool good = post_once(c, url, payload, r);

    for (int i = 0; i < NONCES_MAX && !good && strcmp(c->trouble.problem, "badNonce") == 0; i++) {
        acme_reply_free(r);
        good = post_once(c, url, payload, r);
    }
    return good;
}
