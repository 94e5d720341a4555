/* SPDX-License-Identifier: Apache-2.0 */
#include "http/accept_encoding.h"

#include "base/test.h"

static struct arena arena;

static struct accept_encoding
accepted(const char *one, const char *two)
{
    struct accept_encoding a;
    struct fields f;

    arena_init(&arena, NULL, 0, 65536);
    fields_init(&f, &arena, 4, 8);
    if (one)
        fields_add(&f, FIELD_ACCEPT_ENCODING, slice_str(one));
    if (two)
        fields_add(&f, FIELD_ACCEPT_ENCODING, slice_str(two));
    accept_encoding_parse(&a, &f);
    arena_free(&arena);
    return a;
}

static unsigned
q(const char *field, const char *coding)
{
    struct accept_encoding a = accepted(field, NULL);

    return accept_encoding_q(&a, slice_str(coding));
}

TEST(names_count_fully_and_weights_in_thousandths)
{
    EXPECT_EQ(q("gzip, br;q=0.5, zstd;q=0.125", "gzip"), 1000);
    EXPECT_EQ(q("gzip, br;q=0.5, zstd;q=0.125", "br"), 500);
    EXPECT_EQ(q("gzip, br ; Q=0.5 , zstd;q=0.125", "BR"), 500);
    EXPECT_EQ(q("gzip, br;q=0.5, zstd;q=0.125", "zstd"), 125);
    EXPECT_EQ(q("gzip;q=1.000;x=y", "gzip"), 1000);
    EXPECT_EQ(q("gzip;level=3;q=0.2", "gzip"), 200);
    EXPECT_EQ(q("gzip;q=0", "gzip"), 0);
    EXPECT_EQ(q("x-gzip", "gzip"), 1000);
    EXPECT_EQ(q("gzip", "x-gzip"), 1000);
}

TEST(who_says_nothing_takes_the_plain_form_only)
{
    EXPECT_EQ(q(NULL, "gzip"), 0);
    EXPECT_EQ(q("", "gzip"), 0);
    EXPECT_EQ(q(NULL, "identity"), 1000);
    EXPECT_EQ(q("gzip", "identity"), 1000);
    EXPECT_EQ(q("gzip", "br"), 0);
}

TEST(the_star_is_for_what_is_not_named)
{
    EXPECT_EQ(q("*", "br"), 1000);
    EXPECT_EQ(q("gzip;q=0.3, *;q=0.1", "gzip"), 300);
    EXPECT_EQ(q("gzip;q=0.3, *;q=0.1", "zstd"), 100);
    EXPECT_EQ(q("gzip, *;q=0", "identity"), 0);
    EXPECT_EQ(q("gzip, identity;q=0.2, *;q=0", "identity"), 200);
    EXPECT_EQ(q("identity;q=0", "identity"), 0);
}

TEST(what_is_malformed_is_left_out)
{
    static const char *const bad[] = {"br;q=2",   "br;q=1.001", "br;q=0.1234", "br;q=",
                                      "br;q=-1", "br;q=.5",    "b r",         "br;q=0.x"};

    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        EXPECT_EQ(q(bad[i], "br"), 0);
    EXPECT_EQ(q("br;q=2, gzip", "gzip"), 1000);
    EXPECT_EQ(q(";q=1, ,gzip", "gzip"), 1000);
}

TEST(several_fields_are_one_list_and_have_a_bound)
{
    struct accept_encoding a = accepted("gzip;q=0.5", "br");

    EXPECT_EQ(accept_encoding_q(&a, SLICE("gzip")), 500);
    EXPECT_EQ(accept_encoding_q(&a, SLICE("br")), 1000);
    a = accepted("a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t", NULL);
    EXPECT_EQ(a.n, ACCEPT_ENCODING_MAX);
    EXPECT_EQ(accept_encoding_q(&a, SLICE("p")), 1000);
    EXPECT_EQ(accept_encoding_q(&a, SLICE("q")), 0);
}

TEST(codings_come_off_last_first)
{
    struct slice codings = SLICE("gzip , identity, br,, X-GZIP ,");

    EXPECT_STR(content_encoding_last(&codings), "gzip");
    EXPECT_STR(content_encoding_last(&codings), "br");
    EXPECT_STR(content_encoding_last(&codings), "gzip");
    EXPECT(!slice_is_present(content_encoding_last(&codings)));
    codings = SLICE("identity");
    EXPECT(!slice_is_present(content_encoding_last(&codings)));
    codings = SLICE("");
    EXPECT(!slice_is_present(content_encoding_last(&codings)));
}
