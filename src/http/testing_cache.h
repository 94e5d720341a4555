/* SPDX-License-Identifier: Apache-2.0 */
/* http/testing_cache.h - for tests only: fields and times in one line. */
#ifndef HTTP_TESTING_CACHE_H
#define HTTP_TESTING_CACHE_H

#include "http/date.h"
#include "http/message.h"

#include <stdio.h>

/* Some sets of fields at once, made of "Name: value\nName: value"; the ninth replaces the first. */
static inline struct fields *
cache_test_fields(const char *text)
{
    static struct fields sets[8];
    static struct arena arenas[8];
    static unsigned next;
    unsigned i = next++ % 8;
    struct slice rest;

    if (next > 8)
        arena_free(&arenas[i]);
    arena_init(&arenas[i], NULL, 0, 1u << 20);
    fields_init(&sets[i], &arenas[i], 0, 100);
    rest = arena_copy(&arenas[i], slice_str(text));
    while (slice_is_present(rest) && rest.n) {
        struct slice value = slice_cut(&rest, '\n'), name = slice_cut(&value, ':');

        fields_add_named(&sets[i], name, slice_trim(value));
    }
    return &sets[i];
}

#endif
