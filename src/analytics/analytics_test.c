/* SPDX-License-Identifier: Apache-2.0 */
/* Records go in, answers come out: through the door with its thread, and turn by turn with a clock
 * that the test winds. */
#include "analytics/analytics.h"

#include "analytics/ask.h"
#include "base/clock.h"
#include "base/test.h"

#include <stdio.h>
#include <stdlib.h>

enum { MIB = 1024 * 1024 };

#define DAY_US (UINT64_C(86400) * 1000000)

static const struct analytics_config config = {
    .enabled = true,
    .memory = 16 * MIB,
    .top = 50,
    .keep_us = 35 * DAY_US,
};

static struct text said;
static char why[200];

static struct analytics_fact
fact_of(const char *host, const char *path, const char *client, unsigned status)
{
    struct analytics_fact f = {
        .host = slice_str(host),
        .path = slice_str(path),
        .agent = SLICE("curl/8"),
        .route = SLICE("shop"),
        .method = SLICE("GET"),
        .status = status,
        .version = 11,
        .took_us = 1000,
        .bytes_in = 5,
        .bytes_out = 100,
    };

    if (!address_parse_ip(slice_str(client), 0, &f.client_address))
        f.client_address.any.sa_family = AF_UNIX;
    return f;
}

/* said has it, as JSON that is the start of a value somewhere. */
static bool
has(const char *part)
{
    if (slice_search(text_slice(&said), slice_str(part)) != SLICE_NOT_FOUND)
        return true;
    printf("# not in: %.*s\n", SLICE_ARG(text_slice(&said)));
    return false;
}

/* ------------------------------------------------------------------ turn by turn */

static struct keeper *k;
static struct rings *rings;
static int64_t clock_s;

static void
wind(int64_t to_s)
{
    clock_s = to_s;
    clock_freeze((uint64_t) to_s * 1000000, (uint64_t) to_s * 1000000);
}

static bool
begin(const struct analytics_config *c, const char *folder, int64_t at_s)
{
    struct shares shares;

    wind(at_s);
    rings = NULL;
    k = NULL;
    if (!keeper_share(c->memory, c->top, 1, &shares))
        return false;
    rings = keeper_rings_new(1, shares.ring);
    k = rings ? keeper_new(c, &shares, rings, folder) : NULL;
    return k != NULL;
}

static void
end(void)
{
    keeper_free(k);
    keeper_rings_free(rings);
    clock_freeze(0, 0);
}

static void
record(const struct analytics_fact *f)
{
    struct packed *to = ring_reserve(&rings->ring[0], PACKED_MAX);

    if (to)
        ring_commit(&rings->ring[0], packed_write(f, to));
}

static bool
ask(int64_t from_s, int64_t to_s, enum dimension what)
{
    const struct question q = {from_s, to_s, 0, what, 50};

    text_free(&said);
    text_init(&said, 4 * MIB);
    return ask_lists(k, &q, &said, why);
}

static bool
series(int64_t from_s, int64_t to_s, int64_t step_s)
{
    const struct question q = {from_s, to_s, step_s, DIMENSIONS, 50};

    text_free(&said);
    text_init(&said, 4 * MIB);
    return ask_series(k, &q, &said, why);
}

/* 2023-11-15 00:00 UTC. */
#define MIDNIGHT INT64_C(1700006400)

