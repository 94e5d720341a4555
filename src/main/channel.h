/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main/channel.h - what the worker process asks of its supervisor, over a socket pair.
 *
 * The supervisor is the one that may bind ports and outlives the worker: it keeps the listening
 * sockets, so that a worker which dies loses no connection of the backlog.
 */
#ifndef MAIN_CHANNEL_H
#define MAIN_CHANNEL_H

#include "base/address.h"

#include <stdint.h>

enum channel_kind {
    CHANNEL_LISTEN, /* -> descriptors of the address, n of them, made when there are none yet */
    CHANNEL_FORGET, /* the address is not listened on any more; no answer */
    CHANNEL_READ,   /* -> a descriptor of the file, for reading */
    CHANNEL_FOLDER, /* -> two descriptors, see files_open_folder() */
    CHANNEL_LOADED, /* what was read since the last time is the configuration in force; no answer */
    CHANNEL_READY,  /* serving; no answer */
};

enum { CHANNEL_PATH_MAX = 4096 };

struct channel_request {
    enum channel_kind kind;
    union address     address;
    int               backlog;
    unsigned          n;
    char              path[CHANNEL_PATH_MAX]; /* CHANNEL_READ, _FOLDER; ends with a zero byte */
};

struct channel_reply {
    int      error; /* errno; 0: n descriptors come with it */
    unsigned n;
};

enum { CHANNEL_FDS_MAX = 128 };

/* Worker: asks and waits. 0, with n descriptors in fds; or an errno. */
int channel_listen(int channel, const union address *address, int backlog, unsigned n, int *fds);
/* The file's descriptor, or -errno. */
int channel_read(int channel, const char *path);
/* 0, with two descriptors in fds, see files_open_folder(); or an errno. */
int channel_folder(int channel, const char *path, int fds[2]);
void channel_tell(int channel, enum channel_kind kind, const union address *address);

/* Supervisor: answers one request.  False: the worker is gone.  *ready is set by CHANNEL_READY. */
bool channel_serve(int channel, bool *ready);
/* Closes all listening sockets and removes those of Unix addresses. */
void channel_close_all(void);

#endif
