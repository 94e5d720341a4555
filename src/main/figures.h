/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main/figures.h - numbers of the process and of its configuration, for Prometheus.
 *
 * Threads  control thread.
 */
#ifndef MAIN_FIGURES_H
#define MAIN_FIGURES_H

#include <stdbool.h>
#include <stdint.h>

/* The process begins; more than once does no harm. */
void figures_start(void);
/* A configuration was applied, or refused. */
void figures_reloaded(bool good);
/* Which one is in force; 0: it has no number.  loaded_at_s: since 1970. */
void figures_revision(int64_t number, int64_t loaded_at_s);

#endif
