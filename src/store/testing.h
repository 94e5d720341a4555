/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store/testing.h - what tests of the room share: stores without a loop, objects in one call.
 */
#ifndef STORE_TESTING_H
#define STORE_TESTING_H

#include "base/check.h"
#include "store/store.h"

#include <stdlib.h>
#include <time.h>

#define MIB (UINT64_C(1) << 20)

/* What this thread has computed: others may keep the machine busy. */
static inline uint64_t
testing_cpu_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t) t.tv_sec * 1000000 + (uint64_t) t.tv_nsec / 1000;
}

static inline struct store *
testing_store(uint64_t memory_bytes)
{
    const struct store_options options = {.memory_bytes = memory_bytes};
    struct store *s = store_open(SLICE("test"), &options);

    CHECK(s);
    return s;
}

static inline struct store_key
testing_key(const struct store *s, uint64_t number)
{
    return store_key_of(s, &number, sizeof(number));
}

/* Byte number i of what object `number` should consist of. */
static inline char
testing_byte(uint64_t number, uint64_t i)
{
    return (char) (number * 31 + i * 7 + (i >> 8));
}

static inline void
testing_bytes(uint64_t number, uint64_t from, char *to, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = testing_byte(number, from + i);
}

/* Kept, if there is memory; its head is its number. */
static inline bool
testing_put(struct store *s, uint64_t number, size_t bytes, const struct store_facts *facts)
{
    const struct store_facts plain = {.length = (int64_t) bytes};
    struct store_object *o;
    char *body;
    bool ok;

    if (store_ask(s, testing_key(s, number), true, &o) != STORE_MISS) {
        if (o)
            store_leave(o);
        return false;
    }
    body = malloc(bytes + 1);
    testing_bytes(number, 0, body, bytes);
    ok = store_publish(o, slice_of((char *) &number, sizeof(number)), facts ? facts : &plain) ==
             OK &&
         store_append(o, slice_of(body, bytes)) == OK;
    if (ok)
        store_finish(o);
    store_leave(o);
    free(body);
    return ok;
}

/* All bytes of a complete one are right. */
static inline bool
testing_is_whole(struct store_object *o, uint64_t number, uint64_t bytes)
{
    struct slice chunk, head = store_head(o);
    uint64_t at = 0;

    if (head.n != sizeof(number) || memcmp(head.at, &number, sizeof(number)) != 0)
        return false;
    while (store_read(o, at, 0, &chunk) == OK) {
        for (size_t i = 0; i < chunk.n; i++)
            if (chunk.at[i] != testing_byte(number, at + i))
                return false;
        at += chunk.n;
    }
    return at == bytes;
}

/* It is found. */
static inline bool
testing_has(struct store *s, uint64_t number)
{
    struct store_object *o;
    enum store_outcome outcome = store_ask(s, testing_key(s, number), false, &o);

    if (o)
        store_leave(o);
    return outcome == STORE_HIT;
}

#endif
