/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control/trial.c - guards: reading them, and judging what was counted by them.
 *
 * Buckets of histograms are up to a quarter of their value wide, and a neighbour's middle would
 * look like "+20%" when next to nothing has changed.  So percentiles are interpolated within their
 * bucket, and a rise of one counts only when it is out of the question that both values lay at the
 * near ends of their buckets, or when the mean, which is exact, has risen by at least half of what
 * is allowed.
 */
#include "control/trial.h"

#include "base/check.h"
#include "base/text.h"

#include <math.h>
#include <stdio.h>

enum subject {
    SUBJECT_ERRORS,
    SUBJECT_CLIENT_ERRORS,
    SUBJECT_P50,
    SUBJECT_P90,
    SUBJECT_P99,
    SUBJECT_P999,
    SUBJECT_REQUESTS,
};

enum quantity { QUANTITY_SHARE, QUANTITY_TIME, QUANTITY_RATE };

/* Shares are counted in percent, times in microseconds, rates per second. */
static const struct {
    const char   *name;
    enum quantity quantity;
    double        part;     /* of a percentile */
    uint64_t      requests; /* how many say anything about it */
} subjects[] = {
    [SUBJECT_ERRORS] = {"errors", QUANTITY_SHARE, 0, GUARD_REQUESTS_MIN},
    [SUBJECT_CLIENT_ERRORS] = {"client_errors", QUANTITY_SHARE, 0, GUARD_REQUESTS_MIN},
    [SUBJECT_P50] = {"p50", QUANTITY_TIME, 0.5, GUARD_REQUESTS_MIN},
    [SUBJECT_P90] = {"p90", QUANTITY_TIME, 0.9, GUARD_REQUESTS_MIN},
    [SUBJECT_P99] = {"p99", QUANTITY_TIME, 0.99, GUARD_REQUESTS_MIN},
    [SUBJECT_P999] = {"p999", QUANTITY_TIME, 0.999, 10 * GUARD_REQUESTS_MIN},
    [SUBJECT_REQUESTS] = {"requests", QUANTITY_RATE, 0, 0},
};

enum comparison { COMPARE_LESS, COMPARE_MORE, COMPARE_AT_MOST, COMPARE_AT_LEAST };

static const struct {
    const char     *text;
    enum comparison comparison;
} comparisons[] = {
    /* The longer ones first. */
    {"<=", COMPARE_AT_MOST},
    {">=", COMPARE_AT_LEAST},
    {"<", COMPARE_LESS},
    {">", COMPARE_MORE},
};

static const struct {
    const char   *text;
    enum quantity quantity;
    double        factor;
} units[] = {
    {"us", QUANTITY_TIME, 1},
    {"ms", QUANTITY_TIME, 1e3},
    {"s", QUANTITY_TIME, 1e6},
    {"/s", QUANTITY_RATE, 1},
    {"%", QUANTITY_SHARE, 1},
};

struct guard_condition {
    enum subject    subject;
    struct slice    route; /* absent: all */
    enum comparison comparison;
    int             sign;    /* +1, -1: compared with the time before; 0: as it is */
    bool            percent; /* of what was before, but for shares: those are percent */
    double          number;
    struct slice    text; /* as written */
};

/* ------------------------------------------------------------------ reading */

struct reader {
    struct slice rest;
    char        *why; /* 200 bytes */
};

static void
skip_blanks(struct reader *r)
{
    while (r->rest.n && (r->rest.at[0] == ' ' || r->rest.at[0] == '\t'))
        r->rest = slice_from(r->rest, 1);
}

static bool
wrong(const struct reader *r, const char *expected)
{
    if (r->rest.n)
        snprintf(r->why, 200, "expected %s, found `%.*s`", expected,
                 (int) (r->rest.n < 30 ? r->rest.n : 30), r->rest.at);
    else
        snprintf(r->why, 200, "expected %s, found the end", expected);
    return false;
}

static bool
read_subject(struct reader *r, struct guard_condition *c)
{
    struct slice word = {r->rest.at, 0};

    while (word.n < r->rest.n && (ascii_is_alpha(r->rest.at[word.n]) ||
                                  ascii_is_digit(r->rest.at[word.n]) || r->rest.at[word.n] == '_'))
        word.n++;
    for (size_t i = 0; i < countof(subjects); i++)
        if (slice_eq(word, slice_str(subjects[i].name))) {
            c->subject = (enum subject) i;
            r->rest = slice_from(r->rest, word.n);
            return true;
        }
    return wrong(r, "errors, client_errors, p50, p90, p99, p999 or requests");
}

