/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls/lean.h - private: a client's connection after its TLS 1.3 handshake, without OpenSSL's SSL.
 *
 * What OpenSSL keeps of a connection is 14 KiB, and each record takes its way through a dozen of
 * its functions and a copy.  After a handshake nothing of that is needed but the two secrets; so
 * they are noted when the key schedule derives them (schedule.c), the SSL is freed, and records
 * are sealed from whoever sends straight into the buffer that is sent, and opened straight to
 * whoever receives.  TLS 1.2, and connections to servers (whose tickets come at any time), stay
 * with OpenSSL.
 */
#ifndef TLS_LEAN_H
#define TLS_LEAN_H

#include "tls/layer.h"

extern const struct sock_layer_ops tls_lean_ops;

/* The handshake with a client is done, and `traffic` is what was noted during it; all that is held
 * to be sent was sealed after our Finished.  False: the connection stays with its SSL. */
bool tls_lean_take_over(struct tls_layer *t, const struct tls_traffic *traffic);
/* Frees what can be made again; the connection was quiet for a while. */
void tls_lean_cool(struct tls_lean *l);
void tls_lean_free(struct tls_lean *l);

#endif
