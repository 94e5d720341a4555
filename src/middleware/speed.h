/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/speed.h - bytes a second, as an option.
 */
#ifndef MIDDLEWARE_SPEED_H
#define MIDDLEWARE_SPEED_H

#include "config/option.h"

/* [uint64_t, bytes a second] `50KiB/s`; min and max are those of the bytes. */
extern const struct option_kind speed_option;

#endif
