/* SPDX-License-Identifier: Apache-2.0 */
/* acme/challenge.c - the list of proofs, and the two that maitred shows itself: over HTTP (RFC 8555
 * 8.3) and over TLS (RFC 8737). */
#include "acme/challenge.h"

#include "acme/certificate.h"
#include "acme/jose.h"
#include "tls/challenge.h"

#include <stdio.h>

enum { PROOF_VALID_S = 86400 };

const struct acme_challenge_kind *const acme_challenge_kinds[ACME_CHALLENGES] = {
    [ACME_HTTP_01] = &acme_http_01,
    [ACME_TLS_ALPN_01] = &acme_tls_alpn_01,
    [ACME_DNS_01] = &acme_dns_01,
};

size_t
acme_challenge_list(const struct acme_config *config, bool wildcard,
                    enum acme_challenge out[ACME_CHALLENGES])
{
    static const int by_default[] = {ACME_TLS_ALPN_01, ACME_HTTP_01};
    static const int with_dns[] = {ACME_DNS_01};
    const int *from = config->challenges.at;
    size_t n = config->challenges.n, found = 0;

    if (n == 0) {
        from = config->dns ? with_dns : by_default;
        n = config->dns ? countof(with_dns) : countof(by_default);
    }
    for (size_t i = 0; i < n && found < ACME_CHALLENGES; i++)
        if (!wildcard || acme_challenge_kinds[from[i]]->proves_wildcards)
            out[found++] = (enum acme_challenge) from[i];
    return found;
}

bool
acme_proof_fail(struct acme_proof *p, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(p->why, sizeof(p->why), format, args);
    va_end(args);
    return false;
}

/* ------------------------------------------------------------------ over HTTP */

static bool
show_http(struct acme_proof *p)
{
    return tls_challenge_add_token(p->token, p->authorization) ||
           acme_proof_fail(p, "out of memory");
}

static void
hide_http(struct acme_proof *p)
{
    tls_challenge_remove_token(p->token);
}

const struct acme_challenge_kind acme_http_01 = {
    .type = "http-01",
    .show = show_http,
    .hide = hide_http,
};

/* ------------------------------------------------------------------ over TLS */

static struct tls_identity *
make_identity(const struct acme_proof *p)
{
    unsigned char hash[ACME_SHA256_BYTES];
    const struct acme_recipe recipe = {
        .subject = SLICE("acme"),
        .names = &p->name,
        .n_names = 1,
        .valid_s = PROOF_VALID_S,
        .alpn_proof = slice_of((char *) hash, sizeof(hash)),
    };

    return acme_sha256(p->authorization, hash) ? acme_identity_make(&recipe) : NULL;
}

static bool
show_alpn(struct acme_proof *p)
{
    struct tls_identity *id = make_identity(p);
    bool good = id && tls_challenge_add_identity(p->name, id);

    tls_identity_release(id);
    return good || acme_proof_fail(p, "out of memory");
}

static void
hide_alpn(struct acme_proof *p)
{
    tls_challenge_remove_identity(p->name);
}

const struct acme_challenge_kind acme_tls_alpn_01 = {
    .type = "tls-alpn-01",
    .show = show_alpn,
    .hide = hide_alpn,
};
