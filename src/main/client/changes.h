/* SPDX-License-Identifier: Apache-2.0 */
/* main/client/changes.h - what all commands that change the configuration share. */
#ifndef MAIN_CLIENT_CHANGES_H
#define MAIN_CLIENT_CHANGES_H

#include "main/client/admin.h"

/* --dry-run, --comment, --confirm, --guard. */
extern const struct command_option changes_options[];

/* "?dry_run=1&comment=..."; nothing when none was given. */
void changes_put_query(const struct arguments *a, struct text *path);
/* Says what came of it; the exit status.  call: answered with success. */
int changes_tell(const struct admin *a, const struct admin_call *call);
/* Asks for a change, and tells; the exit status. */
int changes_ask(struct admin *a, struct admin_call *call);

/* A configuration as it is to be sent, its includes joined in; "-" is standard input, which has
 * none.  False after a complaint. */
bool changes_read_configuration(struct admin *a, const char *path, struct admin_call *call);
/* The whole of a file, or of standard input ("-"), into the arena.  False after a complaint. */
bool changes_read_file(struct admin *a, const char *path, struct slice *out);

#endif
