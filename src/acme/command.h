/* SPDX-License-Identifier: Apache-2.0 */
/* acme/command.h - a program of the operator's that makes records in the DNS.  Private to the
 * room. */
#ifndef ACME_COMMAND_H
#define ACME_COMMAND_H

#include "config/option.h"

/*
 * Runs the words of the list (of struct slice that end in zero bytes) with three more arguments,
 * without a shell, and waits until it has ended with status 0.  It is killed at the deadline.
 * False, with the reason in `why`: its first line, if it wrote one.
 */
bool acme_command_run(const struct option_list *words, const struct slice more[3],
                      uint64_t deadline_us, char *why, size_t room);

#endif
