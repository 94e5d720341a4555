/* SPDX-License-Identifier: Apache-2.0 */
#include "middleware/uri_encode.h"

#include "base/test.h"

static struct arena arena;

static struct slice
encoded(const char *text, enum uri_part part)
{
    arena_free(&arena);
    arena_init(&arena, NULL, 0, 1 << 20);
    return uri_encode(slice_str(text), part, &arena);
}

TEST(what_may_stand_is_kept_where_it_is)
{
    struct slice text = SLICE("/a-b_c.d~e/f:g@h!$&'()*+,;=[]");

    EXPECT(uri_encode(text, URI_PATH, NULL).at == text.at);
    EXPECT_STR(encoded("", URI_PATH), "");
}

TEST(each_part_has_its_own_delimiters)
{
    EXPECT_STR(encoded("/a?b#c", URI_PATH), "/a%3Fb%23c");
    EXPECT_STR(encoded("a?b#c", URI_QUERY), "a?b%23c");
    EXPECT_STR(encoded("/a?b#c", URI_WHOLE), "/a?b#c");
    arena_free(&arena);
}

TEST(spaces_controls_and_unicode_are_encoded)
{
    EXPECT_STR(encoded("/a b", URI_PATH), "/a%20b");
    EXPECT_STR(encoded("/caf\xC3\xA9", URI_PATH), "/caf%C3%A9");
    EXPECT_STR(encoded("/\xE2\x98\x83/\xF0\x9F\x98\x80", URI_WHOLE), "/%E2%98%83/%F0%9F%98%80");
    EXPECT_STR(encoded("/x\r\nSet-Cookie: a=b", URI_WHOLE), "/x%0D%0ASet-Cookie:%20a=b");
    EXPECT_STR(encoded("/\\evil\x7F\"<>^`{|}", URI_WHOLE), "/%5Cevil%7F%22%3C%3E%5E%60%7B%7C%7D");
    arena_free(&arena);
}

TEST(a_complete_encoding_is_kept_and_a_bare_percent_is_not)
{
    EXPECT_STR(encoded("/%2F%c3%A9", URI_PATH), "/%2F%c3%A9");
    EXPECT_STR(encoded("100%", URI_QUERY), "100%25");
    EXPECT_STR(encoded("%4", URI_QUERY), "%254");
    EXPECT_STR(encoded("%zz%%41", URI_QUERY), "%25zz%25%41");
    arena_free(&arena);
}

TEST(out_of_memory_is_absent)
{
    struct arena small;

    arena_init(&small, NULL, 0, 0);
    EXPECT(!slice_is_present(uri_encode(SLICE("a b"), URI_PATH, &small)));
    EXPECT_STR(uri_encode(SLICE("ab"), URI_PATH, &small), "ab");
    arena_free(&small);
}

TEST(dot_segments_are_seen_however_they_are_written)
{
    EXPECT(uri_has_dot_segment(SLICE("/a/../b")));
    EXPECT(uri_has_dot_segment(SLICE("/a/.")));
    EXPECT(uri_has_dot_segment(SLICE("..")));
    EXPECT(uri_has_dot_segment(SLICE("/%2e/x")));
    EXPECT(uri_has_dot_segment(SLICE("/.%2E")));
    EXPECT(uri_has_dot_segment(SLICE("/%2e%2E/")));
    EXPECT(!uri_has_dot_segment(SLICE("/...")));
    EXPECT(!uri_has_dot_segment(SLICE("/.well-known/a..b/c.")));
    EXPECT(!uri_has_dot_segment(SLICE("/")));
    EXPECT(!uri_has_dot_segment(SLICE("")));
}
