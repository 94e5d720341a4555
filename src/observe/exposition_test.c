/* SPDX-License-Identifier: Apache-2.0 */
#include "base/check.h"
#include "base/clock.h"
#include "base/test.h"
#include "observe/metrics.h"

#include <math.h>
#include <stdlib.h>

enum { ROOM = 64 * 1024 };

static struct exposition
begin(struct text *out, enum exposition_format format)
{
    text_init(out, ROOM);
    return (struct exposition){out, format};
}

TEST(families_say_what_they_are)
{
    struct text t;
    struct exposition e = begin(&t, EXPOSITION_PROMETHEUS);

    exposition_family(&e, "maitred_a_total", METRIC_COUNTER, "A \\ and\na \"b\".");
    exposition_sample(&e, "maitred_a_total", NULL, 0, 3);
    EXPECT_STR(text_slice(&t), "# HELP maitred_a_total A \\\\ and\\na \"b\".\n"
                               "# TYPE maitred_a_total counter\n"
                               "maitred_a_total 3\n");
    text_free(&t);
}

TEST(openmetrics_names_the_family_and_its_unit)
{
    struct text t;
    struct exposition e = begin(&t, EXPOSITION_OPENMETRICS);

    exposition_family(&e, "maitred_in_bytes_total", METRIC_COUNTER, "Bytes \"in\".");
    exposition_sample(&e, "maitred_in_bytes_total", NULL, 0, 3);
    EXPECT_STR(text_slice(&t), "# HELP maitred_in_bytes Bytes \\\"in\\\".\n"
                               "# TYPE maitred_in_bytes counter\n"
                               "# UNIT maitred_in_bytes bytes\n"
                               "maitred_in_bytes_total 3\n");
    text_free(&t);
}

TEST(labels_hold_any_bytes)
{
    struct slice labels[] = {SLICE("route"), SLICE("a\"b\\c\nd"), SLICE("to"),
                             SLICE("\xC3\xBC\xFF\r\x00z")};
    struct text t;
    struct exposition e = begin(&t, EXPOSITION_PROMETHEUS);

    exposition_sample(&e, "m", labels, 2, 1);
    EXPECT_STR(text_slice(&t), "m{route=\"a\\\"b\\\\c\\nd\","
                               "to=\"\xC3\xBC\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBDz\"} 1\n");
    text_free(&t);
}

static bool
is_written(double value, const char *text)
{
    struct text t;
    struct exposition e = begin(&t, EXPOSITION_PROMETHEUS);
    bool good;

    exposition_sample(&e, "m", NULL, 0, value);
    good = t.n == strlen(text) + 3 && slice_eq(slice_of(t.at + 2, t.n - 3), slice_str(text));
    text_free(&t);
    return good;
}

TEST(numbers_keep_their_digits)
{
    EXPECT(is_written(0, "0"));
    EXPECT(is_written(-7, "-7"));
    EXPECT(is_written(1795363200, "1795363200"));
    EXPECT(is_written(0.25, "0.25"));
    EXPECT(is_written(1234567.123456, "1234567.123456"));
    EXPECT(is_written(999999999999999, "999999999999999"));
    EXPECT(is_written(INFINITY, "+Inf"));
    EXPECT(is_written(-INFINITY, "-Inf"));
    EXPECT(is_written(NAN, "NaN"));
}

TEST(buckets_are_cumulative_and_end_with_all)
{
    struct slice labels[] = {SLICE("route"), SLICE("r")};
    struct histogram h = {0};
    struct slice out;
    struct text t;
    struct exposition e = begin(&t, EXPOSITION_PROMETHEUS);

    histogram_add(&h, 63);
    histogram_add(&h, 64);
    histogram_add(&h, 127);
    histogram_add(&h, 100000000);
    exposition_histogram(&e, "m", labels, 1, METRIC_HISTOGRAM, &h);
    out = text_slice(&t);
    EXPECT(slice_starts(out, SLICE("m_bucket{route=\"r\",le=\"6.4e-05\"} 1\n"
                                   "m_bucket{route=\"r\",le=\"0.000128\"} 3\n")));
    EXPECT(slice_ends(out, SLICE("m_bucket{route=\"r\",le=\"67.108864\"} 3\n"
                                 "m_bucket{route=\"r\",le=\"+Inf\"} 4\n"
                                 "m_sum{route=\"r\"} 100.000254\n"
                                 "m_count{route=\"r\"} 4\n")));
    text_free(&t);
}

