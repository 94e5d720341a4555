/* SPDX-License-Identifier: Apache-2.0 */
/*
 * acme/stapling.h - OCSP responses that look after themselves (RFC 6960, RFC 6066 8).
 *
 * Most authorities do not do OCSP any more; for a certificate that names a responder, its response
 * is fetched, verified, shown in handshakes, kept in the state folder, and fetched anew at half of
 * its life.  Wherever the certificate comes from: a file, a folder, or ACME.
 *
 *     STATE/ocsp/NAME-KIND.der    the response; a name's next certificate overwrites it
 *
 * Threads  everything runs on fibers and timers of the control thread; workers meet the result only
 *          (tls/ocsp.h).
 */
#ifndef ACME_STAPLING_H
#define ACME_STAPLING_H

#include "base/slice.h"
#include "tls/tls.h"

/* One server whose certificates are stapled. */
struct acme_stapling_follow {
    struct tls_server *server; /* a reference is taken */
    struct slice       state;  /* folder; looked at during the call only */
};

/*
 * On a fiber of the control thread; waits for files only.  From now on what these servers show is
 * stapled, also what they are given later; what was followed before and is not in the list any more
 * is forgotten (its files stay).  False when out of memory: then it will be tried again soon.
 */
bool acme_stapling_follow(const struct acme_stapling_follow *list, size_t n);
/* Ends what is under way; its fibers end soon after. */
void acme_stapling_stop(void);

#endif
