/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http/h1.h - HTTP/1.x on the wire, without I/O (RFC 9112).
 *
 * Parsing is strict: a message that two parsers could read differently is refused, never repaired.
 * Refused on both sides: bare CR or LF, obs-fold, space before the colon, control bytes, an empty
 * field name, differing or repeated Content-Length, Content-Length with Transfer-Encoding, a
 * transfer coding other than a single final "chunked", Transfer-Encoding in HTTP/1.0, duplicate
 * Host, missing Host in HTTP/1.1, bad chunk sizes.
 */
#ifndef HTTP_H1_H
#define HTTP_H1_H

#include "http/message.h"

enum h1_result {
    H1_DONE,
    H1_MORE, /* the bytes end before the message (part) does */
    H1_BAD,  /* fault says why */
};

/* Why a message is refused: the status a client gets (servers' faults are 502), and words for the
 * log. */
#define H1_FAULT_TABLE(X)                                                                         \
    X(H1_OK, 0, "ok")                                                                             \
    X(H1_BAD_REQUEST_LINE, 400, "malformed request line")                                         \
    X(H1_BAD_METHOD, 400, "the method is not a token")                                            \
    X(H1_BAD_TARGET, 400, "malformed request target")                                             \
    X(H1_TARGET_TOO_LONG, 414, "the request target is longer than the limit")                     \
    X(H1_BAD_VERSION, 400, "malformed protocol version")                                          \
    X(H1_UNSUPPORTED_VERSION, 505, "only HTTP/1.0 and HTTP/1.1 are spoken here")                  \
    X(H1_BAD_STATUS_LINE, 400, "malformed status line")                                           \
    X(H1_BAD_FIELD_NAME, 400, "malformed field name")                                             \
    X(H1_BAD_FIELD_VALUE, 400, "control byte in a field value")                                   \
    X(H1_BAD_LINE_END, 400, "bare CR or LF")                                                      \
    X(H1_OBS_FOLD, 400, "folded field line")                                                      \
    X(H1_SPACE_BEFORE_COLON, 400, "space before the colon of a field")                            \
    X(H1_TOO_MANY_FIELDS, 431, "more fields than the limit")                                      \
    X(H1_HEAD_TOO_LARGE, 431, "the head is larger than the limit")                                \
    X(H1_BAD_CONTENT_LENGTH, 400, "Content-Length is not a number")                               \
    X(H1_REPEATED_CONTENT_LENGTH, 400, "more than one Content-Length")                            \
    X(H1_LENGTH_AND_CODING, 400, "Content-Length with Transfer-Encoding")                         \
    X(H1_BAD_TRANSFER_CODING, 400, "Transfer-Encoding is malformed")                              \
    X(H1_UNKNOWN_TRANSFER_CODING, 501, "the only known transfer coding is chunked")               \
    X(H1_NO_HOST, 400, "no Host field")                                                           \
    X(H1_DUPLICATE_HOST, 400, "more than one Host field")                                         \
    X(H1_BAD_HOST, 400, "malformed Host field")                                                   \
    X(H1_BAD_CHUNK_SIZE, 400, "malformed chunk size")                                             \
    X(H1_BAD_CHUNK_END, 400, "no CRLF after a chunk")                                             \
    X(H1_CHUNK_EXTENSION_TOO_LONG, 400, "chunk extensions longer than the limit")                 \
    X(H1_BAD_TRAILER, 400, "a field that must not be in trailers")                                \
    X(H1_BAD_CONNECTION, 400, "Connection names a field that is not its own")

enum h1_fault {
#define H1_FAULT_ENUM(id, status, words) id,
    H1_FAULT_TABLE(H1_FAULT_ENUM)
#undef H1_FAULT_ENUM
};

unsigned h1_fault_status(enum h1_fault f);
const char *h1_fault_words(enum h1_fault f);

struct h1_limits {
    size_t head_bytes;   /* start line and fields */
    size_t target_bytes;
    size_t fields;       /* how many; also for trailers */
};

enum h1_framing {
    H1_NO_BODY,
    H1_LENGTH,      /* length bytes follow */
    H1_CHUNKED,
    H1_UNTIL_CLOSE, /* responses only */
};

