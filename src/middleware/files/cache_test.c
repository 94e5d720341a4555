/* SPDX-License-Identifier: Apache-2.0 */
#include "base/check.h"
#include "base/test.h"
#include "middleware/files/files.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

/* An opened file of that number, with one user. */
static struct files_opened *
opened(unsigned number, bool with_descriptor)
{
    struct files_opened *o = calloc(1, sizeof(*o) + sizeof(number));

    CHECK(o);
    memcpy(o->memory, &number, sizeof(number));
    o->key = slice_of(o->memory, sizeof(number));
    o->users = 1;
    o->fd = with_descriptor ? open("/dev/null", O_RDONLY | O_CLOEXEC) : -1;
    CHECK(!with_descriptor || o->fd >= 0);
    list_init(&o->link);
    return o;
}

/* Kept, and used by nobody. */
static void
keep(unsigned number, bool with_descriptor)
{
    struct files_opened *o = opened(number, with_descriptor);

    files_cache_keep(o);
    files_opened_leave(o);
}

static bool
is_kept(unsigned number)
{
    struct files_opened *o =
        files_cache_find(slice_of((const char *) &number, sizeof(number)));

    if (o)
        files_opened_leave(o);
    return o != NULL;
}

TEST(what_was_kept_is_found)
{
    keep(1, false);
    keep(2, true);
    EXPECT(is_kept(1) && is_kept(2) && !is_kept(3));
    files_cache_drop();
    EXPECT(!is_kept(1) && !is_kept(2));
}

TEST(a_newer_one_takes_the_place_of_an_older_one)
{
    struct files_opened *old = opened(1, true), *new = opened(1, true), *found;

    files_cache_keep(old);
    files_cache_keep(new);
    found = files_cache_find(new->key);
    EXPECT(found == new && !old->kept);
    EXPECT(fcntl(old->fd, F_GETFD) >= 0);
    files_opened_leave(old);
    files_opened_leave(new);
    files_opened_leave(found);
    files_cache_drop();
}

TEST(what_is_used_stays_open)
{
    struct files_opened *o = opened(1, true);
    int fd = o->fd;

    files_cache_keep(o);
    files_cache_drop();
    EXPECT(is_kept(1));
    files_opened_leave(o);
    EXPECT(fcntl(fd, F_GETFD) >= 0);
    files_cache_drop();
    EXPECT(fcntl(fd, F_GETFD) < 0);
}

TEST(the_least_recently_used_goes_first)
{
    for (unsigned i = 0; i < FILES_OPENED_MAX; i++)
        keep(i, false);
    EXPECT(is_kept(0));
    keep(FILES_OPENED_MAX, false);
    EXPECT(is_kept(0) && !is_kept(1) && is_kept(2));
    files_cache_drop();
}

TEST(descriptors_are_counted_by_themselves)
{
    for (unsigned i = 0; i <= FILES_DESCRIPTORS_MAX; i++)
        keep(i, true);
    EXPECT(!is_kept(0) && is_kept(1) && is_kept(FILES_DESCRIPTORS_MAX));
    files_cache_drop();
}

TEST(memory_is_counted_by_itself)
{
    enum { FULL = FILES_MEMORY_MAX / FILES_CONTENT_BYTES };

    for (unsigned i = 0; i <= FULL; i++) {
        struct files_opened *o = opened(i, false);

        o->content = o->memory;
        o->stamp.size = FILES_CONTENT_BYTES;
        files_cache_keep(o);
        files_opened_leave(o);
    }
    EXPECT(!is_kept(0) && is_kept(1) && is_kept(FULL));
    files_cache_drop();
}

TEST(what_is_old_is_looked_at_again)
{
    uint64_t now = clock_monotonic_us();

    clock_freeze(now, 0);
    keep(1, true);
    clock_freeze(now + FILES_FRESH_US, 0);
    EXPECT(is_kept(1));
    clock_freeze(now + FILES_FRESH_US + 1, 0);
    EXPECT(!is_kept(1));
    clock_freeze(0, 0);
}

static void *
count_there(void *nothing)
{
    files_count(FILES_FOUND);
    files_count(FILES_BROKEN);
    return nothing;
}

TEST(counts_outlive_their_threads)
{
    struct files_counts before, after;
    pthread_t thread;

    files_counts_read(&before);
    files_count(FILES_FOUND);
    EXPECT_EQ(pthread_create(&thread, NULL, count_there, NULL), 0);
    EXPECT_EQ(pthread_join(thread, NULL), 0);
    files_counts_read(&after);
    EXPECT_EQ(after.found - before.found, 2);
    EXPECT_EQ(after.broken - before.broken, 1);
    EXPECT_EQ(after.opened - before.opened, 0);
}
