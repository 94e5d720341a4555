/* SPDX-License-Identifier: Apache-2.0 */
/*
 * observe/record.h - writing a record fast, into room that is known to suffice.
 *
 * Each function writes at p, never more than the budget or the maximum that it names, and returns
 * the new end: whoever formats a record adds the budgets up once, at compile time, and no piece
 * looks for room again.  What exceeds its budget is cut, at the end of a character or an escape,
 * and ends in
 * "...": a peer cannot hide from the log by sending too much.
 */
#ifndef OBSERVE_RECORD_H
#define OBSERVE_RECORD_H

#include "base/slice.h"

#define RECORD_LITERAL(p, literal)                                                                \
    ((char *) memcpy((p), "" literal "", sizeof(literal) - 1) + sizeof(literal) - 1)

#define RECORD_U64_MAX 20
#define RECORD_BUDGET_MIN 16 /* of the functions below */

char *record_u64(char *p, uint64_t value);
/* The inside of a JSON string: as text_json() does it. */
char *record_json(char *p, size_t budget, struct slice s);
/* The inside of a quoted string of an NCSA log: quotes and backslashes get a backslash, what is not
 * printable ASCII becomes \xHH. */
char *record_quoted(char *p, size_t budget, struct slice s);

#endif
