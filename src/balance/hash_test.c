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

/* Who has each of the first `keys`: by identity, which is the same in all sets. */
static uint64_t *
owners_of(struct group *g, size_t keys)
{
    uint64_t *owner = calloc(keys, sizeof(*owner));

    CHECK(owner);
    for (uint64_t key = 0; key < keys; key++)
        owner[key] = g->keys[where(g, key)];
    return owner;
}

static uint64_t *
owners(struct group *g)
{
    return owners_of(g, KEYS);
}

/* The set as it is now, in a new policy, as after a reload. */
static void
renew(struct group *g)
{
    lb_policy_free(g->policy);
    group_use(g, &lb_hash, (struct lb_options){.bound = 0});
}

/* Takes `gone` out of the set: the others keep their keys and move up. */
static void
remove_one(struct group *g, size_t gone)
{
    g->set.n--;
    for (size_t i = gone; i < g->set.n; i++) {
        g->targets[i].standing = g->targets[i + 1].standing;
        g->weights[i] = g->weights[i + 1];
        g->keys[i] = g->keys[i + 1];
    }
    renew(g);
}

/* 1..LB_WEIGHT_MAX, small ones as often as large ones. */
static uint32_t
any_weight(struct dice *dice)
{
    uint64_t roll = dice_next(dice);

    return 1 + (uint32_t) ((roll >> 32) % LB_WEIGHT_MAX >> roll % 16);
}

