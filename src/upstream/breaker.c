/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/breaker.c - the circuit breaker.
 *
 * One word holds everything that must change together:
 *
 *     bits 0-1    the state
 *     bits 2-15   closed and open: nothing; probing: how many probes are out
 *     bits 16-63  since when, in milliseconds; probing: which also names the round of probes
 *
 * A probe that never comes back (its fiber waits for a server that says nothing) would keep the
 * breaker from ever finding out: after open_us a round is given up for lost and a new one begins.
 * What a probe of a lost round says later counts no more.
 */
#include "upstream/breaker.h"

#include "base/check.h"

enum state { CLOSED, OPEN, PROBING };

enum { STATE_BITS = 2, COUNT_BITS = 14, SINCE_SHIFT = STATE_BITS + COUNT_BITS };
enum { PROBES_MAX = (1 << COUNT_BITS) - 1 };

/* ------------------------------------------------------------------ options */

static const struct option breaker_options[] = {
    {"requests", &option_int, offsetof(struct breaker_config, requests), .preset = "0",
     .max = UINT32_MAX,
     .doc = "Most exchanges in flight to the group, over all workers; further ones are refused "
            "with 503; 0 is no limit."},
    {"pending", &option_int, offsetof(struct breaker_config, pending), .preset = "0",
     .max = UINT32_MAX,
     .doc = "Most exchanges that wait for a connection to any server of the group; 0 is no "
            "limit."},
    {"connections", &option_int, offsetof(struct breaker_config, connections), .preset = "0",
     .max = UINT32_MAX,
     .doc = "Most connections that are open to all servers of the group; 0 is no limit."},
    {"error_rate", &option_percent, offsetof(struct breaker_config, error_rate), .preset = "0%",
     .doc = "The share of exchanges that fail, or are answered with 5xx, at which the group is "
            "left alone; 0% never does."},
    {"minimum", &option_int, offsetof(struct breaker_config, minimum), .preset = "20", .min = 1,
     .max = 1000000,
     .doc = "How many exchanges must have ended within `window` before their share of failures "
            "means anything."},
    {"window", &option_duration, offsetof(struct breaker_config, window_us), .preset = "10s",
     .min = 100000, .max = 3600000000, .doc = "Over how long failures are counted."},
    {"open", &option_duration, offsetof(struct breaker_config, open_us), .preset = "5s",
     .min = 10000, .max = 3600000000,
     .doc = "How long the group is left alone before a few exchanges find out whether it answers "
            "again; so long they have for it."},
    {"probes", &option_int, offsetof(struct breaker_config, probes), .preset = "1", .min = 1,
     .max = PROBES_MAX, .doc = "How many exchanges at a time find out."},
    {NULL},
};

const struct option_object breaker_object = {
    .name = "breaker",
    .doc = "Limits of what a group gets, and when it is left alone for a while because it fails "
           "too often: clients get 503 with Retry-After at once.",
    .size = sizeof(struct breaker_config),
    .options = breaker_options,
};

/* ------------------------------------------------------------------ the word */

static uint64_t
word_of(enum state state, uint64_t count, uint64_t since_ms)
{
    return since_ms << SINCE_SHIFT | count << STATE_BITS | state;
}

static enum state
state_of(uint64_t word)
{
    return (enum state)(word & ((1u << STATE_BITS) - 1));
}

static uint64_t
count_of(uint64_t word)
{
    return word >> STATE_BITS & PROBES_MAX;
}

static uint64_t
since_of(uint64_t word)
{
    return word >> SINCE_SHIFT;
}

/* 0 names no round. */
static uint64_t
ms_of(uint64_t now_us)
{
    return now_us / 1000 + 1;
}

static bool
change(struct breaker *b, uint64_t *from, uint64_t to)
{
    return atomic_compare_exchange_weak(&b->word, from, to);
}

bool
breaker_init(struct breaker *b, unsigned workers)
{
    b->word = word_of(CLOSED, 0, 0);
    return recent_init(&b->recent, workers);
}

void
breaker_free(struct breaker *b)
{
    recent_free(&b->recent);
}