/* "(shop)", or nothing. */
static bool
read_route(struct reader *r, struct guard_condition *c)
{
    size_t end;

    skip_blanks(r);
    if (!r->rest.n || r->rest.at[0] != '(')
        return true;
    end = slice_find(r->rest, ')');
    if (end == SLICE_NOT_FOUND)
        return wrong(r, "a route's name and `)`");
    c->route = slice_trim(slice_of(r->rest.at + 1, end - 1));
    if (!c->route.n)
        return wrong(r, "a route's name");
    r->rest = slice_from(r->rest, end + 1);
    return true;
}

static bool
read_comparison(struct reader *r, struct guard_condition *c)
{
    skip_blanks(r);
    for (size_t i = 0; i < countof(comparisons); i++) {
        struct slice text = slice_str(comparisons[i].text);

        if (!slice_starts(r->rest, text))
            continue;
        c->comparison = comparisons[i].comparison;
        r->rest = slice_from(r->rest, text.n);
        skip_blanks(r);
        return true;
    }
    return wrong(r, "<, >, <= or >=");
}

/* Twelve digits at most: more than anything here can be. */
static bool
read_number(struct reader *r, double *number)
{
    double scale = 1;
    size_t digits = 0, at = 0;
    bool point = false;

    *number = 0;
    for (; at < r->rest.n; at++) {
        char c = r->rest.at[at];

        if (c == '.' && !point && digits) {
            point = true;
            continue;
        }
        if (!ascii_is_digit(c) || ++digits > 12)
            break;
        *number = *number * 10 + (c - '0');
        scale *= point ? 10 : 1;
    }
    if (digits == 0 || digits > 12 || r->rest.at[at - 1] == '.')
        return wrong(r, "a number");
    *number /= scale;
    r->rest = slice_from(r->rest, at);
    return true;
}

static const char *
expected_unit(const struct guard_condition *c)
{
    switch (subjects[c->subject].quantity) {
    case QUANTITY_SHARE: return "%";
    case QUANTITY_TIME: return c->sign ? "%, us, ms or s" : "us, ms or s";
    case QUANTITY_RATE: return c->sign ? "% or /s" : "/s";
    }
    UNREACHABLE();
}

static bool
read_limit(struct reader *r, struct guard_condition *c)
{
    if (r->rest.n && (r->rest.at[0] == '+' || r->rest.at[0] == '-')) {
        c->sign = r->rest.at[0] == '+' ? 1 : -1;
        r->rest = slice_from(r->rest, 1);
    }
    if (!read_number(r, &c->number))
        return false;
    skip_blanks(r);
    for (size_t i = 0; i < countof(units); i++) {
        struct slice unit = slice_str(units[i].text);
        bool percent = units[i].quantity == QUANTITY_SHARE;

        if (!slice_starts(r->rest, unit))
            continue;
        if (units[i].quantity != subjects[c->subject].quantity && !(percent && c->sign))
            break;
        c->percent = percent;
        c->number *= units[i].factor;
        r->rest = slice_from(r->rest, unit.n);
        return true;
    }
    return wrong(r, expected_unit(c));
}

static bool
read_condition(struct reader *r, struct guard_condition *c)
{
    const char *begin = r->rest.at;

    if (!read_subject(r, c) || !read_route(r, c) || !read_comparison(r, c) || !read_limit(r, c))
        return false;
    c->text = slice_of(begin, (size_t) (r->rest.at - begin));
    skip_blanks(r);
    return true;
}

bool
guard_parse(struct slice text, struct arena *arena, struct guard *out, char why[200])
{
    struct slice copy = arena_copy(arena, text);
    struct reader r = {copy, why};

    out->n = 0;
    out->conditions = arena_calloc(arena, GUARD_CONDITIONS_MAX, sizeof(*out->conditions));
    if (!copy.at || !out->conditions) {
        snprintf(why, 200, "out of memory");
        return false;
    }
    do {
        if (out->n == GUARD_CONDITIONS_MAX) {
            snprintf(why, 200, "there are more than %d conditions", GUARD_CONDITIONS_MAX);
            return false;
        }
        if (out->n)
            r.rest = slice_from(r.rest, 1);
        skip_blanks(&r);
        if (!read_condition(&r, &out->conditions[out->n++]))
            return false;
    } while (r.rest.n && r.rest.at[0] == ',');
    return r.rest.n == 0 || wrong(&r, "a comma, or the end");
}

