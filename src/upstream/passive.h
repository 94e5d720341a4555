/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/passive.h - what real traffic tells of a server's health.  Private to the room.
 *
 * Workers note the outcome of each attempt in a few atomics of the server.  Consecutive failures
 * are noticed at once, by the worker that counts the last of them; error rates and latencies, which
 * mean something only compared with the group's, are judged on the control thread once a second.
 * Who is found out is ejected for a while, longer each time, and never more than a set share of
 * the group.
 *
 * No clock and no I/O in here: time comes in, so that tests replay everything.
 */
#ifndef UPSTREAM_PASSIVE_H
#define UPSTREAM_PASSIVE_H

#include "config/option.h"

#include <stdatomic.h>

/* `passive:` */
struct passive_config {
    int64_t  errors;       /* consecutive failures; 0: do not count */
    uint64_t error_rate;   /* millionths above the group's own rate; 0: do not compare */
    uint64_t latency;      /* times the group's median average, in millionths; 0: do not compare */
    int64_t  minimum;      /* requests in a second before rate and latency mean anything */
    uint64_t eject_us;     /* the first time; each further one adds as much */
    uint64_t max_eject_us;
    uint64_t max_ejected;  /* millionths of the group that may be out */
};

extern const struct option_object passive_object;

/* A part of each server. */
struct passive {
    _Atomic uint32_t consecutive; /* failures since the last success */
    _Atomic uint32_t requests, failures; /* in the current second */
    _Atomic uint64_t took_us;     /* sum over the requests of it that succeeded */
    /* Control thread: */
    struct {
        uint64_t requests, failures, took_us;
    } second;                       /* the last whole one */
    uint32_t         slow_seconds;  /* in a row */
    uint32_t         ejections;     /* how often lately; falls with time in good health */
    uint64_t         well_since_us; /* it came back, or an ejection was forgotten */
    uint64_t         until_us;      /* ejected until; 0: not ejected */
};

/* After an attempt.  True: it is time to judge the group (a server has failed too often). */
bool passive_note(struct passive *p, const struct passive_config *config, bool failed,
                  uint64_t took_us);

/* Control thread.  The group's members, 0 in their memory at first; sets and clears until_us.
 * config NULL: all are readmitted.  periodic: the once-a-second look at rates and latencies, which
 * also begins a new second; else only consecutive failures are looked at.  Weights of the group do
 * not matter.  Returns how many have changed, of which one may have done so twice. */
size_t passive_judge(struct passive *const *group, size_t n, const struct passive_config *config,
                     uint64_t now_us, bool periodic);

#endif
