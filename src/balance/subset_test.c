/* SPDX-License-Identifier: Apache-2.0 */
/* balance/subset_test.c - who uses which part, how evenly, and what a change costs. */
#include "balance/testing.h"

enum { WORKERS = 7, SERVERS = 100, SUBSET = 20 };

static const struct lb_options options = {.subset = SUBSET, .workers = WORKERS, .seed = 3};

/* Marks whom each worker uses, by key. */
static void
find_users(struct group *g, bool uses[WORKERS][SERVERS + 1])
{
    memset(uses, 0, WORKERS * sizeof(uses[0]));
    for (unsigned worker = 0; worker < WORKERS; worker++) {
        for (int i = 0; i < 5 * SUBSET; i++) {
            struct lb_ask ask = group_ask(g);

            ask.worker = worker;
            uses[worker][g->keys[group_pick(g, &ask)]] = true;
        }
    }
}

TEST(each_worker_has_its_part_and_no_server_has_two_workers_more_than_another)
{
    bool uses[WORKERS][SERVERS + 1];
    struct group g;

    group_init(&g, SERVERS, NULL);
    group_use(&g, &lb_round_robin, options);
    find_users(&g, uses);
    for (unsigned worker = 0; worker < WORKERS; worker++) {
        int n = 0;

        for (size_t key = 1; key <= SERVERS; key++)
            n += uses[worker][key];
        EXPECT_EQ(n, SUBSET);
    }
    for (size_t key = 1; key <= SERVERS; key++) { /* 140 places for 100 servers */
        int users = 0;

        for (unsigned worker = 0; worker < WORKERS; worker++)
            users += uses[worker][key];
        EXPECT(users == 1 || users == 2);
    }
    group_free(&g);
}

TEST(when_a_server_leaves_parts_hardly_change)
{
    bool before[WORKERS][SERVERS + 1], after[WORKERS][SERVERS + 1];
    struct group g;

    group_init(&g, SERVERS, NULL);
    group_use(&g, &lb_round_robin, options);
    find_users(&g, before);
    lb_policy_free(g.policy);
    g.set.n--;
    group_use(&g, &lb_round_robin, options);
    find_users(&g, after);
    for (unsigned worker = 0; worker < WORKERS; worker++) {
        int came = 0;

        for (size_t key = 1; key <= SERVERS; key++)
            came += after[worker][key] && !before[worker][key];
        EXPECT(came <= 2); /* it may begin, and end, one later in the order */
    }
    group_free(&g);
}

TEST(another_seed_is_another_order)
{
    bool one[WORKERS][SERVERS + 1], two[WORKERS][SERVERS + 1];
    struct lb_options other = options;
    struct group g;

    other.seed++;
    group_init(&g, SERVERS, NULL);
    group_use(&g, &lb_round_robin, options);
    find_users(&g, one);
    lb_policy_free(g.policy);
    group_use(&g, &lb_round_robin, other);
    find_users(&g, two);
    EXPECT(memcmp(one, two, sizeof(one)) != 0);
    group_free(&g);
}

TEST(a_worker_whose_part_is_out_uses_all)
{
    bool uses[WORKERS][SERVERS + 1];
    struct group g;

    group_init(&g, SERVERS, NULL);
    group_use(&g, &lb_round_robin, options);
    find_users(&g, uses);
    for (size_t i = 0; i < SERVERS; i++)
        if (uses[2][g.keys[i]])
            g.targets[i].standing = LB_OUT;
    for (int i = 0; i < 1000; i++) {
        struct lb_ask ask = group_ask(&g);
        size_t at;

        ask.worker = 2;
        at = group_pick(&g, &ask);
        EXPECT(at != LB_NONE && !uses[2][g.keys[at]]);
    }
    group_free(&g);
}

/* The flags count by the set that was given, not by the part. */
TEST(tried_is_understood_in_a_part)
{
    bool tried[SERVERS];
    struct group g;

    memset(tried, true, sizeof(tried));
    group_init(&g, SERVERS, NULL);
    group_use(&g, &lb_least_connections, options);
    for (size_t i = 0; i < SERVERS; i++) {
        for (unsigned worker = 0; worker < WORKERS; worker++) {
            struct lb_ask ask = group_ask(&g);

            tried[i] = false;
            ask.tried = tried;
            ask.worker = worker;
            EXPECT_EQ(group_pick(&g, &ask), i);
            tried[i] = true;
        }
    }
    group_free(&g);
}
