/* SPDX-License-Identifier: Apache-2.0 */
/* acme/json.c - reading by Jansson. */
#include "acme/json.h"

#include "base/json.h"

#include <jansson.h>

enum { DEPTH_MAX = 32 };

static const json_t *
value_of(const struct acme_json *j)
{
    return (const json_t *) (const void *) j;
}

struct acme_json *
acme_json_read(struct slice text)
{
    if (json_levels(text) > DEPTH_MAX)
        return NULL;
    return (struct acme_json *) (void *) json_loadb(text.at, text.n, JSON_REJECT_DUPLICATES, NULL);
}

void
acme_json_free(struct acme_json *whole)
{
    json_decref((json_t *) (void *) whole);
}

const struct acme_json *
acme_json_get(const struct acme_json *j, const char *key)
{
    return (const struct acme_json *) (const void *) json_object_get(value_of(j), key);
}

const struct acme_json *
acme_json_at(const struct acme_json *list, size_t i)
{
    return (const struct acme_json *) (const void *) json_array_get(value_of(list), i);
}

struct slice
acme_json_text(const struct acme_json *j)
{
    const json_t *v = value_of(j);

    return slice_of(json_string_value(v), json_string_length(v));
}

struct slice
acme_json_get_text(const struct acme_json *j, const char *key)
{
    return acme_json_text(acme_json_get(j, key));
}

bool
acme_json_is_true(const struct acme_json *j)
{
    return json_is_true(value_of(j));
}
