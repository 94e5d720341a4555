/* SPDX-License-Identifier: Apache-2.0 */
/*
 * observe/exposition.c - numbers as text, for Prometheus.
 *
 * Two formats that differ in little: the text format 0.0.4 of Prometheus, and OpenMetrics 1.0,
 * where a counter's family goes without "_total" and the text ends with "# EOF".
 *
 * Of a histogram's buckets only those at powers of two are told (for bytes: of four): each is a
 * line for each thing and scrape, and a quantile of a quantile is not asked for more.
 */
#include "observe/metrics.h"

#include "base/check.h"

#include <math.h>
#include <stdio.h>

enum {
    COLLECTORS_MAX = 16,
    LABELS_TOLD_MAX = METRIC_LABELS_MAX + 1,
    LABELS_BYTES_MAX = 256 * 1024,
};

/* Bounds that are told: 64 us to 67 s, 256 bytes to 4 GiB. */
struct bounds {
    unsigned first, last, step; /* exponents of two */
    double   scale;
    char     words[24][16];     /* made on first use; empty: not yet */
};

static struct bounds time_bounds = {.first = 6, .last = 26, .step = 1, .scale = 1e-6};
static struct bounds size_bounds = {.first = 8, .last = 32, .step = 2, .scale = 1};

/* ------------------------------------------------------------------ pieces */

static bool
is_plain(char c)
{
    return c >= ' ' && c <= '~' && c != '"' && c != '\\';
}

/* One that is not plain: how many bytes it took. */
static size_t
put_special(struct text *out, struct slice s, bool quotes)
{
    size_t n = text_utf8_length(s);
    char c = s.at[0];

    if (n)
        text_put(out, slice_of(s.at, n));
    else if (c == '\n')
        text_literal(out, "\\n");
    else if (c == '\\' || (c == '"' && quotes))
        text_put(out, c == '"' ? SLICE("\\\"") : SLICE("\\\\"));
    else if (c == '"')
        text_byte(out, c);
    else
        text_literal(out, "\xEF\xBF\xBD");
    return n ? n : 1;
}

/* Backslashes, line feeds and, in labels, quotes; what is not text becomes U+FFFD. */
static void
put_escaped(struct text *out, struct slice s, bool quotes)
{
    while (s.n) {
        size_t plain = 0;

        while (plain < s.n && is_plain(s.at[plain]))
            plain++;
        text_put(out, slice_first(s, plain));
        s = slice_from(s, plain);
        if (s.n)
            s = slice_from(s, put_special(out, s, quotes));
    }
}

static bool
is_whole(double v)
{
    return fabs(v) < 1e15 && v == (double) (int64_t) v;
}

static void
put_value(struct text *out, double v)
{
    if (isnan(v)) {
        text_literal(out, "NaN");
    } else if (isinf(v)) {
        text_put(out, v > 0 ? SLICE("+Inf") : SLICE("-Inf"));
    } else if (is_whole(v)) {
        if (v < 0)
            text_byte(out, '-');
        text_u64(out, (uint64_t) fabs(v));
    } else {
        text_printf(out, "%.15g", v);
    }
}

/* In its canonical form, as OpenMetrics wants it: with a point. */
static const char *
bound_word(struct bounds *b, unsigned power)
{
    char *word = b->words[(power - b->first) / b->step];
    double v = (double) (UINT64_C(1) << power) * b->scale;

    if (!word[0])
        snprintf(word, sizeof(b->words[0]), is_whole(v) ? "%.1f" : "%.9g", v);
    return word;
}

/* Without the brace behind the last label: another may follow. */
static void
put_name(struct text *out, const char *name, const char *ending, const struct slice *labels,
         size_t n)
{
    text_put(out, slice_str(name));
    text_put(out, slice_str(ending));
    for (size_t i = 0; i < n; i++) {
        text_byte(out, i ? ',' : '{');
        text_put(out, labels[2 * i]);
        text_literal(out, "=\"");
        put_escaped(out, labels[2 * i + 1], true);
        text_byte(out, '"');
    }
}

/* ------------------------------------------------------------------ families */

static struct slice
kind_name(enum metric_kind kind)
{
    switch (kind) {
    case METRIC_COUNTER: return SLICE("counter");
    case METRIC_GAUGE: return SLICE("gauge");
    case METRIC_HISTOGRAM:
    case METRIC_SIZES: return SLICE("histogram");
    }
    UNREACHABLE();
}

static struct slice
family_of(const struct exposition *e, const char *name)
{
    struct slice s = slice_str(name);

    if (e->format == EXPOSITION_OPENMETRICS && slice_ends(s, SLICE("_total")))
        s.n -= sizeof("_total") - 1;
    return s;
}

static void
put_comment(struct exposition *e, const char *what, struct slice family, struct slice value)
{
    text_literal(e->out, "# ");
    text_put(e->out, slice_str(what));
    text_byte(e->out, ' ');
    text_put(e->out, family);
    text_byte(e->out, ' ');
    put_escaped(e->out, value, e->format == EXPOSITION_OPENMETRICS);
    text_byte(e->out, '\n');
}

void
exposition_family(struct exposition *e, const char *name, enum metric_kind kind, const char *doc)
{
    struct slice family = family_of(e, name);

    put_comment(e, "HELP", family, slice_str(doc));
    put_comment(e, "TYPE", family, kind_name(kind));
    if (e->format != EXPOSITION_OPENMETRICS)
        return;
    if (slice_ends(family, SLICE("_seconds")))
        put_comment(e, "UNIT", family, SLICE("seconds"));
    else if (slice_ends(family, SLICE("_bytes")))
        put_comment(e, "UNIT", family, SLICE("bytes"));
}

