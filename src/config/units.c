/* SPDX-License-Identifier: Apache-2.0 */
/* config/units.c - sizes, durations, rates, percentages. */
#include "config/units.h"

#include "base/check.h"

struct unit {
    struct slice name;
    uint64_t     factor;
};

/* Units from large to small. */
static const struct unit time_units[] = {
    {SLICE_INIT("d"), 86400000000}, {SLICE_INIT("h"), 3600000000}, {SLICE_INIT("m"), 60000000},
    {SLICE_INIT("s"), 1000000},     {SLICE_INIT("ms"), 1000},      {SLICE_INIT("us"), 1},
};

static const struct unit byte_units[] = {
    {SLICE_INIT("TiB"), 1ull << 40}, {SLICE_INIT("TB"), 1000000000000},
    {SLICE_INIT("GiB"), 1ull << 30}, {SLICE_INIT("GB"), 1000000000},
    {SLICE_INIT("MiB"), 1ull << 20}, {SLICE_INIT("MB"), 1000000},
    {SLICE_INIT("KiB"), 1ull << 10}, {SLICE_INIT("kB"), 1000},
    {SLICE_INIT("KB"), 1000},        {SLICE_INIT("B"), 1},
    {SLICE_INIT(""), 1},
};

static const struct unit percent_units[] = {{SLICE_INIT("%"), 10000}};

/* A number as whole + fraction / scale. */
struct decimal {
    uint64_t whole, fraction, scale;
};

static size_t
count_digits(struct slice s)
{
    size_t n = 0;

    while (n < s.n && ascii_is_digit(s.at[n]))
        n++;
    return n;
}

/* Takes "12" or "1.5" off the start of *s. */
static bool
take_decimal(struct slice *s, struct decimal *d)
{
    size_t n = count_digits(*s);

    *d = (struct decimal){.scale = 1};
    if (!slice_to_u64(slice_first(*s, n), INT64_MAX, &d->whole))
        return false;
    *s = slice_from(*s, n);
    if (s->n == 0 || s->at[0] != '.')
        return true;
    *s = slice_from(*s, 1);
    n = count_digits(*s);
    if (n > 6 || !slice_to_u64(slice_first(*s, n), 999999, &d->fraction))
        return false;
    *s = slice_from(*s, n);
    while (n--)
        d->scale *= 10;
    return true;
}

/* Takes the name of a unit, letters or a percent sign, off the start of *s. */
static struct slice
take_unit_name(struct slice *s)
{
    size_t n = 0;
    struct slice name;

    while (n < s->n && (ascii_is_alpha(s->at[n]) || s->at[n] == '%'))
        n++;
    name = slice_of(s->at, n);
    *s = slice_from(*s, n);
    return name;
}

static const struct unit *
find_unit(const struct unit *units, size_t n, struct slice name)
{
    for (size_t i = 0; i < n; i++)
        if (slice_eq(units[i].name, name))
            return &units[i];
    return NULL;
}

/* *sum += d * factor; false on overflow past INT64_MAX, or when the fraction is finer than the
 * unit. */
static bool
add_scaled(uint64_t *sum, struct decimal d, uint64_t factor)
{
    uint64_t whole, part;

    if (__builtin_mul_overflow(d.whole, factor, &whole) ||
        __builtin_mul_overflow(d.fraction, factor, &part) || part % d.scale != 0 ||
        __builtin_add_overflow(whole, part / d.scale, &whole) ||
        __builtin_add_overflow(*sum, whole, sum))
        return false;
    return *sum <= INT64_MAX;
}

/* One number with its unit, and nothing else. */
static bool
read_simple(struct slice s, const struct unit *units, size_t n, uint64_t *value)
{
    const struct unit *unit;
    struct decimal d;

    *value = 0;
    if (!take_decimal(&s, &d))
        return false;
    unit = find_unit(units, n, take_unit_name(&s));
    return unit && s.n == 0 && add_scaled(value, d, unit->factor);
}

bool
units_read_bytes(struct slice s, uint64_t *bytes)
{
    return read_simple(s, byte_units, countof(byte_units), bytes);
}

bool
units_read_percent(struct slice s, uint64_t *millionths)
{
    return read_simple(s, percent_units, countof(percent_units), millionths);
}

bool
units_read_duration(struct slice s, uint64_t *us)
{
    uint64_t previous = UINT64_MAX;

    *us = 0;
    if (slice_eq(s, SLICE("0")))
        return true;
    do {
        const struct unit *unit;
        struct decimal d;

        if (!take_decimal(&s, &d))
            return false;
        unit = find_unit(time_units, countof(time_units), take_unit_name(&s));
        if (!unit || unit->factor >= previous || !add_scaled(us, d, unit->factor))
            return false;
        previous = unit->factor;
    } while (s.n);
    return true;
}

bool
units_read_rate(struct slice s, uint64_t *count, uint64_t *per_us)
{
    struct slice per = s;
    struct slice number = slice_cut(&per, '/');
    const struct unit *unit;

    if (!slice_is_present(per) || !slice_to_u64(number, INT64_MAX, count))
        return false;
    unit = find_unit(time_units, countof(time_units), per);
    if (unit) {
        *per_us = unit->factor;
        return true;
    }
    return units_read_duration(per, per_us) && *per_us > 0;
}

bool
units_read_int(struct slice s, int64_t *value)
{
    bool negative = s.n && s.at[0] == '-';
    uint64_t digits;

    if (!slice_to_u64(slice_from(s, negative), (uint64_t) INT64_MAX + negative, &digits))
        return false;
    *value = (int64_t) (negative ? 0 - digits : digits);
    return true;
}

/* ------------------------------------------------------------------ writing */

void
units_write_int(struct text *out, int64_t value)
{
    if (value < 0)
        text_byte(out, '-');
    text_u64(out, value < 0 ? 0 - (uint64_t) value : (uint64_t) value);
}

void
units_write_bytes(struct text *out, uint64_t bytes)
{
    const struct unit *best = NULL;

    for (size_t i = 0; i < countof(byte_units) && bytes; i++)
        if (bytes % byte_units[i].factor == 0 && (!best || byte_units[i].factor > best->factor))
            best = &byte_units[i];
    text_u64(out, best ? bytes / best->factor : 0);
    if (best && best->factor > 1)
        text_put(out, best->name);
}

void
units_write_duration(struct text *out, uint64_t us)
{
    if (us == 0)
        text_byte(out, '0');
    for (size_t i = 0; i < countof(time_units) && us; i++) {
        if (us < time_units[i].factor)
            continue;
        text_u64(out, us / time_units[i].factor);
        text_put(out, time_units[i].name);
        us %= time_units[i].factor;
    }
}

void
units_write_percent(struct text *out, uint64_t millionths)
{
    uint64_t rest = millionths % 10000;

    text_u64(out, millionths / 10000);
    if (rest) {
        char digits[5] = {'.', (char) ('0' + rest / 1000), (char) ('0' + rest / 100 % 10),
                          (char) ('0' + rest / 10 % 10), (char) ('0' + rest % 10)};
        size_t n = sizeof(digits);

        while (digits[n - 1] == '0')
            n--;
        text_put(out, slice_of(digits, n));
    }
    text_byte(out, '%');
}
