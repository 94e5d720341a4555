/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/list.h - doubly linked rings, the links inside the members.
 *
 * The head is a link of its own; an empty list's head points at itself.  A member that is in no
 * list has links that point at itself too (list_init), so that list_remove() may be called at any
 * time.
 */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include "base/check.h"

#include <stdbool.h>

struct list {
    struct list *next, *prev;
};

static inline void
list_init(struct list *l)
{
    l->next = l->prev = l;
}

static inline bool
list_is_empty(const struct list *l)
{
    return l->next == l;
}

static inline void
list_insert_after(struct list *where, struct list *member)
{
    member->next = where->next;
    member->prev = where;
    where->next->prev = member;
    where->next = member;
}

/* As a stack: list_push puts in front. */
static inline void
list_push(struct list *head, struct list *member)
{
    list_insert_after(head, member);
}

/* As a queue: list_append puts at the end. */
static inline void
list_append(struct list *head, struct list *member)
{
    list_insert_after(head->prev, member);
}

static inline void
list_remove(struct list *member)
{
    member->prev->next = member->next;
    member->next->prev = member->prev;
    list_init(member);
}

/* The first member taken out, NULL when there is none. */
static inline struct list *
list_pop(struct list *head)
{
    struct list *first = head->next;

    if (first == head)
        return NULL;
    list_remove(first);
    return first;
}

/* The last member taken out, NULL when there is none. */
static inline struct list *
list_pop_last(struct list *head)
{
    struct list *last = head->prev;

    if (last == head)
        return NULL;
    list_remove(last);
    return last;
}

/* All members of from go to the end of to; from is empty afterwards. */
static inline void
list_splice(struct list *to, struct list *from)
{
    if (list_is_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

#define list_entry(link, type, member) container_of(link, type, member)

/* Safe against removal of the current member. */
#define list_each(link, head)                                                                     \
    for (struct list *link = (head)->next, *link##_next = link->next; link != (head);             \
         link = link##_next, link##_next = link->next)

#endif
