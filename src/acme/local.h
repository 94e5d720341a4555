/* SPDX-License-Identifier: Apache-2.0 */
/*
 * acme/local.h - certificates for names of this machine, which no public authority gives: issued by
 * an authority of our own.  Private to the room.
 *
 * It is made when it is first needed and kept in the state folder.  Whoever trusts it (`maitred
 * trust`) trusts it for localhost and what is below only: its certificate says so (RFC 5280
 * 4.2.1.10).
 */
#ifndef ACME_LOCAL_H
#define ACME_LOCAL_H

#include "base/text.h"

/* "localhost", "app.localhost", "*.localhost" (RFC 6761 6.3), or an address of the loopback. */
bool acme_is_local(struct slice name);
/* PEM of a certificate for the name, with its issuer and key, at the end of out.  Waits for files.
 * False with the reason in `why`. */
bool acme_local_issue(struct slice state, struct slice name, struct text *out, char *why,
                      size_t room);
void acme_local_exit(void);

#endif
