/* SPDX-License-Identifier: Apache-2.0 */
#include "analytics/top.h"

#include "analytics/testing.h"
#include "base/test.h"

#include <stdio.h>

static const struct top_shape filtered = {256, 16384, 16}, merged = {256, 0, 16};
static const struct top_counts one = {1, 0, 10, 5};

static struct top
make(const struct top_shape *shape)
{
    struct top t;

    top_init(&t, shape, calloc(1, top_bytes(shape)));
    return t;
}

/* Everything lies behind the groups. */
static void
drop(struct top *t)
{
    free(t->groups);
}

static struct slice
key_of(uint32_t number, char text[16])
{
    return slice_of(text, (size_t) snprintf(text, 16, "/%u", number));
}

static uint32_t
number_of(const struct top_entry *e)
{
    uint64_t number = 0;

    (void) slice_to_u64(slice_from(top_key(e), 1), UINT32_MAX, &number);
    return (uint32_t) number;
}

static void
add_number(struct top *t, uint32_t number)
{
    char text[16];

    top_add(t, key_of(number, text), &one);
}

static uint64_t
requests_of(const struct top *t, uint32_t number)
{
    const struct top_entry *list[256];
    size_t n = top_list(t, list);
    char text[16];

    for (size_t i = 0; i < n; i++)
        if (slice_eq(top_key(list[i]), key_of(number, text)))
            return list[i]->counts.requests;
    return 0;
}

TEST(few_keys_are_counted_exactly)
{
    struct top t = make(&filtered);
    const struct top_entry *list[256];

    for (uint32_t i = 0; i < 10000; i++)
        add_number(&t, i % 50 < 20 ? 0 : i % 50);
    EXPECT_EQ(top_list(&t, list), 31);
    EXPECT_STR(top_key(list[0]), "/0");
    EXPECT_EQ(list[0]->counts.requests, 4000);
    EXPECT_EQ(list[0]->counts.bytes, 40000);
    EXPECT_EQ(list[0]->counts.took_us, 20000);
    for (size_t i = 1; i < 31; i++)
        EXPECT(list[i]->counts.requests == 200 && list[i]->within == 0);
    EXPECT_EQ(top_unseen(&t, list, 31, 31), 0);
    EXPECT_EQ(top_unseen(&t, list, 31, 1), 200);
    drop(&t);
}

TEST(cleared_it_is_as_new)
{
    struct top t = make(&filtered);
    const struct top_entry *list[256];

    for (uint32_t i = 0; i < 5000; i++)
        add_number(&t, i);
    top_clear(&t);
    EXPECT_EQ(top_list(&t, list), 0);
    add_number(&t, 7);
    EXPECT_EQ(top_list(&t, list), 1);
    EXPECT_EQ(list[0]->counts.requests, 1);
    EXPECT_EQ(top_unseen(&t, list, 1, 1), 0);
    drop(&t);
}

TEST(what_it_tells_is_within_the_bounds_that_it_tells)
{
    enum { KEYS = 20000, N = 200000 };
    struct top t = make(&filtered);
    static uint32_t exact[KEYS + 1];
    const struct top_entry *list[256];
    struct dice d;
    size_t n;

    dice_init(&d, 1);
    for (size_t i = 0; i < N; i++) {
        uint32_t number = testing_zipf(&d, KEYS);

        exact[number]++;
        add_number(&t, number);
    }
    n = top_list(&t, list);
    EXPECT(n > 240);
    for (size_t i = 0; i < n; i++) {
        uint32_t number = number_of(list[i]);
        uint64_t told = list[i]->counts.requests, is = exact[number];

        EXPECT(told <= is + list[i]->within && is <= told + list[i]->within);
        exact[number] = 0;
    }
    for (size_t i = 1; i <= KEYS; i++)
        EXPECT(exact[i] <= top_unseen(&t, list, n, n));
    drop(&t);
}

/* ------------------------------------------------------------------ against Space-Saving */

/* As published, with a slow search for the smallest. */
struct plain {
    uint32_t keys[256], counts[256];
};

static void
plain_add(struct plain *p, uint32_t key)
{
    size_t least = 0;

    for (size_t i = 0; i < 256; i++) {
        if (p->keys[i] == key) {
            p->counts[i]++;
            return;
        }
        if (p->counts[i] < p->counts[least])
            least = i;
    }
    p->keys[least] = key;
    p->counts[least]++;
}

static uint64_t
plain_count(const struct plain *p, uint32_t key)
{
    for (size_t i = 0; i < 256; i++)
        if (p->keys[i] == key)
            return p->counts[i];
    return 0;
}

