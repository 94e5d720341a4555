/* SPDX-License-Identifier: Apache-2.0 */
#include "base/check.h"
#include "base/test.h"
#include "http/condition.h"

static const int64_t now_s = 1795215600; /* 2026-11-20 23:00:00 */

#define EARLIER "Fri, 20 Nov 2026 20:59:59 GMT"
#define MODIFIED "Fri, 20 Nov 2026 21:00:00 GMT"
#define LATER "Fri, 20 Nov 2026 21:00:01 GMT"

static const struct validators here = {
    .etag = SLICE_INIT("\"one\""),
    .modified_s = 1795208400,
    .has_modified = true,
    .modified_is_strong = true,
};
static const struct validators weak = {.etag = SLICE_INIT("W/\"one\"")};

/* Name and value by turns, up to a NULL. */
static struct fields
fields_of(struct arena *arena, const char *const *pairs)
{
    struct fields f;

    arena_init(arena, NULL, 0, 65536);
    fields_init(&f, arena, 8, 64);
    for (; *pairs; pairs += 2)
        CHECK(fields_add_named(&f, slice_str(pairs[0]), slice_str(pairs[1])));
    return f;
}

#define PAIRS(...) ((const char *const[]){__VA_ARGS__, NULL})

static enum condition
verdict(enum method m, const struct validators *v, const char *const *pairs)
{
    struct arena arena;
    struct fields f = fields_of(&arena, pairs);
    enum condition c = condition_check(&f, m, v, now_s);

    arena_free(&arena);
    return c;
}

static bool
range_counts(const struct validators *v, const char *value)
{
    struct arena arena;
    struct fields f = fields_of(&arena, PAIRS("If-Range", value));
    bool counts = condition_range_counts(&f, v, now_s);

    arena_free(&arena);
    return counts;
}

#define GET(...) verdict(METHOD_GET, &here, PAIRS(__VA_ARGS__))
#define PUT(...) verdict(METHOD_PUT, &here, PAIRS(__VA_ARGS__))

TEST(without_conditions_there_is_an_answer)
{
    EXPECT_EQ(GET("Accept", "*/*"), CONDITION_HOLDS);
}

TEST(who_has_it_already_is_told_so)
{
    EXPECT_EQ(GET("If-None-Match", "\"one\""), CONDITION_NOT_MODIFIED);
    EXPECT_EQ(GET("If-None-Match", "W/\"one\""), CONDITION_NOT_MODIFIED);
    EXPECT_EQ(GET("If-None-Match", "\"zero\", W/\"x,y\" ,\"one\""), CONDITION_NOT_MODIFIED);
    EXPECT_EQ(GET("If-None-Match", "\"zero\"", "If-None-Match", "\"one\""),
              CONDITION_NOT_MODIFIED);
    EXPECT_EQ(GET("If-None-Match", "*"), CONDITION_NOT_MODIFIED);
    EXPECT_EQ(GET("If-None-Match", "\"two\""), CONDITION_HOLDS);
    EXPECT_EQ(GET("If-None-Match", "\"one"), CONDITION_HOLDS);
    EXPECT_EQ(GET("If-None-Match", ""), CONDITION_HOLDS);
    EXPECT_EQ(GET("If-None-Match", "junk, \"one\""), CONDITION_NOT_MODIFIED);
    EXPECT_EQ(verdict(METHOD_HEAD, &weak, PAIRS("If-None-Match", "\"one\"")),
              CONDITION_NOT_MODIFIED);
}

TEST(a_tag_may_hold_commas_and_backslashes)
{
    struct slice list = SLICE(", \"a,b\\\" ,, W/\"c\"\t,d"), tag;

    EXPECT(etag_next(&list, &tag));
    EXPECT_STR(tag, "\"a,b\\\"");
    EXPECT(etag_next(&list, &tag));
    EXPECT_STR(tag, "W/\"c\"");
    EXPECT(etag_next(&list, &tag));
    EXPECT_STR(tag, "d");
    EXPECT(!etag_next(&list, &tag));
}

TEST(what_does_not_exist_matches_no_star)
{
    EXPECT_EQ(verdict(METHOD_PUT, NULL, PAIRS("If-None-Match", "*")), CONDITION_HOLDS);
    EXPECT_EQ(verdict(METHOD_PUT, NULL, PAIRS("If-Match", "*")), CONDITION_FAILED);
    EXPECT_EQ(PUT("If-None-Match", "*"), CONDITION_FAILED);
    EXPECT_EQ(PUT("If-Match", "*"), CONDITION_HOLDS);
}

