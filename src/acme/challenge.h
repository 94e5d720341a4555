/* SPDX-License-Identifier: Apache-2.0 */
/*
 * acme/challenge.h - what a kind of proof is that a name is ours (RFC 8555 8).  Private to the
 * room.
 *
 * One of them is shown before the authority is asked to look, and hidden after it has looked.
 */
#ifndef ACME_CHALLENGE_H
#define ACME_CHALLENGE_H

#include "acme/acme.h"

enum { ACME_PROOF_WHY_MAX = 300, ACME_TOKEN_MAX = 200 };

struct acme_proof {
    const struct acme_config *config;
    struct slice              name;  /* without the star of a wildcard */
    struct slice              token; /* base64url */
    struct slice              authorization; /* the token with the account's thumbprint */
    bool                      hurry; /* to hide it: the process ends, or nobody wants it any more */
    char                      why[ACME_PROOF_WHY_MAX]; /* it cannot be shown */
};

struct acme_challenge_kind {
    const char *type; /* "http-01" */
    bool        proves_wildcards;
    /* On a fiber; may wait until whoever looks will see it.  False with p->why; hide() is called
     * all the same. */
    bool      (*show)(struct acme_proof *p);
    void      (*hide)(struct acme_proof *p);
};

/* By enum acme_challenge. */
extern const struct acme_challenge_kind *const acme_challenge_kinds[ACME_CHALLENGES];
extern const struct acme_challenge_kind acme_http_01, acme_tls_alpn_01, acme_dns_01;

/* The kinds to use for a name, in order, into out; how many. */
size_t acme_challenge_list(const struct acme_config *config, bool wildcard,
                           enum acme_challenge out[ACME_CHALLENGES]);
/* False, with p->why. */
bool acme_proof_fail(struct acme_proof *p, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
