/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/server_tls.h - `tls:` of an upstream: connections to its servers are encrypted, and the
 * servers must prove who they are.  Private to the room.
 */
#ifndef UPSTREAM_SERVER_TLS_H
#define UPSTREAM_SERVER_TLS_H

#include "config/option.h"
#include "tls/tls.h"
#include "upstream/upstream.h"

/* `tls:` of an upstream */
struct upstream_tls {
    bool         verify;
    struct slice ca;          /* path; absent: whom the system trusts */
    struct slice name;        /* that certificates must be for; absent: as servers are configured */
    struct slice sni;         /* absent: the name */
    struct slice certificate; /* path of our own, to show to servers; absent: none */
    struct slice key;         /* path; absent: in the same file */
    int          profile;     /* enum tls_profile */
    uint64_t     terms;       /* hash of all that matters to a connection; never 0 */
    /* Made of all this; they live as long as the configuration: */
    struct tls_client *h1, *h2, *any; /* by what is offered */
};

extern const struct option_object upstream_tls_object;

/* Options with the paths of a certificate and what belongs to it; key and ocsp may be absent, or
 * NULL.  key may also be the URI of one that stays where it is, as `pkcs11:object=site`. */
struct upstream_tls_files {
    const struct slice *certificate, *key, *ocsp;
};

/* The identity in these files, of a listener too (tls/ knows no configuration, so it cannot be
 * there); the texts, which live as long as the configuration, in *m.  NULL after a message at its
 * place. */
struct tls_identity *upstream_tls_load(struct config_bind *b, const struct upstream_tls_files *f,
                                       struct tls_material *m);

struct server;

/* A connected sock becomes one with TLS; waits.  Else `why`, for the operator. */
enum err server_tls_connect(struct sock *sock, const struct server *s,
                            const struct upstream_tls *tls, enum upstream_http http,
                            struct tls_session_slot *slot, uint64_t deadline_us, char why[120]);

#endif
