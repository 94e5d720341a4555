/* SPDX-License-Identifier: Apache-2.0 */
/*
 * edge/https.c - `redirect: https` of a plain listener, `hsts` of one with TLS (RFC 6797), and the
 * proofs that certificate authorities come to see (RFC 8555 8.3).
 */
#include "edge/https.h"

#include "edge/tls_options.h"
#include "tls/challenge.h"

/* The same host and URI by https; the port goes, as the other scheme listens elsewhere. */
static struct slice
target_of(struct exchange *x)
{
    const struct request *q = &x->request;
    struct slice uri = q->target.raw;
    bool ipv6 = slice_find(q->host, ':') != SLICE_NOT_FOUND;

    if (!slice_starts(uri, SLICE("/"))) {
        uri = q->target.raw_path; /* http://host/path as the target, or OPTIONS * */
        if (!slice_starts(uri, SLICE("/")))
            uri = SLICE("/");
    }
    return arena_printf(&x->arena, "https://%s%.*s%s%.*s", ipv6 ? "[" : "", SLICE_ARG(q->host),
                        ipv6 ? "]" : "", SLICE_ARG(uri));
}

/* True: it was a proof of ours.  One that we do not know may be somebody's behind us. */
static bool
answer_challenge(struct exchange *x)
{
    char room[TLS_CHALLENGE_ANSWER_MAX];
    struct slice token = slice_from(x->request.target.path, sizeof(TLS_CHALLENGE_PATH) - 1);
    struct slice answer = tls_challenge_answer(token, room);

    if (!slice_is_present(answer))
        return false;
    answer = arena_copy(&x->arena, answer);
    if (slice_is_present(answer))
        exchange_respond(x, 200, SLICE("text/plain"), answer);
    else
        exchange_refuse(x, 503, REASON_OUT_OF_MEMORY, "acme-challenge: out of memory");
    return true;
}

bool
https_redirect(struct serving *s)
{
    struct exchange *x = &s->x;
    struct slice target;

    if (slice_starts(x->request.target.path, SLICE(TLS_CHALLENGE_PATH)))
        return answer_challenge(x);
    if (s->conn->listener->config->redirect == LISTENER_REDIRECT_OFF ||
        slice_eq(x->scheme, SLICE("https")))
        return false;
    if (x->request.host.n == 0) {
        exchange_refuse(x, 400, REASON_BAD_REQUEST, "redirect: the request names no host");
        return true;
    }
    target = target_of(x);
    if (!target.at) {
        exchange_refuse(x, 503, REASON_OUT_OF_MEMORY, "redirect: out of memory");
        return true;
    }
    exchange_respond(x, 308, SLICE(""), SLICE(""));
    fields_add(&x->response.fields, FIELD_LOCATION, target);
    exchange_fault(x, REASON_REDIRECT, OK, NULL);
    return true;
}

void
https_strict(struct serving *s)
{
    const struct tls_listener *tls = s->conn->listener->config->tls;
    struct fields *f = &s->x.response.fields;
    char memory[40];
    struct slice value;
    struct text text;

    /* RFC 6797 7.2: never over plain HTTP. */
    if (!tls || !tls->hsts_us || !s->conn->secure || s->x.response.status == 0)
        return;
    if (fields_has(f, FIELD_STRICT_TRANSPORT_SECURITY))
        return;
    text_fixed(&text, memory, sizeof(memory));
    text_literal(&text, "max-age=");
    text_u64(&text, tls->hsts_us / 1000000);
    value = arena_copy(&s->x.arena, text_slice(&text));
    if (value.at)
        fields_add(f, FIELD_STRICT_TRANSPORT_SECURITY, value);
}
