/* SPDX-License-Identifier: Apache-2.0 */
/* main/folder.h - folders in which state is kept. */
#ifndef MAIN_FOLDER_H
#define MAIN_FOLDER_H

#include "main/app.h"

/* Makes it if it is missing, for whoever the worker process will be, while the process may still do
 * that.  One that is there is left as it is: somebody has decided whose it is.  whose: the word
 * that begins the warning when it cannot be made. */
void folder_prepare(const struct app *a, struct slice path, const char *whose);

#endif
