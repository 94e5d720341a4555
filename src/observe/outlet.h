/* SPDX-License-Identifier: Apache-2.0 */
/*
 * observe/outlet.h - where the bytes of a sink go: a file, a standard stream, syslog.
 *
 * Private to observe/.  Used by the writer thread alone once a sink is open.  An outlet never waits
 * as far as the kernel lets it: what would block is told, and the writer looks again when the
 * descriptor is ready.  (A regular file always waits for its disk: that is what the writer thread
 * is for.)
 */
#ifndef OBSERVE_OUTLET_H
#define OBSERVE_OUTLET_H

#include "base/address.h"

#include <sys/types.h>

struct outlet;

struct outlet_kind {
    /* A new descriptor, or a negative errno. */
    int (*open)(const struct outlet *o);
    /* Takes bytes from the start of lines.  How many it took: more than 0; 0 when it would have to
     * wait until fd is writable; a negative errno. */
    ssize_t (*write)(struct outlet *o, struct slice lines);
    bool reopens; /* is worth opening anew after somebody moved a file */
};

struct outlet {
    const struct outlet_kind *kind;
    char                     *to;         /* as configured; owned */
    int                       fd;         /* -1 while it is not open */
    bool step; /* the descriptor is others' too and may block: small writes */
    union address             address;    /* syslog */
    bool                      rfc5424;    /* syslog */
    uint64_t                  lost;       /* records that the destination refused for good */
};

/* Finds out what `to` means, without opening it.  False with a sentence in error. */
bool outlet_init(struct outlet *o, struct slice to, char *error, size_t error_room);
void outlet_free(struct outlet *o);
/* 0 or an errno; the descriptor that was open before is closed only when there is a new one. */
int outlet_open(struct outlet *o);
void outlet_close(struct outlet *o);
/* True when the failure to open with this errno may pass without anybody's doing something wrong: a
 * FIFO without a reader. */
bool outlet_may_come(const struct outlet *o, int error);

#endif
