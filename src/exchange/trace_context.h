/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exchange/trace_context.h - W3C Trace Context: `traceparent` and `tracestate`, read strictly and
 * written (https://www.w3.org/TR/trace-context/).
 *
 * Pure: what is malformed counts as not being there.
 */
#ifndef EXCHANGE_TRACE_CONTEXT_H
#define EXCHANGE_TRACE_CONTEXT_H

#include "http/message.h"

enum { TRACE_ID_BYTES = 16, TRACE_SPAN_BYTES = 8, TRACEPARENT_LENGTH = 55 };

struct trace_context {
    uint8_t      id[TRACE_ID_BYTES], span[TRACE_SPAN_BYTES]; /* neither is all zero */
    bool         sampled;
    struct slice id_text; /* the 32 digits in the field */
};

/* From the fields of a request.  False: there is none, or it is malformed (3.2.2: a version that we
 * do not know is read as far as we do; more than one field is malformed). */
bool trace_context_read(const struct fields *f, struct trace_context *out);
/* `tracestate` as it came may go on (3.3.1: up to 32 members, well-formed, no key twice). */
bool trace_context_state_is_good(const struct fields *f);
/* "00-...-...-01" */
void trace_context_write(char out[TRACEPARENT_LENGTH], const uint8_t id[TRACE_ID_BYTES],
                         const uint8_t span[TRACE_SPAN_BYTES], bool sampled);
/* Two digits for each byte, in lower case. */
void trace_context_hex(char *out, const uint8_t *bytes, size_t n);

#endif
