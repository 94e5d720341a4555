/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main/sockets.h - the listening sockets, which the supervisor keeps.
 *
 * They outlive worker processes, and an upgrade hands the very same ones to the next supervisor: a
 * connection waits in the queue of one socket, and would be lost with it.  Some may come from
 * whoever started us (socket activation).
 */
#ifndef MAIN_SOCKETS_H
#define MAIN_SOCKETS_H

#include "base/address.h"
#include "base/text.h"

#include <stdint.h>

enum { SOCKETS_MAX = 128 }; /* of an address */

enum sockets_origin {
    SOCKETS_OURS,      /* we made them, or the process before us */
    SOCKETS_ACTIVATED, /* somebody else's, who also looks after the files of Unix sockets */
};

/* Descriptors of the address in fds: at least n, more when there were more (each must be accepted
 * from); made as far as there are none yet.  0 and *found of them; or an errno. */
int sockets_listen(const union address *address, int backlog, unsigned n, int fds[SOCKETS_MAX],
                   unsigned *found);
/* Takes over an inherited listening socket.  False: it is something else, and closed. */
bool sockets_adopt(int fd, enum sockets_origin origin);
/* Closes those of the address. */
void sockets_forget(const union address *address);
/* For each address that nobody has asked for since it was adopted: drop(address), then it is
 * forgotten. */
void sockets_forget_unwanted(void (*drop)(const union address *address));
/* visit(arg, fd, origin) for each. */
void sockets_each(void (*visit)(void *arg, int fd, enum sockets_origin origin), void *arg);
/* They belong to another process now: closing them leaves the files of Unix sockets alone; and
 * back. */
void sockets_lend(bool lent);
/* Closes all, and removes the files of Unix sockets. */
void sockets_close_all(void);
/* In a new worker process: closes the copies. */
void sockets_leave(void);

#endif
