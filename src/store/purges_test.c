/* SPDX-License-Identifier: Apache-2.0 */
#include "store/purges.h"

#include "base/test.h"

#include <stdio.h>

static const uint64_t tags[] = {11, 22};
static const struct purge_facts facts = {tags, 2, SLICE_INIT("example.com/a/b?c")};

static enum verdict
measure(struct purges *p, uint64_t since)
{
    uint64_t now;

    return purges_measure(p, &facts, since, &now);
}

TEST(rules_concern_what_was_there_before)
{
    struct purges p;
    uint64_t now, before;

    purges_init(&p);
    before = purges_epoch(&p);
    EXPECT_EQ(measure(&p, before), VERDICT_KEEP);
    purges_add_tag(&p, 33, false);
    EXPECT_EQ(measure(&p, before), VERDICT_KEEP);
    purges_add_tag(&p, 22, false);
    EXPECT_EQ(purges_measure(&p, &facts, before, &now), VERDICT_HARD);
    EXPECT_EQ(now, purges_epoch(&p));
    EXPECT_EQ(measure(&p, now), VERDICT_KEEP);
    purges_exit(&p);
}

TEST(a_soft_rule_is_weaker_than_a_hard_one_whichever_is_newer)
{
    struct purges p;
    uint64_t before, between;

    purges_init(&p);
    before = purges_epoch(&p);
    purges_add_tag(&p, 11, false);
    between = purges_epoch(&p);
    purges_add_tag(&p, 11, true);
    EXPECT_EQ(measure(&p, before), VERDICT_HARD);
    EXPECT_EQ(measure(&p, between), VERDICT_SOFT);
    purges_add_all(&p, true);
    EXPECT_EQ(measure(&p, between), VERDICT_SOFT);
    purges_add_all(&p, false);
    EXPECT_EQ(measure(&p, between), VERDICT_HARD);
    purges_exit(&p);
}

TEST(prefixes_are_compared_byte_by_byte)
{
    struct purges p;
    uint64_t before;

    purges_init(&p);
    before = purges_epoch(&p);
    purges_add_prefix(&p, SLICE("example.com/a/c"), false);
    purges_add_prefix(&p, SLICE("example.com/a/b?c="), false);
    EXPECT_EQ(measure(&p, before), VERDICT_KEEP);
    purges_add_prefix(&p, SLICE("example.com/"), true);
    EXPECT_EQ(measure(&p, before), VERDICT_SOFT);
    purges_add_prefix(&p, SLICE("example.com/a/b"), false);
    EXPECT_EQ(measure(&p, before), VERDICT_HARD);
    purges_exit(&p);
}

TEST(forgotten_rules_free_their_memory_and_spare_nobody)
{
    struct purges p;
    uint64_t before, middle;

    purges_init(&p);
    before = purges_epoch(&p);
    for (uint64_t tag = 100; tag < 1100; tag++)
        purges_add_tag(&p, tag, false);
    purges_add_prefix(&p, SLICE("elsewhere/"), false);
    middle = purges_epoch(&p);
    purges_add_tag(&p, 22, true);
    EXPECT_EQ(p.tags_n, 1001);
    purges_forget(&p, middle);
    EXPECT_EQ(p.tags_n, 1);
    EXPECT_EQ(p.prefixes_n, 0);
    EXPECT(purges_any(&p));
    EXPECT_EQ(measure(&p, middle), VERDICT_SOFT);
    /* Whoever was not measured against them while they were known must go. */
    EXPECT_EQ(measure(&p, before), VERDICT_HARD);
    purges_forget(&p, purges_epoch(&p));
    EXPECT(!purges_any(&p));
    EXPECT(p.tags == NULL && p.prefixes == NULL);
    purges_exit(&p);
}

TEST(too_many_rules_become_one_about_all)
{
    struct purges p;
    uint64_t before;
    char text[32];

    purges_init(&p);
    before = purges_epoch(&p);
    for (uint64_t tag = 100; tag < 100 + PURGES_TAGS_MAX; tag++)
        purges_add_tag(&p, tag, false);
    EXPECT_EQ(measure(&p, before), VERDICT_KEEP);
    purges_add_tag(&p, 5, true);
    EXPECT_EQ(measure(&p, before), VERDICT_SOFT);
    before = purges_epoch(&p);
    for (int i = 0; i < PURGES_PREFIXES_MAX; i++) {
        int n = snprintf(text, sizeof(text), "other%d/", i);

        purges_add_prefix(&p, slice_of(text, (size_t) n), false);
    }
    EXPECT_EQ(measure(&p, before), VERDICT_KEEP);
    purges_add_prefix(&p, SLICE("one more/"), false);
    EXPECT_EQ(measure(&p, before), VERDICT_HARD);
    purges_exit(&p);
}
