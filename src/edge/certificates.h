/* SPDX-License-Identifier: Apache-2.0 */
/*
 * edge/certificates.h - the certificates that listeners show.
 *
 * Threads  control thread.
 */
#ifndef EDGE_CERTIFICATES_H
#define EDGE_CERTIFICATES_H

#include "edge/edge.h"
#include "tls/tls.h"

struct edge_certificate {
    const struct listener_config *listener;
    const struct tls_identity    *identity; /* names: tls_identity_name(); more:
                                             * tls_identity_describe() */
    bool                          acme;     /* it looks after itself */
    struct slice                  file;     /* that it came from; absent: none */
};

/* see(c) for every certificate of every listener of the snapshot, as they are now. */
void edge_certificates_each(const struct snapshot *s,
                            void (*see)(void *arg, const struct edge_certificate *c), void *arg);

#endif
