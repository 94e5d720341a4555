/* SPDX-License-Identifier: Apache-2.0 */
#include "http/accept.h"

#include "base/test.h"

static unsigned
q_of_both(const char *one, const char *two, const char *type)
{
    struct arena arena;
    struct fields f;
    unsigned q;

    arena_init(&arena, NULL, 0, 65536);
    fields_init(&f, &arena, 4, 8);
    if (one)
        fields_add(&f, FIELD_ACCEPT, slice_str(one));
    if (two)
        fields_add(&f, FIELD_ACCEPT, slice_str(two));
    q = accept_q(&f, slice_str(type));
    arena_free(&arena);
    return q;
}

static unsigned
q(const char *field, const char *type)
{
    return q_of_both(field, NULL, type);
}

TEST(types_count_fully_and_weights_in_thousandths)
{
    EXPECT_EQ(q("application/yaml;q=0.5, application/json", "application/yaml"), 500);
    EXPECT_EQ(q("application/yaml;q=0.5, application/json", "application/json"), 1000);
    EXPECT_EQ(q("Application/YAML ; charset=utf-8 ; Q=0.125", "application/yaml"), 125);
    EXPECT_EQ(q("application/yaml;q=0", "application/yaml"), 0);
    EXPECT_EQ(q("text/html", "application/json"), 0);
    EXPECT_EQ(q("application/yamls, x-application/yaml", "application/yaml"), 0);
}

TEST(yaml_goes_by_its_old_names_too)
{
    EXPECT_EQ(q("text/yaml;q=0.3", "application/yaml"), 300);
    EXPECT_EQ(q("application/X-YAML;q=0, application/*", "application/yaml"), 0);
    EXPECT_EQ(q("text/*", "application/yaml"), 0);
}

TEST(who_says_nothing_takes_everything)
{
    EXPECT_EQ(q(NULL, "text/plain"), 1000);
    EXPECT_EQ(q("", "text/plain"), 0);
}

TEST(the_range_that_fits_best_counts)
{
    static const char field[] = "*/*;q=0.1, text/plain;q=0, text/*;q=0.3, text/html;level=1;q=0.4";

    EXPECT_EQ(q(field, "application/json"), 100);
    EXPECT_EQ(q(field, "text/css"), 300);
    EXPECT_EQ(q(field, "text/html"), 400);
    EXPECT_EQ(q(field, "text/plain"), 0);
    EXPECT_EQ(q("*/json, */*;q=0.2", "application/json"), 200);
    EXPECT_EQ(q("a/b;q=0.2, a/b;version=2;q=0.7, a/b;q=0.3", "a/b"), 700);
}

TEST(several_fields_are_one_list)
{
    EXPECT_EQ(q_of_both("*/*;q=0.8", "text/html;q=0.2", "text/html"), 200);
}

TEST(what_is_malformed_is_left_out)
{
    EXPECT_EQ(q("a/b;q=high, */*;q=0.2", "a/b"), 200);
    EXPECT_EQ(q("a/b;q=1.5", "a/b"), 0);
    EXPECT_EQ(q("/*, *, ;q=1, a", "a/b"), 0);
}