TEST(a_record_is_in_every_list)
{
    struct analytics_fact f = fact_of("example.com", "/a", "192.0.2.7", 503);

    EXPECT(begin(&config, NULL, MIDNIGHT));
    f.referrer = SLICE("https://other.example/page?q=secret#x");
    f.threat = SLICE("rate_limit");
    f.upstream = SLICE("app");
    f.secure = f.first = f.asked_server = true;
    f.origin_us = 400;
    record(&f);
    f = fact_of("example.com", "/a", "192.0.2.7", 200);
    f.asked_server = f.reused = true;
    f.referrer = SLICE("https://EXAMPLE.com:8443/from/here");
    record(&f);
    f.asked_server = f.reused = false;
    f.cache_hit = true;
    f.saved_us = 70;
    f.version = 20;
    record(&f);
    keeper_turn(k);
    EXPECT(ask(0, 0, DIMENSIONS));
    EXPECT(has("\"requests\":3,\"errors\":1,\"client_errors\":0,\"threats\":1,\"secure\":1,"
               "\"bytes_in\":15,\"bytes_out\":300,\"hits\":1,\"saved_us\":70,"
               "\"client_connections\":1,\"server_requests\":2,\"server_connections\":1"));
    EXPECT(has("\"multiplexing\":2.00,\"visitors\":1,"));
    EXPECT(has("\"paths\":{\"unseen\":0,\"items\":[{\"name\":\"example.com/a\",\"requests\":3,"
               "\"within\":0,\"errors\":1,\"bytes\":300,\"mean_us\":1000}]}"));
    EXPECT(has("\"clients\":{\"unseen\":0,\"items\":[{\"name\":\"192.0.2.7\","));
    EXPECT(has("\"agents\":{\"unseen\":0,\"items\":[{\"name\":\"curl/8\","));
    EXPECT(has("\"referrers\":{\"unseen\":0,\"items\":[{\"name\":\"https://other.example/page\","
               "\"requests\":1,\"within\":0,\"errors\":1,\"bytes\":100,\"mean_us\":1000}]}"));
    EXPECT(has("\"hosts\":{\"unseen\":0,\"items\":[{\"name\":\"example.com\","));
    EXPECT(has("\"routes\":{\"unseen\":0,\"items\":[{\"name\":\"shop\","));
    EXPECT(has("\"upstreams\":{\"unseen\":0,\"items\":[{\"name\":\"app\",\"requests\":1,"));
    EXPECT(has("\"statuses\":{\"unseen\":0,\"items\":[{\"name\":\"200\",\"requests\":2,"));
    EXPECT(has("\"countries\":{\"unseen\":0,\"items\":[]}"));
    EXPECT(has("\"threats\":{\"unseen\":0,\"items\":[{\"name\":\"rate_limit\",\"requests\":1,"));
    EXPECT(has("\"methods\":{\"unseen\":0,\"items\":[{\"name\":\"GET\",\"requests\":3,"));
    EXPECT(has("{\"name\":\"HTTP/1.1\",\"requests\":2,"));
    EXPECT(has("{\"name\":\"HTTP/2\",\"requests\":1,"));
    EXPECT(ask(0, 0, DIMENSION_STATUSES));
    EXPECT(has("\"statuses\":"));
    EXPECT(slice_search(text_slice(&said), SLICE("\"paths\"")) == SLICE_NOT_FOUND);
    end();
}

TEST(texts_that_are_too_long_are_cut_and_differ)
{
    char path[400];
    struct analytics_fact f;

    EXPECT(begin(&config, NULL, MIDNIGHT));
    memset(path, 'p', sizeof(path));
    path[sizeof(path) - 1] = 0;
    for (unsigned i = 0; i < 3; i++) {
        path[300] = (char) ('a' + i % 2);
        f = fact_of("h", path, "::1", 200);
        record(&f);
    }
    f = fact_of("", "", "somewhere", 0);
    f.agent = f.method = SLICE("");
    record(&f);
    keeper_turn(k);
    EXPECT(ask(0, 0, DIMENSION_PATHS));
    EXPECT(has("\"requests\":2,\"within\""));
    EXPECT(has("\"requests\":1,\"within\""));
    EXPECT(has("ppp~"));
    EXPECT(has("\"requests\":4,\"errors\":1,"));
    EXPECT(ask(0, 0, DIMENSION_CLIENTS));
    EXPECT(has("[{\"name\":\"::1\",\"requests\":3,"));
    end();
}

TEST(addresses_may_be_cut)
{
    struct analytics_config cut = config;
    struct analytics_fact f;

    cut.anonymize = ANALYTICS_ADDRESSES_CUT;
    EXPECT(begin(&cut, NULL, MIDNIGHT));
    f = fact_of("h", "/", "192.0.2.7", 200);
    record(&f);
    f = fact_of("h", "/", "192.0.2.8", 200);
    record(&f);
    f = fact_of("h", "/", "2001:db8:1:2::3", 200);
    record(&f);
    keeper_turn(k);
    EXPECT(ask(0, 0, DIMENSION_CLIENTS));
    EXPECT(has("{\"name\":\"192.0.2.0\",\"requests\":2,"));
    EXPECT(has("{\"name\":\"2001:db8:1::\",\"requests\":1,"));
    EXPECT(has("\"visitors\":3,")); /* nobody can tell from the sketch who they are */
    end();
}

