/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/judge.h - when passive health is judged (passive.h says how).  Private to the room.
 */
#ifndef UPSTREAM_JUDGE_H
#define UPSTREAM_JUDGE_H

#include "upstream/server.h"

/* Control thread: the upstream's set or configuration has changed. */
void judge_follow(struct upstream *u);
void judge_stop(struct upstream *u);
/* Any worker: a server of it has failed too often, look soon. */
void judge_call(struct upstream *u);

#endif
