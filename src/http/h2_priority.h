/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http/h2_priority.h - how urgent a response is to its client: the Priority field (RFC 9218 4).
 */
#ifndef HTTP_H2_PRIORITY_H
#define HTTP_H2_PRIORITY_H

#include "base/slice.h"

struct h2_priority {
    uint8_t urgency;     /* 0 (first) to 7 */
    bool    incremental; /* parts of it are of use already */
};

/* False, and what is usual: the field is malformed, which is no fault of the request (RFC 9218
 * 5). */
bool h2_priority_parse(struct slice field, struct h2_priority *p);

#endif
