/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control/revisions.h - every configuration that was served, kept in the state directory.
 *
 * The files of the user are never written.  What the API changes is kept as a patch over them
 * (config_document_diff()): that patch is applied whenever the files are read, at a start too, so
 * that changes survive restarts and edits of the files.  When the two do not fit together any more
 * that is an error which names the revision.
 *
 * SQLite in WAL mode, one file, revisions.db; all access by offload().  A database that is locked,
 * full, read-only or corrupt is told (revisions_fault()), and serving goes on: changes are refused
 * with 503 then, unless the caller says that they need not be kept.
 *
 * Threads  fibers of the control thread; all of it waits.
 */
#ifndef CONTROL_REVISIONS_H
#define CONTROL_REVISIONS_H

#include "base/arena.h"
#include "base/text.h"

enum revision_cause {
    REVISION_START,    /* the process began with it */
    REVISION_RELOAD,   /* SIGHUP, or POST /v1/reload */
    REVISION_CHANGE,   /* the API */
    REVISION_ROLLBACK, /* an earlier one, by hand; what a trial takes back was never kept */
};
extern const char *const revision_causes[]; /* ends with NULL */

struct revision {
    int64_t      number;  /* 1 and up; 0: to be given */
    int64_t      at_s;    /* since 1970; 0: now */
    int          cause;   /* enum revision_cause */
    struct slice source;  /* which configuration: the path of its main file; several processes may
                           * share a folder */
    struct slice who;     /* name of the token, "socket:0", "signal" */
    struct slice comment; /* of whoever changed it; may be empty */
    struct slice patch;   /* over the files; "[]" when there is none */
    struct slice text;    /* YAML of the whole, secrets included: the file has mode 0600 */
    uint64_t     origin;  /* config_document_origin() */
    uint64_t     hash;    /* of the meaning */
};

/* Opens or makes it.  folder NULL: nothing is kept, and everything below says so.  False with a
 * sentence in the log: as above. */
bool revisions_open(const char *folder);
void revisions_close(void);
/* What is wrong with the store, one sentence; absent: nothing.  That a damaged one was moved aside
 * is told until the end, though the new one works: revisions_usable(). */
struct slice revisions_fault(void);
/* A revision could be kept now. */
bool revisions_usable(void);

/* Keeps one; its number, or 0 after noting the fault. */
int64_t revisions_add(const struct revision *r);
/* The one of that source in force when the process ended last, or was set by revisions_add(): its
 * patch is what belongs over the files.  False: none. */
bool revisions_current(struct slice source, struct revision *out, struct arena *arena);
/* Of any source. */
bool revisions_get(int64_t number, struct revision *out, struct arena *arena);
/* Without texts, the newest first, 1,000 at most; before: 0, or a number.  In the arena. */
struct revision *revisions_list(struct slice source, int64_t before, size_t most,
                                struct arena *arena, size_t *n);
/* All of that source but the newest so many go. */
void revisions_trim(struct slice source, size_t keep);

/* ------------------------------------------------------------------ who did what */

struct audit_entry {
    int64_t      number, at_s;
    struct slice who, from, action, target, outcome; /* "token ci", "10.0.0.1", "PATCH",
                                                      * "/v1/config/routes", "200" */
};
/* The newest 10,000 are kept; texts are cut at 1,024 bytes.  at_s 0: now. */
bool audit_add(const struct audit_entry *e);
/* As revisions_list(). */
struct audit_entry *audit_list(int64_t before, size_t most, struct arena *arena, size_t *n);

#endif
