/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config/units.h - private: numbers with units, as text and back.
 *
 * Reading is strict: the whole text must be a value, nothing overflows, no blanks.  Decimal
 * fractions are exact (1.5h, 0.1%).  False: it is something else.
 */
#ifndef CONFIG_UNITS_H
#define CONFIG_UNITS_H

#include "base/slice.h"
#include "base/text.h"

/* 512, 512B, 16KiB, 64MiB, 10GB, 1.5TiB; at most INT64_MAX. */
bool units_read_bytes(struct slice s, uint64_t *bytes);
/* 250ms, 10s, 1m30s, 2h, 7d, 0; units from large to small. */
bool units_read_duration(struct slice s, uint64_t *us);
/* 100/s, 10/m, 5/h, 1/d, 100/10s. */
bool units_read_rate(struct slice s, uint64_t *count, uint64_t *per_us);
/* 5%, 0.1%, 0.0001%: in millionths. */
bool units_read_percent(struct slice s, uint64_t *millionths);
bool units_read_int(struct slice s, int64_t *value);

/* The shortest exact way to write it. */
void units_write_bytes(struct text *out, uint64_t bytes);
void units_write_duration(struct text *out, uint64_t us);
void units_write_percent(struct text *out, uint64_t millionths);
void units_write_int(struct text *out, int64_t value);

#endif
