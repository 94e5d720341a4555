/* SPDX-License-Identifier: Apache-2.0 */
#include "middleware/compress/coded.h"

#include "base/check.h"
#include "base/test.h"
#include "runtime/loop.h"

/* Gives its text in pieces; says that it is ready only where the test wants that. */
struct pieces {
    struct body  body;
    struct slice rest;
    size_t       step;
    size_t       ready_for; /* pieces that are said to be in memory already */
    enum err     end;
    bool         says_ended;
    unsigned     pulled, closed;
};

static struct arena  arena;
static struct loop   loop;
static struct pieces pieces;
static char          text[300000];

static enum err
pieces_next(struct body *b, struct slice *chunk)
{
    struct pieces *p = container_of(b, struct pieces, body);

    if (p->rest.n == 0)
        return p->end;
    p->pulled++;
    *chunk = slice_first(p->rest, p->step);
    p->rest = slice_from(p->rest, chunk->n);
    if (p->ready_for)
        p->ready_for--;
    b->ready = p->ready_for > 0;
    b->ended = p->says_ended && p->rest.n == 0;
    return OK;
}

static void
pieces_close(struct body *b)
{
    container_of(b, struct pieces, body)->closed++;
}

static const struct body_ops pieces_ops = {.next = pieces_next, .close = pieces_close};

static struct coded_setup
encoding(enum coding_id id, bool eager)
{
    return (struct coded_setup){
        .ops = codings[id]->encoder(3),
        .coder = {.level = 3, .length = -1},
        .eager = eager,
        .counts = coding_counts(id),
    };
}

static struct coded_setup
decoding(enum coding_id id)
{
    return (struct coded_setup){.ops = codings[id]->decoder, .eager = true};
}

static void
begin(size_t n, size_t step, size_t ready_for)
{
    if (!loop_self())
        CHECK(loop_init(&loop, NULL, 0) == OK);
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (char) ('a' + i * i / 7 % 19);
    arena_init(&arena, NULL, 0, 4 << 20);
    pieces = (struct pieces){.rest = slice_of(text, n), .step = step, .ready_for = ready_for,
                             .end = ERR_END};
    pieces.body = (struct body){.ops = &pieces_ops, .length = BODY_LENGTH_UNKNOWN,
                                .ready = ready_for > 0};
}

static void
end(struct body *b)
{
    body_close(b);
    arena_free(&arena);
}

/* Encodes and decodes again, one body around the other. */
static struct body *
there_and_back(enum coding_id id, bool eager)
{
    struct coded_setup there = encoding(id, eager), back = decoding(id);
    struct body *b = coded_body(&arena, &pieces.body, &there);

    CHECK(b != NULL);
    b = coded_body(&arena, b, &back);
    CHECK(b != NULL);
    return b;
}

TEST(bodies_of_any_shape_go_round)
{
    static const size_t lengths[] = {1, 100, 65536, 300000}, steps[] = {7, 4096, 300000};

    for (size_t i = 0; i < 2 * CODING_COUNT * countof(lengths) * countof(steps); i++) {
        size_t length = lengths[i / 2 / CODING_COUNT % countof(lengths)], n = 0;
        size_t step = steps[i / 2 / CODING_COUNT / countof(lengths)];
        struct slice chunk;
        struct body *b;
        enum err e;

        if (length / step > 2000)
            continue;
        begin(length, step, i % 3);
        pieces.says_ended = i & 1;
        b = there_and_back(i / 2 % CODING_COUNT, i & 1);
        while ((e = body_next(b, &chunk)) == OK) {
            EXPECT(chunk.n && n + chunk.n <= length && memcmp(text + n, chunk.at, chunk.n) == 0);
            n += chunk.n;
        }
        EXPECT_EQ(e, ERR_END);
        EXPECT_EQ(n, length);
        EXPECT_EQ(body_next(b, &chunk), ERR_END);
        end(b);
        EXPECT_EQ(pieces.closed, 1);
        EXPECT_EQ(coder_count(), 0);
    }
}

