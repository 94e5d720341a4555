/* SPDX-License-Identifier: Apache-2.0 */
/* acme/schedule.c - arithmetic of times. */
#include "acme/schedule.h"

#include <time.h>

#define BACKOFF_MAX_US (6ull * 3600 * 1000000)

int64_t
acme_renewal_s(int64_t from_s, int64_t to_s, uint64_t part, uint64_t entropy)
{
    uint64_t life_s = to_s > from_s ? (uint64_t) (to_s - from_s) : 0;
    uint64_t spread_s = life_s / 30;

    if (part > 1000000)
        part = 1000000;
    return from_s + (int64_t) (life_s / 1000000 * part + life_s % 1000000 * part / 1000000) -
           (int64_t) (entropy % (spread_s + 1));
}

int64_t
acme_window_s(int64_t from_s, int64_t to_s, uint64_t entropy)
{
    return to_s <= from_s ? from_s : from_s + (int64_t) (entropy % (uint64_t) (to_s - from_s + 1));
}

uint64_t
acme_backoff_us(uint64_t first_us, unsigned failures, uint64_t entropy)
{
    uint64_t wait_us = first_us;

    for (unsigned i = 1; i < failures && wait_us < BACKOFF_MAX_US; i++)
        wait_us *= 2;
    if (wait_us > BACKOFF_MAX_US)
        wait_us = BACKOFF_MAX_US;
    return wait_us - entropy % (wait_us / 4 + 1);
}

/* ------------------------------------------------------------------ RFC 3339 */

/* n digits off the start of *rest, within bounds. */
static bool
read_digits(struct slice *rest, size_t n, int low, int high, int *value)
{
    uint64_t number;

    if (rest->n < n || !slice_to_u64(slice_first(*rest, n), (uint64_t) high, &number) ||
        number < (uint64_t) low)
        return false;
    *value = (int) number;
    *rest = slice_from(*rest, n);
    return true;
}

static bool
read_byte(struct slice *rest, char c)
{
    if (rest->n == 0 || ascii_lower(rest->at[0]) != c)
        return false;
    *rest = slice_from(*rest, 1);
    return true;
}

static bool
read_offset(struct slice rest, int64_t *offset_s)
{
    int sign, hours, minutes;

    *offset_s = 0;
    if (rest.n == 1)
        return read_byte(&rest, 'z');
    sign = rest.n && rest.at[0] == '-' ? -1 : 1;
    if (!read_byte(&rest, sign < 0 ? '-' : '+') || !read_digits(&rest, 2, 0, 23, &hours) ||
        !read_byte(&rest, ':') || !read_digits(&rest, 2, 0, 59, &minutes))
        return false;
    *offset_s = sign * (hours * 3600 + minutes * 60);
    return rest.n == 0;
}

bool
acme_time_read(struct slice text, int64_t *at_s)
{
    struct tm tm = {0};
    int64_t offset_s;

    if (!read_digits(&text, 4, 1970, 9999, &tm.tm_year) || !read_byte(&text, '-') ||
        !read_digits(&text, 2, 1, 12, &tm.tm_mon) || !read_byte(&text, '-') ||
        !read_digits(&text, 2, 1, 31, &tm.tm_mday) || !read_byte(&text, 't') ||
        !read_digits(&text, 2, 0, 23, &tm.tm_hour) || !read_byte(&text, ':') ||
        !read_digits(&text, 2, 0, 59, &tm.tm_min) || !read_byte(&text, ':') ||
        !read_digits(&text, 2, 0, 60, &tm.tm_sec))
        return false;
    if (read_byte(&text, '.'))
        while (text.n && ascii_is_digit(text.at[0]))
            text = slice_from(text, 1);
    if (!read_offset(text, &offset_s))
        return false;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    *at_s = (int64_t) timegm(&tm) - offset_s;
    return true;
}
