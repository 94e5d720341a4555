/* SPDX-License-Identifier: Apache-2.0 */
/* http/cache_freshness.c - how long a response is fresh, and how old it is (RFC 9111 4.2). */
#include "http/cache_freshness.h"

#include "http/date.h"

enum { SECOND_US = 1000000 };

/* ------------------------------------------------------------------ lifetime */

struct slice
cache_source_name(enum cache_source s)
{
    static const struct slice names[] = {
        [CACHE_SOURCE_NONE] = SLICE_INIT("nobody"),
        [CACHE_SOURCE_S_MAXAGE] = SLICE_INIT("s-maxage"),
        [CACHE_SOURCE_MAX_AGE] = SLICE_INIT("max-age"),
        [CACHE_SOURCE_EXPIRES] = SLICE_INIT("Expires"),
        [CACHE_SOURCE_HEURISTIC] = SLICE_INIT("Last-Modified"),
        [CACHE_SOURCE_DEFAULT] = SLICE_INIT("configuration"),
    };

    return names[s];
}

bool
cache_is_heuristic(unsigned status)
{
    switch (status) {
    case 200:
    case 203:
    case 204:
    case 206:
    case 300:
    case 301:
    case 308:
    case 404:
    case 405:
    case 410:
    case 414:
    case 501:
        return true;
    default: /* a number from the network, no enum */
        return false;
    }
}

static int64_t
clamp_s(int64_t seconds)
{
    if (seconds < 0)
        return 0;
    return seconds > CACHE_SECONDS_MAX ? CACHE_SECONDS_MAX : seconds;
}

/* Names as they are written, with the first letter large. */
static void
put_in_case(char *out, struct slice s)
{
    bool inside = false;

    for (size_t i = 0; i < s.n; i++) {
        char c = s.at[i];

        out[i] = !inside && ascii_is_alpha(c) ? (char) (c & ~0x20) : ascii_lower(c);
        inside = ascii_is_alpha(c);
    }
}

bool
cache_date_parse(struct slice s, int64_t now_unix_s, int64_t *unix_s)
{
    enum { LONGEST = 40, ZONE = 3 };
    char memory[LONGEST];
    struct slice zone;

    if (http_date_parse(s, now_unix_s, unix_s))
        return true;
    if (s.n <= ZONE || s.n > LONGEST)
        return false;
    put_in_case(memory, s);
    zone = slice_from(s, s.n - ZONE);
    if (slice_eq_nocase(zone, SLICE("GMT")))
        memcpy(memory + s.n - ZONE, "GMT", ZONE);
    return http_date_parse(slice_of(memory, s.n), now_unix_s, unix_s);
}

/* The Date of the response; when it has none that can be read, now. */
static int64_t
date_of(const struct fields *response, int64_t now_unix_s)
{
    int64_t date;

    if (cache_date_parse(fields_value(response, FIELD_DATE), now_unix_s, &date))
        return date;
    return now_unix_s;
}

/* What cannot be read has expired (RFC 9111 5.3), and of two the earlier counts. */
static int64_t
expires_in_s(const struct fields *response, int64_t now_unix_s)
{
    int64_t date = date_of(response, now_unix_s), soonest = CACHE_SECONDS_MAX, expires;

    for (size_t i = 0; i < response->n; i++) {
        if (response->at[i].id != FIELD_EXPIRES)
            continue;
        if (!cache_date_parse(response->at[i].value, now_unix_s, &expires))
            return 0;
        if (expires - date < soonest)
            soonest = expires - date;
    }
    return clamp_s(soonest);
}

static const struct cache_default *
find_default(const struct cache_rules *rules, unsigned status)
{
    for (size_t i = 0; i < rules->defaults_n; i++)
        if (status >= rules->defaults[i].first && status <= rules->defaults[i].last)
            return &rules->defaults[i];
    return NULL;
}

/* RFC 9111 4.2.2.  A response modified in the future was modified now. */
static struct cache_lifetime
guess(const struct cache_rules *rules, const struct cache_pair *pair, int64_t now_unix_s)
{
    const struct cache_default *d = find_default(rules, pair->status);
    int64_t modified, seconds;

    if (d)
        return (struct cache_lifetime){CACHE_SOURCE_DEFAULT, clamp_s(d->fresh_s)};
    if (!cache_is_heuristic(pair->status) && !cache_control_says(pair->said, CACHE_PUBLIC))
        return (struct cache_lifetime){CACHE_SOURCE_NONE, 0};
    if (rules->heuristic_percent == 0 ||
        !cache_date_parse(fields_value(pair->response, FIELD_LAST_MODIFIED), now_unix_s,
                          &modified))
        return (struct cache_lifetime){CACHE_SOURCE_NONE, 0};
    seconds = date_of(pair->response, now_unix_s) - modified;
    if (seconds < 0)
        seconds = 0;
    seconds = seconds / 100 * rules->heuristic_percent +
              seconds % 100 * rules->heuristic_percent / 100;
    if (seconds > rules->heuristic_max_s)
        seconds = rules->heuristic_max_s;
    return (struct cache_lifetime){CACHE_SOURCE_HEURISTIC, clamp_s(seconds)};
}

