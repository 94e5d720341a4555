/* SPDX-License-Identifier: Apache-2.0 */
/*
 * acme/client.h - a conversation with one certificate authority (RFC 8555): directory, nonces,
 * signed requests.  Private to the room.
 *
 * Threads  all of it runs on fibers of the control thread; a client belongs to one of them.
 */
#ifndef ACME_CLIENT_H
#define ACME_CLIENT_H

#include "acme/json.h"
#include "base/arena.h"
#include "base/text.h"
#include "upstream/fetch.h"

#include <openssl/evp.h>

enum { ACME_NONCE_MAX = 256, ACME_WHY_MAX = 400, ACME_PROBLEM_MAX = 80 };

/* Why something did not succeed. */
struct acme_trouble {
    char     why[ACME_WHY_MAX];         /* a sentence without full stop */
    char     problem[ACME_PROBLEM_MAX]; /* "badNonce": the last part of the problem's type */
    unsigned status;                    /* 0: there was no answer */
    uint64_t wait_s;                    /* not again before (Retry-After); 0: nothing said */
};

struct acme_client {
    struct slice        directory; /* URL */
    struct tls_client  *tls;       /* NULL: whom the system trusts */
    /* From the directory; absent: not offered. */
    struct slice        new_nonce, new_account, new_order, renewal_info;
    bool                wants_binding; /* accounts must be bound to external ones */
    EVP_PKEY           *key; /* the account's; the caller's */
    struct slice        account; /* its URL; absent before there is one */
    char                nonce[ACME_NONCE_MAX];
    size_t              nonce_n; /* 0: none at hand */
    struct arena        arena;   /* of what stands above */
    struct acme_trouble trouble; /* of the last call that failed */
};

/* An answer to a signed request. */
struct acme_reply {
    unsigned            status;
    struct acme_json   *json; /* NULL: the body is something else */
    struct slice        body, location;
    uint64_t            wait_s; /* Retry-After; 0: nothing said */
    struct fetch_answer answer;
};

/* directory must outlive the client. */
void acme_client_init(struct acme_client *c, struct slice directory, struct tls_client *tls);
void acme_client_free(struct acme_client *c);
/* Reads the directory.  False with c->trouble. */
bool acme_client_open(struct acme_client *c);
/*
 * A request signed with the account's key: by the account's URL, or before there is one with the
 * key itself.  payload: JSON; absent: POST-as-GET.  A nonce that is refused is replaced, and the
 * request is sent again.  False with c->trouble: no answer, or one that reports an error.  Free the
 * reply in either case.
 */
bool acme_client_post(struct acme_client *c, struct slice url, struct slice payload,
                      struct acme_reply *r);
/* A plain GET (renewalInfo). */
bool acme_client_get(struct acme_client *c, struct slice url, struct acme_reply *r);
void acme_reply_free(struct acme_reply *r);

/* False, with this as the trouble. */
bool acme_client_fail(struct acme_client *c, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
