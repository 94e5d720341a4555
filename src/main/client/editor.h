/* SPDX-License-Identifier: Apache-2.0 */
/* main/client/editor.h - has a person change a text. */
#ifndef MAIN_CLIENT_EDITOR_H
#define MAIN_CLIENT_EDITOR_H

#include "base/text.h"

enum { EDITOR_PATH_ROOM = 200 };

/* Writes the text into a file that only its owner may read, runs $VISUAL, $EDITOR or vi on it, and
 * reads it again.  The file stays, its path in `file`.  False after a complaint of the command. */
bool editor_run(const char *command, struct slice before, char file[EDITOR_PATH_ROOM],
                struct text *after);

#endif
