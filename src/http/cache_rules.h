/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http/cache_rules.h - what a shared cache may do: keep a response, use it again, make it new.
 *
 * RFC 9111 as functions without memory or clock: what they need comes in, what they decide goes
 * out.  The order of things, for who keeps responses:
 *
 *     a request      cache_serves_method(), cache_control_of_request(); look for what is kept
 *     nothing kept   cache_fetch_allowed(); cache_conditions_drop(); fetch
 *     something      cache_decide(); when that says CACHE_VALIDATE: cache_conditions_set(), fetch;
 *                    304: cache_confirms(), cache_update(), else it is a new response;
 *                    no answer: cache_may_excuse()
 *     a new response cache_control_of_response(), cache_refuses(), cache_keeps_field() for each
 *                    field, cache_life_of()
 *     serving        cache_age_s() is the Age to send
 *     after POST...  cache_invalidates(), cache_target.h
 *
 * Time    ages are counted on the monotonic clock: after a jump of the wall clock nothing gets
 *         older or younger.  The wall clock is asked once for each response, to compare with its
 *         Date.
 */
#ifndef HTTP_CACHE_RULES_H
#define HTTP_CACHE_RULES_H

#include "http/cache_control.h"
#include "http/message.h"

/* ----------------------------------------------------------------- the rules that can be chosen */

/* How long responses of some statuses stay fresh when the origin does not say. */
struct cache_default {
    uint16_t first, last; /* statuses, both included */
    int64_t  fresh_s;     /* 0: not at all */
};

/* Zero is a valid value for all; the defaults of the options are in the comments. */
struct cache_rules {
    const struct slice         *targets; /* names of targeted fields, best first:
                                          * CDN-Cache-Control */
    size_t                      targets_n;
    const struct cache_default *defaults; /* the first that fits counts, before heuristics */
    size_t                      defaults_n;
    uint32_t                    heuristic_percent; /* of the time since Last-Modified; 10 */
    int64_t                     heuristic_max_s;   /* 1 day */
    int64_t                     while_revalidate_s; /* stale-while-revalidate where unsaid; 0 */
    int64_t                     if_error_s;         /* stale-if-error where unsaid; 0 */
    bool ignore_requests; /* what clients say about caching does not count */
    bool share_cookies;   /* keep responses with Set-Cookie even when the origin does not say that
                           * they are for all */
    bool partial;         /* 206 may be kept: who keeps it knows how to put parts together */
};

/* ------------------------------------------------------------------ may it be kept? */

#define CACHE_REFUSAL_TABLE(X) /* id, name in Cache-Status and logs, why */                       \
    X(CACHE_MAY_STORE, "", "it may be stored")                                                    \
    X(CACHE_REFUSED_METHOD, "method", "only answers to GET are stored")                           \
    X(CACHE_REFUSED_STATUS, "status", "responses of this status are not stored")                  \
    X(CACHE_REFUSED_REQUEST_NO_STORE, "request-no-store", "the client said no-store")             \
    X(CACHE_REFUSED_NO_STORE, "no-store", "the origin said no-store")                             \
    X(CACHE_REFUSED_PRIVATE, "private", "the origin said private")                                \
    X(CACHE_REFUSED_AUTHORIZATION, "authorization",                                               \
      "the request had Authorization, and the origin did not say that the answer is for all")     \
    X(CACHE_REFUSED_SET_COOKIE, "set-cookie",                                                     \
      "it sets a cookie, and the origin did not say that it is for all")                          \
    X(CACHE_REFUSED_COOKIE, "cookie",                                                             \
      "the request had a cookie, and the origin did not say how long the answer is fresh")        \
    X(CACHE_REFUSED_VARY_STAR, "vary-star", "Vary: * says that no other request is like this")    \
    X(CACHE_REFUSED_NO_LIFETIME, "no-lifetime",                                                   \
      "it is stale at once and has no validator to ask again with")                               \
    X(CACHE_REFUSED_PARTIAL, "partial", "it is a part of the whole")                              \
    X(CACHE_REFUSED_UNKEYED, "unkeyed-field",                                                     \
      "the request has a field that some servers take for its method, path or host")              \
    X(CACHE_REFUSED_PATH, "path", "the path could mean another resource to the origin")           \
    X(CACHE_REFUSED_TYPE, "type-mismatch",                                                        \
      "the path ends like a file of another type: it may be a private page under a false name")

