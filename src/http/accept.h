/* SPDX-License-Identifier: Apache-2.0 */
/* http/accept.h - which media types a client takes, and how gladly (RFC 9110 12.5.1). */
#ifndef HTTP_ACCEPT_H
#define HTTP_ACCEPT_H

#include "http/message.h"

enum { ACCEPT_BEST = 1000 };

/* The weight among the parameters of an element, such as "level=3;q=0.5", in thousandths;
 * ACCEPT_BEST when there is none (12.4.2).  False: it is malformed. */
bool accept_weight(struct slice parameters, unsigned *q);

/* How gladly the client takes a type such as "application/json", in thousandths: 0 is "never".  The
 * range that fits best counts: the type itself, then all of its kind, then all.  What is malformed
 * is left out, and who says nothing takes everything.  "text/yaml" and the like are
 * "application/yaml". */
unsigned accept_q(const struct fields *f, struct slice type);

#endif
