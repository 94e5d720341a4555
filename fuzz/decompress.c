/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz/decompress.c - decoders of gzip, br and zstd: whole and in pieces the same comes out, and
 * what comes out can be encoded and decoded again.
 *
 * The first byte of the input chooses the coding and the size of the pieces.
 */
#include "base/check.h"
#include "middleware/compress/coding.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { OUT_MAX = 1 << 20 };

static char whole[OUT_MAX], pieces[OUT_MAX], encoded[OUT_MAX + 4096];

/* What came, ERR_END when that was all; ERR_LIMIT when there is more than room. */
static enum err
run(const struct coder_ops *ops, int level, struct slice in, size_t step, char *out, size_t max,
    size_t *n)
{
    struct coder_setup setup = {.level = level, .length = -1};
    struct coder *c = coder_take(ops, &setup);
    enum err e = OK;

    CHECK(c);
    *n = 0;
    while (e == OK) {
        struct slice piece = slice_first(in, step);
        size_t before;

        in = slice_from(in, piece.n);
        do {
            struct coder_room to = {out + *n, 0, max - *n < 1000 ? max - *n : 1000};

            if (to.room < CODER_ROOM_MIN) {
                e = ERR_LIMIT;
                break;
            }
            before = piece.n;
            e = ops->step(c->state, &piece, &to, in.n ? CODER_GO_ON : CODER_FINISH);
            CHECK(to.n <= to.room && piece.n <= before);
            *n += to.n;
            if (to.n == 0 && before == piece.n && piece.n == 0)
                break;
        } while (e == OK);
        CHECK(e != OK || in.n);
    }
    coder_give(c);
    return e;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct coding *coding = codings[size ? data[0] % CODING_COUNT : 0];
    int level = coding->fastest + (size ? data[0] / CODING_COUNT % 3 : 0);
    struct slice in = slice_of((const char *) data + (size > 0), size - (size > 0));
    size_t n, m, back;
    enum err e = run(coding->decoder, 0, in, in.n + 1, whole, OUT_MAX, &n);
    enum err f = run(coding->decoder, 0, in, 1 + size % 61, pieces, OUT_MAX, &m);

    /* libzstd takes a frame that is there as a whole by another way than pieces of one: of frames
     * that are a little wrong, one may take what the other refuses. */
    CHECK(e == f || (e != ERR_END && f != ERR_END) || coding == codings[CODING_ZSTD]);
    if (e != ERR_END || f != ERR_END)
        return 0;
    CHECK(n == m && memcmp(whole, pieces, n) == 0);
    CHECK(run(coding->encoder(level), level, slice_of(whole, n), 3000, encoded, sizeof(encoded),
              &m) == ERR_END);
    CHECK(run(coding->decoder, 0, slice_of(encoded, m), 777, pieces, OUT_MAX, &back) == ERR_END);
    CHECK(back == n && memcmp(whole, pieces, n) == 0);
    return 0;
}
