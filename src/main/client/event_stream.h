/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main/client/event_stream.h - reads a stream of server-sent events (WHATWG HTML, 9.2.6), in
 * whatever pieces it comes.
 */
#ifndef MAIN_CLIENT_EVENT_STREAM_H
#define MAIN_CLIENT_EVENT_STREAM_H

#include "base/text.h"

enum { EVENT_STREAM_LINE_MAX = 1024 * 1024, EVENT_STREAM_NAME_ROOM = 32 };

struct event_stream {
    /* A whole event; data: its lines, joined by line feeds. */
    void      (*got)(void *arg, struct slice name, struct slice data);
    void       *arg;
    struct text line, data;
    char        name[EVENT_STREAM_NAME_ROOM];
    size_t      name_n;
    bool        after_return; /* a line feed that comes now belongs to the line before */
};

void event_stream_init(struct event_stream *e,
                       void (*got)(void *arg, struct slice name, struct slice data), void *arg);
/* False: a line or an event is longer than EVENT_STREAM_LINE_MAX, or memory is out. */
bool event_stream_feed(struct event_stream *e, struct slice bytes);
void event_stream_free(struct event_stream *e);

#endif