static double
off(uint64_t told, uint64_t is)
{
    return is ? fabs((double) told - (double) is) / (double) is : 0;
}

/* Every second key is one of a scan, which comes once.  What becomes popular late is counted
 * too. */
TEST(a_scan_disturbs_it_less_than_space_saving)
{
    enum { KEYS = 5000, N = 400000, TOP = 40 };
    struct top t = make(&filtered);
    static struct plain plain;
    static uint32_t exact[KEYS + 1];
    double worst = 0, plain_worst = 0;
    struct dice d;

    dice_init(&d, 2);
    for (uint32_t i = 0; i < N; i++) {
        uint32_t number = i % 2 ? 1000000 + i : testing_zipf(&d, KEYS);

        if (number == 10 && i < N / 2)
            number = 11;
        if (number <= KEYS)
            exact[number]++;
        add_number(&t, number);
        plain_add(&plain, number);
    }
    for (uint32_t i = 1; i <= TOP; i++) {
        worst = fmax(worst, off(requests_of(&t, i), exact[i]));
        plain_worst = fmax(plain_worst, off(plain_count(&plain, i), exact[i]));
    }
    printf("# worst of the first %d: %.2f %%, Space-Saving %.0f %%\n", TOP, worst * 100,
           plain_worst * 100);
    EXPECT(worst < 0.05);
    EXPECT(worst < plain_worst / 10);
    drop(&t);
}

/* ------------------------------------------------------------------ merging */

static void
merge(struct top *into, const struct top *from, size_t most)
{
    const struct top_entry *list[256];
    size_t n = top_list(from, list), shorter = n < most ? n : most;

    top_merge_begin(into, top_unseen(from, list, n, shorter));
    for (size_t i = 0; i < shorter; i++)
        top_merge(into, top_key(list[i]), &list[i]->counts, list[i]->within);
    top_merge_end(into);
}

TEST(merging_adds)
{
    struct top a = make(&filtered), b = make(&filtered), sum = make(&merged);
    const struct top_entry *list[256];

    for (uint32_t i = 0; i < 300; i++) {
        add_number(&a, i % 3);
        add_number(&b, i % 2);
    }
    merge(&sum, &a, 256);
    merge(&sum, &b, 256);
    EXPECT_EQ(top_list(&sum, list), 3);
    EXPECT_EQ(requests_of(&sum, 0), 250);
    EXPECT_EQ(requests_of(&sum, 1), 250);
    EXPECT_EQ(requests_of(&sum, 2), 100);
    EXPECT_EQ(list[0]->within + sum.unseen, 0);
    EXPECT_EQ(list[0]->counts.bytes, 2500);
    drop(&a);
    drop(&b);
    drop(&sum);
}

TEST(merging_short_lists_says_how_wrong_it_may_be)
{
    enum { KEYS = 2000, MINUTES = 20 };
    struct top minute = make(&filtered), hour = make(&merged);
    static uint32_t exact[KEYS + 1];
    const struct top_entry *list[256];
    struct dice d;
    size_t n;

    dice_init(&d, 3);
    for (unsigned m = 0; m < MINUTES; m++) {
        top_clear(&minute);
        for (size_t i = 0; i < 10000; i++) {
            uint32_t number = testing_zipf(&d, KEYS);

            exact[number]++;
            add_number(&minute, number);
        }
        merge(&hour, &minute, 100);
    }
    n = top_list(&hour, list);
    for (size_t i = 0; i < n; i++) {
        uint64_t is = exact[number_of(list[i])];
        uint64_t told = list[i]->counts.requests;

        EXPECT(told <= is + list[i]->within && is <= told + list[i]->within);
    }
    for (uint32_t i = 1; i <= 20; i++)
        EXPECT(off(requests_of(&hour, i), exact[i]) < 0.01);
    EXPECT(hour.unseen > 0);
    drop(&minute);
    drop(&hour);
}

TEST(a_full_table_keeps_the_larger)
{
    const struct top_shape small = {TOP_WAYS, 0, 16};
    struct top t = make(&small);
    const struct top_entry *list[TOP_WAYS];
    char text[16];

    top_merge_begin(&t, 0);
    for (uint32_t i = 1; i <= 100; i++)
        top_merge(&t, key_of(i, text), &(struct top_counts){.requests = i % 50 + 1}, 0);
    top_merge_end(&t);
    EXPECT_EQ(top_list(&t, list), TOP_WAYS);
    for (size_t i = 0; i < TOP_WAYS; i++)
        EXPECT_EQ(list[i]->counts.requests, 50 - i / 2);
    EXPECT_EQ(t.unseen, 42);
    drop(&t);
}
