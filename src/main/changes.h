/* SPDX-License-Identifier: Apache-2.0 */
/* main/changes.h - what all commands that change the configuration share. */
#ifndef MAIN_CHANGES_H
#define MAIN_CHANGES_H

#include "main/admin_client.h"

/* --dry-run, --comment, --confirm, --guard. */
extern const struct command_option changes_options[];

/* "?dry_run=1&comment=..."; nothing when none was given. */
void changes_put_query(const struct arguments *a, struct text *path);
/* Says what came of it; the exit status.  call: answered with success. */
int changes_tell(const struct admin *a, const struct admin_call *call);
/* Asks for a change, and tells; the exit status. */
int changes_ask(struct admin *a, struct admin_call *call);

/* The whole of a file, or of standard input ("-"), into the arena.  False after a complaint. */
bool changes_read_file(struct admin *a, const char *path, struct slice *out);

#endif
