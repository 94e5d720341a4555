/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control/configuration.h - the configuration in force, and how it changes: by the API, by reading
 * the files again, by going back.
 *
 * What is served is what the files say with a patch over it, which is all that the API has changed.
 * A change makes a new document aside, has it made ready, serves it, and then keeps it as a
 * revision; what fails on the way changes nothing.  On trial, it is kept only when the trial ends
 * well, and the document before is served again otherwise.
 *
 * One change at a time: who wants to look before changing (If-Match) holds the lock meanwhile.
 *
 * Threads  fibers of the control thread; all of it may wait.
 */
#ifndef CONTROL_CONFIGURATION_H
#define CONTROL_CONFIGURATION_H

#include "control/host.h"
#include "control/revisions.h"
#include "control/trial.h"

enum configuration_source {
    CONFIGURATION_EDIT,     /* of what is in force */
    CONFIGURATION_WHOLE,    /* a text takes its place */
    CONFIGURATION_FILES,    /* the files, read again, without what the API has changed */
    CONFIGURATION_RELOAD,   /* the files, read again, and what the API has changed over them */
    CONFIGURATION_REVISION, /* an earlier one */
};

struct configuration_change {
    enum configuration_source source;
    enum revision_cause       cause;
    enum config_edit          how;      /* edit */
    struct slice              pointer;  /* edit */
    struct slice              text;     /* edit, whole */
    int64_t                   revision; /* revision */
    struct slice              who, comment;
    uint64_t                  confirm_us; /* 0: not on trial, unless there is a guard */
    struct slice              guard;      /* absent: none */
    bool                      asks_nothing; /* who makes it may not read the files and variables
                                             * that the process may */
};

enum configuration_outcome {
    CONFIGURATION_DONE,
    CONFIGURATION_BAD,       /* the change itself is wrong (text, patch, guard) */
    CONFIGURATION_NOT_FOUND, /* its place, or the revision */
    CONFIGURATION_CONFLICT,  /* a test failed, or a trial is under way */
    CONFIGURATION_WRONG,     /* what would come of it cannot be served */
    CONFIGURATION_UNKEPT,    /* the state folder does not work; nothing has changed */
    CONFIGURATION_FAILED,    /* it could not be served; nothing has changed */
    CONFIGURATION_FORBIDDEN, /* only for administrators */
};

struct configuration_result {
    enum configuration_outcome outcome;
    char                 why[300]; /* one sentence, unless the outcome is DONE */
    int64_t              revision; /* 0: nothing to keep, or on trial */
    uint64_t             hash;
    struct config_report report;
};

/* Held across a look and a change. */
void configuration_lock(void);
void configuration_unlock(void);

/* With the lock held.  result is initialised here; free its report. */
void configuration_apply(const struct configuration_change *change,
                         struct configuration_result *result);
/* The same as far as making ready: what would be served, and its document, both the caller's to
 * drop; NULL: see the result. */
struct app *configuration_prepare(const struct configuration_change *change,
                                  struct config_document **document,
                                  struct configuration_result *result);

/* Which configuration it is: the path of its main file, "command line" when there is none. */
struct slice configuration_source(void);
/* With the lock held: what is in force; NULL: there is no API. */
const struct config_document *configuration_now(void);
/* What the files say. */
const struct config_document *configuration_files(void);
/* Number of the revision in force, 0: not kept; since when, seconds since 1970. */
int64_t configuration_revision(void);
int64_t configuration_since_s(void);

/* ------------------------------------------------------------------ trials */

enum trial_state {
    TRIAL_NONE,
    TRIAL_RUNNING,
    TRIAL_KEPT,
    TRIAL_REVERTED,
    TRIAL_FAILED, /* it was to be taken back, and could not be: it is served still */
};

struct trial {
    enum trial_state   state;
    int64_t            until_s;
    char               guard[300]; /* as it was written; empty: none */
    enum guard_verdict verdict;
    char               why[300];
    char               who[64];
    int64_t            revision; /* once it is kept */
};

/* Of the one that runs, or the last. */
const struct trial *configuration_trial(void);
enum trial_answer {
    TRIAL_DONE,
    TRIAL_NOT_THERE, /* none runs */
    TRIAL_UNDONE,    /* confirmed, it could not be kept, and goes on; aborted, it has failed: the
                      * trial's `why` */
};
enum trial_answer configuration_confirm(void);
enum trial_answer configuration_abort(struct slice who);
/* What was before a trial is to be served again and cannot be; absent: no such trouble. */
struct slice configuration_fault(void);

/* ------------------------------------------------------------------ room.c's */

struct app *configuration_restore(struct app *a);
void configuration_follow(const struct app *a);
bool configuration_reload(struct slice who, struct config_report *report);
/* Another process serves: trials end, nothing is kept any more. */
void configuration_retire(void);
/* With the lock held: where there is no API, the files are read again without it, and what it knew
 * of them is out of date. */
void configuration_forget(void);
void configuration_stop(void);

#endif
