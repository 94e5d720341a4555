/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main/certificates.h - which names a configuration wants certificates for (acme/), where its
 * listeners get them by themselves.
 *
 * One process does that: the worker process, on its control thread.
 */
#ifndef MAIN_CERTIFICATES_H
#define MAIN_CERTIFICATES_H

#include "main/app.h"

/* Warns of listeners that can get none. */
void certificates_check(const struct app *a, struct config_report *report);
/* While the process may still do it: folders for the state that are missing are made, and belong
 * to who it will be. */
void certificates_prepare(const struct app *a);
/* On a fiber of the control thread: from now on what this configuration wants is looked after.
 * Waits for files. */
void certificates_follow(const struct app *a);
/* The configuration goes; if it is the last one that was followed, so does all of that. */
void certificates_forget(const struct app *a);

#endif
