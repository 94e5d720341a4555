/* SPDX-License-Identifier: Apache-2.0 */
/* main/client/event_stream_test.c - the same events, however the stream is cut. */
#include "main/client/event_stream.h"

#include "base/check.h"
#include "base/test.h"

#include <stdlib.h>

static void
note(void *arg, struct slice name, struct slice data)
{
    text_printf(arg, "%.*s=%.*s;", SLICE_ARG(name), SLICE_ARG(data));
}

/* What was understood, the stream fed in pieces of so many bytes. */
static bool
understands(const char *stream, size_t piece, const char *wanted)
{
    struct slice rest = slice_str(stream);
    struct event_stream e;
    struct text heard;
    bool good;

    text_init(&heard, 4096);
    event_stream_init(&e, note, &heard);
    while (rest.n) {
        CHECK(event_stream_feed(&e, slice_first(rest, piece)));
        rest = slice_from(rest, piece);
    }
    good = slice_eq(text_slice(&heard), slice_str(wanted));
    event_stream_free(&e);
    text_free(&heard);
    return good;
}

TEST(events_come_whole)
{
    static const struct {
        const char *stream, *wanted;
    } cases[] = {
        {"event: tick\ndata: {}\n\n", "tick={};"},
        {"event:tick\r\ndata:{}\r\n\r\n", "tick={};"},
        {"event: tick\rdata: {}\r\r", "tick={};"},
        {"data: a\ndata: b\n\n", "message=a\nb;"},
        {"data:  a\n\n", "message= a;"},
        {": a comment\n\ndata: a\n\n: another\n\n", "message=a;"},
        {"event: tick\n\ndata: a\n\n", "message=a;"},
        {"id: 1\nretry: 5\nnonsense\ndata\n\n", "message=;"},
        {"event: a\ndata: 1\n\nevent: b\ndata: 2\n\ndata: cut", "a=1;b=2;"},
    };

    for (size_t i = 0; i < countof(cases); i++)
        for (size_t piece = 1; piece < 12; piece++)
            EXPECT(understands(cases[i].stream, piece, cases[i].wanted));
}

TEST(a_line_has_an_end)
{
    char *much = malloc(EVENT_STREAM_LINE_MAX + 1);
    struct event_stream e;
    struct text heard;

    CHECK(much);
    memset(much, 'x', EVENT_STREAM_LINE_MAX + 1);
    text_init(&heard, 16);
    event_stream_init(&e, note, &heard);
    EXPECT(event_stream_feed(&e, slice_of(much, EVENT_STREAM_LINE_MAX)));
    EXPECT(!event_stream_feed(&e, slice_of(much, 1)));
    event_stream_free(&e);
    text_free(&heard);
    free(much);
}
