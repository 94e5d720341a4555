/* SPDX-License-Identifier: Apache-2.0 */
/* control/change.h - private: the steps of a change that trials take too. */
#ifndef CONTROL_CHANGE_H
#define CONTROL_CHANGE_H

#include "control/configuration.h"

enum { CHANGE_WHY = 300 }; /* bytes of a sentence */

/* What a change makes of the two documents. */
struct documents {
    struct config_document *files, *now;
};

/* Waits so long, also on a fiber that was cancelled. */
void change_wait(uint64_t us);
/* Always false. */
bool change_fail(struct configuration_result *r, enum configuration_outcome outcome,
                 const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Serves it; the app is gone in any case. */
bool change_serve(struct app *a, struct configuration_result *r);
/* The same of a document that was served before: of what is ready for that (NULL: nothing), and if
 * that cannot be, made anew.  A failure is logged, and says why. */
bool change_serve_again(struct app *ready, const struct config_document *d, char why[CHANGE_WHY]);
/* What is served now once more, ready to be served again whatever becomes of its files, secrets and
 * rights meanwhile.  NULL: *r says why. */
struct app *change_spare(struct configuration_result *r);
/* Makes them those in force; what was is in *d then. */
void change_swap(struct documents *d);
void change_drop(struct documents *d);
/* What is in force becomes a revision: its number, 0 after a fault of the state folder. */
int64_t change_keep(enum revision_cause cause, struct slice who, struct slice comment);

/* configuration_trial.c */

/* False: the guard cannot be understood. */
bool trial_understands(const struct configuration_change *c, struct configuration_result *r);
/* Serves it on trial; takes the documents over when that works. */
void trial_begin(const struct configuration_change *c, struct documents *d, struct app *a,
                 struct configuration_result *r);
/* Something else is served: what was before the last trial is wanted no more. */
void trial_forget(void);

#endif
