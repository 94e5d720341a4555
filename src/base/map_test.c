/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/map.h"
#include "base/test.h"

#include <stdio.h>
#include <stdlib.h>

TEST(an_empty_map_has_nothing)
{
    struct map m = {0};
    size_t i = 0;

    EXPECT(map_get(&m, SLICE("x")) == NULL);
    EXPECT(map_remove(&m, SLICE("x")) == NULL);
    EXPECT(map_each(&m, &i) == NULL);
    map_free(&m);
}

TEST(what_is_put_is_found)
{
    struct map m = {0};
    int one, two;

    EXPECT(map_put(&m, SLICE("one"), &one));
    EXPECT(map_put(&m, SLICE("two"), &two));
    EXPECT(map_get(&m, SLICE("one")) == &one);
    EXPECT(map_get(&m, SLICE("two")) == &two);
    EXPECT(map_get(&m, SLICE("three")) == NULL);
    EXPECT(map_put(&m, SLICE("one"), &two));
    EXPECT(map_get(&m, SLICE("one")) == &two);
    EXPECT_EQ(m.count, 2);
    map_free(&m);
    EXPECT_EQ(m.count, 0);
}

TEST(the_empty_key_is_a_key)
{
    struct map m = {0};
    int value;

    EXPECT(map_put(&m, (struct slice){NULL, 0}, &value));
    EXPECT(map_get(&m, SLICE("")) == &value);
    EXPECT(map_remove(&m, SLICE("")) == &value);
    EXPECT_EQ(m.count, 0);
    map_free(&m);
}

/* Against an array, with every mixture of putting and taking out. */
TEST(it_behaves_as_an_array_would)
{
    enum { KEYS = 300, STEPS = 20000 };
    static char names[KEYS][8];
    static void *expected[KEYS];
    struct map m = {0};
    struct dice d;
    size_t n = 0;

    dice_init(&d, 7);
    for (int i = 0; i < KEYS; i++)
        snprintf(names[i], sizeof(names[i]), "k%d", i);
    for (int step = 0; step < STEPS; step++) {
        size_t i = dice_next(&d) % KEYS;
        struct slice key = slice_str(names[i]);

        EXPECT(map_get(&m, key) == expected[i]);
        if (dice_next(&d) % 2) {
            EXPECT(map_put(&m, key, names[i]));
            n += !expected[i];
            expected[i] = names[i];
        } else {
            EXPECT(map_remove(&m, key) == expected[i]);
            n -= expected[i] != NULL;
            expected[i] = NULL;
        }
        EXPECT_EQ(m.count, n);
    }
    for (int i = 0; i < KEYS; i++)
        EXPECT(map_get(&m, slice_str(names[i])) == expected[i]);
    map_free(&m);
}

TEST(iteration_sees_each_member_once)
{
    static char names[100][8];
    struct map m = {0};
    const struct map_slot *slot;
    bool seen[100] = {false};
    size_t n = 0;

    for (int i = 0; i < 100; i++) {
        snprintf(names[i], sizeof(names[i]), "k%d", i);
        EXPECT(map_put(&m, slice_str(names[i]), names[i]));
    }
    for (size_t i = 0; (slot = map_each(&m, &i));) {
        int number = atoi((char *) slot->value + 1);

        EXPECT(!seen[number]);
        seen[number] = true;
        n++;
    }
    EXPECT_EQ(n, 100);
    map_free(&m);
}

TEST(hashes_of_both_cases)
{
    EXPECT(hash_bytes_nocase(SLICE("Host")) == hash_bytes_nocase(SLICE("hOST")));
    EXPECT(hash_bytes_nocase(SLICE("Host")) != hash_bytes_nocase(SLICE("Hosts")));
    EXPECT(hash_bytes(SLICE("Host")) != hash_bytes(SLICE("host")));
}

TEST(the_seed_changes_every_hash)
{
    uint64_t before = hash_bytes(SLICE("x"));

    hash_seed(12345);
    EXPECT(hash_bytes(SLICE("x")) != before);
    hash_seed(0);
    EXPECT(hash_bytes(SLICE("x")) == before);
}
