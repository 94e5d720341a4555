/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz/range.c - Range, Content-Range, and lists of entity tags.
 *
 * The first byte chooses what is parsed, and of what length the whole is.  Whatever somebody asks
 * for, the parts are few, ascending, apart from each other, and inside.
 */
#include "http/range.h"
#include "base/check.h"
#include "http/condition.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_round_trip(const struct range *r, uint64_t length)
{
    char memory[80];
    struct range_content c;
    struct text text;

    text_fixed(&text, memory, sizeof(memory));
    range_content_write(&text, r, length);
    CHECK(!text.full && range_content_parse(text_slice(&text), &c));
    CHECK(c.range.offset == r->offset && c.range.length == r->length);
    CHECK(c.has_length && c.length == length);
}

static void
check_range(struct slice bytes, uint64_t length)
{
    struct range_set set;
    uint64_t end = 0;

    switch (range_parse(bytes, length, &set)) {
    case RANGE_WHOLE: return;
    case RANGE_UNSATISFIABLE: CHECK(set.n == 0); return;
    case RANGE_PARTS: break;
    }
    CHECK(set.n >= 1 && set.n <= RANGE_PARTS_MAX);
    for (size_t i = 0; i < set.n; i++) {
        const struct range *r = &set.at[i];

        CHECK(r->length >= 1 && r->offset < length && r->length <= length - r->offset);
        CHECK(i == 0 || r->offset > end + RANGE_GAP_BYTES);
        end = r->offset + r->length;
        check_round_trip(r, length);
    }
}

static void
check_content_range(struct slice bytes)
{
    struct range_content c;

    if (!range_content_parse(bytes, &c))
        return;
    CHECK(c.range.length || (c.has_length && c.range.offset == 0));
    CHECK(!c.has_length || !c.range.length || c.range.offset + c.range.length <= c.length);
    if (c.range.length && c.has_length)
        check_round_trip(&c.range, c.length);
}

static void
check_etags(struct slice bytes)
{
    struct slice rest = bytes, tag;
    size_t before = bytes.n + 1;

    while (etag_next(&rest, &tag)) {
        CHECK(tag.n > 0 && tag.at >= bytes.at && tag.at + tag.n <= bytes.at + bytes.n);
        CHECK(rest.n < before && rest.at + rest.n == bytes.at + bytes.n);
        CHECK(etag_equals_weakly(tag, tag) || slice_eq(tag, SLICE("W/")));
        CHECK(!etag_equals_strongly(tag, tag) || etag_equals_weakly(tag, tag));
        before = rest.n;
    }
    CHECK(rest.n == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint64_t lengths[] = {0, 1, 1000, 1000000, INT64_MAX};
    struct slice bytes;
    char *copy;

    if (size == 0)
        return 0;
    copy = malloc(size);
    CHECK(copy);
    memcpy(copy, data + 1, size - 1);
    bytes = slice_of(copy, size - 1);
    switch (data[0] % 8) {
    case 5: check_content_range(bytes); break;
    case 6:
    case 7: check_etags(bytes); break;
    default: check_range(bytes, lengths[data[0] % 8]); break;
    }
    free(copy);
    return 0;
}
