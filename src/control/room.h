/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control/room.h - the control room: the API's own listeners, on the control thread.
 *
 * The API is served by an edge like any worker's, on the loop of the control thread: it has TLS,
 * HTTP/2 and limits as everybody has, and what it does never takes time of a worker's.
 *
 *     control_restore()  once, before serving: what the API had changed over the files
 *     control_follow()   on every configuration that is served, the first too
 *     control_retire()   another process serves from now on
 *     control_flush()    the last exchanges are over, the workers still there
 *     control_stop()     the end
 *
 * Threads  control thread, on fibers; all of it may wait.
 */
#ifndef CONTROL_ROOM_H
#define CONTROL_ROOM_H

#include "control/host.h"

/* host: as long as the process. */
void control_start(const struct control_host *host);
/* Opens the state; then the configuration to begin with: `a` itself, or with what the API had
 * changed over it (`a` is gone then). */
struct app *control_restore(struct app *a);
void control_follow(const struct app *a);
/* The files are to be read again (SIGHUP); what the API changed stays over them.  False after
 * reporting: nothing has changed. */
bool control_reload(struct slice who, struct config_report *report);
void control_retire(void);
void control_flush(void);
void control_stop(void);

/* ------------------------------------------------------------------ within the room */

const struct control_host *control_host(void);
/* What is served says; NULL: it has no API. */
const struct admin_config *control_admin(void);
/* Addresses at which the supervisor listens since then. */
struct control_listening {
    union address *at;
    size_t         n;
};

/* The addresses of its API can be had: for changes by that API, which would be lost with it.  False
 * after reporting.  control_listened() follows in either case. */
bool control_can_listen(const struct app *app, struct control_listening *fresh,
                        struct config_report *report);
/* served: the app is.  Else nobody would accept there. */
void control_listened(struct control_listening *fresh, bool served);
/* When the process began, seconds since 1970. */
int64_t control_started_s(void);

#endif
