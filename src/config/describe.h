/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config/describe.h - private: all the types of objects that can be reached from a table.
 */
#ifndef CONFIG_DESCRIBE_H
#define CONFIG_DESCRIBE_H

#include "config/option.h"

struct described {
    const struct option_object *object;
    unsigned                    number;      /* 1; 2 for the second type of that name, and so on */
    bool                        outside_map; /* somewhere it stands without a key */
};

/* In the order of first mention, the root first. */
struct description {
    struct described *types; /* malloc'd */
    size_t            n, room;
};

/* False when out of memory; free it in any case. */
bool describe(struct description *d, const struct option_object *root);
void describe_free(struct description *d);
const struct described *describe_find(const struct description *d,
                                      const struct option_object *object);
/* "route", or "route_2" for the second type of that name. */
void describe_name(const struct description *d, const struct option_object *object,
                   struct text *out);
/* Whether schema and reference show the option of this object. */
bool describe_shows(const struct described *type, const struct option *o);

#endif
