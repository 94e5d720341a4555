/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main/client/table.h - objects of JSON as lines and columns on a terminal.
 *
 * Nothing that comes from elsewhere reaches the terminal as it is: control bytes are replaced.
 */
#ifndef MAIN_CLIENT_TABLE_H
#define MAIN_CLIENT_TABLE_H

#include "base/text.h"

#include <jansson.h>

enum table_kind {
    TABLE_TEXT,  /* a string, a number as it is, or a list of them: "a, b" */
    TABLE_COUNT, /* 1234567 */
    TABLE_RATE,  /* 12.3 */
    TABLE_SHARE, /* 0.5 is "50.0 %" */
    TABLE_TOOK,  /* microseconds: "1.2 ms" */
    TABLE_BYTES, /* "3.4 MiB" */
    TABLE_DATE,  /* seconds since 1970: "2026-11-20 22:48:00" */
    TABLE_FLAG,  /* "yes" or nothing */
};

struct table_column {
    const char     *title; /* NULL ends a list of columns */
    const char     *key;   /* of the member, which may be absent */
    enum table_kind kind;
    unsigned        most;  /* characters; what is longer is cut; 0: TABLE_CELL_MAX */
};

enum { TABLE_CELL_MAX = 120, TABLE_COLUMNS_MAX = 24 };

/* Which part is shown; zeroed: all of it. */
struct table_view {
    size_t first, most; /* rows; most 0: all */
    size_t width;       /* characters of a line; 0: as long as they get */
    int    sorted;      /* column that rows are sorted by, which its title shows; from 1; 0: none */
};

/* The line of titles, and one for each row, each ended by `end`. */
void table_write(const struct table_column *columns, const json_t *rows,
                 const struct table_view *view, const char *end, struct text *out);
/* Rows by a column (from 1), the largest first, texts from A to Z; reversed when asked for. */
void table_sort(const struct table_column *columns, int column, bool reversed, json_t *rows);

/* One value alone. */
void table_put(enum table_kind kind, const json_t *value, struct text *out);
void table_put_took(double us, struct text *out);
void table_put_bytes(double bytes, struct text *out);
void table_put_date(double unix_s, struct text *out);
/* "3 d 4 h", "12 min 5 s". */
void table_put_age(double seconds, struct text *out);
/* How many characters a text shows. */
size_t table_width(struct slice s);

#endif
