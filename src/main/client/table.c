/* SPDX-License-Identifier: Apache-2.0 */
/* main/client/table.c - cells are written twice: to learn how wide a column is, and where they
 * stand. */
#include "main/client/table.h"

#include "base/check.h"
#include "http/date.h"
#include "main/client/admin.h"

#include <stdlib.h>

enum { CELL_BYTES = TABLE_CELL_MAX * 4, GAP = 2, DATE_SHOWN = 19 };

/* ------------------------------------------------------------------ values */

/* With one digit behind the point as long as that says something. */
static void
put_scaled(double value, double step, const char *const *units, size_t n, struct text *out)
{
    size_t i = 0;

    while (i + 1 < n && value >= step * 0.99995) {
        value /= step;
        i++;
    }
    if (i == 0 || value >= 100)
        text_printf(out, "%.0f %s", value, units[i]);
    else
        text_printf(out, "%.1f %s", value, units[i]);
}

void
table_put_took(double us, struct text *out)
{
    static const char *const units[] = {"us", "ms", "s"};

    put_scaled(us, 1000, units, countof(units), out);
}

void
table_put_bytes(double bytes, struct text *out)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};

    put_scaled(bytes, 1024, units, countof(units), out);
}

void
table_put_date(double unix_s, struct text *out)
{
    char date[ISO_DATE_LENGTH];

    if (!(unix_s > 0 && unix_s < 253402300800.0)) /* the year 10000 */
        return;
    iso_date_write(date, (uint64_t) (unix_s * 1e6));
    date[10] = ' ';
    text_put(out, slice_of(date, DATE_SHOWN));
}

void
table_put_age(double seconds, struct text *out)
{
    static const struct {
        double      seconds;
        const char *name;
    } units[] = {{86400, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}};
    size_t i = 0;

    if (!(seconds >= 0 && seconds < 1e12))
        seconds = 0;
    while (i + 1 < countof(units) && seconds < units[i].seconds)
        i++;
    text_printf(out, "%.0f %s", (double) (uint64_t) (seconds / units[i].seconds), units[i].name);
    if (i + 1 == countof(units))
        return;
    seconds -= (double) (uint64_t) (seconds / units[i].seconds) * units[i].seconds;
    text_printf(out, " %.0f %s", (double) (uint64_t) (seconds / units[i + 1].seconds),
                units[i + 1].name);
}

static void
put_text(const json_t *value, struct text *out)
{
    const json_t *item;
    size_t i;

    switch (json_typeof(value)) {
    case JSON_STRING:
        admin_put_clean(out, slice_of(json_string_value(value), json_string_length(value)));
        break;
    case JSON_INTEGER: text_printf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value)); break;
    case JSON_REAL: text_printf(out, "%g", json_real_value(value)); break;
    case JSON_TRUE: text_literal(out, "yes"); break;
    case JSON_FALSE: text_literal(out, "no"); break;
    case JSON_ARRAY:
        json_array_foreach (value, i, item) {
            if (i)
                text_literal(out, ", ");
            if (json_is_string(item) || json_is_number(item))
                put_text(item, out);
        }
        break;
    case JSON_OBJECT:
    case JSON_NULL: break;
    }
}

void
table_put(enum table_kind kind, const json_t *value, struct text *out)
{
    double number = json_number_value(value);

    if (!value)
        return;
    if (kind != TABLE_TEXT && kind != TABLE_FLAG && !json_is_number(value))
        return;
    switch (kind) {
    case TABLE_TEXT: put_text(value, out); break;
    case TABLE_COUNT: text_printf(out, "%.0f", number); break;
    case TABLE_RATE: text_printf(out, "%.1f", number); break;
    case TABLE_SHARE: text_printf(out, "%.1f %%", number * 100); break;
    case TABLE_TOOK: table_put_took(number, out); break;
    case TABLE_BYTES: table_put_bytes(number, out); break;
    case TABLE_DATE: table_put_date(number, out); break;
    case TABLE_FLAG: text_put(out, json_is_true(value) ? SLICE("yes") : SLICE("")); break;
    }
}

/* ------------------------------------------------------------------ columns */

size_t
table_width(struct slice s)
{
    size_t width = 0;

    for (size_t i = 0; i < s.n; i++)
        width += ((unsigned char) s.at[i] & 0xC0) != 0x80;
    return width;
}

/* The first so many characters. */
static struct slice
cut(struct slice s, size_t width)
{
    size_t n = 0;

    while (n < s.n && (width || ((unsigned char) s.at[n] & 0xC0) == 0x80))
        width -= ((unsigned char) s.at[n++] & 0xC0) != 0x80;
    return slice_first(s, n);
}

static struct slice
cell(const struct table_column *c, const json_t *row, char room[CELL_BYTES])
{
    size_t most = c->most ? c->most : TABLE_CELL_MAX;
    struct slice whole, shown;
    struct text t;

    text_fixed(&t, room, CELL_BYTES);
    table_put(c->kind, json_object_get(row, c->key), &t);
    whole = text_slice(&t);
    if (table_width(whole) <= most)
        return whole;
    shown = cut(whole, most - 1);
    room[shown.n++] = '~';
    return shown;
}

