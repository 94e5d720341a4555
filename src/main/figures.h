/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main/figures.h - numbers of the process and of its configuration, for Prometheus.
 *
 * Threads  control thread.
 */
#ifndef MAIN_FIGURES_H
#define MAIN_FIGURES_H

#include <stdbool.h>

/* The process begins; more than once does no harm. */
void figures_start(void);
/* A configuration was applied, or refused. */
void figures_reloaded(bool good);
#endif