struct cache_lifetime
cache_lifetime_of(const struct cache_rules *rules, const struct cache_pair *pair,
                  int64_t now_unix_s)
{
    const struct cache_control *said = pair->said;

    if (said->s_maxage_s != CACHE_UNSAID)
        return (struct cache_lifetime){CACHE_SOURCE_S_MAXAGE, said->s_maxage_s};
    if (said->max_age_s != CACHE_UNSAID)
        return (struct cache_lifetime){CACHE_SOURCE_MAX_AGE, said->max_age_s};
    if (!cache_control_says(said, CACHE_TARGETED) && fields_get(pair->response, FIELD_EXPIRES))
        return (struct cache_lifetime){CACHE_SOURCE_EXPIRES,
                                       expires_in_s(pair->response, now_unix_s)};
    return guess(rules, pair, now_unix_s);
}

/* ------------------------------------------------------------------ age */

/* The first member of the first line counts, and one that is no number does not (RFC 9111 5.1). */
static int64_t
age_value_s(const struct fields *response)
{
    struct slice rest = fields_value(response, FIELD_AGE), first = {NULL, 0};
    uint64_t value;

    if (!slice_next_element(&rest, &first) || first.n == 0)
        return 0;
    for (size_t i = 0; i < first.n; i++)
        if (!ascii_is_digit(first.at[i]))
            return 0;
    return slice_to_u64(first, CACHE_SECONDS_MAX, &value) ? (int64_t) value : CACHE_SECONDS_MAX;
}

/* RFC 9111 4.2.3.  A Date in the future makes nothing younger than new. */
static uint64_t
initial_age_us(const struct fields *response, const struct cache_times *times)
{
    int64_t date = date_of(response, times->answered_unix_s);
    uint64_t apparent_us = (uint64_t) clamp_s(times->answered_unix_s - date) * SECOND_US;
    uint64_t told_us = (uint64_t) age_value_s(response) * SECOND_US;

    if (times->answered_us > times->asked_us)
        told_us += times->answered_us - times->asked_us;
    return apparent_us > told_us ? apparent_us : told_us;
}

/* The spans behind the end of freshness.  s-maxage says proxy-revalidate, too (RFC 9111 5.2.2.10),
 * so then only what the origin itself allows counts. */
static void
set_spans(const struct cache_rules *rules, const struct cache_control *said,
          struct cache_life *life)
{
    bool never = cache_control_says(
        said, CACHE_MUST_REVALIDATE | CACHE_PROXY_REVALIDATE | CACHE_NO_CACHE);
    bool by_rules = said->s_maxage_s == CACHE_UNSAID;

    life->always_validate = cache_control_says(said, CACHE_NO_CACHE);
    life->never_stale = never || !by_rules;
    life->immutable = cache_control_says(said, CACHE_IMMUTABLE);
    if (never)
        return;
    if (said->stale_while_revalidate_s != CACHE_UNSAID)
        life->while_revalidate_s = said->stale_while_revalidate_s;
    else if (by_rules)
        life->while_revalidate_s = clamp_s(rules->while_revalidate_s);
    if (said->stale_if_error_s != CACHE_UNSAID)
        life->if_error_s = said->stale_if_error_s;
    else if (by_rules)
        life->if_error_s = clamp_s(rules->if_error_s);
}

void
cache_life_of(const struct cache_rules *rules, const struct cache_pair *pair,
              const struct cache_times *times, struct cache_life *life)
{
    struct cache_lifetime lifetime = cache_lifetime_of(rules, pair, times->answered_unix_s);

    *life = (struct cache_life){
        .answered_us = times->answered_us,
        .answered_unix_s = times->answered_unix_s,
        .age_us = initial_age_us(pair->response, times),
        .fresh_s = lifetime.seconds,
        .source = (uint8_t) lifetime.source,
    };
    set_spans(rules, pair->said, life);
}

/* ------------------------------------------------------------------ time goes by */

static uint64_t
age_us(const struct cache_life *life, uint64_t now_us)
{
    return life->age_us + (now_us > life->answered_us ? now_us - life->answered_us : 0);
}

/* Negative: stale for so long. */
static int64_t
ttl_us(const struct cache_life *life, uint64_t now_us)
{
    return life->fresh_s * SECOND_US - (int64_t) age_us(life, now_us);
}

void
cache_life_resume(struct cache_life *life, uint64_t now_us, int64_t now_unix_s)
{
    int64_t elapsed_s = now_unix_s - life->answered_unix_s;

    life->answered_us = now_us;
    life->answered_unix_s = now_unix_s;
    if (elapsed_s < 0) {
        life->fresh_s = 0;
        life->while_revalidate_s = 0;
        return;
    }
    life->age_us += (uint64_t) clamp_s(elapsed_s) * SECOND_US;
}

