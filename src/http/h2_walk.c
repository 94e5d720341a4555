/* SPDX-License-Identifier: Apache-2.0 */
/* http/h2_walk.c - where frames begin in the bytes of an HTTP/2 connection. */
#include "http/h2_walk.h"

#include <string.h>

static size_t
least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static void
read_head(const uint8_t *at, struct h2_frame *frame)
{
    frame->length = (uint32_t) at[0] << 16 | (uint32_t) at[1] << 8 | at[2];
    frame->type = at[3];
    frame->flags = at[4];
    frame->stream = (uint32_t) (at[5] & 0x7f) << 24 | (uint32_t) at[6] << 16 |
                    (uint32_t) at[7] << 8 | at[8];
}

bool
h2_walk_next(struct h2_walk *w, struct slice *bytes, struct h2_frame *frame)
{
    size_t n = least(w->skip, bytes->n);

    w->skip -= (uint32_t) n;
    *bytes = slice_from(*bytes, n);
    if (bytes->n == 0)
        return false;
    n = least(sizeof(w->head) - w->have, bytes->n);
    memcpy(w->head + w->have, bytes->at, n);
    w->have = (uint8_t) (w->have + n);
    *bytes = slice_from(*bytes, n);
    if (w->have < sizeof(w->head))
        return false;
    w->have = 0;
    read_head(w->head, frame);
    w->skip = frame->length;
    return true;
}