/* A group of servers that no other test knows; of equal weight or not. */
static void
group_any(struct group *g, size_t n, bool equal)
{
    group_init(g, n, NULL);
    dice_init(&g->dice, n);
    for (size_t i = 0; i < n; i++) {
        g->keys[i] = dice_next(&g->dice);
        g->weights[i] = equal ? 1 : any_weight(&g->dice);
    }
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

/* What happens to keys when one of n is drained, and then leaves. */
struct leaving {
    size_t needless; /* keys that moved although their owner stayed */
    size_t twice;    /* that moved again when it left: they were out of its way already */
    size_t kept;     /* that it still had */
    double error;    /* keys that moved, less than its weight says or more: of all */
};

static struct leaving
leave(struct group *g, size_t gone, size_t keys)
{
    uint64_t left = g->keys[gone], *before = owners_of(g, keys), *drained, *after;
    double total = 0, share;
    struct leaving l = {0};

    for (size_t i = 0; i < g->set.n; i++)
        total += g->weights[i];
    share = g->weights[gone] / total;
    g->targets[gone].standing = LB_OUT;
    drained = owners_of(g, keys);
    remove_one(g, gone);
    after = owners_of(g, keys);
    for (size_t key = 0; key < keys; key++) {
        l.needless += before[key] != after[key] && before[key] != left;
        l.twice += drained[key] != after[key];
        l.kept += drained[key] == left;
        l.error += before[key] == left;
    }
    l.error = l.error / (double) keys - share;
    free(before);
    free(drained);
    free(after);
    return l;
}

/* Read backwards it is somebody who joins: who stays gives no key to another who stays. */
static void
expect_that_only_its_keys_move(size_t n, bool equal, size_t keys)
{
    struct leaving l;
    struct group g;

    group_any(&g, n, equal);
    l = leave(&g, dice_next(&g.dice) % n, keys);
    group_free(&g);
    EXPECT_EQ(l.needless, 0);
    EXPECT_EQ(l.twice, 0);
    EXPECT_EQ(l.kept, 0);
    EXPECT(l.error > -0.02 && l.error < 0.02);
}

TEST(when_one_of_any_number_leaves_only_its_keys_move_and_once)
{
    for (size_t n = 2; n <= 200; n++)
        expect_that_only_its_keys_move(n, n % 2, KEYS / 5);
}

TEST(so_in_large_groups)
{
    static const size_t sizes[] = {255, 256, 511, 512, 1000, 1023, 1024, 4096, TESTING_MOST};

    for (size_t i = 0; i < countof(sizes); i++) {
        expect_that_only_its_keys_move(sizes[i], true, KEYS);
        expect_that_only_its_keys_move(sizes[i], false, KEYS);
    }
}

TEST(a_group_that_grows_from_one_to_many_never_moves_a_key_among_those_who_were_there)
{
    uint64_t *before, *after;
    size_t needless = 0;
    struct group g;

    group_any(&g, 200, true);
    g.set.n = 1;
    renew(&g);
    before = owners_of(&g, KEYS / 5);
    while (g.set.n < 200) {
        uint64_t newcomer = g.keys[g.set.n++];

        renew(&g);
        after = owners_of(&g, KEYS / 5);
        for (size_t key = 0; key < KEYS / 5; key++)
            needless += before[key] != after[key] && after[key] != newcomer;
        free(before);
        before = after;
    }
    free(before);
    group_free(&g);
    EXPECT_EQ(needless, 0);
}

/* More weight takes keys, less gives keys, and both no more than the difference. */
TEST(a_new_weight_moves_the_difference)
{
    static const size_t sizes[] = {2, 5, 50, 200};

    for (size_t i = 0; i < countof(sizes); i++) {
        uint64_t *light, *heavy, changed;
        size_t took = 0, others = 0;
        double most, total;
        struct group g;

        group_any(&g, sizes[i], true);
        changed = g.keys[1];
        light = owners(&g);
        g.weights[1] = 4;
        renew(&g);
        heavy = owners(&g);
        for (size_t key = 0; key < KEYS; key++) {
            took += heavy[key] == changed && light[key] != changed;
            others += heavy[key] != light[key] && heavy[key] != changed;
        }
        free(light);
        free(heavy);
        group_free(&g);
        total = (double) sizes[i];
        most = 4 / (total + 3) - 1 / total;
        EXPECT_EQ(others, 0);
        EXPECT((double) took / KEYS > most - 0.01 && (double) took / KEYS < most + 0.01);
    }
}

TEST(weights_are_kept_in_groups_of_any_number)
{
    double worst = 0;

    for (size_t n = 1; n <= 200; n++) {
        struct group g;

        group_any(&g, n, n % 8 == 2);
        for (uint64_t key = 0; key < KEYS; key++)
            where(&g, key);
        worst = group_worst_error(&g) > worst ? group_worst_error(&g) : worst;
        group_free(&g);
    }
    printf("# at worst %.2f %% of all picks\n", worst * 100);
    EXPECT(worst < 0.01);
}

TEST(who_is_listed_twice_gets_both_shares)
{
    struct group g;

    group_init(&g, 4, NULL);
    g.keys[2] = g.keys[1];
    group_use(&g, &lb_hash, (struct lb_options){.bound = 0});
    for (uint64_t key = 0; key < KEYS; key++)
        where(&g, key);
    EXPECT(group_worst_error(&g) < 0.01);
    group_free(&g);
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

/* How long it takes, in the better of two runs. */
static double
ms_to_make(struct group *g)
{
    uint64_t best_us = UINT64_MAX;

    for (int run = 0; run < 2; run++) {
        uint64_t begin_us = clock_monotonic_us(), took_us;

        renew(g);
        took_us = clock_monotonic_us() - begin_us;
        best_us = took_us < best_us ? took_us : best_us;
    }
    return (double) best_us / 1000;
}

/* Ten times what is wanted of 10,000 servers, 200 ms, so that no noise fails it. */
TEST(buckets_are_quickly_given_out_whatever_the_weights)
{
    static const size_t sizes[] = {2, 10, 1000, TESTING_MOST};

    for (size_t i = 0; i < countof(sizes); i++) {
        struct group g;
        double equal_ms, odd_ms;

        group_any(&g, sizes[i], true);
        equal_ms = ms_to_make(&g);
        g.weights[sizes[i] / 2] = LB_WEIGHT_MAX;
        odd_ms = ms_to_make(&g);
        printf("# %zu servers: %.1f ms, with a heavy one %.1f ms\n", sizes[i], equal_ms, odd_ms);
        for (uint64_t key = 0; key < KEYS; key++)
            where(&g, key);
        EXPECT(equal_ms < 2000 && odd_ms < 2000);
        EXPECT(group_worst_error(&g) < 0.01);
        group_free(&g);
    }
}

/* The lightest of all still gets something, as often as its weight says: over many groups. */
TEST(one_of_weight_1_beside_the_heaviest_is_not_forgotten)
{
    static const uint32_t weights[] = {LB_WEIGHT_MAX, 1};
    unsigned light = 0;

    for (uint64_t seed = 0; seed < 30; seed++) {
        struct group g;

        group_init(&g, 2, weights);
        g.keys[0] = lb_mix(2 * seed + 1);
        g.keys[1] = lb_mix(2 * seed + 2);
        group_use(&g, &lb_hash, (struct lb_options){.bound = 0});
        for (uint64_t key = 0; key < KEYS; key++)
            where(&g, key);
        light += g.picked[1];
        group_free(&g);
    }
    EXPECT(light > 20 && light < 90); /* 46 */
}
