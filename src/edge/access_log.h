/* SPDX-License-Identifier: Apache-2.0 */
/*
 * edge/access_log.h - one record for each exchange.
 *
 * The fields are declared in one table (access_log.c): name, sentence, how it is written.  A record
 * is formatted on the worker, straight into the sink's chunk, without allocation and without
 * printf.
 */
#ifndef EDGE_ACCESS_LOG_H
#define EDGE_ACCESS_LOG_H

#include "exchange/exchange.h"
#include "exchange/expr.h"
#include "observe/sink.h"

/* What the configuration says of one log: `access_log:`. */
struct access_log {
    struct slice to;
    int          format; /* enum access_log_format */
    struct expr *when;
    uint64_t     queue_bytes;
    struct sink *sink; /* opened by access_log_open(), released by access_log_close() */
};

enum access_log_format { ACCESS_LOG_JSON, ACCESS_LOG_COMBINED };

extern const struct option_object access_log_object; /* shorthand: to */

bool access_log_open(struct access_log *log, struct config_report *report,
                     const struct config *config);
void access_log_close(struct access_log *log);
/* Once the exchange is done.  worker: its number. */
void access_log_write(const struct access_log *log, unsigned worker, struct exchange *x);
/* Markdown table of the fields, for docs/reference. */
void access_log_reference(struct text *out);

#endif
