/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http/message.h - what a message is, whatever version of HTTP carried it.
 *
 * Slices point into the buffer that the head arrived in or into the exchange's arena; both live as
 * long as the exchange.  What is in here has passed the parser's strict checks: names are tokens,
 * values hold no control bytes, framing is unambiguous.
 */
#ifndef HTTP_MESSAGE_H
#define HTTP_MESSAGE_H

#include "base/arena.h"
#include "base/slice.h"
#include "http/field_ids.h"

/* ------------------------------------------------------------------ methods (RFC 9110 9) */

#define METHOD_TABLE(X) /* name, safe, idempotent */                                              \
    X(METHOD_GET, "GET", 1, 1)                                                                    \
    X(METHOD_HEAD, "HEAD", 1, 1)                                                                  \
    X(METHOD_POST, "POST", 0, 0)                                                                  \
    X(METHOD_PUT, "PUT", 0, 1)                                                                    \
    X(METHOD_DELETE, "DELETE", 0, 1)                                                              \
    X(METHOD_CONNECT, "CONNECT", 0, 0)                                                            \
    X(METHOD_OPTIONS, "OPTIONS", 1, 1)                                                            \
    X(METHOD_TRACE, "TRACE", 1, 1)                                                                \
    X(METHOD_PATCH, "PATCH", 0, 0)                                                                \
    X(METHOD_QUERY, "QUERY", 1, 1)

enum method {
    METHOD_OTHER, /* a valid token that is not in the table */
#define METHOD_ENUM(id, name, safe, idempotent) id,
    METHOD_TABLE(METHOD_ENUM)
#undef METHOD_ENUM
};

enum method method_from(struct slice token);
/* Empty for METHOD_OTHER. */
struct slice method_name(enum method m);
bool method_is_safe(enum method m);
/* May be sent again when nobody knows whether the server acted on it (RFC 9110 9.2.2). */
bool method_is_idempotent(enum method m);

/* Reason phrase of a status, "Unknown" for one that has none. */
struct slice status_phrase(unsigned status);
/* 1xx, 204 and 304 never have a body (RFC 9110 6.4.1). */
bool status_has_no_body(unsigned status);

/* ------------------------------------------------------------------ fields */

struct field {
    struct slice name;  /* as received, or canonical when we added it */
    struct slice value; /* without surrounding blanks */
    enum field_id id;   /* FIELD_OTHER when the name is not known */
};

/*
 * Fields in their order.  The array lives in the arena and grows up to max; adding to a full one or
 * out of memory fails and sets `overflow`, which whoever sends the message looks at once.
 */
struct fields {
    struct field *at;
    uint32_t      n, room;
    uint32_t      max;
    bool          overflow;
    uint64_t      present; /* bit FIELD_x: there may be such a field */
    struct arena *arena;
};

/* room: space to begin with, taken from the arena; may be 0. */
void fields_init(struct fields *f, struct arena *arena, size_t room, size_t max);
bool fields_grow(struct fields *f);

/* FIELD_OTHER when the name is unknown; any case. */
enum field_id field_id_from(struct slice name);
/* Canonical spelling; empty for FIELD_OTHER. */
struct slice field_name(enum field_id id);
bool field_is_hop_by_hop(enum field_id id);

static inline bool
fields_has(const struct fields *f, enum field_id id)
{
    return f->present >> id & 1;
}

/* Appends; slices are kept, not copied. */
static inline bool
fields_append(struct fields *f, struct slice name, struct slice value, enum field_id id)
{
    if (f->n == f->room && !fields_grow(f))
        return false;
    f->at[f->n++] = (struct field){name, value, id};
    f->present |= (uint64_t) 1 << id;
    return true;
}

bool fields_add(struct fields *f, enum field_id id, struct slice value);
bool fields_add_named(struct fields *f, struct slice name, struct slice value);
/* The first field with this id, NULL when there is none.  Not for FIELD_OTHER. */
struct field *fields_get(const struct fields *f, enum field_id id);
/* By name, known or not, any case. */
struct field *fields_find(const struct fields *f, struct slice name);
/* The next one after `after` (NULL: the first) with this name, any case. */
struct field *fields_next(const struct fields *f, const struct field *after, struct slice name);
/* The value of the first one; absent (NULL) when there is none. */
struct slice fields_value(const struct fields *f, enum field_id id);
/* Replaces all fields of that name by one. */
bool fields_set(struct fields *f, enum field_id id, struct slice value);
bool fields_set_named(struct fields *f, struct slice name, struct slice value);
/* Removes all of that name; how many there were. */
size_t fields_remove(struct fields *f, enum field_id id);
size_t fields_remove_named(struct fields *f, struct slice name);
/*
 * Removes what belongs to one connection (RFC 9110 7.6.1): the hop-by-hop names, and every name
 * that Connection lists - except those that end-to-end semantics hang on (Content-Length, Host,
 * Transfer- Encoding are refused there: false, and the message is malformed).
 */
bool fields_remove_hop_by_hop(struct fields *f);
/* Not of a kind that is too late in a trailer (RFC 9110 6.5.1); all of them. */
bool field_may_trail(enum field_id id);
bool fields_may_trail(const struct fields *f);
/* Removes those that may not trail; the others keep their order. */
void fields_remove_late(struct fields *f);
/* True when a comma-separated list field holds the token, any case. */
bool fields_list_has(const struct fields *f, enum field_id id, struct slice token);
/* The value of a cookie in the Cookie fields; absent when there is none (RFC 6265 5.4). */
struct slice fields_cookie(const struct fields *f, struct slice name);

/* Characters of RFC 9110 5.6.2 tokens; true when every byte is one and there is at least one. */
bool is_token(struct slice s);
/* No control bytes but tab (RFC 9110 5.5); may be empty; obs-text is allowed. */
bool is_field_value(struct slice s);

#endif