/* ------------------------------------------------------------------ values */

/* The bucket that a percentile falls into, and where between its limits. */
struct place {
    double low, high, value;
};

static struct place
place_of(const struct histogram *h, double part)
{
    double rank = part * (double) h->count, below = 0;

    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        double n = (double) h->buckets[i];
        double low = i ? (double) histogram_limit(i - 1) : 0;

        if (n > 0 && below + n >= rank) {
            double high = i + 1 < HISTOGRAM_BUCKETS ? (double) histogram_limit(i) : low;

            return (struct place){low, high, low + (high - low) * (rank - below) / n};
        }
        below += n;
    }
    return (struct place){0, 0, 0};
}

static double
value_of(const struct guard_condition *c, const struct guard_sample *s)
{
    double requests = s->requests ? (double) s->requests : 1;

    switch (c->subject) {
    case SUBJECT_ERRORS: return 100.0 * (double) s->errors / requests;
    case SUBJECT_CLIENT_ERRORS: return 100.0 * (double) s->client_errors / requests;
    case SUBJECT_P50:
    case SUBJECT_P90:
    case SUBJECT_P99:
    case SUBJECT_P999: return place_of(&s->durations, subjects[c->subject].part).value;
    case SUBJECT_REQUESTS:
        return s->took_us ? (double) s->requests * 1e6 / (double) s->took_us : 0;
    }
    UNREACHABLE();
}

/* Enough to judge by: rates need time, all else requests. */
static bool
says_enough(const struct guard_condition *c, const struct guard_sample *s)
{
    if (c->subject == SUBJECT_REQUESTS)
        return s->took_us >= GUARD_RATE_US;
    return s->requests >= subjects[c->subject].requests;
}

static double
limit_of(const struct guard_condition *c, double before)
{
    bool of_before = c->percent && subjects[c->subject].quantity != QUANTITY_SHARE;
    double limit = c->number;

    if (c->sign)
        limit = before + c->sign * (of_before ? before * c->number / 100 : c->number);
    return limit > 0 ? limit : 0;
}

static bool
holds(const struct guard_condition *c, double value, double limit)
{
    switch (c->comparison) {
    case COMPARE_LESS: return value < limit;
    case COMPARE_MORE: return value > limit;
    case COMPARE_AT_MOST: return value <= limit;
    case COMPARE_AT_LEAST: return value >= limit;
    }
    UNREACHABLE();
}

static double
mean_of(const struct guard_sample *s)
{
    return s->durations.count ? (double) s->durations.sum / (double) s->durations.count : 0;
}

/* A percentile that rose: or does it only seem so, for want of finer buckets? */
static bool
is_certain(const struct guard_condition *c, const struct guard_sample *now,
           const struct guard_sample *before)
{
    double part = subjects[c->subject].part, mean = mean_of(before);

    if (subjects[c->subject].quantity != QUANTITY_TIME || c->sign <= 0)
        return true;
    return place_of(&now->durations, part).low >=
               limit_of(c, place_of(&before->durations, part).high) ||
           mean_of(now) - mean >= (limit_of(c, mean) - mean) / 2;
}

/* ------------------------------------------------------------------ saying it */

static void
put_name(struct text *out, const struct guard_condition *c)
{
    text_put(out, slice_str(subjects[c->subject].name));
    if (slice_is_present(c->route))
        text_printf(out, "(%.*s)", SLICE_ARG(slice_first(c->route, 40)));
}

/* Three digits that mean something: "1.23", "12.3", "1230". */
static void
put_number(struct text *out, double value)
{
    int decimals = value >= 100 || value == 0 ? 0 : value >= 10 ? 1 : 2;
    char digits[40];
    size_t n = (size_t) snprintf(digits, sizeof(digits), "%.*f", decimals, value);

    while (decimals && (digits[n - 1] == '0' || digits[n - 1] == '.'))
        if (digits[--n] == '.')
            break;
    text_put(out, slice_of(digits, n));
}

