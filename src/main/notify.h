/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main/notify.h - telling a service manager how we are: sd_notify(3), without its library.
 *
 * One datagram of lines to the socket that NOTIFY_SOCKET names; without one nothing happens.
 */
#ifndef MAIN_NOTIFY_H
#define MAIN_NOTIFY_H

#include <stdint.h>
#include <sys/types.h>

void notify_ready(const char *status);
void notify_reloading(void);
void notify_stopping(void);
/* "What it does", for people. */
void notify_status(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* That process is the one that counts from now on; it is ready. */
void notify_main(pid_t pid);
void notify_watchdog(void);
/* How often at least notify_watchdog() is expected of this process; 0: not. */
uint64_t notify_watchdog_us(void);

#endif
