/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz/grpc_text.c - gRPC-Web's letters: whole, in pieces of any size, and written again.
 *
 * The first byte of the input is how many letters and how many bytes are handed over at a time.
 */
#include "middleware/grpc_text.h"
#include "base/check.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
    char *bytes;
    size_t n;
    bool good;
};

static struct outcome
decode(struct slice letters, size_t step, size_t room)
{
    struct grpc_text_decoder d = {0};
    struct outcome o = {malloc(letters.n + room), 0, true};

    CHECK(o.bytes);
    while (o.good && letters.n) {
        struct slice piece = slice_first(letters, step);
        size_t before = piece.n, n;

        o.good = grpc_text_decode(&d, &piece, o.bytes + o.n, room, &n);
        if (!o.good)
            break;
        CHECK(n <= room && before > piece.n); /* it gets on */
        o.n += n;
        letters = slice_from(letters, before - piece.n);
    }
    o.good = o.good && grpc_text_is_complete(&d);
    return o;
}

/* Without padding in the middle there is one text for each sequence of bytes. */
static void
check_writing(struct slice letters, const struct outcome *o)
{
    char *again = malloc(GRPC_TEXT_LETTERS(o->n) + 1);
    size_t padding = slice_find(letters, '=');

    CHECK(again);
    grpc_text_encode(slice_of(o->bytes, o->n), again);
    if (padding == SLICE_NOT_FOUND || padding + 2 >= letters.n)
        CHECK(slice_eq(slice_of(again, GRPC_TEXT_LETTERS(o->n)), letters));
    free(again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t step = size ? 1 + data[0] % 16 : 1, room = size ? 3 + data[0] / 16 : 3;
    struct slice letters = slice_of((const char *) data + (size > 0), size - (size > 0));
    struct outcome whole = decode(letters, letters.n + 1, letters.n + 3);
    struct outcome pieces = decode(letters, step, room);

    CHECK(whole.good == pieces.good);
    if (whole.good) {
        CHECK(whole.n == pieces.n && memcmp(whole.bytes, pieces.bytes, whole.n) == 0);
        check_writing(letters, &whole);
    }
    free(whole.bytes);
    free(pieces.bytes);
    return 0;
}
