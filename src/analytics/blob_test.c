/* SPDX-License-Identifier: Apache-2.0 */
#include "analytics/blob.h"

#include "analytics/testing.h"
#include "base/test.h"

static struct tally a, b;

static void
fill(struct tally *t, unsigned visitors, uint64_t seed)
{
    struct dice d;

    tally_clear(t);
    dice_init(&d, seed);
    for (size_t i = 0; i < TALLY_NUMBERS; i++)
        t->numbers[i] = dice_next(&d) >> (i * 4);
    for (unsigned i = 0; i < visitors; i++) {
        uniques_add(&t->visitors, dice_next(&d));
        histogram_add(&t->took, dice_next(&d) >> (24 + i % 40));
        histogram_add(&t->origin, i);
    }
}

static bool
same(const struct tally *x, const struct tally *y)
{
    return memcmp(x->numbers, y->numbers, sizeof(x->numbers)) == 0 &&
           memcmp(&x->took, &y->took, sizeof(x->took)) == 0 &&
           memcmp(&x->origin, &y->origin, sizeof(x->origin)) == 0 &&
           memcmp(&x->visitors, &y->visitors, sizeof(x->visitors)) == 0;
}

TEST(a_tally_comes_back)
{
    static const unsigned visitors[] = {0, 1, 10, 1000, 100000};
    struct text t;

    for (size_t i = 0; i < sizeof(visitors) / sizeof(*visitors); i++) {
        text_init(&t, blob_tally_max());
        fill(&a, visitors[i], i);
        blob_write_tally(&a, &t);
        EXPECT(!t.full);
        EXPECT(visitors[i] > 10 || t.n < 300);
        tally_clear(&b);
        EXPECT(blob_merge_tally(text_slice(&t), &b));
        EXPECT(same(&a, &b));
        text_free(&t);
    }
}

TEST(the_largest_tally_has_room)
{
    struct text t;

    memset(&a, 0xFF, sizeof(a));
    memset(a.visitors.registers, UNIQUES_RANK_MAX, sizeof(a.visitors.registers));
    text_init(&t, blob_tally_max());
    blob_write_tally(&a, &t);
    EXPECT(!t.full);
    tally_clear(&b);
    EXPECT(blob_merge_tally(text_slice(&t), &b));
    EXPECT(memcmp(a.numbers, b.numbers, sizeof(a.numbers)) == 0);
    text_free(&t);
}

TEST(every_changed_byte_is_found_out)
{
    struct text t;

    text_init(&t, blob_tally_max());
    fill(&a, 20, 5);
    blob_write_tally(&a, &t);
    for (size_t i = 0; i < t.n; i++) {
        t.at[i] ^= 0x10;
        EXPECT(!blob_merge_tally(text_slice(&t), &b));
        t.at[i] ^= 0x10;
        EXPECT(!blob_merge_tally(slice_first(text_slice(&t), i), &b));
    }
    EXPECT(!blob_merge_tally(SLICE(""), &b));
    EXPECT(blob_merge_tally(text_slice(&t), &b));
    text_free(&t);
}

/* ------------------------------------------------------------------ lists */

static struct period *
period_with(const char *const *paths, size_t n)
{
    struct period *p = period_new(-2, true);

    for (size_t i = 0; p && i < n; i++)
        top_add(&p->tops[DIMENSION_PATHS], slice_str(paths[i]),
                &(struct top_counts){1, i % 2, 100, 7});
    return p;
}

TEST(lists_come_back)
{
    static const char *const paths[] = {"x/", "x/", "x/a", "x/", "x/a", "x/b\xff\n"};
    struct period *p = period_with(paths, 6), *q = period_new(-2, false);
    const struct top_entry *list[1024];
    struct text t;

    EXPECT(p && q);
    top_add(&p->tops[DIMENSION_VERSIONS], SLICE("HTTP/2"), &(struct top_counts){1, 0, 0, 0});
    text_init(&t, blob_lists_max(100));
    blob_write_lists(p, 100, &t);
    EXPECT(!t.full);
    EXPECT(blob_merge_lists(text_slice(&t), DIMENSIONS, q));
    EXPECT_EQ(top_list(&q->tops[DIMENSION_PATHS], list), 3);
    EXPECT_STR(top_key(list[0]), "x/");
    EXPECT_EQ(list[0]->counts.requests, 3);
    EXPECT_EQ(list[0]->counts.errors, 2);
    EXPECT_EQ(list[0]->counts.bytes, 300);
    EXPECT_EQ(list[0]->counts.took_us, 21);
    EXPECT_STR(top_key(list[2]), "x/b\xff\n");
    EXPECT_EQ(top_list(&q->tops[DIMENSION_VERSIONS], list), 1);
    /* Again, but one list alone. */
    EXPECT(blob_merge_lists(text_slice(&t), DIMENSION_PATHS, q));
    EXPECT_EQ(top_list(&q->tops[DIMENSION_VERSIONS], list), 1);
    EXPECT_EQ(list[0]->counts.requests, 1);
    EXPECT_EQ(top_list(&q->tops[DIMENSION_PATHS], list), 3);
    EXPECT_EQ(list[0]->counts.requests, 6);
    text_free(&t);
    period_free(p);
    period_free(q);
}

TEST(lists_are_cut_and_say_so)
{
    static const char *const paths[] = {"a", "a", "a", "b", "b", "c"};
    struct period *p = period_with(paths, 6), *q = period_new(-2, false);
    const struct top_entry *list[1024];
    struct text t;

    EXPECT(p && q);
    text_init(&t, blob_lists_max(1));
    blob_write_lists(p, 1, &t);
    EXPECT(!t.full && blob_merge_lists(text_slice(&t), DIMENSIONS, q));
    EXPECT_EQ(top_list(&q->tops[DIMENSION_PATHS], list), 1);
    EXPECT_EQ(q->tops[DIMENSION_PATHS].unseen, 2);
    text_free(&t);
    period_free(p);
    period_free(q);
}

/* With a right checksum over wrong bytes. */
TEST(wrong_lists_are_refused)
{
    static const struct slice wrong[] = {
        SLICE_INIT(""),
        SLICE_INIT("\2\0"),                             /* another version */
        SLICE_INIT("\1"),                               /* no end */
        SLICE_INIT("\1\0\0"),                           /* something behind it */
        SLICE_INIT("\1\x7F\0\0\0"),                     /* no such list */
        SLICE_INIT("\1\1\0\1\0"),                       /* an empty key */
        SLICE_INIT("\1\1\0\1\5ab"),                     /* a key that is cut */
        SLICE_INIT("\1\1\0\1\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\1"), /* a number too long */
        SLICE_INIT("\1\x8\0\1\4abcd\1\0\0\0\0\0"),      /* a status of four digits */
    };
    struct period *q = period_new(-2, false);
    struct text t;

    EXPECT(q != NULL);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        text_init(&t, 100);
        text_put(&t, wrong[i]);
        blob_seal(&t);
        EXPECT(!blob_merge_lists(text_slice(&t), DIMENSIONS, q));
        text_free(&t);
    }
    period_free(q);
}
