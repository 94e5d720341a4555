/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/compose_json.h - is it JSON, and what are its members?  Private to compose.
 *
 * Documents are joined byte for byte: numbers keep their digits, and members their order.  So they
 * are only checked (RFC 8259), strictly, because what is not quite JSON would spoil the whole.
 */
#ifndef MIDDLEWARE_COMPOSE_JSON_H
#define MIDDLEWARE_COMPOSE_JSON_H

#include "base/slice.h"

struct text;

enum { COMPOSE_JSON_DEPTH_MAX = 64 };

/* One value with blanks around it, UTF-8, nested no deeper than that. */
bool compose_json_is_valid(struct slice text);
/* Without the blanks around it. */
struct slice compose_json_trim(struct slice text);

/* The members of a valid object, one after the other: begin with *rest as the whole text.  key has
 * its quotes, member is `key: value`.  False when there are no more, or it is no object. */
bool compose_json_member(struct slice *rest, struct slice *key, struct slice *member);

/* Appends what a valid string in its quotes stands for, in UTF-8: two spellings of a key are the
 * same key (RFC 8259 8.3).  It is never longer than the string.  Half a pair of surrogates becomes
 * three bytes that are no UTF-8, so that it equals nothing else. */
void compose_json_decode(struct slice string, struct text *out);

#endif