const char *
breaker_words(const struct breaker *b)
{
    switch (state_of(atomic_load(&b->word))) {
    case CLOSED: return "closed";
    case OPEN: return "open";
    case PROBING: return "probing";
    }
    UNREACHABLE();
}

/* ------------------------------------------------------------------ entering */

/* The word after one more may pass; 0: none may. */
static uint64_t
next_probe(const struct breaker_config *config, uint64_t word, uint64_t now_ms)
{
    bool over = now_ms >= since_of(word) + config->open_us / 1000;

    if (state_of(word) == PROBING && count_of(word) < (uint64_t) config->probes)
        return word_of(PROBING, count_of(word) + 1, since_of(word));
    return over ? word_of(PROBING, 1, now_ms) : 0;
}

static unsigned
seconds_left(const struct breaker_config *config, uint64_t word, uint64_t now_ms)
{
    uint64_t end_ms = since_of(word) + config->open_us / 1000;

    return end_ms > now_ms ? (unsigned) ((end_ms - now_ms + 999) / 1000) : 1;
}

bool
breaker_enter(struct breaker *b, const struct breaker_config *config, uint64_t now_us,
              struct breaker_pass *pass, unsigned *retry_after_s)
{
    uint64_t word = atomic_load(&b->word), now_ms = ms_of(now_us), next;

    *pass = (struct breaker_pass){.epoch = atomic_load(&b->recent.epoch)};
    do {
        if (state_of(word) == CLOSED || config->error_rate == 0)
            return true;
        next = next_probe(config, word, now_ms);
        if (!next) {
            *retry_after_s = seconds_left(config, word, now_ms);
            return false;
        }
    } while (!change(b, &word, next));
    pass->probe = since_of(next);
    return true;
}

/* ------------------------------------------------------------------ leaving */

/* The window is forgotten before the breaker closes: whoever fails next must not find in it what
 * had opened it. */
static uint64_t
after_probe(struct breaker *b, uint64_t word, uint64_t now_ms, enum breaker_verdict verdict)
{
    switch (verdict) {
    case BREAKER_UNKNOWN: return word_of(PROBING, count_of(word) - 1, since_of(word));
    case BREAKER_ANSWERED: recent_forget(&b->recent); return word_of(CLOSED, 0, now_ms);
    case BREAKER_FAILED: return word_of(OPEN, 0, now_ms);
    }
    UNREACHABLE();
}

static void
leave_probe(struct breaker *b, uint64_t round, uint64_t now_ms, enum breaker_verdict verdict)
{
    uint64_t word = atomic_load(&b->word);

    do {
        if (state_of(word) != PROBING || since_of(word) != round || count_of(word) == 0)
            return;
    } while (!change(b, &word, after_probe(b, word, now_ms, verdict)));
}

static bool
fails_too_often(const struct breaker *b, const struct breaker_config *config, uint64_t now_us)
{
    struct recent_sum sum = recent_sum(&b->recent, config->window_us, now_us);

    return sum.all >= (uint64_t) config->minimum &&
           sum.some * 1000000 >= config->error_rate * sum.all;
}

void
breaker_leave(struct breaker *b, const struct breaker_config *config, unsigned worker,
              uint64_t now_us, const struct breaker_pass *pass, enum breaker_verdict verdict)
{
    bool failed = verdict == BREAKER_FAILED;
    uint64_t word = atomic_load(&b->word);

    if (pass->probe) {
        leave_probe(b, pass->probe, ms_of(now_us), verdict);
        return;
    }
    if (config->error_rate == 0 || verdict == BREAKER_UNKNOWN || state_of(word) != CLOSED ||
        pass->epoch != atomic_load(&b->recent.epoch))
        return;
    recent_add(&b->recent, worker, config->window_us, now_us, 1, failed);
    /* Another worker may have been quicker: then it is open already. */
    if (failed && fails_too_often(b, config, now_us))
        atomic_compare_exchange_strong(&b->word, &word, word_of(OPEN, 0, ms_of(now_us)));
}
