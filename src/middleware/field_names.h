/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/field_names.h - which fields a configuration may touch.
 *
 * What frames a message or belongs to one connection is the proxy's own business: a configuration
 * that could set Content-Length could split messages.  Said when the configuration is loaded, not
 * per request.
 */
#ifndef MIDDLEWARE_FIELD_NAMES_H
#define MIDDLEWARE_FIELD_NAMES_H

#include "config/option.h"

enum message_side { SIDE_REQUEST, SIDE_RESPONSE };

/* False after reporting, at the place of `where`, why this name may not be set, added or
 * removed. */
bool field_name_check(struct config_bind *b, const void *where, struct slice name,
                      enum message_side side);

#endif