/* One request a minute, for two days and a half; at the end it is asked for in all ways. */
TEST(minutes_become_hours_and_days)
{
    struct analytics_fact f = fact_of("h", "/", "192.0.2.7", 200);
    int64_t now_s = MIDNIGHT + 60 * 3600;

    EXPECT(begin(&config, NULL, MIDNIGHT));
    for (int64_t at_s = MIDNIGHT; at_s < now_s; at_s += 60) {
        wind(at_s);
        keeper_turn(k);
        record(&f);
        keeper_turn(k);
    }
    wind(now_s + 30);
    keeper_turn(k);
    EXPECT(ask(0, 0, DIMENSION_PATHS));
    EXPECT(has("\"from\":1700218800,\"to\":1700222460,"));
    EXPECT(has("{\"name\":\"h/\",\"requests\":60,\"within\":0,"));
    EXPECT(ask(MIDNIGHT, 0, DIMENSION_PATHS));
    EXPECT(has("{\"name\":\"h/\",\"requests\":3600,\"within\":0,\"errors\":0,\"bytes\":360000,"
               "\"mean_us\":1000}"));
    EXPECT(has("\"visitors\":1,"));
    /* Of the first day only the whole is known. */
    EXPECT(ask(MIDNIGHT + 3 * 3600 + 5, MIDNIGHT + 4 * 3600, DIMENSION_PATHS));
    EXPECT(has("\"from\":1700006400,\"to\":1700092800,"));
    EXPECT(has("{\"name\":\"h/\",\"requests\":1440,"));
    /* Of yesterday, hours. */
    EXPECT(ask(MIDNIGHT + 30 * 3600 + 5, MIDNIGHT + 31 * 3600 + 60, DIMENSION_PATHS));
    EXPECT(has("{\"name\":\"h/\",\"requests\":120,"));
    EXPECT(series(MIDNIGHT, now_s, 86400));
    EXPECT(has("\"step\":86400,\"points\":[{\"at\":1700006400,\"visitors\":1,\"requests\":1440,"));
    EXPECT(has("{\"at\":1700092800,\"visitors\":1,\"requests\":1440,"));
    EXPECT(has("{\"at\":1700179200,\"visitors\":1,\"requests\":720,"));
    EXPECT(series(now_s - 7200, now_s + 60, 0));
    EXPECT(has("\"step\":60,\"points\":[{\"at\":1700215200,\"visitors\":1,\"requests\":1,"));
    EXPECT(has("{\"at\":1700222400,\"visitors\":0,\"requests\":0,")); /* the running minute */
    EXPECT(series(now_s - 40 * 3600, now_s, 60)); /* longer than minutes are kept */
    EXPECT(has("\"step\":3600,"));
    EXPECT(has("\"visitors\":1,\"requests\":60,"));
    end();
}

TEST(a_clock_that_goes_back_loses_nothing)
{
    struct analytics_fact f = fact_of("h", "/", "192.0.2.7", 200);

    EXPECT(begin(&config, NULL, MIDNIGHT + 600));
    record(&f);
    wind(MIDNIGHT + 300);
    keeper_turn(k);
    record(&f);
    wind(MIDNIGHT + 600);
    keeper_turn(k);
    record(&f);
    wind(MIDNIGHT + 660);
    keeper_turn(k);
    EXPECT(ask(0, 0, DIMENSION_PATHS));
    EXPECT(has("{\"name\":\"h/\",\"requests\":3,"));
    end();
}

TEST(what_a_restart_leaves_half_done_is_done)
{
    struct analytics_fact f = fact_of("h", "/", "192.0.2.7", 200);
    char folder[] = "/tmp/maitred-analytics-XXXXXX", path[80];

    EXPECT(mkdtemp(folder) != NULL);
    EXPECT(begin(&config, folder, MIDNIGHT + 600));
    record(&f);
    end();
    EXPECT(begin(&config, folder, MIDNIGHT + 630));
    record(&f);
    end();
    EXPECT(begin(&config, folder, MIDNIGHT + 5 * 86400));
    wind(MIDNIGHT + 5 * 86400 + 120);
    keeper_turn(k);
    EXPECT(ask(MIDNIGHT, MIDNIGHT + 86400, DIMENSION_PATHS));
    EXPECT(has("{\"name\":\"h/\",\"requests\":2,"));
    end();
    snprintf(path, sizeof(path), "%s/analytics.db", folder);
    EXPECT_EQ(remove(path), 0);
    EXPECT_EQ(remove(folder), 0);
}