TEST(a_stream_is_not_held_back)
{
    for (enum coding_id id = 0; id < CODING_COUNT; id++) {
        struct body *b;
        struct slice chunk;

        begin(1000, 100, 0);
        b = there_and_back(id, true);
        for (unsigned i = 1; i <= 10; i++) {
            EXPECT_EQ(body_next(b, &chunk), OK);
            EXPECT_EQ(chunk.n, 100);
            EXPECT_EQ(pieces.pulled, i); /* the next piece was not waited for */
        }
        EXPECT_EQ(body_next(b, &chunk), ERR_END);
        end(b);
    }
}

TEST(what_is_in_memory_is_taken_together)
{
    struct coded_setup setup = encoding(CODING_ZSTD, true);
    struct body *b;
    struct slice chunk;

    begin(1000, 100, 6);
    b = coded_body(&arena, &pieces.body, &setup);
    EXPECT(b->ready);
    EXPECT_EQ(body_next(b, &chunk), OK);
    EXPECT_EQ(pieces.pulled, 6);
    EXPECT(!b->ready && !b->ended);
    end(b);
}

TEST(a_document_waits_until_it_is_worth_it)
{
    struct coded_setup setup = encoding(CODING_GZIP, false);
    struct slice chunk;
    struct body *b;

    begin(20000, 100, 0);
    pieces.says_ended = true;
    b = coded_body(&arena, &pieces.body, &setup);
    EXPECT(!b->ready);
    EXPECT_EQ(body_next(b, &chunk), OK);
    EXPECT_EQ(pieces.pulled, 200);
    EXPECT(b->ended);
    end(b);
}

TEST(a_small_one_is_made_at_once_and_knows_its_length)
{
    struct coded_setup setup = encoding(CODING_GZIP, false);
    uint64_t messages = coding_counts(CODING_GZIP)->messages;
    struct slice chunk;
    struct body *b;

    begin(20000, 5000, 0);
    setup.coder.length = 20000;
    b = coded_body(&arena, &pieces.body, &setup);
    coded_complete(b);
    EXPECT(b->ready && b->length > 20);
    EXPECT_EQ(coder_count(), 0);
    EXPECT_EQ(body_next(b, &chunk), OK);
    EXPECT_EQ(chunk.n, b->length);
    EXPECT(b->ended);
    EXPECT_EQ(body_next(b, &chunk), ERR_END);
    EXPECT_EQ(coding_counts(CODING_GZIP)->messages, messages + 1);
    end(b);
}

/* One that does not fit comes in parts like any other. */
TEST(a_large_one_is_begun)
{
    static const struct coder_setup one = {.level = 1, .length = -1};
    struct coded_setup setup = encoding(CODING_ZSTD, false);
    static char noise[200000];
    struct slice chunk;
    struct body *b;
    size_t n = 0;
    enum err e;

    (void) one;
    begin(1, 1, 0);
    random_bytes(noise, sizeof(noise));
    pieces.rest = slice_of(noise, sizeof(noise));
    pieces.step = 60000;
    b = coded_body(&arena, &pieces.body, &setup);
    coded_complete(b);
    EXPECT(b->ready && b->length == BODY_LENGTH_UNKNOWN);
    while ((e = body_next(b, &chunk)) == OK)
        n += chunk.n;
    EXPECT_EQ(e, ERR_END);
    EXPECT(n > sizeof(noise));
    end(b);
}

TEST(what_breaks_off_breaks_off)
{
    struct coded_setup setup = encoding(CODING_GZIP, false);
    struct slice chunk;
    struct body *b;
    enum err e;

    begin(30000, 5000, 0);
    pieces.end = ERR_RESET;
    b = coded_body(&arena, &pieces.body, &setup);
    while ((e = body_next(b, &chunk)) == OK)
        EXPECT(!b->ended);
    EXPECT_EQ(e, ERR_RESET);
    EXPECT_EQ(body_next(b, &chunk), ERR_RESET);
    end(b);
    EXPECT_EQ(coder_count(), 0);
}

