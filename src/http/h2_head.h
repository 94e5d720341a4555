/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http/h2_head.h - what the fields of an HTTP/2 request mean, once HPACK has given them out (RFC
 * 9113 8.2, 8.3).  No I/O, no frames.
 *
 * As strict as HTTP/1's parser (h1.h): a request that another version could be made to mean
 * something else by is refused.
 */
#ifndef HTTP_H2_HEAD_H
#define HTTP_H2_HEAD_H

#include "http/message.h"

/* Why a request is refused.  Status 0: it is malformed, its stream is reset (PROTOCOL_ERROR). */
#define H2_FAULT_TABLE(X)                                                                         \
    X(H2_OK, 0, "ok")                                                                             \
    X(H2_BAD_PSEUDO_FIELD, 0, "an unknown or repeated pseudo-field, or one behind other fields")  \
    X(H2_MISSING_PSEUDO_FIELD, 0, "a pseudo-field is missing")                                    \
    X(H2_BAD_METHOD, 0, "the method is not a token")                                              \
    X(H2_BAD_TARGET, 0, "malformed :path")                                                        \
    X(H2_BAD_SCHEME, 0, "the scheme is neither http nor https")                                   \
    X(H2_BAD_AUTHORITY, 0, "malformed :authority")                                                \
    X(H2_BAD_HOST, 0, "Host is malformed, repeated, or not what :authority says")                 \
    X(H2_BAD_FIELD_NAME, 0, "a field name that is no token in lower case")                        \
    X(H2_BAD_FIELD_VALUE, 0, "a control byte in a field value, or a blank at its ends")           \
    X(H2_CONNECTION_FIELD, 0, "a field that belongs to a connection of HTTP/1")                   \
    X(H2_BAD_TE, 0, "TE with anything but trailers")                                              \
    X(H2_BAD_CONTENT_LENGTH, 0, "Content-Length is not a number, repeated, or not what came")     \
    X(H2_BAD_TRAILER, 0, "a field that must not be in trailers")                                  \
    X(H2_BAD_CONNECT, 0, "CONNECT with pseudo-fields that do not go with it")                     \
    X(H2_UNKNOWN_PROTOCOL, 501, "extended CONNECT to something else than a WebSocket")            \
    X(H2_TARGET_TOO_LONG, 414, "the request target is longer than the limit")                     \
    X(H2_TOO_MANY_FIELDS, 431, "more fields than the limit")                                      \
    X(H2_HEAD_TOO_LARGE, 431, "the head is larger than the limit")                                \
    X(H2_NO_MEMORY, 503, "out of memory")

enum h2_fault {
#define H2_FAULT_ENUM(id, status, words) id,
    H2_FAULT_TABLE(H2_FAULT_ENUM)
#undef H2_FAULT_ENUM
};

/* What a client is answered; 0 when its stream is reset instead. */
unsigned h2_fault_status(enum h2_fault f);
const char *h2_fault_words(enum h2_fault f);

struct h2_limits {
    size_t list_bytes; /* of all names and values, with 32 bytes for each field (RFC 9113 6.5.2) */
    size_t target_bytes;
    size_t fields;
};

/* A request in the making. */
struct h2_head {
    struct slice  method_token, scheme, authority, path, protocol; /* absent: not there (yet) */
    enum method   method;
    struct fields fields; /* with a Host that is what :authority says */
    bool          has_length;
    uint64_t      length;
    struct slice  priority; /* the Priority field; absent: none */
    size_t        list_bytes; /* so far, also behind the limit */
    enum h2_fault fault;      /* the first one */
    struct h2_limits limits;
};

void h2_head_init(struct h2_head *h, const struct h2_limits *limits, struct arena *arena);
/* The next field, which is copied.  After a fault only the size is counted. */
void h2_head_add(struct h2_head *h, struct slice name, struct slice value);
/* All are there: what do they say together?  Afterwards crumbs of Cookie are one field.  bodiless:
 * no content follows. */
enum h2_fault h2_head_end(struct h2_head *h, bool bodiless);

/* A field of the trailer section; `trailers` is initialised. */
enum h2_fault h2_trailer_add(struct fields *trailers, struct slice name, struct slice value);

#endif
