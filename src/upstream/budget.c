/* SPDX-License-Identifier: Apache-2.0 */
/* upstream/budget.c - the retry budget, and what can be configured of retries. */
#include "upstream/budget.h"

#define BUDGET_WINDOW_US 10000000u

enum { MILLION = 1000000, WINDOW_S = 10 };

static const char *const kinds[] = {"connect", "reset", "timeout", "malformed", NULL};

static const struct option retries_options[] = {
    {"attempts", &option_int, offsetof(struct retries_config, attempts), .preset = "2", .max = 10,
     .doc = "How many more servers are tried when one fails before it answers: for idempotent "
            "requests, or when nothing of the request can have been seen."},
    {"on", &option_choice, offsetof(struct retries_config, on),
     .preset = "[connect, reset, timeout]", .choices = kinds, .flags = OPTION_LIST,
     .doc = "Failures after which another server is tried: no connection could be made, it broke "
            "off, nothing came in time, the answer broke the protocol."},
    {"statuses", &option_int, offsetof(struct retries_config, statuses), .flags = OPTION_LIST,
     .min = 429, .max = 599,
     .doc = "Answers after which another server is tried as well: `429` and `500` to `599`; the "
            "last server's answer is passed on."},
    {"budget", &option_percent, offsetof(struct retries_config, budget), .preset = "20%",
     .doc = "How much of the traffic further attempts may be, measured over ten seconds, so that "
            "a group that fails is not overrun by them."},
    {"floor", &option_int, offsetof(struct retries_config, budget_floor), .preset = "10",
     .max = 1000000,
     .doc = "How many further attempts a second are allowed whatever the traffic, averaged over "
            "ten seconds."},
    {"attempt_timeout", &option_duration, offsetof(struct retries_config, attempt_us),
     .preset = "0", .max = 86400000000,
     .doc = "How long one attempt waits for the head of its answer before another server is "
            "tried; 0 waits as long as `timeouts.response`."},
    {NULL},
};

static bool
check_retries(struct config_bind *b, void *object)
{
    const struct retries_config *r = object;
    const int64_t *statuses = r->statuses.at;

    for (size_t i = 0; i < r->statuses.n; i++)
        if (statuses[i] != 429 && statuses[i] < 500)
            return config_bind_error(b, &r->statuses, "429 and 500 to 599 can be",
                                     "%lld is not a status after which another attempt helps",
                                     (long long) statuses[i]);
    return true;
}

const struct option_object retries_object = {
    .name = "retries",
    .doc = "When another server is tried after one has failed; a number stands for `attempts`.",
    .size = sizeof(struct retries_config),
    .options = retries_options,
    .shorthand = "attempts",
    .check = check_retries,
};

void
budget_request(struct recent *r, unsigned worker, uint64_t now_us)
{
    recent_add(r, worker, BUDGET_WINDOW_US, now_us, 1, 0);
}

bool
budget_retry(struct recent *r, const struct retries_config *config, unsigned worker,
             uint64_t now_us)
{
    struct recent_sum sum = recent_sum(r, BUDGET_WINDOW_US, now_us);
    uint64_t floor = (uint64_t) config->budget_floor * WINDOW_S;

    if (sum.some * MILLION >= config->budget * sum.all + floor * MILLION)
        return false;
    recent_add(r, worker, BUDGET_WINDOW_US, now_us, 0, 1);
    return true;
}
