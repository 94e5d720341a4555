/* SPDX-License-Identifier: Apache-2.0 */
/* main/client/event_stream.c - lines, and events of lines. */
#include "main/client/event_stream.h"

void
event_stream_init(struct event_stream *e,
                  void (*got)(void *arg, struct slice name, struct slice data), void *arg)
{
    *e = (struct event_stream){.got = got, .arg = arg};
    text_init(&e->line, EVENT_STREAM_LINE_MAX);
    text_init(&e->data, EVENT_STREAM_LINE_MAX);
}

void
event_stream_free(struct event_stream *e)
{
    text_free(&e->line);
    text_free(&e->data);
}

/* An empty line: what was gathered is an event, if it has data. */
static void
dispatch(struct event_stream *e)
{
    struct slice name = e->name_n ? slice_of(e->name, e->name_n) : SLICE("message");

    if (e->data.n)
        e->got(e->arg, name, slice_first(text_slice(&e->data), e->data.n - 1));
    e->data.n = 0;
    e->name_n = 0;
}

static void
take_line(struct event_stream *e)
{
    struct slice value = text_slice(&e->line), name = slice_cut(&value, ':');

    if (e->line.n == 0) {
        dispatch(e);
        return;
    }
    if (slice_starts(value, SLICE(" ")))
        value = slice_from(value, 1);
    if (slice_eq(name, SLICE("data"))) {
        text_put(&e->data, value);
        text_byte(&e->data, '\n');
    } else if (slice_eq(name, SLICE("event"))) {
        e->name_n = value.n < sizeof(e->name) ? value.n : sizeof(e->name);
        if (e->name_n)
            memcpy(e->name, value.at, e->name_n);
    }
    e->line.n = 0;
}

bool
event_stream_feed(struct event_stream *e, struct slice bytes)
{
    for (size_t i = 0; i < bytes.n; i++) {
        bool joined = bytes.at[i] == '\n' && e->after_return;

        e->after_return = bytes.at[i] == '\r';
        if (bytes.at[i] != '\n' && bytes.at[i] != '\r')
            text_byte(&e->line, bytes.at[i]);
        else if (!joined)
            take_line(e);
    }
    return !e->line.full && !e->data.full;
}
