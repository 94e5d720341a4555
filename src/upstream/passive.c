/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/passive.c - who of a group is ejected because its real traffic fails.
 *
 * A second's worth of requests is a small sample, and a group is judged again each second, for
 * years: a rule such as "twice the others' error rate" would eject somebody by mere chance every
 * few minutes.  So rates and latencies count only when chance explains them less often than once in
 * a thousand million: Chernoff's bound on the tail, exp(-n * D), with the divergence D of what was
 * seen from what the others show.  For failures that is exact; latencies are taken as exponential,
 * which real ones are not quite, so they must stand out for two seconds in a row.
 */
#include "upstream/passive.h"

#include "base/check.h"

#include <math.h>

#define RELAXED memory_order_relaxed
#define DOUBT 20.7 /* -ln(1e-9) */

enum {
    FORGIVE_US = 60000000, /* so long in good health, and one ejection is forgotten */
    SLOW_SECONDS = 2,
};

static const struct option passive_options[] = {
    {"errors", &option_int, offsetof(struct passive_config, errors), .preset = "5", .max = 1000000,
     .doc = "How many failures in a row (no connection, no or a broken answer, 5xx) eject a "
            "server; 0 does not count them."},
    {"error_rate", &option_percent, offsetof(struct passive_config, error_rate), .preset = "0%",
     .doc = "How far a server's share of failures may lie above that of the others, each second, "
            "before it is ejected; 0% does not compare."},
    {"latency", &option_percent, offsetof(struct passive_config, latency), .preset = "0%",
     .max = 1000000000,
     .doc = "How much slower than the group's median a server may answer on average, two seconds "
            "in a row, before it is ejected: `300%` is three times as slow; 0% does not compare."},
    {"minimum", &option_int, offsetof(struct passive_config, minimum), .preset = "20", .min = 1,
     .max = 1000000,
     .doc = "How many requests a server must have had in a second before its share of failures "
            "and its latency mean anything."},
    {"eject", &option_duration, offsetof(struct passive_config, eject_us), .preset = "10s",
     .min = 1000, .max = 86400000000,
     .doc = "How long a server is out the first time; each further time adds as much, and each "
            "minute in good health takes one away again."},
    {"max_eject", &option_duration, offsetof(struct passive_config, max_eject_us), .preset = "5m",
     .min = 1000, .max = 86400000000, .doc = "It is never out for longer than this."},
    {"max_ejected", &option_percent, offsetof(struct passive_config, max_ejected),
     .preset = "50%",
     .doc = "The share of the group that may be out at a time, rounded down, but one of several "
            "always may, and one always stays."},
    {NULL},
};

static bool
check_passive(struct config_bind *b, void *object)
{
    const struct passive_config *p = object;

    if (p->latency && p->latency <= 1000000)
        return config_bind_error(b, &p->latency, "such as `300%`, three times as slow",
                                 "`latency` must be above 100%%");
    if (p->eject_us > p->max_eject_us)
        return config_bind_error(b, &p->eject_us, NULL, "`eject` is longer than `max_eject`");
    return true;
}

const struct option_object passive_object = {
    .name = "passive",
    .doc = "Servers whose real traffic fails are ejected: they get nothing for a while.",
    .size = sizeof(struct passive_config),
    .options = passive_options,
    .check = check_passive,
};

/* ------------------------------------------------------------------ noting, on workers */

static bool
note_failure(struct passive *p, const struct passive_config *config)
{
    uint32_t n = atomic_fetch_add_explicit(&p->consecutive, 1, RELAXED) + 1;

    /* Not only the first time: there may have been no room for it among the ejected. */
    return config->errors && n % (uint32_t) config->errors == 0;
}

static bool
compares(const struct passive_config *config)
{
    return config->error_rate || config->latency;
}

bool
passive_note(struct passive *p, const struct passive_config *config, bool failed,
             uint64_t took_us)
{
    if (compares(config)) {
        atomic_fetch_add_explicit(&p->requests, 1, RELAXED);
        if (failed)
            atomic_fetch_add_explicit(&p->failures, 1, RELAXED);
        else
            atomic_fetch_add_explicit(&p->took_us, took_us, RELAXED);
    }
    if (failed)
        return note_failure(p, config);
    /* A line that all workers read is not written without need. */
    if (atomic_load_explicit(&p->consecutive, RELAXED))
        atomic_store_explicit(&p->consecutive, 0, RELAXED);
    return false;
}

/* ------------------------------------------------------------------ judging, control thread */

/* A judgement under way. */
struct court {
    struct passive *const       *group;
    size_t                       n;
    const struct passive_config *config;
    uint64_t                     now_us;
    size_t                       out, room; /* ejected now; how many may be */
    size_t                       changed;
    uint64_t                     requests, failures; /* of all that are not out, in the last
                                                      * second */
    uint64_t                     median_us; /* 0: there is none */
};

static size_t
room_of(size_t n, const struct passive_config *config)
{
    size_t room = (size_t) ((double) n * (double) config->max_ejected / 1e6 + 1e-9);

    if (n < 2 || config->max_ejected == 0)
        return 0;
    return room == 0 ? 1 : room < n ? room : n - 1;
}

static void
eject(struct court *c, struct passive *p)
{
    uint64_t us = c->config->eject_us * ++p->ejections;

    p->until_us = c->now_us + (us < c->config->max_eject_us ? us : c->config->max_eject_us);
    p->slow_seconds = 0;
    c->out++;
    c->changed++;
}