static void
put_value(struct text *out, const struct guard_condition *c, double value)
{
    switch (subjects[c->subject].quantity) {
    case QUANTITY_SHARE:
        put_number(out, value);
        text_literal(out, " %");
        break;
    case QUANTITY_TIME:
        put_number(out, value < 1e3 ? value : value < 1e6 ? value / 1e3 : value / 1e6);
        text_put(out, slice_str(value < 1e3 ? " us" : value < 1e6 ? " ms" : " s"));
        break;
    case QUANTITY_RATE:
        put_number(out, value);
        text_literal(out, "/s");
        break;
    }
}

/* ", 31 % above the 64 ms before" */
static void
put_comparison(struct text *out, const struct guard_condition *c, double value, double before)
{
    double by = fabs(value - before);

    text_literal(out, ", ");
    if (c->percent && subjects[c->subject].quantity != QUANTITY_SHARE) {
        put_number(out, before > 0 ? 100 * by / before : 0);
        text_literal(out, " %");
    } else {
        put_value(out, c, by);
    }
    text_printf(out, " %s the ", value < before ? "below" : "above");
    put_value(out, c, before);
    text_literal(out, " before");
}

static void
put_finding(struct text *out, const struct guard_condition *c, double value, double before)
{
    put_name(out, c);
    text_put(out, subjects[c->subject].quantity == QUANTITY_TIME ? SLICE(" is ") : SLICE(" are "));
    put_value(out, c, value);
    if (c->sign)
        put_comparison(out, c, value, before);
    text_printf(out, " (wanted: %.*s)", SLICE_ARG(slice_first(c->text, 60)));
}

static void
put_early(struct text *out, const struct guard_condition *c, const struct guard_sample *s,
          const char *when)
{
    put_name(out, c);
    if (c->subject == SUBJECT_REQUESTS)
        text_printf(out, ": %.1f of %.0f s seen%s", (double) s->took_us / 1e6, GUARD_RATE_US / 1e6,
                    when);
    else
        text_printf(out, ": %llu of %llu requests seen%s", (unsigned long long) s->requests,
                    (unsigned long long) subjects[c->subject].requests, when);
}

/* ------------------------------------------------------------------ judging */

struct judging {
    guard_read_f       *read;
    void               *arg;
    struct guard_sample now, then;
    struct text         early, broken, fine;
};

/* False: there is no such route, or too little was seen; why is in j->early. */
static bool
look(struct judging *j, const struct guard_condition *c, bool before, struct guard_sample *s)
{
    memset(s, 0, sizeof(*s));
    if (j->read(j->arg, c->route, before, s) && says_enough(c, s))
        return true;
    if (j->early.n)
        text_literal(&j->early, "; ");
    put_early(&j->early, c, s, before ? " before the change" : "");
    return false;
}

static void
judge(struct judging *j, const struct guard_condition *c)
{
    double value, before = 0;

    if (!look(j, c, false, &j->now) || (c->sign && !look(j, c, true, &j->then)))
        return;
    value = value_of(c, &j->now);
    if (c->sign)
        before = value_of(c, &j->then);
    if (!holds(c, value, limit_of(c, before)) && is_certain(c, &j->now, &j->then)) {
        if (j->broken.n)
            text_literal(&j->broken, "; ");
        put_finding(&j->broken, c, value, before);
        return;
    }
    if (j->fine.n)
        text_literal(&j->fine, ", ");
    put_name(&j->fine, c);
    text_byte(&j->fine, ' ');
    put_value(&j->fine, c, value);
}

/* What did not fit is cut. */
static enum guard_verdict
say(enum guard_verdict verdict, const struct text *t, char why[200])
{
    snprintf(why, 200, "%.*s", (int) t->n, t->at);
    return verdict;
}

enum guard_verdict
guard_judge(const struct guard *g, guard_read_f *read, void *arg, char why[200])
{
    struct judging j = {.read = read, .arg = arg};
    char early[199], broken[199], fine[199];

    text_fixed(&j.early, early, sizeof(early));
    text_fixed(&j.broken, broken, sizeof(broken));
    text_fixed(&j.fine, fine, sizeof(fine));
    for (size_t i = 0; i < g->n; i++)
        judge(&j, &g->conditions[i]);
    if (j.broken.n)
        return say(GUARD_BROKEN, &j.broken, why);
    if (j.early.n)
        return say(GUARD_TOO_EARLY, &j.early, why);
    return say(GUARD_HOLDS, &j.fine, why);
}
