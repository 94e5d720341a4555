/* SPDX-License-Identifier: Apache-2.0 */
#include "middleware/compress/coding.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/test.h"

#include <stdlib.h>

enum { PLAIN = 200000, ENCODED_MAX = 260000 };

static char plain[PLAIN], encoded[ENCODED_MAX], back[ENCODED_MAX];

/* Text with repetitions near and far, and some noise. */
static void
fill_plain(void)
{
    uint64_t seed = 7;

    for (size_t i = 0; i < PLAIN; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        plain[i] = i > 5000 && seed >> 60 ? plain[i - 4999] : (char) (' ' + (seed >> 33) % 90);
    }
}

/* Runs a coder with pieces of so many bytes in and out; the length of what came, or -1. */
static long
run(const struct coder_ops *ops, const struct coder_setup *setup, struct slice in, size_t step,
    size_t room, char *out)
{
    struct coder *c = coder_take(ops, setup);
    size_t n = 0;
    enum err e = OK;

    CHECK(c != NULL);
    while (e == OK && n + room <= ENCODED_MAX) {
        struct slice piece = slice_first(in, step);
        struct coder_room to = {out + n, 0, room};

        in = slice_from(in, piece.n);
        do {
            e = ops->step(c->state, &piece, &to, in.n ? CODER_GO_ON : CODER_FINISH);
            n += to.n;
            if (to.n == 0 && piece.n == 0)
                break;
            to = (struct coder_room){out + n, 0, room};
        } while (e == OK && n + room <= ENCODED_MAX);
    }
    coder_give(c);
    return e == ERR_END ? (long) n : -1;
}

static bool
goes_round(const struct coding *coding, struct coder_setup setup, struct slice text, size_t step)
{
    long n = run(coding->encoder(setup.level), &setup, text, step, 64 + step / 2, encoded), m;

    if (n < 0)
        return false;
    m = run(coding->decoder, &setup, slice_of(encoded, (size_t) n), 1 + step / 3, 64 + step, back);
    return m == (long) text.n && memcmp(back, text.at, text.n) == 0;
}

TEST(every_level_goes_round_in_pieces_of_any_size)
{
    static const size_t steps[] = {1, 63, 1000, 40000, PLAIN};

    fill_plain();
    for (size_t i = 0; i < CODING_COUNT; i++)
        for (int level = codings[i]->fastest; level <= codings[i]->best; level++)
            for (size_t s = 0; s < countof(steps); s++) {
                size_t n = level < codings[i]->heavy ? PLAIN : 20000;
                struct coder_setup setup = {.level = level, .length = level % 2 ? (long) n : -1};

                if (steps[s] < 60 && level > 5)
                    continue;
                EXPECT(goes_round(codings[i], setup, slice_of(plain, n), steps[s]));
            }
}

/* What a coder of our own has to get right: noise, runs, codes that would be too long, and several
 * blocks with distances across them. */
TEST(extreme_texts_go_round)
{
    static char text[300000];
    size_t n = 0;

    for (int kind = 0; kind < 4; kind++) {
        for (size_t i = 0; i < sizeof(text); i++)
            text[i] = kind == 1 ? 'z' : kind == 2 ? (char) (i * i >> 3) : plain[i % 32768];
        if (kind == 0)
            random_bytes(text, sizeof(text));
        for (size_t i = 0, run = 1, before = 0; kind == 3 && n + run <= sizeof(text); i++) {
            memset(text + n, (int) ('a' + i), run); /* Fibonacci: the deepest tree there is */
            n += run;
            run += before;
            before = run - before;
        }
        for (size_t i = 0; kind == 3 && i + 7919 < n; i++) {
            size_t other = i * 7919 % n;
            char swap = text[i];

            text[i] = text[other];
            text[other] = swap;
        }
        for (int level = 1; level <= 6; level++) {
            struct coder_setup setup = {.level = level, .length = -1};

            EXPECT(goes_round(&coding_gzip, setup, slice_of(text, 200000), 33333));
        }
    }
}

TEST(nothing_and_a_byte_go_round)
{
    for (size_t i = 0; i < CODING_COUNT; i++) {
        struct coder_setup setup = {.level = 3, .length = -1};

        EXPECT(goes_round(codings[i], setup, SLICE(""), 10));
        EXPECT(goes_round(codings[i], setup, SLICE("x"), 10));
    }
}

TEST(padding_makes_it_longer_and_says_nothing)
{
    for (size_t i = 0; i < CODING_COUNT; i++) {
        struct coder_setup setup = {.level = 4, .length = -1};
        struct slice text = slice_of(plain, 3000);
        long n = run(codings[i]->encoder(4), &setup, text, 3000, 9000, encoded), padded;

        setup.padding = CODER_PADDING_MAX;
        EXPECT(goes_round(codings[i], setup, text, 3000));
        EXPECT(goes_round(codings[i], setup, text, 7));
        padded = run(codings[i]->encoder(4), &setup, text, 3000, 9000, encoded);
        EXPECT(padded >= n + CODER_PADDING_MAX && padded < n + CODER_PADDING_MAX + 32);
        setup.padding = 1;
        EXPECT(goes_round(codings[i], setup, text, 3000));
    }
    {
        struct coder_setup setup = {.level = 1, .length = -1, .padding = 77};

        EXPECT(goes_round(&coding_gzip, setup, slice_of(plain, 3000), 3000));
    }
}

