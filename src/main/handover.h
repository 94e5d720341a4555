/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main/handover.h - another supervisor takes this one's place, with the same listening sockets.
 *
 * The old one starts the program anew, with its own arguments.  The new one inherits the sockets,
 * starts its worker and says that it is ready; only then the old one lets its worker go, which
 * takes no new connections and ends when those that it has have ended.  Until READY nothing has
 * changed for anybody, and whatever goes wrong is the new one's end.
 *
 * What is inherited stands in a memory file, a line for each thing; a socket pair, the link,
 * carries the few words that follow.  The old one holds the sockets as long as it lives, because
 * should the new one die by violence meanwhile it serves again; what the new one does not listen on
 * any more it therefore says (DROP), and when it ends in good order too (RELEASE).
 *
 *     new -> old   DROP address, READY, RELEASE
 */
#ifndef MAIN_HANDOVER_H
#define MAIN_HANDOVER_H

#include "base/address.h"
#include "tls/tls.h"

#include <sys/types.h>

/* ------------------------------------------------------------------ the old one */

enum handover_state {
    HANDOVER_NONE,
    HANDOVER_TRYING, /* the new one starts */
    HANDOVER_DONE,   /* it serves */
};

struct handover {
    enum handover_state state;
    pid_t              pid;
    int                link;
    uint64_t           deadline_us;
};

enum { HANDOVER_WITHIN_S = 30, HANDOVER_WHY_BYTES = 200 };

/* What one process leaves to the next, beside its sockets. */
struct handover_legacy {
    struct tls_tickets tickets;   /* generation 0: none */
    int                control;   /* a descriptor that listens; -1: none */
    int                overrides; /* one of what operators have changed (control/overrides.h); -1 */
    bool               upgrade;   /* there is a process before, which waits for us */
};

/* Starts the program.  False, with a sentence in why. */
bool handover_start(struct handover *u, const struct handover_legacy *legacy, unsigned within_s,
                    char why[HANDOVER_WHY_BYTES]);

enum handover_word {
    HANDOVER_NOTHING,
    HANDOVER_READY,
    HANDOVER_RELEASE, /* the sockets are not needed here any more */
    HANDOVER_GONE,    /* it hung up: it ends */
};

/* What the new one says.  DROP is carried out. */
enum handover_word handover_listen(struct handover *u);
/* Why it ended before it was ready, from its wait status. */
void handover_explain(int how, char why[HANDOVER_WHY_BYTES]);
/* It has ended, or does not matter any more. */
void handover_over(struct handover *u);

/* ------------------------------------------------------------------ the new one */

/* Takes over what the process before, or a service manager (LISTEN_FDS, sd_listen_fds(3)), has
 * left.  False after a message. */
bool handover_inherit(struct handover_legacy *legacy);
/* All that is served is there: addresses that are not wanted any more are closed. */
void handover_say_ready(void);
/* Closes an address, here and in the process before. */
void handover_drop(const union address *address);
/* The process before need not stand by any longer. */
void handover_release(void);
/* In a worker process: closes the copy of the link. */
void handover_leave(void);

#endif