TEST(a_change_by_others_fails)
{
    EXPECT_EQ(PUT("If-Match", "\"one\""), CONDITION_HOLDS);
    EXPECT_EQ(PUT("If-Match", "\"two\""), CONDITION_FAILED);
    EXPECT_EQ(PUT("If-Match", "W/\"one\""), CONDITION_FAILED);
    EXPECT_EQ(verdict(METHOD_PUT, &weak, PAIRS("If-Match", "W/\"one\"")), CONDITION_FAILED);
    EXPECT_EQ(PUT("If-Unmodified-Since", EARLIER), CONDITION_FAILED);
    EXPECT_EQ(PUT("If-Unmodified-Since", MODIFIED), CONDITION_HOLDS);
    EXPECT_EQ(PUT("If-Unmodified-Since", LATER), CONDITION_HOLDS);
    EXPECT_EQ(PUT("If-Unmodified-Since", "yesterday"), CONDITION_HOLDS);
    EXPECT_EQ(verdict(METHOD_PUT, &weak, PAIRS("If-Unmodified-Since", EARLIER)), CONDITION_HOLDS);
}

TEST(dates_count_for_readers_only)
{
    EXPECT_EQ(GET("If-Modified-Since", EARLIER), CONDITION_HOLDS);
    EXPECT_EQ(GET("If-Modified-Since", MODIFIED), CONDITION_NOT_MODIFIED);
    EXPECT_EQ(GET("If-Modified-Since", LATER), CONDITION_NOT_MODIFIED);
    EXPECT_EQ(GET("If-Modified-Since", "Friday, 20-Nov-26 21:00:00 GMT"), CONDITION_NOT_MODIFIED);
    EXPECT_EQ(GET("If-Modified-Since", "now"), CONDITION_HOLDS);
    EXPECT_EQ(GET("If-Modified-Since", LATER, "If-Modified-Since", LATER), CONDITION_HOLDS);
    EXPECT_EQ(PUT("If-Modified-Since", MODIFIED), CONDITION_HOLDS);
    EXPECT_EQ(verdict(METHOD_GET, &weak, PAIRS("If-Modified-Since", LATER)), CONDITION_HOLDS);
}

TEST(tags_come_before_dates)
{
    EXPECT_EQ(GET("If-None-Match", "\"two\"", "If-Modified-Since", LATER), CONDITION_HOLDS);
    EXPECT_EQ(GET("If-None-Match", "\"one\"", "If-Modified-Since", EARLIER),
              CONDITION_NOT_MODIFIED);
    EXPECT_EQ(PUT("If-Match", "\"one\"", "If-Unmodified-Since", EARLIER), CONDITION_HOLDS);
    EXPECT_EQ(GET("If-Match", "\"two\"", "If-None-Match", "\"one\""), CONDITION_FAILED);
    EXPECT_EQ(GET("If-Unmodified-Since", EARLIER, "If-None-Match", "\"one\""), CONDITION_FAILED);
}

TEST(a_range_is_of_the_version_that_the_client_has)
{
    struct validators young = here;

    EXPECT(range_counts(&here, "\"one\""));
    EXPECT(!range_counts(&here, "\"two\""));
    EXPECT(!range_counts(&here, "W/\"one\""));
    EXPECT(!range_counts(&weak, "W/\"one\""));
    EXPECT(range_counts(&here, MODIFIED));
    EXPECT(!range_counts(&here, LATER));
    EXPECT(!range_counts(&here, EARLIER));
    EXPECT(!range_counts(&here, "junk"));
    EXPECT(!range_counts(&here, ""));
    young.modified_is_strong = false;
    EXPECT(!range_counts(&young, MODIFIED));
}

TEST(validators_come_out_of_a_response)
{
    struct arena arena;
    struct fields f = fields_of(&arena, PAIRS("ETag", "\"x\"", "Last-Modified", MODIFIED, "Date",
                                              MODIFIED));
    struct validators v;

    validators_from(&f, now_s, &v);
    EXPECT_STR(v.etag, "\"x\"");
    EXPECT(v.has_modified && v.modified_s == here.modified_s && !v.modified_is_strong);
    fields_remove(&f, FIELD_DATE);
    validators_from(&f, now_s, &v);
    EXPECT(v.modified_is_strong);
    fields_set(&f, FIELD_LAST_MODIFIED, SLICE("never"));
    validators_from(&f, now_s, &v);
    EXPECT(!v.has_modified);
    arena_free(&arena);
}
