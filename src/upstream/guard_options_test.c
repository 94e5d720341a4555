/* SPDX-License-Identifier: Apache-2.0 */
/* What can be configured of guards, passive health and stickiness: defaults, and mistakes. */
#include "upstream/passive.h"
#include "upstream/sticky.h"

#include "base/check.h"
#include "base/test.h"

struct group {
    struct breaker_config     *breaker;
    struct concurrency_config *concurrency;
    struct retries_config     *retries;
    struct passive_config     *passive;
    struct sticky_config      *sticky;
};

#define PART(part)                                                                                \
    {                                                                                             \
        #part, &option_objects, offsetof(struct group, part), .object = &part##_object,           \
            .flags = OPTION_POINTER                                                               \
    }

static const struct option group_options[] = {
    PART(breaker), PART(concurrency), PART(retries), PART(passive), PART(sticky), {NULL},
};
static const struct option_object group_object = {
    .name = "group",
    .size = sizeof(struct group),
    .options = group_options,
};

struct trial {
    struct config       *config;
    const struct group  *group;
    struct config_report report;
    struct text          messages;
};

static void
load(struct trial *t, const char *yaml)
{
    *t = (struct trial){0};
    text_init(&t->messages, 64 * 1024);
    config_report_init(&t->report);
    t->config = config_load_text("group.yaml", slice_str(yaml), &group_object, NULL, &t->report);
    config_report_print(&t->report, &t->messages);
    t->group = t->config ? t->config->root : NULL;
}

static void
unload(struct trial *t)
{
    config_free(t->config);
    config_report_free(&t->report);
    text_free(&t->messages);
}

static bool
is_refused(const char *yaml, const char *complaint)
{
    struct trial t;
    bool refused;

    load(&t, yaml);
    refused = !t.config &&
              slice_search(text_slice(&t.messages), slice_str(complaint)) != SLICE_NOT_FOUND;
    if (!refused)
        printf("# %.*s\n", SLICE_ARG(text_slice(&t.messages)));
    unload(&t);
    return refused;
}

TEST(retries_as_they_are_without_a_word)
{
    struct trial t;
    const int *on;

    load(&t, "retries: {}");
    EXPECT(t.group);
    on = t.group->retries->on.at;
    EXPECT_EQ(t.group->retries->attempts, 2);
    EXPECT_EQ(t.group->retries->on.n, 3);
    EXPECT(on[0] == RETRY_CONNECT && on[1] == RETRY_RESET && on[2] == RETRY_TIMEOUT);
    EXPECT_EQ(t.group->retries->statuses.n, 0);
    EXPECT_EQ(t.group->retries->budget, 200000);
    EXPECT_EQ(t.group->retries->budget_floor, 10);
    EXPECT_EQ(t.group->retries->attempt_us, 0);
    unload(&t);
}

TEST(a_number_of_retries_stands_for_all)
{
    struct trial t;

    load(&t, "retries: 5");
    EXPECT(t.group);
    EXPECT_EQ(t.group->retries->attempts, 5);
    EXPECT_EQ(t.group->retries->budget, 200000);
    unload(&t);
}

TEST(retries_on_malformed_answers_and_statuses)
{
    struct trial t;

    load(&t, "retries: {on: malformed, statuses: [429, 500, 503, 599], attempt_timeout: 2s}");
    EXPECT(t.group);
    EXPECT_EQ(t.group->retries->on.n, 1);
    EXPECT_EQ(*(const int *) t.group->retries->on.at, RETRY_MALFORMED);
    EXPECT_EQ(((const int64_t *) t.group->retries->statuses.at)[3], 599);
    EXPECT_EQ(t.group->retries->attempt_us, 2000000);
    unload(&t);
}

TEST(the_other_parts_as_they_are_without_a_word)
{
    struct trial t;

    load(&t, "{breaker: {}, concurrency: {}, passive: {}, sticky: {}}");
    EXPECT(t.group);
    EXPECT_EQ(t.group->breaker->requests, 0);
    EXPECT_EQ(t.group->breaker->error_rate, 0);
    EXPECT_EQ(t.group->breaker->minimum, 20);
    EXPECT_EQ(t.group->breaker->open_us, 5000000);
    EXPECT_EQ(t.group->breaker->probes, 1);
    EXPECT_EQ(t.group->concurrency->min, 4);
    EXPECT_EQ(t.group->concurrency->max, 1000);
    EXPECT_EQ(t.group->concurrency->tolerance, 1500000);
    EXPECT_EQ(t.group->passive->errors, 5);
    EXPECT_EQ(t.group->passive->latency, 0);
    EXPECT_EQ(t.group->passive->max_eject_us, 300000000);
    EXPECT_EQ(t.group->passive->max_ejected, 500000);
    EXPECT(!slice_is_present(t.group->sticky->cookie));
    EXPECT(!slice_is_present(t.group->sticky->secret));
    EXPECT_EQ(t.group->sticky->max_age_us, 0);
    unload(&t);
}

TEST(mistakes_in_numbers)
{
    EXPECT(is_refused("retries: {statuses: 404}", "must be between 429 and 599"));
    EXPECT(is_refused("retries: {statuses: [500, 430]}", "430 is not a status"));
    EXPECT(is_refused("retries: {on: [conect]}", "did you mean `connect`"));
    EXPECT(is_refused("retries: {budget: 101%}", "between"));
    EXPECT(is_refused("breaker: {probes: 0}", "between 1 and"));
    EXPECT(is_refused("breaker: {window: 1ms}", "between 100ms"));
    EXPECT(is_refused("concurrency: {min: 20, max: 10}", "`min` 20 is above `max` 10"));
    EXPECT(is_refused("concurrency: {tolerance: 90%}", "between 100%"));
    EXPECT(is_refused("passive: {latency: 100%}", "must be above 100%"));
    EXPECT(is_refused("passive: {eject: 10m}", "`eject` is longer"));
}

TEST(mistakes_of_stickiness)
{
    EXPECT(is_refused("sticky: {cookie: 'a b'}", "cannot be the name of a cookie"));
    EXPECT(is_refused("sticky: {cookie: ''}", "cannot be the name of a cookie"));
    EXPECT(is_refused("sticky: {secret: short}", "less than 16 bytes"));
    EXPECT(is_refused("sticky: {max_age: 1500ms}", "whole seconds"));
    EXPECT(is_refused("sticky: {secure: never, same_site: none}", "secure cookie only"));
}
