/* SPDX-License-Identifier: Apache-2.0 */
/* balance/hash_test.c - keys that stay, keys that must move, and the bound on load. */
#include "balance/testing.h"

#include "balance/mix.h"

#include <stdio.h>

enum { KEYS = 100000 };

static size_t
where(struct group *g, uint64_t key)
{
    struct lb_ask ask = group_ask(g); /* other entropy each time: only the key may count */

    ask.affinity = lb_mix(key + 1);
    return group_pick(g, &ask);
}

/* Who has each key: by identity, which is the same in all sets. */
static uint64_t *
owners(struct group *g)
{
    uint64_t *owner = calloc(KEYS, sizeof(*owner));

    CHECK(owner);
    for (uint64_t key = 0; key < KEYS; key++)
        owner[key] = g->keys[where(g, key)];
    return owner;
}

/* Takes `gone` out of the set: the others keep their keys and move up. */
static void
remove_one(struct group *g, size_t gone)
{
    g->set.n--;
    for (size_t i = gone; i < g->set.n; i++) {
        g->weights[i] = g->weights[i + 1];
        g->keys[i] = g->keys[i + 1];
    }
    lb_policy_free(g->policy);
    group_use(g, &lb_hash, (struct lb_options){.bound = 0});
}

TEST(a_key_stays_whatever_the_dice_say)
{
    struct group g;

    group_make(&g, &lb_hash, 100, NULL);
    for (uint64_t key = 0; key < 1000; key++)
        EXPECT_EQ(where(&g, key), where(&g, key));
    group_free(&g);
}

TEST(the_order_of_servers_does_not_matter)
{
    struct group g, mirrored;
    uint64_t *before, *after;

    group_make(&g, &lb_hash, 50, NULL);
    group_init(&mirrored, 50, NULL);
    for (size_t i = 0; i < 50; i++)
        mirrored.keys[i] = g.keys[49 - i];
    group_use(&mirrored, &lb_hash, (struct lb_options){.bound = 0});
    before = owners(&g);
    after = owners(&mirrored);
    EXPECT(memcmp(before, after, KEYS * sizeof(*before)) == 0);
    free(before);
    free(after);
    group_free(&g);
    group_free(&mirrored);
}

/* Share of keys that moved although their owner is still there. */
static double
moved_needlessly(size_t n, const uint32_t *weights, size_t gone)
{
    struct group g;
    uint64_t *before, *after, left;
    size_t moved = 0;

    group_make(&g, &lb_hash, n, weights);
    left = g.keys[gone];
    before = owners(&g);
    remove_one(&g, gone);
    after = owners(&g);
    for (size_t key = 0; key < KEYS; key++)
        moved += before[key] != after[key] && before[key] != left;
    free(before);
    free(after);
    group_free(&g);
    return (double) moved / KEYS;
}

TEST(when_one_of_a_hundred_leaves_few_other_keys_move)
{
    static uint32_t weights[100];

    for (uint32_t i = 0; i < 100; i++)
        weights[i] = 1 + i * 7 % 10;
    for (size_t gone = 0; gone < 100; gone += 33) {
        double equal = moved_needlessly(100, NULL, gone);
        double weighted = moved_needlessly(100, weights, gone);

        printf("# %.2f %% of keys moved needlessly, %.2f %% with weights\n", equal * 100,
               weighted * 100);
        EXPECT(equal < 0.02 && weighted < 0.02);
    }
}

/* Health, not membership: then not one key of the others moves. */
TEST(when_one_is_out_only_its_keys_move_and_come_back)
{
    struct group g;
    uint64_t *before, *meanwhile, *after;

    group_make(&g, &lb_hash, 10, NULL);
    before = owners(&g);
    g.targets[3].standing = LB_OUT;
    memset(g.picked, 0, 10 * sizeof(g.picked[0]));
    meanwhile = owners(&g);
    for (size_t key = 0; key < KEYS; key++)
        EXPECT(meanwhile[key] == (before[key] == g.keys[3] ? meanwhile[key] : before[key]) &&
               meanwhile[key] != g.keys[3]);
    for (size_t i = 0; i < 10; i++) /* and spread over all others */
        EXPECT(i == 3 || (group_share(&g, i) > 0.10 && group_share(&g, i) < 0.125));
    g.targets[3].standing = LB_USABLE;
    after = owners(&g);
    EXPECT(memcmp(before, after, KEYS * sizeof(*before)) == 0);
    free(before);
    free(meanwhile);
    free(after);
    group_free(&g);
}

