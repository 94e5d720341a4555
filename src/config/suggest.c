/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config/suggest.c - "did you mean?"
 *
 * The distance counts a letter added, left out or changed, and two neighbours swapped (Damerau
 * 1964, in the form of the optimal string alignment): the four slips of a typing hand.
 */
#include "config/option.h"

enum { NAME_MAX_BYTES = 48 };

static size_t
least(size_t a, size_t b, size_t c)
{
    size_t m = a < b ? a : b;

    return m < c ? m : c;
}

static size_t
distance(struct slice a, struct slice b)
{
    size_t rows[3][NAME_MAX_BYTES + 1];
    size_t *before = rows[0], *last = rows[1], *row = rows[2];

    for (size_t j = 0; j <= b.n; j++)
        last[j] = j;
    for (size_t i = 1; i <= a.n; i++) {
        size_t *spare = before;

        row[0] = i;
        for (size_t j = 1; j <= b.n; j++) {
            size_t changed = ascii_lower(a.at[i - 1]) != ascii_lower(b.at[j - 1]);

            row[j] = least(last[j] + 1, row[j - 1] + 1, last[j - 1] + changed);
            if (i > 1 && j > 1 && a.at[i - 1] == b.at[j - 2] && a.at[i - 2] == b.at[j - 1] &&
                row[j] > before[j - 2] + 1)
                row[j] = before[j - 2] + 1;
        }
        before = last;
        last = row;
        row = spare;
    }
    return last[b.n];
}

const char *
config_suggest(struct arena *arena, struct slice given, const struct slice *names, size_t n)
{
    const struct slice *best = NULL;
    size_t best_distance = NAME_MAX_BYTES;

    if (given.n == 0 || given.n > NAME_MAX_BYTES)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        size_t longer = names[i].n > given.n ? names[i].n : given.n, d;

        if (names[i].n == 0 || names[i].n > NAME_MAX_BYTES)
            continue;
        d = distance(given, names[i]);
        if (d <= longer / 3 && d < best_distance) {
            best = &names[i];
            best_distance = d;
        }
    }
    return best ? arena_printf(arena, "did you mean `%.*s`?", SLICE_ARG(*best)).at : NULL;
}
