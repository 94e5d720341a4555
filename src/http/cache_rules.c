/* SPDX-License-Identifier: Apache-2.0 */
/* http/cache_rules.c - may a response be kept, and which of its fields (RFC 9111 3)? */
#include "http/cache_rules.h"

#include "http/cache_freshness.h"
#include "http/cache_vary.h"

/* ------------------------------------------------------------------ names */

struct reason {
    struct slice name, why;
};

#define REASON_ROW(id, name, why) [id] = {SLICE_INIT(name), SLICE_INIT(why)},
static const struct reason refusals[] = {CACHE_REFUSAL_TABLE(REASON_ROW)};
#undef REASON_ROW

struct slice
cache_refusal_name(enum cache_refusal r)
{
    return refusals[r].name;
}

struct slice
cache_refusal_why(enum cache_refusal r)
{
    return refusals[r].why;
}

/* ------------------------------------------------------------------ what stands in the way */

bool
cache_serves_method(enum method m)
{
    return m == METHOD_GET || m == METHOD_HEAD;
}

/* We do with these what their definitions ask of a cache (must-understand, RFC 9111 5.2.2.3). */
static bool
is_understood(unsigned status)
{
    return !slice_eq(status_phrase(status), SLICE("Unknown"));
}

/* What came of one request's conditions, ranges, size or speed says nothing to others. */
static bool
is_about_request(unsigned status)
{
    switch (status) {
    case 304:
    case 408:
    case 412:
    case 416:
    case 417:
    case 421:
    case 425:
    case 426:
    case 429:
    case 431:
        return true;
    default: /* a number from the network, no enum */
        return false;
    }
}

static enum cache_refusal
method_and_status(const struct cache_rules *rules, const struct cache_pair *pair)
{
    if (pair->method != METHOD_GET)
        return CACHE_REFUSED_METHOD;
    if (pair->status < 200 || pair->status > 599 || is_about_request(pair->status))
        return CACHE_REFUSED_STATUS;
    if (pair->status == 206 && !rules->partial)
        return CACHE_REFUSED_PARTIAL;
    return CACHE_MAY_STORE;
}

static enum cache_refusal
directives(const struct cache_rules *rules, const struct cache_pair *pair)
{
    bool must_understand = cache_control_says(pair->said, CACHE_MUST_UNDERSTAND);

    if (!rules->ignore_requests && cache_control_says(pair->asked, CACHE_NO_STORE))
        return CACHE_REFUSED_REQUEST_NO_STORE;
    if (must_understand && !is_understood(pair->status))
        return CACHE_REFUSED_STATUS;
    if (!must_understand && cache_control_says(pair->said, CACHE_NO_STORE))
        return CACHE_REFUSED_NO_STORE;
    if (cache_control_says(pair->said, CACHE_PRIVATE))
        return CACHE_REFUSED_PRIVATE;
    return CACHE_MAY_STORE;
}

/* Fields by which some frameworks let a request be another one than it seems: an answer to it would
 * be kept under the wrong name (Kettle, "Practical Web Cache Poisoning", 2018). */
static bool
has_unkeyed(const struct fields *request)
{
    /* Each stands for all names that begin so; those of X-Forwarded- that we set have ids. */
    static const struct slice names[] = {
        SLICE_INIT("X-HTTP-"),       SLICE_INIT("X-Method-Override"),
        SLICE_INIT("X-Original-"),   SLICE_INIT("X-Rewrite-"),
        SLICE_INIT("X-Host"),        SLICE_INIT("X-Forwarded-"),
        SLICE_INIT("X-Url-Scheme"),  SLICE_INIT("X-Middleware-"),
        SLICE_INIT("X-Invoke-"),     SLICE_INIT("Front-End-Https"),
    };

    for (size_t i = 0; i < request->n; i++) {
        const struct field *f = &request->at[i];

        if (f->id != FIELD_OTHER || f->name.n < 6 || !strchr("xf", ascii_lower(f->name.at[0])))
            continue;
        for (size_t k = 0; k < sizeof(names) / sizeof(*names); k++)
            if (slice_starts_nocase(f->name, names[k]))
                return true;
    }
    return false;
}