TEST(full_rings_are_told_of)
{
    struct analytics_fact f = fact_of("h", "/", "192.0.2.7", 200);
    char told[64];

    EXPECT(begin(&config, NULL, MIDNIGHT));
    for (unsigned i = 0; i < 100000; i++)
        record(&f);
    EXPECT(rings->ring[0].missed > 0);
    wind(MIDNIGHT + 60);
    keeper_turn(k);
    EXPECT_EQ(rings->ring[0].missed + rings->ring[0].taken, 100000);
    EXPECT(ask(0, 0, DIMENSION_PATHS));
    snprintf(told, sizeof(told), "\"missed\":%llu,", (unsigned long long) rings->ring[0].missed);
    EXPECT(has(told));
    snprintf(told, sizeof(told), "\"requests\":%llu,", (unsigned long long) rings->ring[0].taken);
    EXPECT(has(told));
    /* Once is enough. */
    record(&f);
    wind(MIDNIGHT + 120);
    keeper_turn(k);
    EXPECT(series(MIDNIGHT + 60, MIDNIGHT + 120, 60));
    EXPECT(has("\"missed\":0,"));
    end();
}

TEST(wrong_questions_are_told_why)
{
    EXPECT(begin(&config, NULL, MIDNIGHT));
    EXPECT(!ask(MIDNIGHT, MIDNIGHT - 1, DIMENSIONS) && strstr(why, "before"));
    EXPECT(!ask(-5, 0, DIMENSIONS) && strstr(why, "before"));
    EXPECT(!ask(1, INT64_MAX, DIMENSIONS));
    EXPECT(!series(MIDNIGHT - 3600, MIDNIGHT, 59) && strstr(why, "60 seconds"));
    EXPECT(!series(MIDNIGHT - 3600, MIDNIGHT, INT64_MAX));
    EXPECT(!series(1, MIDNIGHT, 86400) && strstr(why, "points"));
    EXPECT(series(MIDNIGHT - 3600, MIDNIGHT, 61));
    EXPECT(has("\"step\":120,"));
    end();
}

/* ------------------------------------------------------------------ through the door */

/* Until the thread has taken what was recorded. */
static bool
eventually_has(const char *part)
{
    for (unsigned i = 0; i < 400; i++) {
        const struct timespec pause = {.tv_nsec = 10 * 1000000};

        text_free(&said);
        text_init(&said, MIB);
        if (analytics_ask(0, 0, SLICE("paths"), 0, &said, why) &&
            slice_search(text_slice(&said), slice_str(part)) != SLICE_NOT_FOUND)
            return true;
        nanosleep(&pause, NULL);
    }
    return has(part);
}

TEST(it_is_off_until_it_is_on)
{
    struct analytics_fact f = fact_of("h", "/", "192.0.2.7", 200);
    struct analytics_config larger = config;

    EXPECT(analytics_start(NULL, NULL, 2));
    EXPECT(!analytics_is_on());
    analytics_record(0, &f);
    EXPECT(!analytics_ask(0, 0, (struct slice){0}, 0, &said, why) && strstr(why, "off"));
    EXPECT(analytics_change(&config) && analytics_is_on());
    analytics_record(0, &f);
    analytics_record(1, &f);
    analytics_record(2, &f); /* there is no such worker */
    EXPECT(eventually_has("{\"name\":\"h/\",\"requests\":2,"));
    EXPECT(!analytics_ask(0, 0, SLICE("colours"), 0, &said, why) && strstr(why, "`colours`"));
    EXPECT(analytics_change(&config)); /* nothing changes */
    EXPECT(eventually_has("{\"name\":\"h/\",\"requests\":2,"));
    /* In memory a new size begins anew. */
    larger.memory *= 2;
    EXPECT(analytics_change(&larger));
    analytics_record(1, &f);
    EXPECT(eventually_has("{\"name\":\"h/\",\"requests\":1,"));
    text_free(&said);
    text_init(&said, MIB);
    analytics_write_status(&said);
    EXPECT(has("\"analytics\":{\"on\":true,\"records\":3,\"missed\":0,\"memory\":"));
    EXPECT(has("\"fault\":null}"));
    EXPECT(!analytics_fault(why));
    EXPECT(analytics_change(NULL) && !analytics_is_on());
    analytics_stop();
    text_free(&said);
}

TEST(memory_is_shared_out_within_the_budget)
{
    struct shares s;

    for (unsigned workers = 1; workers <= 128; workers *= 2)
        for (uint64_t memory = 8 * MIB; memory <= 1024u * MIB; memory *= 2)
            for (int64_t top = 10; top <= 1000; top *= 10) {
                EXPECT(keeper_share(memory, top, workers, &s));
                EXPECT(s.ring * workers + s.history + period_bytes(s.scale, true) +
                           period_bytes(s.scale, false) <
                       memory);
            }
    EXPECT(keeper_share(64 * MIB, 100, 2, &s));
    EXPECT_EQ(s.ring, MIB);
    EXPECT_EQ(s.listed, 800);
    EXPECT_EQ(s.scale, 2);
    EXPECT(!keeper_share(MIB, 100, 1, &s));
}