/* All that was put in before a flush can be read once it is out. */
TEST(a_flush_brings_out_everything)
{
    for (size_t i = 0; i < CODING_COUNT; i++) {
        for (int level = codings[i]->fastest; level <= 6; level++) {
            struct coder_setup setup = {.level = level, .length = -1};
            const struct coder_ops *ops = codings[i]->encoder(level);
            struct coder *in = coder_take(ops, &setup);
            struct coder *out = coder_take(codings[i]->decoder, &setup);

            for (size_t event = 0; event < 50; event++) {
                struct slice text = slice_of(plain + 100 * event, 1 + event), left;
                struct coder_room to = {encoded, 0, sizeof(encoded)},
                                  from = {back, 0, sizeof(back)};

                left = text;
                EXPECT_EQ(ops->step(in->state, &left, &to, CODER_GO_ON), OK);
                EXPECT_EQ(left.n, 0);
                EXPECT_EQ(ops->step(in->state, &left, &to, CODER_FLUSH), OK);
                left = slice_of(encoded, to.n);
                EXPECT_EQ(codings[i]->decoder->step(out->state, &left, &from, CODER_GO_ON), OK);
                EXPECT(slice_eq(slice_of(back, from.n), text));
            }
            coder_give(in);
            coder_give(out);
        }
    }
}

TEST(what_is_cut_or_changed_is_malformed)
{
    for (size_t i = 0; i < CODING_COUNT; i++) {
        struct coder_setup setup = {.level = 3, .length = -1};
        const struct coder_ops *decoder = codings[i]->decoder;
        long n = run(codings[i]->encoder(3), &setup, slice_of(plain, 9000), 9000, 20000, encoded);

        for (long cut = 0; cut < n; cut += 1 + cut / 7)
            EXPECT_EQ(run(decoder, &setup, slice_of(encoded, (size_t) cut), 500, 9100, back), -1);
        memcpy(encoded + n, "junk", 4);
        EXPECT_EQ(run(decoder, &setup, slice_of(encoded, (size_t) n + 4), 500, 9100, back), -1);
        EXPECT_EQ(run(decoder, &setup, SLICE("plain text, not encoded"), 500, 9100, back), -1);
        encoded[0] ^= 0x55;
        EXPECT(run(decoder, &setup, slice_of(encoded, (size_t) n), 500, 9100, back) !=
               9000 || memcmp(back, plain, 9000) != 0);
    }
}

/* Members of gzip and frames of zstd may follow each other. */
TEST(several_messages_may_make_one)
{
    static const enum coding_id ids[] = {CODING_GZIP, CODING_ZSTD};

    for (size_t i = 0; i < countof(ids); i++) {
        const struct coding *coding = codings[ids[i]];
        struct coder_setup setup = {.level = 3, .length = -1};
        long n = run(coding->encoder(3), &setup, slice_of(plain, 500), 500, 2000, encoded), m;

        m = run(coding->encoder(3), &setup, slice_of(plain + 500, 400), 400, 2000, encoded + n);
        for (size_t step = 1; step < 1000; step += 13) {
            long got = run(coding->decoder, &setup, slice_of(encoded, (size_t) (n + m)), step, 64,
                           back);

            EXPECT_EQ(got, 900);
            EXPECT(memcmp(back, plain, 900) == 0);
        }
    }
}

TEST(a_dictionary_makes_a_new_version_cheap)
{
    static const uint8_t id[32] = {1, 2, 3};
    static char earlier[60000];
    struct coder_setup setup = {.level = 3, .length = 50000};
    struct slice text = slice_of(plain + 100, 50000);
    long without = run(coding_zstd.encoder(3), &setup, text, 50000, 90000, encoded), with;

    memcpy(earlier, plain, sizeof(earlier));
    setup.dictionary = slice_of(earlier, sizeof(earlier));
    setup.dictionary_id = id;
    with = run(coding_zstd.encoder(3), &setup, text, 50000, 90000, encoded);
    EXPECT(with > 40 && with < 200 && without > 1000);
    EXPECT(memcmp(encoded, "\x5e\x2a\x4d\x18\x20\0\0\0\1\2\3", 11) == 0);
}

TEST(coders_come_back_and_few_stay)
{
    struct coder_setup setup = {.level = 3, .length = -1};
    struct coder *c = coder_take(coding_gzip.encoder(3), &setup), *many[20];

    coder_give(c);
    EXPECT(coder_take(coding_gzip.encoder(3), &setup) == c);
    EXPECT_EQ(coder_count(), 1);
    coder_give(c);
    for (size_t i = 0; i < countof(many); i++)
        EXPECT((many[i] = coder_take(coding_zstd.decoder, &setup)) != NULL);
    EXPECT_EQ(coder_count(), countof(many));
    for (size_t i = 0; i < countof(many); i++)
        coder_give(many[i]);
    EXPECT_EQ(coder_count(), 0);
}

TEST(all_at_once_or_not_at_all)
{
    struct coder_setup setup = {.level = 3, .length = -1};

    for (size_t i = 0; i < CODING_COUNT; i++) {
        struct slice whole = coder_encode_whole(codings[i], codings[i]->best,
                                                slice_of(plain, 20000), 20000);

        EXPECT(whole.n > 100 && whole.n < 20000);
        EXPECT_EQ(run(codings[i]->decoder, &setup, whole, 5000, 20000, back), 20000);
        free((char *) whole.at);
        whole = coder_encode_whole(codings[i], codings[i]->best, slice_of(plain, 20000), 50);
        EXPECT(!slice_is_present(whole));
    }
}

TEST(codings_have_names)
{
    EXPECT(coding_named(SLICE("BR")) == &coding_br);
    EXPECT(coding_named(SLICE("zstd")) == &coding_zstd);
    EXPECT(coding_named(SLICE("deflate")) == NULL);
}
