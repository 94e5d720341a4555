/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config/lines.h - private: from a byte's offset to its line and column.
 */
#ifndef CONFIG_LINES_H
#define CONFIG_LINES_H

#include "config/config.h"

struct lines {
    struct slice text;
    uint32_t    *starts; /* malloc'd: offset of each line */
    size_t       n;
    size_t       near;   /* the line that was asked for last: questions come in order */
};

/* False when out of memory.  The text has at most 64 MiB. */
bool lines_init(struct lines *l, struct slice text);
void lines_free(struct lines *l);
/* An offset past the end means the end. */
struct config_mark lines_mark(struct lines *l, size_t offset, uint16_t file);
/* From a line and column that count characters, both from 1, to a place inside the text. */
struct config_mark lines_mark_of_character(const struct lines *l, int line, int column,
                                           uint16_t file);
/* Offset of the first line with more than max bytes, or SLICE_NOT_FOUND. */
size_t lines_find_long(const struct lines *l, size_t max);
/* Offset of the first byte that a configuration must not hold: not UTF-8, a control byte other than
 * tab and line feed, a carriage return without line feed; SLICE_NOT_FOUND when all is well. */
size_t lines_find_bad_byte(struct slice text);

#endif
