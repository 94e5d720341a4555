/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz/h1_chunked.c - the chunked coding, decoded at once and in pieces, and encoded again.
 *
 * The first byte seeds the cuts.  The cuts change neither content nor verdict nor where the message
 * ends; the content written as chunks of our own decodes to itself.
 */
#include "base/clock.h"
#include "h1_compare.h"
#include "http/h1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct decoded {
    enum h1_result result;
    enum h1_fault  fault;
    size_t         used;
    size_t         n;
    char          *content; /* room for all bytes */
};

/* cuts NULL: at once. */
static struct decoded
decode(struct slice bytes, struct dice *cuts)
{
    struct decoded d = {.result = H1_MORE, .content = malloc(bytes.n + 1)};
    struct h1_chunked c = H1_CHUNKED_START;

    CHECK(d.content);
    while (d.result == H1_MORE && d.used < bytes.n) {
        size_t most = bytes.n - d.used, n = cuts ? 1 + dice_next(cuts) % 9 : most, used;
        struct slice part = slice_of(bytes.at + d.used, n < most ? n : most), data;

        d.result = h1_chunked_next(&c, part, &data, &used, &d.fault);
        CHECK(used <= part.n && (used > 0 || d.result == H1_BAD));
        CHECK(data.n == 0 || (data.at >= part.at && data.at + data.n <= part.at + used));
        if (d.result != H1_BAD && data.n)
            memcpy(d.content + d.n, data.at, data.n);
        d.n += d.result != H1_BAD ? data.n : 0;
        d.used += used;
    }
    CHECK(d.n <= d.used);
    return d;
}

static void
check_encoding(struct slice content, struct dice *cuts)
{
    char *bytes = malloc(content.n * 7 + 10);
    size_t n = 0;
    struct decoded d;

    CHECK(bytes);
    for (size_t i = 0, take; i < content.n; i += take) {
        take = 1 + dice_next(cuts) % 40;
        take = take < content.n - i ? take : content.n - i;
        n += h1_chunk_header(bytes + n, take);
        memcpy(bytes + n, content.at + i, take);
        memcpy(bytes + n + take, "\r\n", 2);
        n += take + 2;
    }
    memcpy(bytes + n, "0\r\n", 3);
    d = decode(slice_of(bytes, n + 3), cuts);
    CHECK(d.result == H1_DONE && d.used == n + 3);
    CHECK(slice_eq(slice_of(d.content, d.n), content));
    free(d.content);
    free(bytes);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct decoded whole, pieces;
    struct slice bytes;
    struct dice cuts;

    if (size == 0)
        return 0;
    dice_init(&cuts, data[0]);
    bytes = exact_copy(slice_of((const char *) data + 1, size - 1));
    whole = decode(bytes, NULL);
    pieces = decode(bytes, &cuts);
    CHECK(whole.result == pieces.result && whole.used == pieces.used);
    CHECK(whole.result != H1_BAD || whole.fault == pieces.fault);
    CHECK(slice_eq(slice_of(whole.content, whole.n), slice_of(pieces.content, pieces.n)));
    check_encoding(bytes, &cuts);
    free(whole.content);
    free(pieces.content);
    free((char *) bytes.at);
    return 0;
}