/* The origin said that whoever asks may have this answer. */
static bool
is_for_all(const struct cache_control *said)
{
    return cache_control_says(said, CACHE_PUBLIC) || said->s_maxage_s != CACHE_UNSAID ||
           (cache_control_says(said, CACHE_TARGETED) && said->max_age_s != CACHE_UNSAID);
}

/* RFC 9111 3.5; a targeted field says nothing by being one. */
static bool
authorization_permits(const struct cache_control *said)
{
    return cache_control_says(said, CACHE_PUBLIC | CACHE_MUST_REVALIDATE) ||
           said->s_maxage_s != CACHE_UNSAID;
}

static bool
names_have(struct slice names, struct slice name)
{
    while (slice_is_present(names))
        if (slice_eq(slice_cut(&names, ','), name))
            return true;
    return false;
}

/* What belongs to one client, and the names by which it is told apart. */
static enum cache_refusal
persons(const struct cache_rules *rules, const struct cache_pair *pair, enum cache_source source)
{
    bool guessed = source == CACHE_SOURCE_HEURISTIC || source == CACHE_SOURCE_DEFAULT;
    char memory[CACHE_VARY_NAMES_BYTES];
    struct text names;

    text_fixed(&names, memory, sizeof(memory));
    if (cache_vary_names(pair->response, &names) == CACHE_VARY_STAR)
        return CACHE_REFUSED_VARY_STAR;
    if (fields_get(pair->request, FIELD_AUTHORIZATION) && !authorization_permits(pair->said))
        return CACHE_REFUSED_AUTHORIZATION;
    if (rules->share_cookies)
        return CACHE_MAY_STORE;
    if (fields_get(pair->response, FIELD_SET_COOKIE) && !is_for_all(pair->said) &&
        cache_control_lets_keep(pair->said, SLICE("Set-Cookie")))
        return CACHE_REFUSED_SET_COOKIE;
    if (guessed && fields_get(pair->request, FIELD_COOKIE) && !is_for_all(pair->said) &&
        !names_have(text_slice(&names), SLICE("cookie")))
        return CACHE_REFUSED_COOKIE;
    return CACHE_MAY_STORE;
}

static enum cache_refusal
usefulness(const struct cache_rules *rules, const struct cache_pair *pair,
           struct cache_lifetime lifetime)
{
    const struct cache_control *said = pair->said;
    bool validator = fields_get(pair->response, FIELD_ETAG) != NULL ||
                     fields_get(pair->response, FIELD_LAST_MODIFIED) != NULL;
    int64_t later = said->stale_while_revalidate_s > 0 || said->stale_if_error_s > 0;

    if (lifetime.source == CACHE_SOURCE_NONE && !cache_control_says(said, CACHE_PUBLIC) &&
        !cache_is_heuristic(pair->status))
        return CACHE_REFUSED_STATUS;
    if (validator)
        return CACHE_MAY_STORE;
    if (cache_control_says(said, CACHE_NO_CACHE))
        return CACHE_REFUSED_NO_LIFETIME;
    if (lifetime.seconds > 0 || later)
        return CACHE_MAY_STORE;
    return rules->while_revalidate_s > 0 && lifetime.source != CACHE_SOURCE_NONE
               ? CACHE_MAY_STORE
               : CACHE_REFUSED_NO_LIFETIME;
}

enum cache_refusal
cache_refuses(const struct cache_rules *rules, const struct cache_pair *pair, int64_t now_unix_s)
{
    enum cache_refusal r = method_and_status(rules, pair);
    struct cache_lifetime lifetime;

    if (r == CACHE_MAY_STORE)
        r = directives(rules, pair);
    if (r == CACHE_MAY_STORE && has_unkeyed(pair->request))
        r = CACHE_REFUSED_UNKEYED;
    if (r != CACHE_MAY_STORE)
        return r;
    lifetime = cache_lifetime_of(rules, pair, now_unix_s);
    r = persons(rules, pair, lifetime.source);
    return r == CACHE_MAY_STORE ? usefulness(rules, pair, lifetime) : r;
}

/* ------------------------------------------------------------------ fields */

bool
cache_keeps_field(const struct cache_control *said, const struct field *field)
{
    if (field->id == FIELD_AGE || field_is_hop_by_hop(field->id))
        return false;
    if (field->id == FIELD_OTHER &&
        slice_eq_nocase(field->name, SLICE("Proxy-Authentication-Info")))
        return false;
    return cache_control_lets_keep(said, field->name);
}