enum cache_refusal {
#define CACHE_REFUSAL_ENUM(id, name, why) id,
    CACHE_REFUSAL_TABLE(CACHE_REFUSAL_ENUM)
#undef CACHE_REFUSAL_ENUM
};

/* A token for Cache-Status' detail; empty for CACHE_MAY_STORE. */
struct slice cache_refusal_name(enum cache_refusal r);
/* The rest of "not stored, because ...". */
struct slice cache_refusal_why(enum cache_refusal r);

/* A request and the response to it. */
struct cache_pair {
    enum method                 method;
    unsigned                    status;
    const struct fields        *request;
    const struct fields        *response;
    const struct cache_control *asked; /* of the request */
    const struct cache_control *said;  /* of the response */
};

/* GET and HEAD may be answered from what is kept. */
bool cache_serves_method(enum method m);
/* RFC 9111 3, as a shared cache.  The path is judged by cache_target.h, completeness by who reads
 * the body. */
enum cache_refusal cache_refuses(const struct cache_rules *rules, const struct cache_pair *pair,
                                 int64_t now_unix_s);
/* Does it belong into what is kept?  Not what belongs to one connection, Age (which is counted
 * here), and what cache_control_lets_keep() denies. */
bool cache_keeps_field(const struct cache_control *said, const struct field *field);

/* ------------------------------------------------------------------ for how long is it fresh? */

enum cache_source { /* who said so */
    CACHE_SOURCE_NONE,
    CACHE_SOURCE_S_MAXAGE,
    CACHE_SOURCE_MAX_AGE,
    CACHE_SOURCE_EXPIRES,
    CACHE_SOURCE_HEURISTIC,
    CACHE_SOURCE_DEFAULT, /* of the configuration */
};

/* For explain: "s-maxage", "max-age", "Expires", "Last-Modified", "configuration", "nobody". */
struct slice cache_source_name(enum cache_source s);

/* When one exchange with the origin took place. */
struct cache_times {
    uint64_t asked_us;       /* monotonic: the request was sent */
    uint64_t answered_us;    /* monotonic: the response's head was there */
    int64_t  answered_unix_s; /* the same moment on the wall clock */
};

/* The life of a kept response; plain data, to be kept with it. */
struct cache_life {
    uint64_t answered_us;      /* monotonic */
    int64_t  answered_unix_s;  /* for cache_life_resume() */
    uint64_t age_us;           /* at that moment */
    int64_t  fresh_s;          /* until it is this old */
    int64_t  while_revalidate_s; /* behind that, where stale-while-revalidate reaches */
    int64_t  if_error_s;       /* likewise */
    uint8_t  source;           /* enum cache_source */
    bool     always_validate;  /* no-cache */
    bool     never_stale;      /* must-revalidate and the like */
    bool     immutable;
};

/* RFC 9111 4.2.1 to 4.2.3, RFC 5861. */
void cache_life_of(const struct cache_rules *rules, const struct cache_pair *pair,
                   const struct cache_times *times, struct cache_life *life);
/* In another process, whose monotonic clock begins elsewhere: the time in between is measured on
 * the wall clock; when that went backwards, the response counts as stale. */
void cache_life_resume(struct cache_life *life, uint64_t now_us, int64_t now_unix_s);
/* Soft purge: stale from now on. */
void cache_life_end(struct cache_life *life, uint64_t now_us);
/* The current age in whole seconds: the value of Age. */
int64_t cache_age_s(const struct cache_life *life, uint64_t now_us);
/* How much longer it is fresh; negative: how long it has been stale. */
int64_t cache_ttl_s(const struct cache_life *life, uint64_t now_us);

/* ------------------------------------------------------------------ what to do with it now? */

