/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz/analytics_blob.c - what analytics read back from their database.
 *
 * The first byte chooses tally or lists.  Nobody guesses checksums, so that the bytes are tried as
 * they came and once more with a right one.  Whatever was merged can be written and read again.
 */
#include "analytics/blob.h"

#include "base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LONGEST = 65536 };

/* What was read is something that could have been counted. */
static void
check_tally(const struct tally *t)
{
    static struct tally again;
    struct text out;

    (void) uniques_count(&t->visitors);
    (void) histogram_percentile(&t->took, 0.99);
    text_init(&out, blob_tally_max());
    blob_write_tally(t, &out);
    CHECK(!out.full);
    tally_clear(&again);
    CHECK(blob_merge_tally(text_slice(&out), &again));
    CHECK(memcmp(again.numbers, t->numbers, sizeof(again.numbers)) == 0);
    CHECK(memcmp(&again.visitors, &t->visitors, sizeof(again.visitors)) == 0);
    text_free(&out);
}

static void
try_tally(struct slice bytes)
{
    static struct tally t;

    tally_clear(&t);
    if (blob_merge_tally(bytes, &t))
        check_tally(&t);
}

static void
check_lists(struct period *p)
{
    struct text out;

    for (unsigned d = 0; d < DIMENSIONS; d++) {
        size_t n = top_list(&p->tops[d], p->order);

        for (size_t i = 0; i < n; i++)
            CHECK(p->order[i]->n > 0 && p->order[i]->n <= dimensions[d].shape.text);
    }
    text_init(&out, blob_lists_max(1000));
    blob_write_lists(p, 1000, &out);
    CHECK(!out.full);
    CHECK(blob_merge_lists(text_slice(&out), DIMENSIONS, p));
    text_free(&out);
}

static void
try_lists(struct slice bytes)
{
    static struct period *p;

    if (!p)
        p = period_new(PERIOD_SCALE_MIN, false);
    CHECK(p != NULL);
    period_clear(p);
    if (blob_merge_lists(bytes, DIMENSIONS, p))
        check_lists(p);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    void (*try)(struct slice bytes) = size > 0 && data[0] % 2 ? try_lists : try_tally;
    struct text sealed;

    if (size < 1 || size > LONGEST)
        return 0;
    text_init(&sealed, LONGEST + 64);
    text_put(&sealed, slice_of((const char *) data + 1, size - 1));
    try(text_slice(&sealed));
    blob_seal(&sealed);
    try(text_slice(&sealed));
    text_free(&sealed);
    return 0;
}
