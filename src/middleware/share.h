/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/share.h - a share of all requests, drawn by lot.
 */
#ifndef MIDDLEWARE_SHARE_H
#define MIDDLEWARE_SHARE_H

#include "runtime/loop.h"

/* True for so many of a million.  On a worker. */
static inline bool
share_takes(uint64_t millionths)
{
    return (dice_next(&loop_self()->dice) >> 32) * 1000000 >> 32 < millionths;
}

#endif
