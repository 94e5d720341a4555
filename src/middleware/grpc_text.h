/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/grpc_text.h - base64 that flows: gRPC-Web's text format (PROTOCOL-WEB.md; RFC 4648
 * section 4).  Private to the room.
 *
 * A sender may end a run of letters, with padding, wherever it has to flush, and begin the next one
 * behind it; so there is padding in the middle, and four letters are what belongs together.
 */
#ifndef MIDDLEWARE_GRPC_TEXT_H
#define MIDDLEWARE_GRPC_TEXT_H

#include "base/slice.h"

/* Zeroed at first. */
struct grpc_text_decoder {
    uint32_t bits;
    unsigned letters; /* of the four that are being read */
    unsigned padding; /* of these */
};

#define GRPC_TEXT_LETTERS(n) (((n) + 2) / 3 * 4)

/* Takes from *letters what fits into `room` bytes (at least 3); how many bytes came out is *n.
 * False: something is no base64. */
bool grpc_text_decode(struct grpc_text_decoder *d, struct slice *letters, char *out, size_t room,
                      size_t *n);
/* Nothing is half read: here the text may end. */
static inline bool
grpc_text_is_complete(const struct grpc_text_decoder *d)
{
    return d->letters == 0;
}

/* Writes GRPC_TEXT_LETTERS(bytes.n) letters, padding included. */
void grpc_text_encode(struct slice bytes, char *out);

#endif
