/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http/h2_walk.h - where frames begin in the bytes of an HTTP/2 connection (RFC 9113 4.1).
 *
 * For whoever wants to look at every frame before it is taken in.  What is inside of them is
 * another's business; bytes may come in pieces of any size.
 */
#ifndef HTTP_H2_WALK_H
#define HTTP_H2_WALK_H

#include "base/slice.h"

enum { H2_FRAME_HEAD_BYTES = 9 };

/* What stands at the head of a frame. */
struct h2_frame {
    uint32_t length; /* of the payload */
    uint8_t  type, flags;
    uint32_t stream; /* without the reserved bit */
};

struct h2_walk {
    uint8_t  head[H2_FRAME_HEAD_BYTES];
    uint8_t  have; /* bytes of it so far */
    uint32_t skip; /* bytes before the next head: of the payload */
};

/* preface: bytes that stand before the first frame. */
static inline void
h2_walk_begin(struct h2_walk *w, uint32_t preface)
{
    *w = (struct h2_walk){.skip = preface};
}

/* True: *bytes now begin right behind the head of *frame.  False: all of them have been seen. */
bool h2_walk_next(struct h2_walk *w, struct slice *bytes, struct h2_frame *frame);

#endif