struct h1_head {
    /* Requests: */
    enum method   method;
    struct slice  method_token;
    struct slice  target;    /* as it came: origin, absolute,
                              * authority (CONNECT) or asterisk form */
    struct slice  host;      /* value of Host, or the authority of an
                              * absolute-form target; may be empty */
    /* Responses: */
    unsigned      status;    /* 100..599 (RFC 9110 15: 600 and above are refused) */
    struct slice  reason;
    /* Both: */
    unsigned      minor;     /* HTTP/1.minor, 0 or 1 */
    struct fields fields;
    enum h1_framing framing;
    uint64_t      length;    /* with H1_LENGTH */
    bool          keep_alive;  /* the sender will take another message on this connection */
    struct slice  upgrade;   /* value of Upgrade when Connection has
                              * "upgrade" (1.1 only), else absent */
    bool          expect_continue; /* 100-continue asked for, 1.1, and a body follows */
};

/*
 * Parses the head at the start of `bytes`.  H1_DONE: *used bytes belong to it; slices point into
 * `bytes`, the fields' array into the arena given to fields_init() by this function.  H1_MORE: call
 * again with more bytes; *scanned (0 at first, kept by the caller) spares a second look at the old
 * ones, so that a head which arrives byte by byte costs linear time.  H1_BAD: *fault says why.  One
 * empty line (CRLF) before a request is skipped (RFC 9112 2.2).
 */
enum h1_result h1_parse_request(struct slice bytes, size_t *scanned, const struct h1_limits *limits,
                                struct arena *arena, struct h1_head *head, size_t *used,
                                enum h1_fault *fault);
/* As above.  request: method of the request that it answers, which decides the framing (RFC 9112
 * 6.3): none for HEAD, 1xx, 204, 304 and for 2xx to CONNECT. A 101 has H1_NO_BODY. */
enum h1_result h1_parse_response(struct slice bytes, size_t *scanned,
                                 const struct h1_limits *limits, struct arena *arena,
                                 enum method request, struct h1_head *head, size_t *used,
                                 enum h1_fault *fault);

/*
 * Chunked coding, incremental (RFC 9112 7.1).  Feed it bytes as they come; it never copies.
 */
struct h1_chunked {
    uint64_t left;       /* bytes of the current chunk still to come */
    uint32_t extensions; /* bytes of extensions seen in this message */
    uint8_t  state;
    uint8_t  digits;
};

#define H1_CHUNKED_START ((struct h1_chunked){0})

/*
 * Consumes framing and gives at most one run of content: *data is set to content inside `bytes`
 * (maybe empty) and *used to how many bytes of `bytes` are done with, content included.  H1_MORE:
 * call again with what follows; H1_DONE: the last chunk's line is consumed, trailers follow
 * (h1_parse_trailers, h1_parse_response_trailers).  Chunk extensions are skipped, at most 4 KiB of
 * them a message.
 */
enum h1_result h1_chunked_next(struct h1_chunked *c, struct slice bytes, struct slice *data,
                               size_t *used, enum h1_fault *fault);
/* The trailer section of a request with its final empty line; as h1_parse_request.  Fields that
 * frame, route or authenticate (RFC 9110 6.5.1) are H1_BAD_TRAILER. */
enum h1_result h1_parse_trailers(struct slice bytes, size_t *scanned,
                                 const struct h1_limits *limits, struct arena *arena,
                                 struct fields *trailers, size_t *used, enum h1_fault *fault);
/* The same of a response, but such fields are left out (RFC 9112 7.1.2): its content is complete,
 * and the client has most of it already. */
enum h1_result h1_parse_response_trailers(struct slice bytes, size_t *scanned,
                                          const struct h1_limits *limits, struct arena *arena,
                                          struct fields *trailers, size_t *used,
                                          enum h1_fault *fault);

/* Writes "SIZE CRLF" of a chunk of n > 0 bytes into out (18 bytes are enough); how many. */
size_t h1_chunk_header(char *out, uint64_t n);

/* How many bytes h1_write_field needs. */
static inline size_t
h1_field_size(const struct field *f)
{
    return f->name.n + f->value.n + 4; /* ": " and CRLF */
}
/* How many bytes h1_write_fields needs. */
size_t h1_fields_size(const struct fields *f);
/* "Name: value CRLF"; returns the end. */
char *h1_write_field(char *out, const struct field *f);
/* The same for each, without the empty line. */
char *h1_write_fields(char *out, const struct fields *f);

#endif
