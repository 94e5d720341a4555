/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/esi/part.h - what of a page was read and is not sent: parts, in order.  Private to
 * esi; page.c reads and gives out, part.c keeps.
 */
#ifndef MIDDLEWARE_ESI_PART_H
#define MIDDLEWARE_ESI_PART_H

#include "middleware/esi/esi.h"

enum {
    ESI_PART_COST = 512, /* of memory, roughly, beside its bytes */
    ESI_EXCEPTS_MAX = 8, /* inside of each other: functions that call themselves settle them */
};

enum esi_part_kind { ESI_PART_TEXT, ESI_PART_FRAGMENT, ESI_PART_TRY };

struct esi_part {
    struct list          link;
    enum esi_part_kind   kind;
    struct esi_queue     text;
    struct esi_fragment *fragment;
    bool                 goes_on;
    /* An attempt: */
    struct list          parts;
    struct text          except;   /* source */
    bool                 complete; /* its end was read */
    bool                 excepted; /* parts are those of `except` */
    unsigned             level;    /* so many excepts it stands in */
    struct esi_part     *outer;    /* the attempt that it stands in */
};

/* Where parts are added: to the list, or to the innermost attempt that is open. */
struct esi_builder {
    struct list      *list;
    struct esi_part **open; /* of who builds; points at NULL outside of attempts */
    unsigned          level;
};

void esi_part_drop(struct esi_page *p, struct esi_part *part);
/* All of a list, and what is in them. */
void esi_parts_drop(struct esi_page *p, struct list *parts);
/* NULL: there is none. */
struct esi_part *esi_part_first(const struct list *parts);
/* Adds what an event says; when that cannot be, the page is stopped. */
void esi_build(struct esi_page *p, struct esi_builder *b, const struct esi_event *event);

/* The document goes no further; what was read of it before goes out. */
void esi_page_stop(struct esi_page *p, enum err e);
void esi_page_stop_at_limit(struct esi_page *p, const void *field, const char *name,
                            const char *what);
/* For a fragment that has failed. */
void esi_page_stop_for(struct esi_page *p, const struct esi_fragment *f);

#endif
