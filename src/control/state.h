/* SPDX-License-Identifier: Apache-2.0 */
/* control/state.h - the one database of revisions and audit log.  Private to the two. */
#ifndef CONTROL_STATE_H
#define CONTROL_STATE_H

#include "runtime/database.h"

enum { STATE_LIST_MAX = 1000 }; /* rows that are read at once */

extern struct database state_database;

#endif
