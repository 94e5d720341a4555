/* SPDX-License-Identifier: Apache-2.0 */
/*
 * acme/json.h - JSON that has come from elsewhere.  Private to the room.
 *
 * The one place that knows the JSON library.  Written JSON is just text (text_json()).
 */
#ifndef ACME_JSON_H
#define ACME_JSON_H

#include "base/slice.h"

/* A value; its parts live as long as the whole. */
struct acme_json;

/* NULL: malformed, nested deeper than 32 levels, keys that occur twice, or out of memory. */
struct acme_json *acme_json_read(struct slice text);
void acme_json_free(struct acme_json *whole);
/* j may be NULL in all of these.  Member of an object or element of a list; NULL: absent. */
const struct acme_json *acme_json_get(const struct acme_json *j, const char *key);
const struct acme_json *acme_json_at(const struct acme_json *list, size_t i);
/* A string; absent when it is something else. */
struct slice acme_json_text(const struct acme_json *j);
/* A member that is a string. */
struct slice acme_json_get_text(const struct acme_json *j, const char *key);
bool acme_json_is_true(const struct acme_json *j);

#endif
