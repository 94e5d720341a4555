/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main/events.h - reads a stream of server-sent events (WHATWG HTML, 9.2.6), in whatever pieces it
 * comes.
 */
#ifndef MAIN_EVENTS_H
#define MAIN_EVENTS_H

#include "base/text.h"

enum { EVENTS_LINE_MAX = 1024 * 1024, EVENTS_NAME_ROOM = 32 };

struct events {
    /* A whole event; data: its lines, joined by line feeds. */
    void      (*got)(void *arg, struct slice name, struct slice data);
    void       *arg;
    struct text line, data;
    char        name[EVENTS_NAME_ROOM];
    size_t      name_n;
    bool        after_return; /* a line feed that comes now belongs to the line before */
};

void events_init(struct events *e, void (*got)(void *arg, struct slice name, struct slice data),
                 void *arg);
/* False: a line or an event is longer than EVENTS_LINE_MAX, or memory is out. */
bool events_feed(struct events *e, struct slice bytes);
void events_free(struct events *e);

#endif