TEST(sizes_are_told_in_bytes)
{
    struct histogram h = {0};
    struct text t;
    struct exposition e = begin(&t, EXPOSITION_OPENMETRICS);

    histogram_add(&h, 1000);
    exposition_histogram(&e, "m", NULL, 0, METRIC_SIZES, &h);
    EXPECT(slice_starts(text_slice(&t), SLICE("m_bucket{le=\"256.0\"} 0\n"
                                              "m_bucket{le=\"1024.0\"} 1\n")));
    EXPECT(slice_ends(text_slice(&t), SLICE("m_sum 1000\nm_count 1\n")));
    text_free(&t);
}

/* ------------------------------------------------------------------ everything */

static const char *const colours[] = {"red", "green", NULL};
static const struct metric_split by_colour = {"colour", colours};
static const struct metric hat_metrics[] = {
    {"sold_total", METRIC_COUNTER, NULL, "Hats sold."},
    {"lost_total", METRIC_COUNTER, &by_colour, "Hats lost."},
};
static const struct metric_table hats = {"hat", {"shop"}, hat_metrics, countof(hat_metrics)};

static void
collect(struct exposition *e)
{
    exposition_family(e, "weather", METRIC_GAUGE, "Weather.");
    exposition_sample(e, "weather", NULL, 0, 1);
}

TEST(tables_and_collectors_are_told)
{
    struct slice shop = SLICE("north");
    struct metrics *m = metrics_get(&hats, &shop);
    struct text t;
    struct exposition e = begin(&t, EXPOSITION_OPENMETRICS);

    metrics_add(m, 0, 0, 2);
    metrics_add_split(m, 0, 1, 1, 1);
    metrics_collector(collect);
    metrics_collector(collect);
    metrics_expose(&e);
    EXPECT_STR(text_slice(&t), "# HELP maitred_hat_sold Hats sold.\n"
                               "# TYPE maitred_hat_sold counter\n"
                               "maitred_hat_sold_total{shop=\"north\"} 2\n"
                               "# HELP maitred_hat_lost Hats lost.\n"
                               "# TYPE maitred_hat_lost counter\n"
                               "maitred_hat_lost_total{shop=\"north\",colour=\"green\"} 1\n"
                               "# HELP weather Weather.\n"
                               "# TYPE weather gauge\n"
                               "weather 1\n"
                               "# EOF\n");
    text_free(&t);
    metrics_release(m);
}

/* ------------------------------------------------------------------ many */

static const struct metric crowd_metrics[] = {
    {"a_total", METRIC_COUNTER, NULL, "A."},
    {"b_seconds", METRIC_HISTOGRAM, NULL, "B."},
};
static const struct metric_table crowd = {"crowd", {"n"}, crowd_metrics, countof(crowd_metrics)};

/* A tenth of them have something to tell. */
TEST(ten_thousand_things_are_told_in_no_time)
{
    enum { MANY = 10000 };
    static struct metrics *m[MANY];
    uint64_t start_us, took_us;
    struct exposition e;
    struct text t;

    for (unsigned i = 0; i < MANY; i++) {
        char name[16];
        struct slice label = slice_of(name, text_format_u64(name, i));

        m[i] = metrics_get(&crowd, &label);
        for (unsigned worker = 0; worker < 4 && i < MANY / 10; worker++)
            metrics_observe(m[i], worker, 1, i);
    }
    text_init(&t, 64 * 1024 * 1024);
    e = (struct exposition){&t, EXPOSITION_PROMETHEUS};
    start_us = clock_monotonic_us();
    metrics_expose(&e);
    took_us = clock_monotonic_us() - start_us;
    EXPECT(!t.full);
    EXPECT(took_us < 50000ull * TEST_SLOWDOWN);
    text_free(&t);
    for (unsigned i = 0; i < MANY; i++)
        metrics_release(m[i]);
}
