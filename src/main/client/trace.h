/* SPDX-License-Identifier: Apache-2.0 */
/* main/client/trace.h - one trace, for the commands that show it. */
#ifndef MAIN_CLIENT_TRACE_H
#define MAIN_CLIENT_TRACE_H

#include "main/client/admin.h"

/* By request id or trace id; the exit status. */
int trace_print(struct admin *a, const char *id);

#endif
