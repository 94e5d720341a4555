/* SPDX-License-Identifier: Apache-2.0 */
#include "http/cache_rules.h"

#include "base/test.h"
#include "base/text.h"
#include "http/testing_cache.h"

static struct slice
joined(const struct fields *f)
{
    static struct text t;

    text_free(&t);
    text_init(&t, 4096);
    for (size_t i = 0; i < f->n; i++)
        text_printf(&t, "%.*s: %.*s|", SLICE_ARG(f->at[i].name), SLICE_ARG(f->at[i].value));
    return text_slice(&t);
}

TEST(conditions_of_the_client_go_and_ours_come)
{
    struct fields *f = cache_test_fields(
        "If-None-Match: \"x\"\nIf-Match: *\nIf-Modified-Since: d\nIf-Unmodified-Since: d\n"
        "Range: bytes=0-1\nIf-Range: \"x\"\nAccept: a");

    EXPECT(cache_conditions_set(f, cache_test_fields("ETag: W/\"1\"\nLast-Modified: then")));
    EXPECT_STR(joined(f), "Accept: a|If-None-Match: W/\"1\"|If-Modified-Since: then|");
    cache_conditions_drop(f);
    EXPECT_STR(joined(f), "Accept: a|");
    EXPECT(!cache_conditions_set(f, cache_test_fields("Age: 1")));
    EXPECT_STR(joined(f), "Accept: a|");
    EXPECT(cache_conditions_set(f, cache_test_fields("Last-Modified: then")));
    EXPECT_STR(joined(f), "Accept: a|If-Modified-Since: then|");
}

static bool
confirms(const char *kept, const char *newer)
{
    return cache_confirms(cache_test_fields(kept), cache_test_fields(newer));
}

TEST(a_304_is_about_what_is_kept)
{
    EXPECT(confirms("ETag: \"1\"", "ETag: \"1\""));
    EXPECT(confirms("ETag: \"1\"", "ETag: W/\"1\""));
    EXPECT(confirms("ETag: W/\"1\"", "Date: x"));
    EXPECT(!confirms("ETag: \"1\"", "ETag: \"2\""));
    EXPECT(!confirms("ETag: \"1\"\nLast-Modified: a", "ETag: \"2\"\nLast-Modified: a"));
    EXPECT(confirms("Last-Modified: a", "Last-Modified: a"));
    EXPECT(!confirms("Last-Modified: a", "Last-Modified: b"));
    EXPECT(confirms("Last-Modified: a", "ETag: \"1\""));
}

TEST(a_304_that_varies_by_something_else_confirms_nothing)
{
    EXPECT(confirms("Vary: a, B", "Vary: b,A"));
    EXPECT(confirms("Vary: a", "Date: x"));
    EXPECT(!confirms("Vary: a", "Vary: a, b"));
    EXPECT(!confirms("Date: x", "Vary: a"));
    EXPECT(!confirms("Vary: a", "Vary: *"));
    EXPECT(!confirms("Date: x", "Vary: *"));
}

TEST(head_confirms_by_length_and_validators)
{
    const struct fields *kept = cache_test_fields("ETag: \"1\"\nLast-Modified: a");

    EXPECT(cache_head_confirms(kept, 5, cache_test_fields("Content-Length: 5\nETag: \"1\"")));
    EXPECT(cache_head_confirms(kept, 5, cache_test_fields("Last-Modified: a")));
    EXPECT(!cache_head_confirms(kept, 5, cache_test_fields("Content-Length: 6")));
    EXPECT(!cache_head_confirms(kept, 5, cache_test_fields("Content-Length: x")));
    EXPECT(!cache_head_confirms(kept, 5, cache_test_fields("ETag: \"2\"")));
    EXPECT(!cache_head_confirms(kept, 5, cache_test_fields("Last-Modified: b")));
}

static struct fields *
updated(const char *kept, const char *newer)
{
    struct fields *out = cache_test_fields("");
    const struct fields *n = cache_test_fields(newer);
    struct cache_control said;

    cache_control_of_response(n, NULL, 0, &said);
    return cache_update(cache_test_fields(kept), n, &said, out) ? out : NULL;
}

TEST(newer_fields_replace_all_of_their_name)
{
    struct fields *f = updated("A: 1\nX: old\nx: older\nDate: then\nETag: \"1\"",
                               "X: new\nDATE: now\nX: newer");

    EXPECT(f != NULL);
    EXPECT_STR(joined(f), "A: 1|ETag: \"1\"|X: new|DATE: now|X: newer|");
}

TEST(fields_about_the_bytes_and_the_person_stay)
{
    struct fields *f = updated(
        "Content-Type: a\nContent-Length: 5\nVary: a",
        "Content-Type: b\nContent-Length: 0\nContent-Encoding: gzip\nContent-Range: x\n"
        "Set-Cookie: a=b\nAge: 7\nKeep-Alive: 1\nMine: 1\nCache-Control: private=mine\nVary: A");

    EXPECT(f != NULL);
    EXPECT_STR(joined(f), "Content-Type: a|Content-Length: 5|Vary: a|Cache-Control: private=mine|");
}

TEST(no_room_for_an_update)
{
    struct cache_control said;
    struct fields *small = cache_test_fields("");
    const struct fields *newer = cache_test_fields("B: 1");

    cache_control_of_response(newer, NULL, 0, &said);
    small->max = 1;
    EXPECT(!cache_update(cache_test_fields("A: 1"), newer, &said, small));
}

TEST(a_message_without_date_gets_one)
{
    struct fields *f = cache_test_fields("A: 1");

    EXPECT(cache_date(f, 784111777));
    EXPECT_STR(joined(f), "A: 1|Date: Sun, 06 Nov 1994 08:49:37 GMT|");
    EXPECT(cache_date(f, 0));
    EXPECT_STR(joined(f), "A: 1|Date: Sun, 06 Nov 1994 08:49:37 GMT|");
    f = cache_test_fields("Date: soon");
    EXPECT(cache_date(f, 784111777));
    EXPECT_STR(joined(f), "Date: Sun, 06 Nov 1994 08:49:37 GMT|");
}

TEST(unsafe_methods_invalidate_when_they_succeed)
{
    EXPECT(cache_invalidates(METHOD_POST, 200));
    EXPECT(cache_invalidates(METHOD_OTHER, 204));
    EXPECT(cache_invalidates(METHOD_DELETE, 302));
    EXPECT(!cache_invalidates(METHOD_PUT, 404));
    EXPECT(!cache_invalidates(METHOD_PUT, 500));
    EXPECT(!cache_invalidates(METHOD_GET, 200));
    EXPECT(!cache_invalidates(METHOD_OPTIONS, 200));
}
