/* SPDX-License-Identifier: Apache-2.0 */
/*
 * acme/duty.h - something to be done for many things, each at its own time.  Private to the room.
 *
 * A timer says when a thing's turn has come; a few attendants, which are fibers, see to all of
 * them, one after the other, so that thousands that fall due together neither need memory nor storm
 * who is asked for them.
 *
 * Threads  the control thread's.
 */
#ifndef ACME_DUTY_H
#define ACME_DUTY_H

#include "base/list.h"
#include "runtime/timer.h"

#include <stddef.h>

struct fiber;
struct acme_duty;

enum acme_turn {
    ACME_TURN_FIRST, /* before all that wait */
    ACME_TURN_LAST,
    ACME_TURN_NONE, /* not now; the duty may be gone */
};

/* What there is to do; one for all things of a kind. */
struct acme_duties {
    const char    *name;           /* of the fibers */
    size_t         attendants_max;
    enum acme_turn (*turn)(struct acme_duty *d); /* its time has come */
    void           (*attend)(struct acme_duty *d); /* on a fiber; may wait */
    uint64_t       (*next_us)(const struct acme_duty *d); /* when it is to be seen to again;
                                                           * TIMER_NEVER: it needs nothing */
    void           (*free)(struct acme_duty *d);
    /* duty.c's: */
    struct list queue;
    size_t      attendants; /* at work */
};

#define ACME_DUTIES(self, ...)                                                                    \
    struct acme_duties self = {.queue = {&(self).queue, &(self).queue}, __VA_ARGS__}

/* Embedded in the thing. */
struct acme_duty {
    struct acme_duties *of;
    struct timer        timer;
    struct list         queue;     /* pointing to itself: not in it */
    struct fiber       *attendant;
    bool                gone;      /* its attendant frees it */
};

void acme_duty_init(struct acme_duty *d, struct acme_duties *of);
/* Sets its timer, unless it waits for its turn or is seen to. */
void acme_duty_wake(struct acme_duty *d);
/* Neither a timer, nor a turn that it waits for, nor an attendant. */
bool acme_duty_is_idle(const struct acme_duty *d);
/* Ends what is under way, and frees the thing, at once or later. */
void acme_duty_drop(struct acme_duty *d);

/* Seconds on the wall's clock. */
int64_t acme_now_s(void);
/* The clock on the wall may jump: who waits for a time on it looks again after an hour. */
#define ACME_HOUR_US (3600ull * 1000000)
/* That time, but not at once: a round of the loop lies between two turns. */
uint64_t acme_soon_us(uint64_t at_us);

#endif
