/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control/overrides.h - what operators have changed while running, for the process that comes next.
 *
 * States and weights of servers, servers that were added or removed, and the level of the message
 * log are in no file.  After each change all of it is handed to the host as one text, which the
 * next process gets: after an upgrade, or when the worker process has died.
 *
 * Threads  control thread.
 */
#ifndef CONTROL_OVERRIDES_H
#define CONTROL_OVERRIDES_H

#include "observe/log.h"

/* An operator has changed something: hands all of it over. */
void overrides_changed(void);
/* The log tells so much until the next reload. */
void overrides_set_level(enum log_level level);
/* Once, before what is served first is applied: what the process before had kept. */
void overrides_restore(void);
/* A configuration is served, and its level of the log in force: that of the process before once
 * more, if this is the first; otherwise it was changed until this reload. */
void overrides_follow(void);

#endif