void
exposition_sample(struct exposition *e, const char *name, const struct slice *labels, size_t n,
                  double value)
{
    put_name(e->out, name, "", labels, n);
    if (n)
        text_byte(e->out, '}');
    text_byte(e->out, ' ');
    put_value(e->out, value);
    text_byte(e->out, '\n');
}

static void
put_bucket(struct text *out, struct slice begin, const char *bound, uint64_t below)
{
    text_put(out, begin);
    text_put(out, slice_str(bound));
    text_literal(out, "\"} ");
    text_u64(out, below);
    text_byte(out, '\n');
}

/* begin: what each of its lines begins with. */
static void
put_buckets(struct text *out, struct slice begin, struct bounds *b, const struct histogram *h)
{
    uint64_t below = 0;
    unsigned bucket = 0;

    for (unsigned power = b->first; power <= b->last; power += b->step) {
        for (unsigned end = histogram_bucket(UINT64_C(1) << power); bucket < end; bucket++)
            below += h->buckets[bucket];
        put_bucket(out, begin, bound_word(b, power), below);
    }
    put_bucket(out, begin, "+Inf", h->count);
}

void
exposition_histogram(struct exposition *e, const char *name, const struct slice *labels, size_t n,
                     enum metric_kind kind, const struct histogram *h)
{
    struct bounds *b = kind == METRIC_SIZES ? &size_bounds : &time_bounds;
    struct text begin;

    text_init(&begin, LABELS_BYTES_MAX);
    put_name(&begin, name, "_bucket", labels, n);
    text_put(&begin, n ? SLICE(",le=\"") : SLICE("{le=\""));
    if (begin.full)
        e->out->full = true;
    else
        put_buckets(e->out, text_slice(&begin), b, h);
    text_free(&begin);
    put_name(e->out, name, "_sum", labels, n);
    text_put(e->out, n ? SLICE("} ") : SLICE(" "));
    put_value(e->out, (double) h->sum * b->scale);
    text_byte(e->out, '\n');
    put_name(e->out, name, "_count", labels, n);
    text_put(e->out, n ? SLICE("} ") : SLICE(" "));
    text_u64(e->out, h->count);
    text_byte(e->out, '\n');
}

/* ------------------------------------------------------------------ everything */

/* One metric of a table, for all its things. */
struct telling {
    struct exposition         *e;
    const struct metric_table *table;
    unsigned                   metric;
    char                       name[128];
};

static void
tell_split(struct telling *t, struct slice *labels, size_t n, const struct metrics *m)
{
    const struct metric_split *split = t->table->metrics[t->metric].split;

    labels[2 * n] = slice_str(split->label);
    for (unsigned i = 0; split->values[i]; i++) {
        int64_t value = metrics_read(m, t->metric, i);

        if (value == 0)
            continue;
        labels[2 * n + 1] = slice_str(split->values[i]);
        exposition_sample(t->e, t->name, labels, n + 1, (double) value);
    }
}

static void
tell_thing(void *arg, const struct slice *values, const struct metrics *m)
{
    struct telling *t = arg;
    const struct metric *what = &t->table->metrics[t->metric];
    struct slice labels[2 * LABELS_TOLD_MAX];
    struct histogram h;
    size_t n = 0;

    if (metrics_is_silent(m))
        return;
    for (; n < METRIC_LABELS_MAX && t->table->labels[n]; n++) {
        labels[2 * n] = slice_str(t->table->labels[n]);
        labels[2 * n + 1] = values[n];
    }
    if (what->kind == METRIC_HISTOGRAM || what->kind == METRIC_SIZES) {
        metrics_read_histogram(m, t->metric, &h);
        if (h.count)
            exposition_histogram(t->e, t->name, labels, n, what->kind, &h);
    } else if (what->split) {
        tell_split(t, labels, n, m);
    } else {
        exposition_sample(t->e, t->name, labels, n, (double) metrics_read(m, t->metric, 0));
    }
}

static void
tell_table(void *arg, const struct metric_table *table)
{
    struct telling t = {.e = arg, .table = table};
    struct text name;

    for (t.metric = 0; t.metric < table->n; t.metric++) {
        const struct metric *m = &table->metrics[t.metric];

        text_fixed(&name, t.name, sizeof(t.name));
        text_printf(&name, "maitred_%s_%s", table->name, m->name);
        text_byte(&name, '\0');
        CHECK(!name.full);
        exposition_family(t.e, t.name, m->kind, m->doc);
        metrics_each(table, tell_thing, &t);
    }
}

static metrics_collect_f *collectors[COLLECTORS_MAX];

void
metrics_collector(metrics_collect_f *collect)
{
    unsigned i = 0;

    while (i < COLLECTORS_MAX && collectors[i] && collectors[i] != collect)
        i++;
    CHECK(i < COLLECTORS_MAX);
    collectors[i] = collect;
}

void
metrics_expose(struct exposition *e)
{
    metrics_sweep();
    metrics_each_table(tell_table, e);
    for (unsigned i = 0; i < COLLECTORS_MAX && collectors[i]; i++)
        collectors[i](e);
    if (e->format == EXPOSITION_OPENMETRICS)
        text_literal(e->out, "# EOF\n");
}
