/* SPDX-License-Identifier: Apache-2.0 */
/*
 * observe/metrics.h - counting what happens, and saying it to Prometheus.
 *
 * Metrics are declared like options, in a table beside the code that counts: name, kind, unit, one
 * sentence.  A table describes one kind of thing (a route, a listener); each thing of that kind has
 * a struct metrics, found by the values of its labels, which come from the configuration and never
 * from a request.  Values live in a block for each worker, made when that worker first counts;
 * reading sums the blocks.  Only a block's own worker writes it: counting is an addition without a
 * lock prefix.
 *
 *     enum { ROUTE_REQUESTS, ROUTE_BYTES, ROUTE_SECONDS, ROUTE_METRICS };
 *     static const struct metric route_metrics[] = {
 *         [ROUTE_REQUESTS] = {"requests_total", METRIC_COUNTER, .doc = "Requests answered."},
 *         [ROUTE_SECONDS] = {"duration_seconds", METRIC_HISTOGRAM, .doc = "From head to ..."},
 *     };
 *     static const struct metric_table route_table = {"route", {"route"}, route_metrics,
 *      countof()};
 *
 *     metrics_add(m, worker, ROUTE_REQUESTS, 1);
 *     metrics_observe(m, worker, ROUTE_SECONDS, took_us);
 *
 * Lifetime  a struct metrics outlives snapshots: it is found again by table and labels, so that
 *           counters never go back.  One that nobody holds goes after a while (METRICS_LINGER_US).
 * Threads   metrics_get and everything that reads: control thread.  metrics_add and
 *           metrics_observe: the worker whose number is given.  metrics_hold, metrics_release: any.
 */
#ifndef OBSERVE_METRICS_H
#define OBSERVE_METRICS_H

#include "base/histogram.h"
#include "base/text.h"

enum metric_kind {
    METRIC_COUNTER,   /* only grows; its name ends in _total */
    METRIC_GAUGE,     /* blocks are summed too: +1 here, -1 there */
    METRIC_HISTOGRAM, /* of microseconds; told in seconds */
    METRIC_SIZES,     /* a histogram of bytes */
};

/* Label values that the counting code chooses from a fixed list: a status class, a reason. */
struct metric_split {
    const char        *label;
    const char *const *values; /* ends with NULL */
};

struct metric {
    const char                *name; /* after "maitred_<table>_" */
    enum metric_kind           kind;
    const struct metric_split *split; /* counters: one for each value; NULL: none */
    const char                *doc;
};

enum { METRIC_LABELS_MAX = 3, METRICS_WORKERS = 128 };
#define METRICS_LINGER_US (10ull * 60 * 1000000)

struct metric_table {
    const char          *name;                      /* "route" */
    const char          *labels[METRIC_LABELS_MAX]; /* NULL behind the last */
    const struct metric *metrics;
    size_t               n;
};

struct metrics;

/* The values of the thing with these labels (as many as the table has), made if need be; one more
 * reference.  NULL: out of memory. */
struct metrics *metrics_get(const struct metric_table *table, const struct slice *labels);
/* One more, for who has one already (a connection, a tunnel); any thread.  Gives m; NULL: nothing
 * happens. */
struct metrics *metrics_hold(struct metrics *m);
/* Any thread; NULL: nothing happens. */
void metrics_release(struct metrics *m);
/* Those that nobody has held for METRICS_LINGER_US go.  metrics_get() and metrics_expose() do so
 * too. */
void metrics_sweep(void);

/* m NULL, or no memory for a block: nothing is counted. */
void metrics_add(struct metrics *m, unsigned worker, unsigned metric, int64_t n);
/* For one with a split. */
void metrics_add_split(struct metrics *m, unsigned worker, unsigned metric, unsigned value,
                       int64_t n);
/* us: microseconds, or bytes. */
void metrics_observe(struct metrics *m, unsigned worker, unsigned metric, uint64_t us);

/* ------------------------------------------------------------------ reading */

/* Nothing has been counted of it yet. */
bool metrics_is_silent(const struct metrics *m);
/* Sums over all blocks. value: of a split; else 0. */
int64_t metrics_read(const struct metrics *m, unsigned metric, unsigned value);
void metrics_read_histogram(const struct metrics *m, unsigned metric, struct histogram *out);
/* visit(labels, m) for every thing of a table. */
void metrics_each(const struct metric_table *table,
                  void (*visit)(void *arg, const struct slice *labels, const struct metrics *m),
                  void *arg);

/* What things of the table have counted that are no more, so that sums over all never go back;
 * NULL: there are none. */
const struct metrics *metrics_gone(const struct metric_table *table);
/* visit(table) for every one of which there has been a thing, in the order of their first use. */
void metrics_each_table(void (*visit)(void *arg, const struct metric_table *table), void *arg);

/* ------------------------------------------------------------------ telling */

enum exposition_format { EXPOSITION_PROMETHEUS, EXPOSITION_OPENMETRICS };

/* A text being written.  Families come one after the other; samples follow their family. */
struct exposition {
    struct text           *out;
    enum exposition_format format;
};

/* name: whole, "maitred_upstream_servers"; of a counter with its "_total".  Samples of histograms
 * are told by exposition_histogram(). */
void exposition_family(struct exposition *e, const char *name, enum metric_kind kind,
                       const char *doc);
/* labels: a name, its value, the next name, ...: n pairs.  Values may hold any bytes. */
void exposition_sample(struct exposition *e, const char *name, const struct slice *labels,
                       size_t n, double value);
void exposition_histogram(struct exposition *e, const char *name, const struct slice *labels,
                          size_t n, enum metric_kind kind, const struct histogram *h);

/* Whoever keeps numbers elsewhere (servers, caches) tells them when asked, on the control thread.
 * At start; more than once does no harm. */
typedef void metrics_collect_f(struct exposition *e);
void metrics_collector(metrics_collect_f *collect);

/* Everything: tables in their order of first use, then collectors.  Things and values
 * of a split that were never counted, and histograms without a value, are left out.  Ends as the
 * format wants. */
void metrics_expose(struct exposition *e);

#endif
