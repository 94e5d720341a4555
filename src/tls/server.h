/* SPDX-License-Identifier: Apache-2.0 */
/* tls/server.h - private: a listener's side of TLS. */
#ifndef TLS_SERVER_H
#define TLS_SERVER_H

#include "runtime/quiesce.h"
#include "tls/store.h"
#include "tls/worker.h"

struct tls_server {
    _Atomic uint32_t           refs;
    _Atomic(struct tls_store *) store; /* replaced by tls_server_swap() */
    _Atomic(struct tls_store *) kept;  /* NULL, or replaced by tls_server_keep() */
    char                      *client_ca; /* PEM; NULL: none */
    size_t                     client_ca_n;
    enum tls_client_mode       client_mode;
    enum tls_profile           profile;
    bool                       refuse_unknown, no_tickets, no_stapling, offer_h2;
    int                        keylog_fd; /* -1: none */
    unsigned char              session_context[16]; /* whose tickets are taken */
    SSL_CTX                   *contexts[WORKERS_MAX]; /* each belongs to one worker */
};

/* The worker's context, made when it is missing; NULL when out of memory. */
SSL_CTX *tls_server_context(struct tls_server *s, struct tls_worker *w);

/* layer.c knows which choice a connection in its handshake began with; NULL afterwards. */
const struct tls_choice *tls_layer_choice(const SSL *ssl);

#endif
