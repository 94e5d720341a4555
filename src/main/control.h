/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main/control.h - a Unix socket on which the supervisor takes orders from its own user and root.
 *
 * A packet with an order goes in, one with the outcome comes back, when it is known:
 *
 *     upgrade SECONDS   ->   ok PID   |   failed SENTENCE
 */
#ifndef MAIN_CONTROL_H
#define MAIN_CONTROL_H

#include <stdbool.h>

enum { CONTROL_BYTES = 512 };

/* Listens; a file that nobody listens on is replaced.  The descriptor, or -errno. */
int control_open(const char *path);
/* An order in text, and the descriptor on which its answer is awaited; -1: there is none. */
int control_accept(int listener, char text[CONTROL_BYTES]);
/* Answers and closes; -1 is nobody. */
void control_answer(int asker, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The other side: sends the order and waits for its answer, so many seconds.  0 or an errno. */
int control_ask(const char *path, const char *order, unsigned within_s, char answer[CONTROL_BYTES]);

#endif
