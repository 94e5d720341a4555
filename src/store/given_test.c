/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store/given_test.c - who has been given pages of a body keeps what was in them, whatever becomes
 * of the object.
 */
#include "base/test.h"
#include "store/testing.h"

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

enum { BYTES = 256 * 1024 };

static struct store *s;
static int ends[2];

/* The whole pages of the body, put into the pipe by reference; returns how many bytes, *from: the
 * offset of the first. */
static size_t
give(uint64_t number, size_t *from)
{
    struct store_object *o;
    struct slice chunk;
    size_t given = 0;

    CHECK(pipe(ends) == 0 && fcntl(ends[1], F_SETPIPE_SZ, 2 * BYTES) > 0);
    CHECK(store_ask(s, testing_key(s, number), false, &o) == STORE_HIT);
    atomic_store(store_given(o), true);
    CHECK(store_read(o, 0, 0, &chunk) == OK);
    *from = -(uintptr_t) chunk.at & 4095;
    while (*from + given < chunk.n) {
        struct iovec page = {(char *) chunk.at + *from + given, chunk.n - *from - given};
        ssize_t n;

        page.iov_len &= ~(size_t) 4095;
        n = page.iov_len ? vmsplice(ends[1], &page, 1, SPLICE_F_NONBLOCK) : 0;
        if (n <= 0)
            break;
        given += (size_t) n;
    }
    store_leave(o);
    return given;
}

/* So many others, all of them as popular. */
static void
fill(uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        testing_put(s, 1000 + i, BYTES, NULL);
        for (int asked = 0; asked < 4; asked++)
            testing_has(s, 1000 + i);
    }
}

/* Found no more, and nobody has it: with its pages given away, or as if they were not. */
static void
let_go(uint64_t number, bool given)
{
    struct store_object *o;

    store_ask(s, testing_key(s, number), false, &o);
    atomic_store(store_given(o), given);
    store_remove(o);
    store_leave(o);
}

static bool
is_still(uint64_t number, size_t from, size_t n)
{
    char bytes[4096];

    close(ends[1]);
    while (n) {
        ssize_t got = read(ends[0], bytes, sizeof(bytes));

        if (got <= 0)
            break;
        for (ssize_t i = 0; i < got; i++, from++)
            if (bytes[i] != testing_byte(number, from))
                n = SIZE_MAX;
        if (n == SIZE_MAX)
            break;
        n -= (size_t) got;
    }
    close(ends[0]);
    return n == 0;
}

/* Memory that is not given away is used again as it is: without that this test would prove
 * nothing. */
TEST(pages_that_were_not_given_change)
{
    size_t from, n;

    s = testing_store(4 * MIB);
    EXPECT(testing_put(s, 1, BYTES, NULL));
    n = give(1, &from);
    EXPECT(n >= BYTES / 2);
    let_go(1, false);
    fill(40);
    EXPECT(!is_still(1, from, n));
    store_drop(s);
}

TEST(given_pages_stay_when_the_object_is_removed)
{
    size_t from, n;

    s = testing_store(4 * MIB);
    EXPECT(testing_put(s, 1, BYTES, NULL));
    n = give(1, &from);
    EXPECT(n >= BYTES / 2);
    let_go(1, true);
    fill(40);
    EXPECT(is_still(1, from, n));
    store_drop(s);
}

TEST(given_pages_stay_when_the_object_is_driven_out)
{
    size_t from, n;

    s = testing_store(4 * MIB);
    EXPECT(testing_put(s, 1, BYTES - 100, NULL));
    n = give(1, &from);
    fill(200);
    EXPECT(!testing_has(s, 1));
    EXPECT(is_still(1, from, n));
    store_drop(s);
}

/* A renewed object takes over the body of the one before. */
TEST(given_pages_stay_when_a_renewed_object_goes)
{
    const struct store_facts facts = {.length = BYTES};
    struct store_object *old, *fresh;
    size_t from, n;

    s = testing_store(4 * MIB);
    EXPECT(testing_put(s, 1, BYTES, NULL));
    EXPECT_EQ(store_ask(s, testing_key(s, 1), false, &old), STORE_HIT);
    EXPECT_EQ(store_refill(old, &fresh), STORE_MISS);
    EXPECT_EQ(store_renew(fresh, old, SLICE("head"), &facts), OK);
    store_leave(old);
    store_leave(fresh);
    n = give(1, &from);
    EXPECT(n >= BYTES / 2);
    fill(200);
    EXPECT(!testing_has(s, 1));
    EXPECT(is_still(1, from, n));
    store_drop(s);
}
