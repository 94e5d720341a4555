/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runtime/tunnel.h - two connections that are one from now on.
 *
 * A tunnel is a small record and two descriptors for which the loop moves bytes; it has no fiber,
 * and buffers only while bytes wait for a slow receiver.  One side's end is passed on as a
 * half-close.
 */
#ifndef RUNTIME_TUNNEL_H
#define RUNTIME_TUNNEL_H

#include "base/slice.h"
#include "runtime/loop.h"

struct tunnel;

/* One direction. */
struct tunnel_way {
    struct tunnel *tunnel;
    struct sock   *from, *to;
    struct io      reading, writing;
    struct iovec   held;   /* bytes that `to` has not taken yet */
    char          *buffer; /* lent while held is not empty */
    unsigned       size;   /* of the buffer */
    uint64_t       bytes;
    bool           ended;
};

struct tunnel {
    struct tunnel_way ways[2]; /* a to b, b to a */
    struct timer      silence;
    uint64_t          silence_us;
    uint64_t          last_us; /* when bytes last moved */
    bool              over;
    /* Both ways have ended: err is OK, ERR_TIMEOUT, ERR_RESET or ERR_CANCELLED.  Closes the socks
     * and frees the record.  In the loop's context. */
    void (*on_end)(struct tunnel *t, enum err err);
};

/* early: bytes of a that b must get first (copied; at most BUFFER_MEDIUM_BYTES), and the other way
 * round. */
void tunnel_start(struct tunnel *t, struct sock *a, struct sock *b, struct slice early_a,
                  struct slice early_b, uint64_t silence_us);
/* on_end is called with ERR_CANCELLED before this returns. */
void tunnel_cancel(struct tunnel *t);

#endif
