/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exchange/otlp.h - finished traces as OTLP, in the JSON that collectors take over HTTP.
 *
 * One trace becomes a span of kind SERVER, with everything that was noted as its events, and a
 * child of kind CLIENT for each attempt at a server; that of an exchange of our own (a fragment, a
 * refresh) is of kind INTERNAL.  The encoding is that of Protocol Buffers in
 * JSON with OTLP's exceptions: ids are hexadecimal, enumerations are numbers, 64-bit numbers are
 * texts (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding).  Names of attributes
 * are those of the semantic conventions for HTTP; what these do not have begins with "maitred.".
 */
#ifndef EXCHANGE_OTLP_H
#define EXCHANGE_OTLP_H

#include "exchange/trace.h"

/* An ExportTraceServiceRequest of n traces.  Pure; out's `full`: it did not fit. */
void otlp_write(struct trace *const *traces, size_t n, struct slice service, struct text *out);

#endif
