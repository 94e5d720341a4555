/* SPDX-License-Identifier: Apache-2.0 */
/* store/queues_test.c - what the queues do; policies_test.c says how well. */
#include "store/queues.h"

#include "base/test.h"

static struct place places[400];

static bool
nobody_stays(const struct place *p)
{
    (void) p;
    return false;
}

static bool
first_stays(const struct place *p)
{
    return p == &places[0];
}

static void
insert(struct queues *q, uint32_t i)
{
    places[i] = (struct place){.fingerprint = i + 1, .units = 1};
    queues_insert(q, &places[i]);
}

TEST(who_was_never_asked_for_again_leaves_in_order)
{
    struct queues q;

    queues_init(&q);
    for (uint32_t i = 0; i < 10; i++)
        insert(&q, i);
    for (uint32_t i = 0; i < 10; i++)
        EXPECT(queues_victim(&q, nobody_stays) == &places[i]);
    EXPECT(queues_victim(&q, nobody_stays) == NULL);
    EXPECT_EQ(q.units[QUEUE_SMALL] + q.units[QUEUE_MAIN], 0);
}

TEST(who_was_asked_for_stays_when_a_scan_passes_by)
{
    struct queues q;

    queues_init(&q);
    for (uint32_t i = 0; i < 10; i++) {
        insert(&q, i);
        queues_hit(&places[i]);
    }
    for (uint32_t i = 10; i < 400; i++) {
        insert(&q, i);
        if (i >= 50)
            EXPECT(queues_victim(&q, nobody_stays) >= &places[10]);
    }
    for (uint32_t i = 0; i < 10; i++)
        EXPECT_EQ(places[i].queue, QUEUE_MAIN);
}

TEST(who_comes_back_soon_goes_to_the_main_queue)
{
    static struct ghost ghosts[64];
    struct queues q;

    queues_init(&q);
    queues_set_ghosts(&q, ghosts, countof(ghosts));
    for (uint32_t i = 0; i < 20; i++)
        insert(&q, i);
    EXPECT(queues_victim(&q, nobody_stays) == &places[0]);
    insert(&q, 0);
    EXPECT_EQ(places[0].queue, QUEUE_MAIN);
    insert(&q, 20);
    EXPECT_EQ(places[20].queue, QUEUE_SMALL);
}

TEST(who_must_stay_is_passed_over_and_nobody_waits_for_ever)
{
    struct queues q;

    queues_init(&q);
    insert(&q, 0);
    EXPECT(queues_victim(&q, first_stays) == NULL);
    insert(&q, 1);
    EXPECT(queues_victim(&q, first_stays) == &places[1]);
    queues_remove(&q, &places[0]);
    queues_remove(&q, &places[0]);
    EXPECT(queues_victim(&q, nobody_stays) == NULL);
}

TEST(who_comes_in_place_of_another_one_stays_as_long)
{
    struct queues q;

    queues_init(&q);
    for (uint32_t i = 0; i < 20; i++)
        insert(&q, i);
    queues_hit(&places[0]);
    EXPECT(queues_victim(&q, nobody_stays) == &places[1]);
    EXPECT_EQ(places[0].queue, QUEUE_MAIN);
    places[30] = (struct place){.fingerprint = 31, .units = 1};
    queues_inherit(&places[30], &places[0]);
    queues_remove(&q, &places[0]);
    queues_insert(&q, &places[30]);
    for (uint32_t i = 2; i < 20; i++)
        EXPECT(queues_victim(&q, nobody_stays) == &places[i]);
    EXPECT_EQ(places[30].queue, QUEUE_SMALL);
    insert(&q, 1);
    EXPECT(queues_victim(&q, nobody_stays) == &places[1]);
    EXPECT_EQ(places[30].queue, QUEUE_MAIN);
}
