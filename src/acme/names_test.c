/* SPDX-License-Identifier: Apache-2.0 */
/* acme/names_test.c - which name is what, and who may have which. */
#include "acme/names.h"

#include "base/check.h"
#include "base/test.h"

TEST(hosts_are_whole_labels)
{
    static const char *const good[] = {"a", "a.b", "xn--bcher-kva.test", "1.2.test", "a-b.c"};
    static const char *const bad[] = {"",    ".",   "a.",  ".a",  "a..b",
                                      "a_b", "*.a", "a/b", "a b", "\xC3\xA9.test"};
    char much[ACME_NAME_LONGEST + 1];

    for (size_t i = 0; i < countof(good); i++)
        EXPECT(acme_name_is_host(slice_str(good[i])));
    for (size_t i = 0; i < countof(bad); i++)
        EXPECT(!acme_name_is_host(slice_str(bad[i])));
    memset(much, 'a', sizeof(much));
    EXPECT(acme_name_is_host(slice_of(much, ACME_NAME_LONGEST)));
    EXPECT(!acme_name_is_host(slice_of(much, sizeof(much))));
}

TEST(the_wildcard_over_a_name_covers_its_first_label)
{
    char out[ACME_NAME_LONGEST + 2];

    EXPECT_STR(acme_name_wildcard_over(SLICE("www.example.com"), out), "*.example.com");
    EXPECT_STR(acme_name_wildcard_over(SLICE("a.b.c"), out), "*.b.c");
    EXPECT_STR(acme_name_wildcard_over(SLICE("localhost"), out), "");
    EXPECT_STR(acme_name_wildcard_over(SLICE("*.example.com"), out), "");
}

TEST(patterns_allow_what_they_say)
{
    struct slice list[] = {SLICE("a.test"), SLICE("*.b.test")};
    const struct option_list patterns = {list, countof(list)}, none = {NULL, 0};

    EXPECT(acme_name_is_allowed(&patterns, SLICE("a.test")));
    EXPECT(acme_name_is_allowed(&patterns, SLICE("x.b.test")));
    EXPECT(acme_name_is_allowed(&patterns, SLICE("x.y.b.test")));
    EXPECT(!acme_name_is_allowed(&patterns, SLICE("b.test")));
    EXPECT(!acme_name_is_allowed(&patterns, SLICE(".b.test")));
    EXPECT(!acme_name_is_allowed(&patterns, SLICE("xb.test")));
    EXPECT(!acme_name_is_allowed(&patterns, SLICE("x.a.test")));
    EXPECT(!acme_name_is_allowed(&patterns, SLICE("")));
    EXPECT(!acme_name_is_allowed(&none, SLICE("a.test")));
}