static void
readmit(struct court *c, struct passive *p)
{
    p->until_us = 0;
    p->well_since_us = c->now_us;
    atomic_store_explicit(&p->consecutive, 0, RELAXED);
    c->changed++;
}

/* The second's counts go from the atomics, which begin a new one, to where only we look. */
static void
turn_second(struct court *c, struct passive *p)
{
    p->second.requests = atomic_exchange_explicit(&p->requests, 0, RELAXED);
    p->second.failures = atomic_exchange_explicit(&p->failures, 0, RELAXED);
    p->second.took_us = atomic_exchange_explicit(&p->took_us, 0, RELAXED);
    if (p->second.failures > p->second.requests) /* noted between the exchanges */
        p->second.failures = p->second.requests;
    if (p->until_us)
        return;
    c->requests += p->second.requests;
    c->failures += p->second.failures;
}

static void
forgive(struct court *c, struct passive *p)
{
    if (p->until_us || !p->ejections || c->now_us - p->well_since_us < FORGIVE_US)
        return;
    p->ejections--;
    p->well_since_us = c->now_us;
}

/* ------------------------------------------------------------------ rates */

/* How surprising it is, in nats for each request, that a share `seen` fails when `usual` does:
 * Kullback and Leibler's divergence of the two. */
static double
divergence(double seen, double usual)
{
    double rest = seen < 1 ? (1 - seen) * log((1 - seen) / (1 - usual)) : 0;

    return seen * log(seen / usual) + rest;
}

static bool
fails_more(const struct court *c, const struct passive *p)
{
    uint64_t minimum = (uint64_t) c->config->minimum;
    uint64_t others = c->requests - p->second.requests;
    double seen, usual;

    if (c->config->error_rate == 0 || p->second.requests < minimum || others < minimum)
        return false;
    seen = (double) p->second.failures / (double) p->second.requests;
    /* As if each of the two outcomes had been seen once more (Laplace): never 0, never 1. */
    usual = (double) (c->failures - p->second.failures + 1) / (double) (others + 2);
    return seen >= usual + (double) c->config->error_rate / 1e6 &&
           (double) p->second.requests * divergence(seen, usual) > DOUBT;
}

/* ------------------------------------------------------------------ latencies */

/* 0: too few answers. */
static uint64_t
average_us(const struct court *c, const struct passive *p)
{
    uint64_t answers = p->second.requests - p->second.failures;

    if (p->until_us || answers < (uint64_t) c->config->minimum)
        return 0;
    return p->second.took_us / answers + 1;
}

static size_t
count_up_to(const struct court *c, uint64_t us)
{
    size_t n = 0;

    for (size_t i = 0; i < c->n; i++) {
        uint64_t average = average_us(c, c->group[i]);

        n += average && average <= us;
    }
    return n;
}

/* The lower median, so that one of two is compared with the other.  Found by halving the range of
 * values: that needs no memory, and a group is looked through some forty times. */
static uint64_t
median_us(const struct court *c)
{
    uint64_t low = 1, high = (uint64_t) 1 << 40;
    size_t n = count_up_to(c, high);

    if (n < 2)
        return 0;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;

        if (count_up_to(c, middle) >= (n + 1) / 2)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static bool
is_slower(const struct court *c, const struct passive *p)
{
    double n = (double) (p->second.requests - p->second.failures), times;

    if (!c->median_us || !average_us(c, p))
        return false;
    times = (double) average_us(c, p) / (double) c->median_us;
    return times > (double) c->config->latency / 1e6 && n * (times - 1 - log(times)) > DOUBT;
}

static bool
stays_slower(const struct court *c, struct passive *p)
{
    if (!c->config->latency || !is_slower(c, p)) {
        p->slow_seconds = 0;
        return false;
    }
    return ++p->slow_seconds >= SLOW_SECONDS;
}

/* ------------------------------------------------------------------ the judgement */

static bool
fails_in_a_row(const struct court *c, const struct passive *p)
{
    return c->config->errors &&
           atomic_load_explicit(&p->consecutive, RELAXED) >= (uint32_t) c->config->errors;
}

static void
look_at_second(struct court *c)
{
    for (size_t i = 0; i < c->n; i++) {
        forgive(c, c->group[i]);
        if (compares(c->config))
            turn_second(c, c->group[i]);
    }
    if (c->config->latency)
        c->median_us = median_us(c);
}

/* Where more are found out than may be, the first ones of the group are taken. */
static void
judge(struct court *c, bool periodic)
{
    for (size_t i = 0; i < c->n; i++) {
        struct passive *p = c->group[i];
        bool bad = !p->until_us && fails_in_a_row(c, p);

        if (periodic && !p->until_us) {
            bool slow = stays_slower(c, p); /* counts seconds: asked each time */

            bad = bad || slow || fails_more(c, p);
        }
        if (bad && c->out < c->room)
            eject(c, p);
    }
}

size_t
passive_judge(struct passive *const *group, size_t n, const struct passive_config *config,
              uint64_t now_us, bool periodic)
{
    struct court c = {.group = group, .n = n, .config = config, .now_us = now_us};

    for (size_t i = 0; i < n; i++) {
        if (group[i]->until_us && (!config || group[i]->until_us <= now_us))
            readmit(&c, group[i]);
        c.out += group[i]->until_us != 0;
    }
    if (!config)
        return c.changed;
    c.room = room_of(n, config);
    if (periodic)
        look_at_second(&c);
    judge(&c, periodic);
    return c.changed;
}
