/* SPDX-License-Identifier: Apache-2.0 */
/* main/privileges.h - the worker process gives up what it does not need. */
#ifndef MAIN_PRIVILEGES_H
#define MAIN_PRIVILEGES_H

#include "base/slice.h"

/* Started as root: becomes that user for good ("root" stays root).  Otherwise nothing but
 * no_new_privs.  False after saying why on stderr. */
bool privileges_drop(struct slice user);

#endif