enum cache_use {
    CACHE_SERVE,       /* as it is */
    CACHE_SERVE_STALE, /* as it is, though stale: the client takes that (max-stale) */
    CACHE_REFRESH,     /* as it is, though stale, while a new one is fetched in the background */
    CACHE_VALIDATE,    /* ask the origin first */
    CACHE_UNAVAILABLE, /* 504: the client wants nothing else (only-if-cached) */
};

#define CACHE_CAUSE_TABLE(X) /* id, name, why */                                                  \
    X(CACHE_CAUSE_FRESH, "fresh", "it is fresh")                                                  \
    X(CACHE_CAUSE_STALE, "stale", "it is stale")                                                  \
    X(CACHE_CAUSE_WHILE_REVALIDATE, "stale-while-revalidate",                                     \
      "it may be used for a while though stale")                                                  \
    X(CACHE_CAUSE_MAX_STALE, "max-stale", "the client takes stale ones")                          \
    X(CACHE_CAUSE_NO_CACHE, "no-cache", "the origin wants to be asked each time")                 \
    X(CACHE_CAUSE_REQUEST_NO_CACHE, "request-no-cache", "the client wants the origin asked")      \
    X(CACHE_CAUSE_REQUEST_MAX_AGE, "request-max-age", "the client wants a younger one")           \
    X(CACHE_CAUSE_REQUEST_MIN_FRESH, "request-min-fresh", "the client wants one fresh for longer")

enum cache_cause {
#define CACHE_CAUSE_ENUM(id, name, why) id,
    CACHE_CAUSE_TABLE(CACHE_CAUSE_ENUM)
#undef CACHE_CAUSE_ENUM
};

struct slice cache_cause_name(enum cache_cause c);
struct slice cache_cause_why(enum cache_cause c);

struct cache_decision {
    enum cache_use   use;
    enum cache_cause cause;
};

/* RFC 9111 4.  asked: of this request. */
struct cache_decision cache_decide(const struct cache_rules *rules, const struct cache_life *life,
                                   const struct cache_control *asked, uint64_t now_us);
/* The origin could not be asked, or answered 500, 502, 503 or 504 (RFC 5861 4): may the stale one
 * be served instead? */
bool cache_may_excuse(const struct cache_rules *rules, const struct cache_life *life,
                      const struct cache_control *asked, uint64_t now_us);
bool cache_is_error(unsigned status);
/* Nothing is kept: may the origin be asked?  Else: 504 (only-if-cached). */
bool cache_fetch_allowed(const struct cache_rules *rules, const struct cache_control *asked);

/* ------------------------------------------------------------------ asking the origin again */

/* Removes the client's conditions and ranges: the whole is fetched, and they are answered from
 * it. */
void cache_conditions_drop(struct fields *request);
/* In their place: is what is kept still right (RFC 9111 4.3.1)?  Values are lent from `kept`.
 * false: it has no validator (or there is no room), and the whole is fetched. */
bool cache_conditions_set(struct fields *request, const struct fields *kept);
/* A 304 is about what is kept: none of the validators that it names is another one (4.3.4). */
bool cache_confirms(const struct fields *kept, const struct fields *not_modified);
/*
 * The fields of what is kept after a 304, or after a HEAD that cache_head_confirms(): those of the
 * newer message replace the kept ones of that name, except those that describe the kept bytes
 * (3.2).  out: empty, its arena gets nothing but the array. false: no room.
 */
bool cache_update(const struct fields *kept, const struct fields *newer,
                  const struct cache_control *newer_said, struct fields *out);
/* A HEAD was answered (4.3.5): its fields agree with what is kept, which is `length` bytes long;
 * else what is kept is stale. */
bool cache_head_confirms(const struct fields *kept, uint64_t length, const struct fields *head);
/* A message without Date gets one: when it was received (RFC 9110 6.6.1).  false: no room; the text
 * comes from the fields' arena. */
bool cache_date(struct fields *response, int64_t answered_unix_s);

/* An answer of that status to that method makes what is kept under its URI wrong (RFC 9111 4.4). */
bool cache_invalidates(enum method m, unsigned status);

#endif
