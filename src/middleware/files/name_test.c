/* SPDX-License-Identifier: Apache-2.0 */
#include "base/check.h"
#include "base/test.h"
#include "exchange/testing.h"
#include "middleware/files/files.h"

static struct files options;
static char         found[256];

/* The name, or in brackets why there is none. */
static struct slice
name_of(const char *url)
{
    struct exchange *x = testing_exchange("GET", url, NULL);
    struct slice name;
    const char *why = files_name(&options, x, &name);

    if (!why)
        CHECK(name.at[name.n] == '\0');
    snprintf(found, sizeof(found), why ? "(%s)" : "%s", why ? why : name.at);
    testing_exchange_free(x);
    return slice_str(found);
}

TEST(a_path_is_a_name_below_the_root)
{
    options = (struct files){0};
    EXPECT_STR(name_of("/a.txt"), "a.txt");
    EXPECT_STR(name_of("/a/b/c.txt?x=1"), "a/b/c.txt");
    EXPECT_STR(name_of("/a/"), "a");
    EXPECT_STR(name_of("/"), "");
    EXPECT_STR(name_of("//a//b"), "a/b");
    EXPECT_STR(name_of("/a/../b"), "b");
}

TEST(names_are_decoded)
{
    EXPECT_STR(name_of("/%C3%BC%20%25.txt"), "\xC3\xBC %.txt");
    EXPECT_STR(name_of("/a+b"), "a+b");
    EXPECT_STR(name_of("/a%3Fb"), "a?b");
}

TEST(decoding_brings_nothing_back)
{
    EXPECT_STR(name_of("/a%2fb"), "(the path has an encoded slash)");
    EXPECT_STR(name_of("/..%2f..%2fetc/passwd"), "(the path has an encoded slash)");
    EXPECT_STR(name_of("/a%5Cb"), "(the path has a zero byte or a backslash)");
    EXPECT_STR(name_of("/%252e%252e/x"), "%2e%2e/x");
}

TEST(names_with_a_dot_are_hidden)
{
    options = (struct files){0};
    EXPECT_STR(name_of("/.git/config"), "(names that begin with a dot are hidden)");
    EXPECT_STR(name_of("/a/.env"), "(names that begin with a dot are hidden)");
    EXPECT_STR(name_of("/%2Egit"), "(names that begin with a dot are hidden)");
    EXPECT_STR(name_of("/...a"), "(names that begin with a dot are hidden)");
    EXPECT_STR(name_of("/.well-known/security.txt"), ".well-known/security.txt");
    EXPECT_STR(name_of("/a/.well-known/x"), "(names that begin with a dot are hidden)");
    EXPECT_STR(name_of("/.well-known/.secret"), "(names that begin with a dot are hidden)");
    options.hidden = true;
    EXPECT_STR(name_of("/.git/config"), ".git/config");
}

TEST(a_prefix_is_taken_off)
{
    static const char *const prefixes[] = {"/assets", "/assets/"};

    for (size_t i = 0; i < countof(prefixes); i++) {
        options = (struct files){.strip_prefix = slice_str(prefixes[i])};
        EXPECT_STR(name_of("/assets/a.css"), "a.css");
        EXPECT_STR(name_of("/assets/"), "");
        EXPECT_STR(name_of("/assets"), "");
        EXPECT_STR(name_of("/assetsx/a"), "(the path is outside of strip_prefix)");
        EXPECT_STR(name_of("/other"), "(the path is outside of strip_prefix)");
    }
}

TEST(a_name_has_an_end)
{
    char url[6000];

    options = (struct files){0};
    memset(url, 'a', sizeof(url) - 1);
    url[0] = '/';
    url[sizeof(url) - 1] = '\0';
    EXPECT_STR(name_of(url), "(the path is too long for a file)");
}
