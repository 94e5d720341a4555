/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http/cache_sf.h - structured fields (RFC 8941), as far as caching fields use them: dictionaries
 * and lists, read member by member.  Private to the cache_* files.
 *
 * Parameters are checked and left out; of an inner list only that it is one is told.  Several lines
 * of a field are read one after the other: a member does not span lines.
 */
#ifndef HTTP_CACHE_SF_H
#define HTTP_CACHE_SF_H

#include "base/slice.h"

enum sf_kind { SF_INTEGER, SF_DECIMAL, SF_STRING, SF_TOKEN, SF_BYTES, SF_BOOLEAN, SF_INNER_LIST };

struct sf_item {
    enum sf_kind kind;
    int64_t      integer; /* SF_INTEGER */
    bool         truth;   /* SF_BOOLEAN */
    struct slice text;    /* SF_STRING: between the quotes, escapes as they came; SF_TOKEN */
};

enum sf_step { SF_MEMBER, SF_END, SF_BAD };

/* The next member of *rest, which is cut off it. After SF_BAD the whole field means nothing. */
enum sf_step sf_next_of_dictionary(struct slice *rest, struct slice *key, struct sf_item *item);
enum sf_step sf_next_of_list(struct slice *rest, struct sf_item *item);

#endif