void
cache_life_end(struct cache_life *life, uint64_t now_us)
{
    int64_t age_s = cache_age_s(life, now_us);

    life->immutable = false;
    if (age_s < life->fresh_s)
        life->fresh_s = age_s;
}

int64_t
cache_age_s(const struct cache_life *life, uint64_t now_us)
{
    return (int64_t) (age_us(life, now_us) / SECOND_US);
}

int64_t
cache_ttl_s(const struct cache_life *life, uint64_t now_us)
{
    int64_t us = ttl_us(life, now_us);

    /* downwards: half a second too old is a second too old */
    return us >= 0 ? us / SECOND_US : -((-us + SECOND_US - 1) / SECOND_US);
}

/* ------------------------------------------------------------------ what to do */

struct cause {
    struct slice name, why;
};

#define CAUSE_ROW(id, name, why) [id] = {SLICE_INIT(name), SLICE_INIT(why)},
static const struct cause causes[] = {CACHE_CAUSE_TABLE(CAUSE_ROW)};
#undef CAUSE_ROW

struct slice
cache_cause_name(enum cache_cause c)
{
    return causes[c].name;
}

struct slice
cache_cause_why(enum cache_cause c)
{
    return causes[c].why;
}

static struct cache_decision
validate(const struct cache_control *asked, enum cache_cause cause)
{
    bool never = cache_control_says(asked, CACHE_ONLY_IF_CACHED);

    return (struct cache_decision){never ? CACHE_UNAVAILABLE : CACHE_VALIDATE, cause};
}

/* Is it too old for this client?  FRESH: no.  A client that reloads gets an immutable response all
 * the same; who says no-cache means it (RFC 8246 2). */
static enum cache_cause
client_minds(const struct cache_life *life, const struct cache_control *asked, uint64_t now_us)
{
    int64_t ttl = ttl_us(life, now_us);

    if (cache_control_says(asked, CACHE_NO_CACHE))
        return CACHE_CAUSE_REQUEST_NO_CACHE;
    if (asked->max_age_s != CACHE_UNSAID && !(life->immutable && ttl > 0) &&
        (int64_t) age_us(life, now_us) >= asked->max_age_s * SECOND_US)
        return CACHE_CAUSE_REQUEST_MAX_AGE;
    if (asked->min_fresh_s != CACHE_UNSAID && ttl < asked->min_fresh_s * SECOND_US)
        return CACHE_CAUSE_REQUEST_MIN_FRESH;
    return CACHE_CAUSE_FRESH;
}

static const struct cache_control nothing_asked = {
    .max_age_s = CACHE_UNSAID,
    .min_fresh_s = CACHE_UNSAID,
    .max_stale_s = CACHE_UNSAID,
    .stale_if_error_s = CACHE_UNSAID,
};

struct cache_decision
cache_decide(const struct cache_rules *rules, const struct cache_life *life,
             const struct cache_control *asked, uint64_t now_us)
{
    int64_t ttl = ttl_us(life, now_us);
    enum cache_cause minds;

    if (rules->ignore_requests)
        asked = &nothing_asked;
    if (life->always_validate)
        return validate(asked, CACHE_CAUSE_NO_CACHE);
    minds = client_minds(life, asked, now_us);
    if (minds != CACHE_CAUSE_FRESH)
        return validate(asked, minds);
    if (ttl > 0)
        return (struct cache_decision){CACHE_SERVE, CACHE_CAUSE_FRESH};
    if (-ttl < life->while_revalidate_s * SECOND_US)
        return (struct cache_decision){CACHE_REFRESH, CACHE_CAUSE_WHILE_REVALIDATE};
    if (!life->never_stale && asked->max_stale_s != CACHE_UNSAID &&
        -ttl <= asked->max_stale_s * SECOND_US)
        return (struct cache_decision){CACHE_SERVE_STALE, CACHE_CAUSE_MAX_STALE};
    return validate(asked, CACHE_CAUSE_STALE);
}

bool
cache_may_excuse(const struct cache_rules *rules, const struct cache_life *life,
                 const struct cache_control *asked, uint64_t now_us)
{
    int64_t ttl = ttl_us(life, now_us), span_s = life->if_error_s;

    if (life->always_validate)
        return false;
    if (ttl > 0)
        return true;
    if (!rules->ignore_requests && !life->never_stale && asked->stale_if_error_s > span_s)
        span_s = asked->stale_if_error_s;
    return -ttl < span_s * SECOND_US;
}

bool
cache_is_error(unsigned status)
{
    return status == 500 || (status >= 502 && status <= 504);
}

bool
cache_fetch_allowed(const struct cache_rules *rules, const struct cache_control *asked)
{
    return rules->ignore_requests || !cache_control_says(asked, CACHE_ONLY_IF_CACHED);
}
