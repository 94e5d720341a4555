/* SPDX-License-Identifier: Apache-2.0 */
/* main/client/lists.h - what the admin API lists, and which columns people see of it. */
#ifndef MAIN_CLIENT_LISTS_H
#define MAIN_CLIENT_LISTS_H

#include "main/client/admin.h"
#include "main/client/table.h"

struct list_kind {
    const char                *name;   /* "routes"; NULL ends the list of kinds */
    const char                *path;   /* of the API */
    const char                *member; /* of its answer: an array of objects */
    const struct table_column *columns;
    /* Makes rows of that array: adds members, or gives a new array.  May be NULL.  A new
     * reference; NULL: out of memory. */
    json_t                  *(*shape)(json_t *rows);
    const char                *counter;  /* grows, so that there is a rate of it; NULL: none */
    const char                *identity; /* the member that a row is found again by */
};

extern const struct list_kind lists[];

/* NULL: no such. */
const struct list_kind *lists_find(const char *name);
/* The rows of an answer; a new reference; NULL: it has none. */
json_t *lists_rows(const struct list_kind *kind, const json_t *answer);
/* The rows of an array of the API; a new reference. */
json_t *lists_shape(const struct list_kind *kind, json_t *rows);
/* Gives rows their rate, from those of some time ago. */
void lists_set_rates(const struct list_kind *kind, const json_t *before, json_t *rows,
                     double seconds);

#endif
