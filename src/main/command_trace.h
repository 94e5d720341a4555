/* SPDX-License-Identifier: Apache-2.0 */
/* main/command_trace.h - one trace, for the commands that show it. */
#ifndef MAIN_COMMAND_TRACE_H
#define MAIN_COMMAND_TRACE_H

#include "main/admin_client.h"

/* By request id or trace id; the exit status. */
int trace_print(struct admin *a, const char *id);

#endif