static enum err told;

static void
tell(void *arg, enum err e)
{
    *(enum err *) arg = e;
}

/* Encodes `n` bytes of one letter and decodes under these limits. */
static enum err
bomb(size_t n, uint64_t max_bytes, uint64_t max_ratio, uint64_t *came)
{
    struct coded_setup there = encoding(CODING_ZSTD, false), back = decoding(CODING_ZSTD);
    struct slice chunk;
    struct body *b;
    enum err e;

    begin(sizeof(text), sizeof(text), 0);
    memset(text, 'x', sizeof(text));
    back.max_bytes = max_bytes;
    back.max_ratio = max_ratio;
    back.failed = tell;
    back.arg = &told;
    told = OK;
    *came = 0;
    b = coded_body(&arena, coded_body(&arena, &pieces.body, &there), &back);
    while ((e = body_next(b, &chunk)) == OK) {
        *came += chunk.n;
        if (pieces.rest.n == 0 && *came + sizeof(text) < n && *came % sizeof(text) == 0)
            break;
    }
    end(b);
    return e;
}

TEST(a_bomb_does_not_go_off)
{
    uint64_t came;

    EXPECT_EQ(bomb(300000, 0, 0, &came), ERR_END);
    EXPECT_EQ(came, 300000);
    EXPECT_EQ(told, OK);
    EXPECT_EQ(bomb(300000, 100000, 0, &came), ERR_LIMIT);
    EXPECT(came < 100000 + 65536);
    EXPECT_EQ(told, ERR_LIMIT);
    EXPECT_EQ(bomb(300000, 300000, 10, &came), ERR_END); /* too little to mind */
}

TEST(a_ratio_counts_from_a_mebibyte_on)
{
    struct coded_setup back = decoding(CODING_GZIP);
    static char zeros[4 << 20];
    struct slice encoded = coder_encode_whole(&coding_gzip, 6, slice_of(zeros, sizeof(zeros)),
                                              100000), chunk;
    struct body *b;
    uint64_t came = 0;
    enum err e;

    EXPECT(encoded.n > 1000);
    begin(1, 1, 0);
    pieces.rest = encoded;
    pieces.step = 100;
    back.max_ratio = 100;
    b = coded_body(&arena, &pieces.body, &back);
    while ((e = body_next(b, &chunk)) == OK)
        came += chunk.n;
    EXPECT_EQ(e, ERR_LIMIT);
    EXPECT(came > 1000000 && came < 1200000);
    end(b);
    __builtin_free((char *) encoded.at);
}

TEST(a_small_body_is_gathered_first)
{
    struct coded_setup setup = encoding(CODING_ZSTD, false);
    struct slice chunk;
    struct body *b;

    begin(70000, 900, 0);
    pieces.body.length = 70000;
    b = coded_gather(&arena, &pieces.body, 80000);
    EXPECT(b != &pieces.body && b->ready && b->length == 70000);
    EXPECT_EQ(body_next(b, &chunk), OK);
    EXPECT(chunk.n == 70000 && memcmp(chunk.at, text, 70000) == 0 && b->ended);
    EXPECT_EQ(body_next(b, &chunk), ERR_END);
    coded_gathered_forget(b);
    end(b);
    EXPECT_EQ(pieces.closed, 1);

    begin(70000, 900, 0);
    pieces.body.length = 70000;
    EXPECT(coded_gather(&arena, &pieces.body, 69999) == &pieces.body);
    pieces.end = ERR_RESET;
    b = coded_gather(&arena, &pieces.body, 80000);
    b = coded_body(&arena, b, &setup);
    coded_complete(b);
    EXPECT_EQ(b->length, BODY_LENGTH_UNKNOWN);
    while (body_next(b, &chunk) == OK)
        EXPECT(!b->ended);
    EXPECT_EQ(body_next(b, &chunk), ERR_RESET);
    end(b);
}
