/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control/host.h - what the process offers to its control room.  main/ implements it.
 *
 * All of it on fibers of the control thread; all of it may wait.
 */
#ifndef CONTROL_HOST_H
#define CONTROL_HOST_H

#include "config/document.h"
#include "edge/edge.h"
#include "upstream/upstream.h"

struct admin_config;
struct app; /* a configuration made ready: main/app.h */

/* What came of the last replacement of the program. */
struct control_upgrade {
    enum control_upgrade_state {
        UPGRADE_NONE,    /* there was none */
        UPGRADE_RUNNING, /* the new process starts */
        UPGRADE_DONE,    /* it serves */
        UPGRADE_FAILED,  /* the process before goes on serving */
    } state;
    int  pid;      /* of the new process, as in the pid file; 0 without one */
    char why[200]; /* failed: a sentence */
};

struct control_host {
    /* What the files say now.  NULL after reporting. */
    struct config_document *(*read)(struct config_report *report);
    /* Reads with this. */
    const struct config_source *source;
    /* Builds what a document says; changes nothing that runs.  NULL after reporting. */
    struct app *(*prepare)(const struct config_document *d, struct config_report *report);
    /* Opens its logs, where that is not a part of apply(): before anything is served.  False after
     * reporting. */
    bool (*open)(struct app *a, struct config_report *report);
    /* Serves it from now on; it belongs to the process.  False after reporting: what was served
     * before goes on, and the app is gone. */
    bool (*apply)(struct app *a, struct config_report *report);
    void (*drop)(struct app *a);
    /* What is served. */
    struct app *(*current)(void);

    const struct snapshot *(*snapshot)(const struct app *a);
    const struct admin_config *(*admin)(const struct app *a);
    /* `upstreams:` as bound, of struct upstream_config; and the one that a route's `to` names, URLs
     * included; NULL: none. */
    const struct option_list *(*upstreams)(const struct app *a);
    /* A listening descriptor, which becomes the caller's; or -errno.  And the end of that. */
    int (*listen)(const union address *address, int backlog);
    void (*forget)(const union address *address);
    /* visit(edge, arg) on every worker; waits until all have. */
    bool (*each_edge)(void (*visit)(struct edge *e, void *arg), void *arg);
    /* Keeps a text for the process that comes next; and what the process before has kept, nothing
     * if there was none.  False: it cannot be kept. */
    bool (*keep)(struct slice text);
    void (*recall)(struct text *out);
    /* Begins to have the program replaced by the one on disk, which has so long to get ready; 0:
     * the preset.  False: it does not begin, for the reason in *now. */
    bool (*upgrade)(unsigned within_s, struct control_upgrade *now);
    /* What came of the last one.  False: nobody can tell. */
    bool (*upgraded)(struct control_upgrade *last);

    unsigned     workers;
    uint32_t     owner; /* the user who started the process */
    struct slice path; /* of the configuration file; absent: it came from the command line */
};

#endif
