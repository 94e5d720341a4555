/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http/date.c - dates on the wire and in logs, without locale, time zone or libc's tables.
 *
 * Days and dates are turned into each other by arithmetic on years that begin in March, so that the
 * leap day is the last of its year (the method is described in Howard Hinnant, "chrono-compatible
 * low-level date algorithms", 2013).
 */
#include "http/date.h"

enum {
    DAY_SECONDS = 86400,
    ERA_DAYS = 146097, /* 400 years */
};

#define DAY_NAMES "SunMonTueWedThuFriSat"
#define MONTH_NAMES "JanFebMarAprMayJunJulAugSepOctNovDec"

/* What four digits can say: 0000-01-01 to 9999-12-31. */
static const int64_t first_second = -62167219200, last_second = 253402300799;

struct moment {
    int64_t  year;
    unsigned month, day; /* from 1 */
    unsigned hour, minute, second;
};

static int64_t
days_from_date(int64_t year, unsigned month, unsigned day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t of_era = y - era * 400;
    int64_t of_year = (153 * (int64_t) (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

    return era * ERA_DAYS + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static void
date_from_days(int64_t days, struct moment *m)
{
    int64_t z = days + 719468;
    int64_t era = (z >= 0 ? z : z - (ERA_DAYS - 1)) / ERA_DAYS;
    int64_t day = z - era * ERA_DAYS;
    int64_t year = (day - day / 1460 + day / 36524 - day / (ERA_DAYS - 1)) / 365;
    int64_t of_year = day - (365 * year + year / 4 - year / 100);
    int64_t month = (5 * of_year + 2) / 153;

    m->day = (unsigned) (of_year - (153 * month + 2) / 5 + 1);
    m->month = (unsigned) (month < 10 ? month + 3 : month - 9);
    m->year = year + era * 400 + (m->month <= 2);
}

/* Splits seconds into a moment; returns the day of the week, Sunday 0. */
static unsigned
moment_from_seconds(int64_t seconds, struct moment *m)
{
    int64_t days, of_day;

    if (seconds < first_second)
        seconds = first_second;
    if (seconds > last_second)
        seconds = last_second;
    days = seconds / DAY_SECONDS;
    of_day = seconds % DAY_SECONDS;
    if (of_day < 0) {
        of_day += DAY_SECONDS;
        days--;
    }
    date_from_days(days, m);
    m->hour = (unsigned) (of_day / 3600);
    m->minute = (unsigned) (of_day / 60 % 60);
    m->second = (unsigned) (of_day % 60);
    return (unsigned) (((days + 4) % 7 + 7) % 7);
}

static int64_t
seconds_from_moment(const struct moment *m)
{
    return days_from_date(m->year, m->month, m->day) * DAY_SECONDS + m->hour * 3600 +
           m->minute * 60 + m->second;
}

/* ------------------------------------------------------------------ writing */

static char *
put_digits(char *out, unsigned value, size_t digits)
{
    for (size_t i = digits; i-- > 0; value /= 10)
        out[i] = (char) ('0' + value % 10);
    return out + digits;
}

static char *
put_time(char *out, const struct moment *m)
{
    out = put_digits(out, m->hour, 2);
    *out++ = ':';
    out = put_digits(out, m->minute, 2);
    *out++ = ':';
    return put_digits(out, m->second, 2);
}

static char *
put_text(char *out, struct slice s)
{
    memcpy(out, s.at, s.n);
    return out + s.n;
}

void
http_date_write(char *out, int64_t unix_seconds)
{
    struct moment m;
    unsigned weekday = moment_from_seconds(unix_seconds, &m);

    out = put_text(out, slice_of(&DAY_NAMES[weekday * 3], 3));
    out = put_text(out, SLICE(", "));
    out = put_digits(out, m.day, 2);
    *out++ = ' ';
    out = put_text(out, slice_of(&MONTH_NAMES[(m.month - 1) * 3], 3));
    *out++ = ' ';
    out = put_digits(out, (unsigned) m.year, 4);
    *out++ = ' ';
    out = put_time(out, &m);
    put_text(out, SLICE(" GMT"));
}

void
iso_date_write(char *out, uint64_t unix_us)
{
    struct moment m;

    moment_from_seconds((int64_t) (unix_us / 1000000), &m);
    out = put_digits(out, (unsigned) m.year, 4);
    *out++ = '-';
    out = put_digits(out, m.month, 2);
    *out++ = '-';
    out = put_digits(out, m.day, 2);
    *out++ = 'T';
    out = put_time(out, &m);
    *out++ = '.';
    out = put_digits(out, (unsigned) (unix_us / 1000 % 1000), 3);
    *out = 'Z';
}

/* ------------------------------------------------------------------ reading */

/* A cursor over the text; once something does not fit, `ok` is false for good. */
struct date_reader {
    struct slice rest;
    bool         ok;
};

static void
expect(struct date_reader *r, struct slice literal)
{
    r->ok = r->ok && slice_starts(r->rest, literal);
    if (r->ok)
        r->rest = slice_from(r->rest, literal.n);
}

static unsigned
read_digits(struct date_reader *r, size_t digits)
{
    uint64_t value = 0;

    r->ok = r->ok && r->rest.n >= digits &&
            slice_to_u64(slice_first(r->rest, digits), UINT32_MAX, &value);
    if (r->ok)
        r->rest = slice_from(r->rest, digits);
    return (unsigned) value;
}

/* The number of one of the three-letter names, from 0. */
static unsigned
read_name(struct date_reader *r, struct slice names)
{
    if (r->ok)
        for (unsigned i = 0; i < names.n / 3; i++)
            if (slice_starts(r->rest, slice_of(names.at + i * (size_t) 3, 3))) {
                r->rest = slice_from(r->rest, 3);
                return i;
            }
    r->ok = false;
    return 0;
}

static void
read_month(struct date_reader *r, struct moment *m)
{
    m->month = read_name(r, SLICE(MONTH_NAMES)) + 1;
}

static void
read_time(struct date_reader *r, struct moment *m)
{
    m->hour = read_digits(r, 2);
    expect(r, SLICE(":"));
    m->minute = read_digits(r, 2);
    expect(r, SLICE(":"));
    m->second = read_digits(r, 2);
}

/* "06 Nov 1994 08:49:37 GMT" */
static void
read_imf(struct date_reader *r, struct moment *m)
{
    m->day = read_digits(r, 2);
    expect(r, SLICE(" "));
    read_month(r, m);
    expect(r, SLICE(" "));
    m->year = read_digits(r, 4);
    expect(r, SLICE(" "));
    read_time(r, m);
    expect(r, SLICE(" GMT"));
}

/* "06-Nov-94 08:49:37 GMT".  A year that seems more than 50 years ahead is the last one in the past
 * with these digits (RFC 9110 5.6.7). */
static void
read_rfc850(struct date_reader *r, int64_t now, struct moment *m)
{
    struct moment today;

    m->day = read_digits(r, 2);
    expect(r, SLICE("-"));
    read_month(r, m);
    expect(r, SLICE("-"));
    m->year = read_digits(r, 2);
    expect(r, SLICE(" "));
    read_time(r, m);
    expect(r, SLICE(" GMT"));
    moment_from_seconds(now, &today);
    m->year += today.year / 100 * 100;
    if (m->year > today.year + 50)
        m->year -= 100;
}

/* "Nov  6 08:49:37 1994" */
static void
read_asctime(struct date_reader *r, struct moment *m)
{
    read_month(r, m);
    expect(r, SLICE(" "));
    if (slice_starts(r->rest, SLICE(" "))) {
        expect(r, SLICE(" "));
        m->day = read_digits(r, 1);
    } else {
        m->day = read_digits(r, 2);
    }
    expect(r, SLICE(" "));
    read_time(r, m);
    expect(r, SLICE(" "));
    m->year = read_digits(r, 4);
}

/* The rest of a day's long name, then the comma: "day, " after "Sun". */
static bool
skip_long_name(struct date_reader *r, unsigned weekday)
{
    static const struct slice endings[] = {
        SLICE_INIT("day, "),    SLICE_INIT("day, "), SLICE_INIT("sday, "),  SLICE_INIT("nesday, "),
        SLICE_INIT("rsday, "), SLICE_INIT("day, "), SLICE_INIT("urday, "),
    };

    if (!slice_starts(r->rest, endings[weekday]))
        return false;
    r->rest = slice_from(r->rest, endings[weekday].n);
    return true;
}

static unsigned
days_of_month(const struct moment *m)
{
    int64_t next_year = m->month == 12 ? m->year + 1 : m->year;
    unsigned next = m->month == 12 ? 1 : m->month + 1;

    return (unsigned) (days_from_date(next_year, next, 1) -
                       days_from_date(m->year, m->month, 1));
}

/* Second 60 is a leap second. */
static bool
is_moment(const struct moment *m)
{
    return m->day >= 1 && m->day <= days_of_month(m) && m->hour <= 23 && m->minute <= 59 &&
           m->second <= 60;
}

bool
http_date_parse(struct slice s, int64_t now_unix_seconds, int64_t *unix_seconds)
{
    struct date_reader r = {s, s.n != 0};
    struct moment m = {.month = 1};
    unsigned weekday = read_name(&r, SLICE(DAY_NAMES));

    if (!r.ok)
        return false;
    if (slice_starts(r.rest, SLICE(", "))) {
        expect(&r, SLICE(", "));
        read_imf(&r, &m);
    } else if (slice_starts(r.rest, SLICE(" "))) {
        expect(&r, SLICE(" "));
        read_asctime(&r, &m);
    } else {
        r.ok = skip_long_name(&r, weekday);
        read_rfc850(&r, now_unix_seconds, &m);
    }
    if (!r.ok || r.rest.n || !is_moment(&m))
        return false;
    *unix_seconds = seconds_from_moment(&m);
    return true;
}
