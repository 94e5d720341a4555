/* SPDX-License-Identifier: Apache-2.0 */
/* middleware/esi/expression_test.c - what conditions say of a request. */
#include "middleware/esi/expression.h"

#include "base/test.h"
#include "exchange/testing.h"

enum verdict { NO, YES, BAD };

static enum verdict
verdict(const char *source)
{
    struct exchange *x =
        testing_exchange("GET", "http://example.com/?n=5&v=1.50&w=word", "Cookie",
                         "group=Advanced", "Accept-Language", "de", NULL);
    bool value, good = esi_expression_test(slice_str(source), x, &x->arena, &value);

    testing_exchange_free(x);
    return good ? (value ? YES : NO) : BAD;
}

TEST(comparisons)
{
    EXPECT_EQ(verdict("$(HTTP_COOKIE{group})=='Advanced'"), YES);
    EXPECT_EQ(verdict("$(HTTP_COOKIE{group}) != 'Advanced'"), NO);
    EXPECT_EQ(verdict("'Advanced' == $(HTTP_COOKIE{group})"), YES);
    EXPECT_EQ(verdict("'a' < 'b'"), YES);
    EXPECT_EQ(verdict("'a'>='b'"), NO);
    EXPECT_EQ(verdict("'a' <= 'a'"), YES);
}

TEST(numbers_are_compared_as_numbers)
{
    EXPECT_EQ(verdict("$(QUERY_STRING{n}) < 10"), YES);
    EXPECT_EQ(verdict("$(QUERY_STRING{n}) > '10'"), NO);
    EXPECT_EQ(verdict("$(QUERY_STRING{v}) == 1.5"), YES);
    EXPECT_EQ(verdict("-2 < -1"), YES);
    EXPECT_EQ(verdict("$(QUERY_STRING{w}) < 10"), NO); /* as text */
    EXPECT_EQ(verdict("9999999999999 > 1"), YES);      /* too long for one: as text */
}

TEST(joints_and_brackets)
{
    EXPECT_EQ(verdict("1==1 & 1==2 | 1==1"), YES);
    EXPECT_EQ(verdict("1==1 && (1==2 || 1==3)"), NO);
    EXPECT_EQ(verdict("!(1==2)"), YES);
    EXPECT_EQ(verdict("!!(1==2)"), NO);
    EXPECT_EQ(verdict("! 1==2"), YES);
}

TEST(what_is_there)
{
    EXPECT_EQ(verdict("$(HTTP_COOKIE{group})"), YES);
    EXPECT_EQ(verdict("$(HTTP_COOKIE{none})"), NO);
    EXPECT_EQ(verdict("!$(HTTP_COOKIE{none})"), YES);
    EXPECT_EQ(verdict("$(HTTP_COOKIE{none}) == ''"), NO);
    EXPECT_EQ(verdict("$(HTTP_COOKIE{none}) != 'x'"), NO);
    EXPECT_EQ(verdict("$(HTTP_ACCEPT_LANGUAGE{de})"), YES);
    EXPECT_EQ(verdict("$(HTTP_ACCEPT_LANGUAGE{fr})"), NO);
    EXPECT_EQ(verdict("$(HTTP_ACCEPT_LANGUAGE{fr}) == 'false'"), YES);
    EXPECT_EQ(verdict("true"), YES);
    EXPECT_EQ(verdict("false"), NO);
}

TEST(parts)
{
    EXPECT_EQ(verdict("$(HTTP_COOKIE{group}) has 'van'"), YES);
    EXPECT_EQ(verdict("$(HTTP_COOKIE{group}) has 'VAN'"), NO);
    EXPECT_EQ(verdict("$(HTTP_COOKIE{group}) has_i 'VAN'"), YES);
    EXPECT_EQ(verdict("$(HTTP_COOKIE{group}) has_i 'nothing'"), NO);
}

TEST(what_is_no_expression)
{
    static const char *const sources[] = {
        "", "==", "1==", "(1==1", "1==1)", "'open", "$(HTTP_HOST", "word", "1 1", "&", "1==1 &",
        "!", "$()",
    };

    for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++)
        EXPECT_EQ(verdict(sources[i]), BAD);
}

TEST(nesting_has_a_bound)
{
    char deep[3 * ESI_EXPRESSION_DEPTH_MAX];

    memset(deep, '(', sizeof deep);
    deep[sizeof deep - 1] = '\0';
    EXPECT_EQ(verdict(deep), BAD);
}
