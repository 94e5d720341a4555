/* SPDX-License-Identifier: Apache-2.0 */
/*
 * analytics/ask.h - questions to a keeper: which rows answer them, and what is merged of them.
 *
 * Private to the room.  Blocks; any thread.
 */
#ifndef ANALYTICS_ASK_H
#define ANALYTICS_ASK_H

#include "analytics/keeper.h"

struct question {
    int64_t        from_s, to_s, step_s; /* as analytics_ask() and analytics_series() take them */
    enum dimension what;                 /* DIMENSIONS: all */
    size_t         top;
};

bool ask_lists(struct keeper *k, const struct question *q, struct text *out, char why[200]);
bool ask_series(struct keeper *k, const struct question *q, struct text *out, char why[200]);

#endif