/* As it warms up it gets more keys, and never gives back one that it had. */
TEST(who_warms_up_takes_over_its_keys_step_by_step)
{
    struct group g;
    uint64_t *some, *more;
    size_t n_some = 0, n_more = 0, lost = 0;

    group_make(&g, &lb_hash, 4, NULL);
    g.targets[1].share = LB_SHARE_FULL / 4;
    some = owners(&g);
    g.targets[1].share = LB_SHARE_FULL / 2;
    more = owners(&g);
    for (size_t key = 0; key < KEYS; key++) {
        n_some += some[key] == g.keys[1];
        n_more += more[key] == g.keys[1];
        lost += some[key] == g.keys[1] && more[key] != g.keys[1];
    }
    EXPECT(n_some > KEYS / 16 - KEYS / 100 && n_some < KEYS / 16 + KEYS / 100);
    EXPECT(n_more > KEYS / 8 - KEYS / 100 && n_more < KEYS / 8 + KEYS / 100);
    EXPECT_EQ(lost, 0);
    free(some);
    free(more);
    group_free(&g);
}

/* Half of all work has one and the same key. */
static unsigned
largest_load(struct group *g, unsigned picks)
{
    unsigned largest = 0;

    for (unsigned i = 0; i < picks; i++) {
        struct lb_ask ask = group_ask(g);
        size_t at;

        ask.affinity = i % 2 ? 12345 : lb_mix(i);
        at = group_pick(g, &ask);
        CHECK(at != LB_NONE);
        largest = ++g->targets[at].inflight > largest ? g->targets[at].inflight : largest;
    }
    return largest;
}

TEST(nobody_takes_more_than_the_bound)
{
    static const size_t sizes[] = {3, 10, 100, 1000};

    for (size_t i = 0; i < countof(sizes); i++) {
        size_t n = sizes[i];
        struct group g;

        group_init(&g, n, NULL);
        group_use(&g, &lb_hash, (struct lb_options){.bound = 1250000});
        /* 20 each on average; and a sixteenth of one, for the picks since the last census. */
        EXPECT(largest_load(&g, (unsigned) n * 20) <= 26);
        group_free(&g);
    }
}

TEST(without_a_bound_a_popular_key_stays_together)
{
    struct group g;

    group_make(&g, &lb_hash, 10, NULL);
    EXPECT(largest_load(&g, 200) >= 100);
    group_free(&g);
}

TEST(the_bound_follows_the_weights_and_counts_the_usable_only)
{
    static const uint32_t weights[4] = {1, 1, 2, 100};
    struct group g;

    group_init(&g, 4, weights);
    g.targets[3].standing = LB_OUT;
    group_use(&g, &lb_hash, (struct lb_options){.bound = 1200000});
    largest_load(&g, 1000);
    EXPECT(g.targets[0].inflight <= 300 && g.targets[1].inflight <= 300);
    EXPECT(g.targets[2].inflight <= 600 && g.targets[2].inflight >= 400);
    group_free(&g);
}

/* Loads that fall are noticed too: the sum is not only ever added to. */
TEST(the_bound_falls_with_the_load)
{
    struct group g;

    group_init(&g, 100, NULL);
    group_use(&g, &lb_hash, (struct lb_options){.bound = 1250000});
    largest_load(&g, 10000);
    for (size_t i = 0; i < 100; i++)
        g.targets[i].inflight = 0;
    EXPECT(largest_load(&g, 400) <= 6);
    group_free(&g);
}

TEST(a_table_is_quickly_made_for_any_weights)
{
    static uint32_t weights[TESTING_MOST];
    uint64_t begin_us = clock_monotonic_us();
    struct group g;

    for (size_t i = 0; i < TESTING_MOST; i++)
        weights[i] = 1;
    weights[5000] = LB_WEIGHT_MAX;
    group_make(&g, &lb_hash, TESTING_MOST, weights);
    printf("# %d servers: %llu ms\n", TESTING_MOST,
           (unsigned long long) (clock_monotonic_us() - begin_us) / 1000);
    EXPECT(clock_monotonic_us() - begin_us < 2000000);
    for (uint64_t key = 0; key < KEYS; key++)
        where(&g, key);
    EXPECT(group_worst_error(&g) < 0.01);
    group_free(&g);
}
