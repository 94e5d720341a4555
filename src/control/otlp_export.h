/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control/otlp_export.h - finished traces on their way to a collector (OTLP over HTTP).
 *
 * A fiber fetches from the workers what has come together, writes it (exchange/otlp.h) and sends
 * it.  What the collector does not take at the moment (no answer, 429, 502, 503, 504) waits, for as
 * long as Retry-After says or twice as long each time, up to a minute; no more than `queue` traces
 * wait, and what is dropped is counted.
 *
 * Threads  control thread.
 */
#ifndef CONTROL_OTLP_EXPORT_H
#define CONTROL_OTLP_EXPORT_H

#include "exchange/trace.h"

/* What is configured from now on; copied.  NULL, or without `otlp`: exporting ends. */
void otlp_follow(const struct tracing_config *tracing);
/* The process ends: what there is is sent, within two seconds, as long as the workers are there to
 * be asked.  On a fiber; waits. */
void otlp_stop(void);

/* Of traces, since the process began. */
struct otlp_counts {
    uint64_t sent, dropped;
    uint64_t failures;       /* requests that the collector did not take */
    uint64_t rejected_spans; /* of requests that it took */
};
struct otlp_counts otlp_counts(void);

#endif
