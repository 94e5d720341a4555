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
#include "control/host.h"
#include "main/sockets.h"
#include "tls/tls.h"

#include <stdint.h>

enum channel_kind {
    CHANNEL_LISTEN, /* -> descriptors of the address, at least n of them, see sockets_listen() */
    CHANNEL_READ,   /* -> a descriptor of the file, for reading */
    CHANNEL_FOLDER, /* -> two descriptors, see files_open_folder() */
    CHANNEL_RECALL, /* -> the keys of tickets that were told last */
    CHANNEL_OVERRIDES, /* -> a descriptor of what was kept last, ENOENT: nothing */
    CHANNEL_UPGRADE,  /* has the program replaced by the one on disk, within n seconds, 0: the
                       * preset; -> EBUSY, with the reason, when it does not begin */
    CHANNEL_UPGRADED, /* -> what came of the last upgrade */
    /* These have no answer: */
    CHANNEL_FORGET,  /* the address is not listened on any more */
    CHANNEL_LOADED,  /* what was read since the last time is the configuration in force */
    CHANNEL_REFUSED, /* the configuration has errors, and that in force stays */
    CHANNEL_TICKETS, /* the keys of tickets */
    CHANNEL_KEEP,    /* a descriptor comes with it: a text for the next worker process */
    CHANNEL_READY,   /* serving; path says what */
    CHANNEL_ALIVE,   /* all workers have come back to their loops just now */
};

enum { CHANNEL_PATH_MAX = 4096 };

struct channel_request {
    enum channel_kind kind;
    union address     address;
    int               backlog;
    unsigned          n;
    struct tls_tickets tickets;
    char              path[CHANNEL_PATH_MAX]; /* ends with a zero byte */
};

struct channel_reply {
    int                error; /* errno; 0: n descriptors come with it */
    unsigned           n;
    struct tls_tickets tickets;
    struct control_upgrade upgrade;
};

enum { CHANNEL_FDS_MAX = SOCKETS_MAX };

/* What a worker process has told its supervisor, who takes note and clears it. */
struct channel_news {
    bool               ready, loaded, refused, alive;
    bool               upgrade;     /* wanted: it waits for channel_answer_upgrade() */
    unsigned           within_s;    /* ... so long; 0: the preset */
    char               status[256]; /* what it serves, once it is ready */
    struct tls_tickets tickets;     /* stays: for the next worker */
    int                overrides;   /* likewise: a descriptor, -1: none */
    struct control_upgrade upgraded; /* stays, and is the supervisor's to say: the last one */
};

/* Worker: asks and waits. 0, with *found descriptors in fds, n or more; or an errno. */
int channel_listen(int channel, const union address *address, int backlog, unsigned n,
                   int fds[SOCKETS_MAX], unsigned *found);
/* The file's descriptor, or -errno. */
int channel_read(int channel, const char *path);
/* 0, with two descriptors in fds, see files_open_folder(); or an errno. */
int channel_folder(int channel, const char *path, int fds[2]);
/* Keys of tickets that an earlier process had; generation 0 when there are none. */
void channel_recall(int channel, struct tls_tickets *tickets);
/* One of those without an answer; address and text may be NULL. */
void channel_tell(int channel, enum channel_kind kind, const union address *address,
                  const char *text);
void channel_keep_tickets(int channel, const struct tls_tickets *tickets);
/* What operators have changed: a descriptor of a text, which stays the caller's. */
bool channel_keep(int channel, int fd);
/* ... that an earlier process had kept: a descriptor, or -errno.  Its position is the end of what
 * was read last. */
int channel_overrides(int channel);
/* See CHANNEL_UPGRADE: 0, or an errno; EBUSY: now->why says why it does not begin. */
int channel_upgrade(int channel, unsigned within_s, struct control_upgrade *now);
/* What came of the last one: 0 or an errno. */
int channel_upgraded(int channel, struct control_upgrade *last);

/* Supervisor: answers one request.  False: the worker is gone. */
bool channel_serve(int channel, struct channel_news *news);
/* Answers CHANNEL_UPGRADE: under way, or why not. */
void channel_answer_upgrade(int channel, const struct control_upgrade *now);

#endif
