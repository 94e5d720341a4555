/* SPDX-License-Identifier: Apache-2.0 */
/* upstream/h2_call_test.c - what has come of a body, without a connection. */
#include "upstream/h2_link.h"

#include "base/arena.h"
#include "base/test.h"

static struct loop loop;

static void
begin(struct h2_call *call)
{
    CHECK(loop_init(&loop, NULL, 0) == OK);
    *call = (struct h2_call){0};
    list_init(&call->in_link);
}

static char
byte_at(size_t i)
{
    return (char) (i * 31 + i / 251);
}

/* n bytes more, which go on where the last ones ended. */
static bool
add(struct h2_call *call, size_t *from, size_t n)
{
    char bytes[20000];

    for (size_t i = 0; i < n; i++)
        bytes[i] = byte_at(*from + i);
    *from += n;
    return h2_call_add(call, slice_of(bytes, n));
}

/* How many of them come out right, until there are no more. */
static size_t
take_all(struct h2_call *call, size_t from)
{
    struct slice chunk;

    while ((chunk = h2_call_take(call)).n)
        for (size_t i = 0; i < chunk.n; i++, from++)
            if (chunk.at[i] != byte_at(from))
                return SIZE_MAX;
    return from;
}

TEST(bytes_come_out_as_they_went_in)
{
    static const size_t sizes[] = {1, 4096, 3, 20000, 0, 16384, 1, 1, 4095, 9000};
    struct h2_call call;
    size_t in = 0, out;
    bool more, good = true;

    begin(&call);
    for (size_t i = 0; i < countof(sizes); i++)
        good = good && add(&call, &in, sizes[i]);
    more = h2_call_has_more(&call);
    out = take_all(&call, 0);
    EXPECT(good);
    EXPECT(more);
    EXPECT_EQ(out, in);
    EXPECT(!h2_call_has_more(&call));
    h2_call_end(&call);
    loop_exit(&loop);
}

/* The reader is slower than the server, or faster. */
TEST(bytes_may_come_while_some_are_lent)
{
    struct h2_call call;
    size_t in = 0, out = 0;
    struct slice chunk;
    bool stays;

    begin(&call);
    (void) add(&call, &in, 100);
    chunk = h2_call_take(&call);
    out = chunk.n;
    for (int i = 0; i < 20; i++)
        (void) add(&call, &in, 1000);
    stays = chunk.at[0] == byte_at(0) && chunk.at[99] == byte_at(99);
    out = take_all(&call, out);
    EXPECT_EQ(chunk.n, 100);
    EXPECT(stays);
    EXPECT_EQ(out, 20100);
    (void) add(&call, &in, 5);
    EXPECT_EQ(take_all(&call, out), 20105);
    h2_call_end(&call);
    loop_exit(&loop);
}

TEST(what_has_come_outlives_the_connection)
{
    struct h2_call call;
    size_t in = 0;

    begin(&call);
    (void) add(&call, &in, 10000);
    h2_call_close(&call);
    EXPECT(call.closed);
    EXPECT_EQ(take_all(&call, 0), 10000);
    h2_call_end(&call);
    h2_call_end(&call);
    EXPECT(!call.first);
    loop_exit(&loop);
}

TEST(the_end_gives_back_what_nobody_has_taken)
{
    struct h2_call call;
    size_t in = 0;

    begin(&call);
    (void) add(&call, &in, 20000);
    (void) h2_call_take(&call);
    h2_call_end(&call);
    EXPECT(!h2_call_has_more(&call));
    EXPECT_EQ(h2_call_take(&call).n, 0);
    loop_exit(&loop);
}

TEST(without_a_connection_nothing_can_be_sent)
{
    struct h2_call call;

    begin(&call);
    EXPECT_EQ(h2_call_send_end(&call, NULL), ERR_RESET);
    call.ended = true;
    EXPECT_EQ(h2_call_send_end(&call, NULL), OK);
    loop_exit(&loop);
}
