/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http/cache_tags.h - labels under which responses are purged together.
 *
 * Cache-Tag lists them with commas, Surrogate-Key with blanks; both are the operator's, one space
 * of names for all origins.  Cache-Groups (RFC 9875) is a list of strings, and such a group belongs
 * to its origin.
 */
#ifndef HTTP_CACHE_TAGS_H
#define HTTP_CACHE_TAGS_H

#include "http/message.h"

/* More than these are not looked at; RFC 9875 2 asks for 128 groups of 128 characters at least. */
enum { CACHE_TAGS_MAX = 256, CACHE_TAG_BYTES_MAX = 1024 };

/* Called for each, in their order; false ends it. */
typedef bool cache_tag_f(void *context, struct slice tag);

/* Of Cache-Tag and Surrogate-Key; how many. */
size_t cache_tags_each(const struct fields *response, cache_tag_f *f, void *context);
/* Of Cache-Groups; how many.  A field that is no list of strings counts as not there. Tags point
 * into the field; escapes (\" and \\) are left as they came, which is one way to write each. */
size_t cache_groups_each(const struct fields *response, cache_tag_f *f, void *context);
/* The groups that an answer to an unsafe method declares invalid: Cache-Group-Invalidation. */
size_t cache_groups_invalid_each(const struct fields *response, cache_tag_f *f, void *context);

#endif
