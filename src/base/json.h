/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/json.h - what is to be known of a JSON text (RFC 8259) before a library reads it.
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include "base/slice.h"

/* How deep arrays and objects lie in each other; of a text that is not JSON, any number.  Libraries
 * call themselves for each level, and the stack of a fiber is small: ask before they read what a
 * stranger wrote. */
size_t json_levels(struct slice text);

#endif
