/* SPDX-License-Identifier: Apache-2.0 */
#include "exchange/body.h"

#include "base/check.h"
#include "base/test.h"

/* Gives chunks of three bytes, `left` times, then `end`. */
struct drip {
    struct body base;
    int         left;
    enum err    end;
    int         closed;
};

static enum err
drip_next(struct body *b, struct slice *chunk)
{
    struct drip *d = container_of(b, struct drip, base);

    if (d->left == 0)
        return d->end;
    d->left--;
    *chunk = SLICE("abc");
    return OK;
}

static void
drip_close(struct body *b)
{
    container_of(b, struct drip, base)->closed++;
}

static const struct body_ops drip_ops = {.next = drip_next, .close = drip_close};

static struct drip
drip(int chunks, enum err end)
{
    return (struct drip){{.ops = &drip_ops, .length = BODY_LENGTH_UNKNOWN}, chunks, end, 0};
}

TEST(a_slice_comes_in_one_chunk)
{
    struct arena arena;
    struct body *b;
    struct slice chunk;

    arena_init(&arena, NULL, 0, 4096);
    b = body_from_slice(&arena, SLICE("hello"));
    EXPECT_EQ(b->length, 5);
    EXPECT(b->trailers == NULL);
    EXPECT_EQ(body_next(b, &chunk), OK);
    EXPECT_STR(chunk, "hello");
    EXPECT_EQ(body_next(b, &chunk), ERR_END);
    EXPECT_EQ(body_next(b, &chunk), ERR_END);
    body_close(b);
    arena_free(&arena);
}

TEST(an_empty_slice_is_at_its_end)
{
    struct arena arena;
    struct body *b;
    struct slice chunk;

    arena_init(&arena, NULL, 0, 4096);
    b = body_from_slice(&arena, SLICE(""));
    EXPECT_EQ(b->length, 0);
    EXPECT_EQ(body_next(b, &chunk), ERR_END);
    body_close(b);
    arena_free(&arena);
}

TEST(out_of_memory_is_no_body)
{
    struct arena arena;

    arena_init(&arena, NULL, 0, 0);
    EXPECT(body_from_slice(&arena, SLICE("x")) == NULL);
    body_close(NULL);
}

TEST(discarding_stops_at_the_limit)
{
    struct drip d = drip(3, ERR_END);

    EXPECT_EQ(body_discard(&d.base, 9), OK);
    d = drip(3, ERR_END);
    EXPECT_EQ(body_discard(&d.base, 8), ERR_LIMIT);
    d = drip(0, ERR_END);
    EXPECT_EQ(body_discard(&d.base, 0), OK);
    EXPECT_EQ(d.closed, 0);
}

TEST(discarding_tells_how_a_body_broke_off)
{
    struct drip d = drip(2, ERR_RESET);

    EXPECT_EQ(body_discard(&d.base, 100), ERR_RESET);
}
