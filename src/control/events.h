/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control/events.h - what happens, told to whoever listens: server-sent events.
 *
 * A fiber looks once a second while somebody listens (and now and then otherwise, so that there is
 * something to compare with), and makes one text of it for all.  A reader that does not read has
 * its connection ended by the listener's own time-outs; it never makes others wait.
 */
#ifndef CONTROL_EVENTS_H
#define CONTROL_EVENTS_H

#include "base/slice.h"

void events_start(void);
void events_stop(void);
/* Something was changed; what: "configuration", "server", "certificate", "trial", "cache".  who: of
 * whoever did it. */
void events_changed(const char *what, struct slice who);

#endif
