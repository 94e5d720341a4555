/* SPDX-License-Identifier: Apache-2.0 */
/*
 * analytics/analytics.h - who asks for what, in memory that does not grow.
 *
 * A worker hands over a short record of each exchange, through a ring of its own that nobody waits
 * for (when it is full the record is counted as missed).  One thread takes the records and keeps
 * sketches of the running minute: the most frequent paths, clients, agents and so on (top.h), how
 * many different visitors there were (uniques.h), distributions of times (base/histogram.h).  A
 * minute that is over goes to SQLite; minutes are merged into hours, hours into days, and those are
 * kept for as long as the configuration says (history.h).
 *
 *     packed.c   a record on its way          period.c   the sketches of a stretch of time
 *     ring.c     ... from worker to keeper    blob.c     the same as bytes
 *     keeper.c   the thread                   history.c  the same on disk
 *     ask.c      questions; tell.c: answers   country.c  where an address is
 *
 * Memory   `memory` bounds everything here: rings, sketches, SQLite's pages, questions.
 * Threads  analytics_record(): workers.  Everything else: control thread; what touches SQLite waits
 *          on a fiber (offload()), or blocks where there is none.
 *
 * An answer to analytics_ask():
 *
 *     {"from":1700000000,"to":1700003600,             seconds; rounded outwards to what is known
 *      "totals":{"requests":12,"errors":0,            5xx, or without an answer
 *        "client_errors":1,"threats":0,"secure":4,"bytes_in":0,"bytes_out":4711,
 *        "visitors":3,                                different pairs of address and agent
 *        "hits":5,"saved_us":120000,                  by the cache, and what that spared servers
 *        "missed":0,                                  exchanges that are not in here: too busy
 *        "client_connections":4,"server_requests":7,"server_connections":2,
 *        "multiplexing":3.5,                          server_requests / server_connections; null
 *        "took":{"mean_us":..,"p50_us":..,"p90_us":..,"p99_us":..,"p999_us":..},
 *        "origin":{the same, of servers}},
 *      "paths":{"unseen":0,"items":[                  host and path; what is not in the list had
 *        {"name":"example.com/","requests":7,         unseen requests at most
 *         "within":0,                                 requests is at most so much off
 *         "errors":0,"bytes":4000,"mean_us":900}]},
 *      "clients":{...},...}
 *
 * and to analytics_series(), with a point for each step, silent ones too:
 *
 *     {"from":..,"to":..,"step":60,"points":[{"at":..,"requests":..,"errors":..,"client_errors":..,
 *      "threats":..,"bytes_in":..,"bytes_out":..,"visitors":..,"hits":..,"saved_us":..,"missed":..,
 *      "client_connections":..,"server_requests":..,"server_connections":..,
 *      "mean_us":..,"p50_us":..,"p90_us":..,"p99_us":..}]}
 */
#ifndef ANALYTICS_ANALYTICS_H
#define ANALYTICS_ANALYTICS_H

#include "base/text.h"
#include "config/option.h"

enum { ANALYTICS_TOP_MAX = 1000, ANALYTICS_POINTS_MAX = 2000 };

/* `analytics:` in the configuration. */
struct analytics_config {
    bool         enabled;
    uint64_t     memory;    /* of everything together, in bytes */
    int64_t      top;       /* how many of each list can be told */
    uint64_t     keep_us;   /* of history */
    int          anonymize; /* enum analytics_anonymize */
    struct slice database;  /* MaxMind country database, its whole path; absent: no countries */
};

enum analytics_anonymize {
    ANALYTICS_ADDRESSES_WHOLE,
    ANALYTICS_ADDRESSES_CUT, /* the last octet of IPv4, the last 80 bits of IPv6 are 0 */
};

extern const struct option_object analytics_object;

/* One exchange.  Slices are only looked at during the call, and cut where they are very long. */
struct analytics_fact {
    struct slice  host, path, client, agent, referrer, route, upstream, method; /* path: no query */
    struct slice  threat;   /* the reason when it was refused for safety's sake; else absent */
    union address client_address;
    unsigned      status;   /* 0: none was sent */
    unsigned      version;  /* 10, 11, 20, 30 */
    bool          secure;
    bool          first;    /* of its client's connection */
    bool          cache_hit, asked_server, reused; /* a server; over a pooled connection */
    uint64_t      took_us, origin_us; /* of all; of the server alone */
    uint64_t      saved_us; /* what a hit has spared: the origin's time when it was filled, or 0 */
    uint64_t      bytes_in, bytes_out;
};

/* Starts the thread, if the configuration wants it (NULL: it does not).  folder: where the history
 * goes, in analytics.db; NULL: into memory.  workers: how many may record.  Waits.  False after a
 * message in the log: nothing is recorded then, serving goes on. */
bool analytics_start(const struct analytics_config *config, const char *folder, unsigned workers);
/* Another configuration from now on; NULL: off.  Waits.  False as above. */
bool analytics_change(const struct analytics_config *config);
/* No worker records any more.  What is in memory goes to disk.  Waits. */
void analytics_stop(void);

/* Never waits, never allocates.  Does nothing while it is off. */
void analytics_record(unsigned worker, const struct analytics_fact *fact);
/* Somebody wants to know: facts need not be collected when nobody does.  Any thread. */
bool analytics_is_on(void);

/* Answers a question as one JSON object.  from_s, to_s: seconds since 1970; to_s 0: now; from_s 0:
 * an hour before that.  what: a list ("paths", "clients", "agents", "referrers", "hosts", "routes",
 * "upstreams", "statuses", "countries", "threats", "methods", "versions") or absent: all of them.
 * top: 0: as many as the configuration allows.  Waits.  False with a sentence in why. */
bool analytics_ask(int64_t from_s, int64_t to_s, struct slice what, size_t top, struct text *out,
                   char why[200]);
/* Points in time for charts, step_s apart: 60 at least (0: what gives some hundred points), longer
 * where the past is no longer known so well. */
bool analytics_series(int64_t from_s, int64_t to_s, int64_t step_s, struct text *out,
                      char why[200]);
/* Numbers of its own: members of a JSON object. */
void analytics_write_status(struct text *out);
/* What is wrong with it now, as a sentence.  False: nothing. */
bool analytics_fault(char why[200]);

#endif
