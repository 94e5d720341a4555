/* SPDX-License-Identifier: Apache-2.0 */
/* edge/https.h - redirecting to https, and keeping browsers there.  Private to the room. */
#ifndef EDGE_HTTPS_H
#define EDGE_HTTPS_H

#include "edge/client.h"

/* True: the listener answers by itself, with a redirect, or with the proof that a certificate
 * authority asks for; x.response is there. */
bool https_redirect(struct serving *s);
/* Strict-Transport-Security, where the listener says so and the answer does not have it. */
void https_strict(struct serving *s);

#endif
