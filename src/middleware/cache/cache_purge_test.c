/* SPDX-License-Identifier: Apache-2.0 */
/* middleware/cache/cache_purge_test.c - letting go without a request. */
#include "base/test.h"
#include "middleware/cache/caching.h"
#include "middleware/cache/stores.h"
#include "runtime/loop.h"

static struct loop loop;
static struct store *store;

static void
begin(void)
{
    static bool started;

    if (!started)
        CHECK(loop_init(&loop, NULL, 0) == OK);
    started = true;
    store = store_open(SLICE("some"), NULL);
}

/* As a response of that URI is kept, by any key. */
static void
put(const char *uri, const char *tag)
{
    const uint64_t tags[] = {cache_purge_uri(slice_str(uri)), store_tag_of(slice_str(tag))};
    const struct store_facts facts = {
        .length = 0, .tags = tags, .tags_n = 2, .path = slice_str(uri)};
    struct store_object *o = NULL;

    CHECK(store_ask(store, store_key_of(store, uri, strlen(uri)), true, &o) == STORE_MISS);
    CHECK(store_publish(o, SLICE("head"), &facts) == OK);
    store_finish(o);
    store_leave(o);
}

/* 0: gone, 1: there, 2: stale. */
static int
look(const char *uri)
{
    struct store_object *o = NULL;
    int found = 0;

    if (store_ask(store, store_key_of(store, uri, strlen(uri)), false, &o) == STORE_HIT)
        found = store_is_soft(o) ? 2 : 1;
    if (o)
        store_leave(o);
    return found;
}

static enum err
purge(enum cache_purge_kind kind, const char *what)
{
    return cache_stores_purge(SLICE("some"), kind, slice_str(what), false);
}

TEST(one_url_and_no_other)
{
    begin();
    put("h.test/a", "t");
    put("h.test/a?b=1", "t");
    put("h.test/ab", "t");
    put("h.test/", "t");
    EXPECT_EQ(purge(CACHE_PURGE_URL, "https://H.test:8443/a"), OK);
    EXPECT_EQ(look("h.test/a"), 0);
    EXPECT_EQ(look("h.test/a?b=1"), 1);
    EXPECT_EQ(look("h.test/ab"), 1);
    EXPECT_EQ(purge(CACHE_PURGE_URL, "http://h.test/a?b=1"), OK);
    EXPECT_EQ(look("h.test/a?b=1"), 0);
    EXPECT_EQ(purge(CACHE_PURGE_URL, "http://h.test"), OK);
    EXPECT_EQ(look("h.test/"), 0);
    EXPECT_EQ(look("h.test/ab"), 1);
    store_drop(store);
}

TEST(all_that_begins_so)
{
    begin();
    put("h.test/a/1", "t");
    put("h.test/b/1", "t");
    put("h.test.evil/a", "t");
    EXPECT_EQ(purge(CACHE_PURGE_PREFIX, "h.test/a/"), OK);
    EXPECT_EQ(look("h.test/a/1"), 0);
    EXPECT_EQ(look("h.test/b/1"), 1);
    EXPECT_EQ(purge(CACHE_PURGE_HOST, "h.test"), OK);
    EXPECT_EQ(look("h.test/b/1"), 0);
    EXPECT_EQ(look("h.test.evil/a"), 1);
    store_drop(store);
}

TEST(by_tag_or_all_and_softly)
{
    begin();
    put("h.test/1", "red");
    put("h.test/2", "blue");
    EXPECT_EQ(cache_stores_purge(SLICE("some"), CACHE_PURGE_TAG, SLICE("red"), true), OK);
    EXPECT_EQ(look("h.test/1"), 2);
    EXPECT_EQ(look("h.test/2"), 1);
    EXPECT_EQ(purge(CACHE_PURGE_ALL, ""), OK);
    EXPECT_EQ(look("h.test/1"), 0);
    EXPECT_EQ(look("h.test/2"), 0);
    store_drop(store);
}

TEST(what_is_not_understood)
{
    static const char *const urls[] = {"", "h.test/a", "ftp://h.test/a", "http:///a",
                                       "http://h.test/a#b", "http://user@h.test/", "/a"};

    begin();
    EXPECT_EQ(cache_stores_purge(SLICE("none"), CACHE_PURGE_ALL, SLICE(""), false),
              ERR_NOT_FOUND);
    for (size_t i = 0; i < countof(urls); i++)
        EXPECT_EQ(purge(CACHE_PURGE_URL, urls[i]), ERR_MALFORMED);
    EXPECT_EQ(purge(CACHE_PURGE_HOST, "h.test/a"), ERR_MALFORMED);
    EXPECT_EQ(purge(CACHE_PURGE_HOST, "h.test?"), ERR_MALFORMED);
    EXPECT_EQ(purge(CACHE_PURGE_PREFIX, "/a"), ERR_MALFORMED);
    store_drop(store);
}
