/* SPDX-License-Identifier: Apache-2.0 */
/* control/state.h - the one database of revisions and audit log.  Private to them. */
#ifndef CONTROL_STATE_H
#define CONTROL_STATE_H

#include "runtime/database.h"

enum {
    STATE_LIST_MAX = 1000, /* rows that are read at once */
    STATE_TEXT_MAX = 256 * 1024 * 1024,
};

extern struct database state_database;

/* Within work.  The id of a text, which is kept if it is new; 0 after noting the fault. */
int64_t state_keep_text(struct slice text);
/* False after noting the fault. */
bool state_read_text(int64_t id, struct arena *arena, struct slice *out);

#endif