static bool
is_left(const struct table_column *c)
{
    return c->kind == TABLE_TEXT || c->kind == TABLE_FLAG || c->kind == TABLE_DATE;
}

static void
put_padded(struct slice s, size_t width, bool left, struct text *out)
{
    size_t blanks = table_width(s) < width ? width - table_width(s) : 0;

    if (!left)
        text_printf(out, "%*s", (int) blanks, "");
    text_put(out, s);
    if (left)
        text_printf(out, "%*s", (int) blanks, "");
}

/* Without the blanks at its end, and no longer than the terminal is wide. */
static void
end_line(struct text *out, size_t start, size_t width, const char *end)
{
    struct slice line = slice_of(out->at + start, out->n - start);

    if (width)
        line = cut(line, width);
    while (line.n && line.at[line.n - 1] == ' ')
        line.n--;
    out->n = start + line.n;
    text_put(out, slice_str(end));
}

/* The rows that are shown: [first, *end). */
static size_t
rows_shown(const json_t *rows, const struct table_view *view, size_t *end)
{
    size_t n = json_array_size(rows), first = view->first < n ? view->first : n;

    *end = view->most && view->most < n - first ? first + view->most : n;
    return first;
}

static size_t
title_width(const struct table_column *c, const struct table_view *view, size_t i)
{
    return strlen(c->title) + ((size_t) view->sorted == i + 1 ? 1 : 0);
}

/* How wide each column is; how many there are. */
static size_t
measure(const struct table_column *columns, const json_t *rows, const struct table_view *view,
        size_t widths[TABLE_COLUMNS_MAX])
{
    char room[CELL_BYTES];
    size_t n = 0, end, first = rows_shown(rows, view, &end);

    for (; columns[n].title; n++) {
        CHECK(n < TABLE_COLUMNS_MAX);
        widths[n] = title_width(&columns[n], view, n);
        for (size_t i = first; i < end; i++) {
            size_t width = table_width(cell(&columns[n], json_array_get(rows, i), room));

            if (width > widths[n])
                widths[n] = width;
        }
    }
    return n;
}

static void
put_titles(const struct table_column *columns, const size_t *widths, size_t n,
           const struct table_view *view, struct text *out)
{
    for (size_t i = 0; i < n; i++) {
        char room[64];
        struct text t;

        text_fixed(&t, room, sizeof(room));
        text_printf(&t, "%s%s", columns[i].title, (size_t) view->sorted == i + 1 ? "*" : "");
        put_padded(text_slice(&t), widths[i] + (is_left(&columns[i]) ? GAP : 0),
                   is_left(&columns[i]), out);
        if (!is_left(&columns[i]))
            text_printf(out, "%*s", GAP, "");
    }
}

void
table_write(const struct table_column *columns, const json_t *rows, const struct table_view *view,
            const char *end, struct text *out)
{
    size_t widths[TABLE_COLUMNS_MAX], n = measure(columns, rows, view, widths), start = out->n;
    size_t last, first = rows_shown(rows, view, &last);
    char room[CELL_BYTES];

    put_titles(columns, widths, n, view, out);
    end_line(out, start, view->width, end);
    for (size_t row = first; row < last; row++) {
        start = out->n;
        for (size_t i = 0; i < n; i++) {
            put_padded(cell(&columns[i], json_array_get(rows, row), room), widths[i],
                       is_left(&columns[i]), out);
            text_printf(out, "%*s", GAP, "");
        }
        end_line(out, start, view->width, end);
    }
}

/* ------------------------------------------------------------------ sorting */

struct sorted_row {
    json_t      *row;
    double       number;
    struct slice text;
    size_t       place; /* equal ones stay as they are */
};

static int
by_value(const void *one, const void *two)
{
    const struct sorted_row *a = one, *b = two;
    int order = slice_compare(a->text, b->text);

    if (a->number != b->number)
        return a->number > b->number ? -1 : 1;
    if (order)
        return order;
    return (a->place > b->place) - (a->place < b->place);
}

void
table_sort(const struct table_column *columns, int column, bool reversed, json_t *rows)
{
    size_t n = json_array_size(rows);
    struct sorted_row *sorted = n ? calloc(n, sizeof(*sorted)) : NULL;
    const char *key = columns[column - 1].key;

    if (!sorted)
        return;
    for (size_t i = 0; i < n; i++) {
        json_t *row = json_array_get(rows, i);
        const json_t *value = json_object_get(row, key);

        sorted[i] = (struct sorted_row){json_incref(row), json_number_value(value),
                                        admin_string(row, key), i};
        if (json_is_true(value))
            sorted[i].number = 1;
    }
    qsort(sorted, n, sizeof(sorted[0]), by_value);
    for (size_t i = 0; i < n; i++)
        json_array_set_new(rows, reversed ? n - 1 - i : i, sorted[i].row);
    free(sorted);
}
