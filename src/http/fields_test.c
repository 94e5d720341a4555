/* SPDX-License-Identifier: Apache-2.0 */
#include "base/test.h"
#include "http/message.h"

static _Alignas(16) char memory[16384];
static struct arena arena;

/* "Name: value|Name: value" becomes fields. */
static struct fields
make(const char *text)
{
    struct slice rest = slice_str(text);
    struct fields f;

    arena_init(&arena, memory, sizeof(memory), 0);
    fields_init(&f, &arena, 2, 64);
    while (slice_is_present(rest)) {
        struct slice value = slice_cut(&rest, '|');
        struct slice name = slice_cut(&value, ':');

        fields_add_named(&f, name, slice_trim(value));
    }
    return f;
}

/* And back, into static memory. */
static struct slice
show(const struct fields *f)
{
    static char out[4096];
    char *p = out;

    for (size_t i = 0; i < f->n; i++) {
        if (i)
            *p++ = '|';
        memcpy(p, f->at[i].name.at, f->at[i].name.n);
        p += f->at[i].name.n;
        *p++ = ':';
        *p++ = ' ';
        memcpy(p, f->at[i].value.at, f->at[i].value.n);
        p += f->at[i].value.n;
    }
    return slice_of(out, (size_t) (p - out));
}

TEST(fields_keep_their_order_and_spelling)
{
    struct fields f = make("hOST: a|X-One: 1|accept: */*|X-one: 2");

    EXPECT_EQ(f.n, 4);
    EXPECT_STR(show(&f), "hOST: a|X-One: 1|accept: */*|X-one: 2");
    EXPECT_EQ(f.at[0].id, FIELD_HOST);
    EXPECT_EQ(f.at[1].id, FIELD_OTHER);
}

TEST(fields_are_found_by_number_and_by_name)
{
    struct fields f = make("Host: a|X-One: 1|Accept: */*|x-ONE: 2|Via: v|via: w");

    EXPECT_STR(fields_value(&f, FIELD_HOST), "a");
    EXPECT_STR(fields_value(&f, FIELD_VIA), "v");
    EXPECT(!slice_is_present(fields_value(&f, FIELD_DATE)));
    EXPECT(fields_get(&f, FIELD_DATE) == NULL);
    EXPECT(fields_get(&f, FIELD_ACCEPT) == &f.at[2]);
    EXPECT(fields_find(&f, SLICE("ACCEPT")) == &f.at[2]);
    EXPECT(fields_find(&f, SLICE("x-one")) == &f.at[1]);
    EXPECT(fields_find(&f, SLICE("x-two")) == NULL);
    EXPECT(fields_find(&f, SLICE("date")) == NULL);
    EXPECT(fields_has(&f, FIELD_VIA) && !fields_has(&f, FIELD_DATE));
}

TEST(next_walks_over_those_of_one_name)
{
    struct fields f = make("Via: v|X-One: 1|via: w|x-ONE: 2");
    const struct field *first = fields_next(&f, NULL, SLICE("VIA"));
    const struct field *one = fields_next(&f, NULL, SLICE("X-ONE"));

    EXPECT(first == &f.at[0]);
    EXPECT(fields_next(&f, first, SLICE("VIA")) == &f.at[2]);
    EXPECT(fields_next(&f, &f.at[2], SLICE("VIA")) == NULL);
    EXPECT(one == &f.at[1]);
    EXPECT(fields_next(&f, one, SLICE("X-ONE")) == &f.at[3]);
    EXPECT(fields_next(&f, &f.at[3], SLICE("X-ONE")) == NULL);
}

TEST(set_replaces_the_first_and_drops_the_others)
{
    struct fields f = make("Via: 1|A: x|Via: 2|B: y|VIA: 3|a: z");

    EXPECT(fields_set(&f, FIELD_VIA, SLICE("new")));
    EXPECT_STR(show(&f), "Via: new|A: x|B: y|a: z");
    EXPECT(fields_has(&f, FIELD_VIA));
    EXPECT(fields_set_named(&f, SLICE("A"), SLICE("q")));
    EXPECT_STR(show(&f), "Via: new|A: q|B: y");
    EXPECT(fields_set(&f, FIELD_DATE, SLICE("now")));
    EXPECT(fields_set_named(&f, SLICE("C"), SLICE("c")));
    EXPECT(fields_set_named(&f, SLICE("server"), SLICE("s")));
    EXPECT_STR(show(&f), "Via: new|A: q|B: y|Date: now|C: c|server: s");
    EXPECT(fields_has(&f, FIELD_SERVER));
}

TEST(remove_takes_all_of_a_name)
{
    struct fields f = make("Via: 1|A: x|Via: 2|B: y|a: z");

    EXPECT_EQ(fields_remove(&f, FIELD_VIA), 2);
    EXPECT(!fields_has(&f, FIELD_VIA));
    EXPECT_EQ(fields_remove(&f, FIELD_VIA), 0);
    EXPECT_EQ(fields_remove_named(&f, SLICE("A")), 2);
    EXPECT_EQ(fields_remove_named(&f, SLICE("A")), 0);
    EXPECT_EQ(fields_remove_named(&f, SLICE("date")), 0);
    EXPECT_STR(show(&f), "B: y");
    EXPECT_EQ(fields_remove_named(&f, SLICE("b")), 1);
    EXPECT_EQ(f.n, 0);
}

TEST(what_is_too_late_in_trailers_is_removed)
{
    struct fields f = make("ETag: e|Set-Cookie: a|X-Sum: 1|content-length: 5|Connection: X-Sum|"
                           "X-Sum: 2|Set-Cookie: b|Transfer-Encoding: chunked|grpc-status: 0");

    EXPECT(!fields_may_trail(&f));
    fields_remove_late(&f);
    EXPECT_STR(show(&f), "ETag: e|X-Sum: 1|X-Sum: 2|grpc-status: 0");
    EXPECT(fields_may_trail(&f) && fields_has(&f, FIELD_ETAG));
    EXPECT(!fields_has(&f, FIELD_SET_COOKIE) && !fields_has(&f, FIELD_CONTENT_LENGTH));
    fields_remove_late(&f);
    EXPECT_EQ(f.n, 4);
    f = make("Cache-Control: no-store");
    fields_remove_late(&f);
    EXPECT_EQ(f.n, 0);
}

TEST(fields_grow_up_to_their_maximum)
{
    struct fields f;

    arena_init(&arena, memory, sizeof(memory), 0);
    fields_init(&f, &arena, 0, 11);
    for (int i = 0; i < 11; i++)
        EXPECT(fields_add(&f, FIELD_VIA, SLICE("x")));
    EXPECT(!f.overflow);
    EXPECT(!fields_add(&f, FIELD_VIA, SLICE("x")));
    EXPECT(f.overflow);
    EXPECT_EQ(f.n, 11);
}

TEST(fields_out_of_memory_say_so)
{
    struct fields f;

    arena_init(&arena, memory, 256, 0);
    fields_init(&f, &arena, 100, 1000);
    EXPECT_EQ(f.room, 0);
    EXPECT(!fields_add(&f, FIELD_VIA, SLICE("x")));
    EXPECT(f.overflow);
    fields_init(&f, &arena, 4, 1000);
    for (int i = 0; i < 4; i++)
        EXPECT(fields_add(&f, FIELD_VIA, SLICE("x")));
    EXPECT(!fields_add(&f, FIELD_VIA, SLICE("x")));
    EXPECT(f.overflow);
    EXPECT_EQ(f.n, 4);
}

TEST(a_maximum_of_none_allows_none)
{
    struct fields f;

    arena_init(&arena, memory, sizeof(memory), 0);
    fields_init(&f, &arena, 8, 0);
    EXPECT(!fields_add(&f, FIELD_VIA, SLICE("x")));
    EXPECT(f.overflow);
}

TEST(hop_by_hop_fields_go_with_those_that_connection_names)
{
    struct fields f = make(
        "Host: a|Connection: close, X-Mine ,,  X-yours|Keep-Alive: 5|TE: trailers|"
        "x-mine: 1|X-Yours: 2|X-Ours: 3|Proxy-Connection: x|Upgrade: h2c|"
        "Transfer-Encoding: chunked|Connection: Referer|Referer: r|Accept: */*");

    EXPECT(fields_remove_hop_by_hop(&f));
    EXPECT_STR(show(&f), "Host: a|X-Ours: 3|Accept: */*");
    EXPECT(!fields_has(&f, FIELD_CONNECTION) && !fields_has(&f, FIELD_REFERER));
    EXPECT(fields_has(&f, FIELD_HOST) && fields_has(&f, FIELD_ACCEPT));
}

TEST(removing_hop_by_hop_fields_from_a_message_without_any_changes_nothing)
{
    struct fields f = make("Host: a|Accept: */*|X: y");

    EXPECT(fields_remove_hop_by_hop(&f));
    EXPECT_STR(show(&f), "Host: a|Accept: */*|X: y");
}

TEST(connection_must_not_name_what_holds_the_message_together)
{
    static const char *const bad[] = {
        "Connection: Content-Length", "Connection: close, host",
        "Connection: TRANSFER-ENCODING", "Connection: close|Connection: x, Content-length",
        "Connection: \"a, host",
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct fields f = make(bad[i]);
        uint32_t before = f.n;

        EXPECT(!fields_remove_hop_by_hop(&f));
        EXPECT_EQ(f.n, before);
    }
}

TEST(connection_must_not_name_fields_without_end)
{
    char value[512];
    struct fields f = make("Host: a");

    for (size_t i = 0; i < sizeof(value); i += 2)
        memcpy(value + i, "x,", 2);
    fields_add(&f, FIELD_CONNECTION, slice_of(value, 60));
    EXPECT(fields_remove_hop_by_hop(&f));
    fields_add(&f, FIELD_CONNECTION, slice_of(value, sizeof(value)));
    EXPECT(!fields_remove_hop_by_hop(&f));
}

TEST(lists_are_searched_over_all_fields)
{
    struct fields f = make("Vary: Accept ,, accept-encoding|Vary: \"a,b\" , Cookie|Accept: x");

    EXPECT(fields_list_has(&f, FIELD_VARY, SLICE("accept")));
    EXPECT(fields_list_has(&f, FIELD_VARY, SLICE("Accept-Encoding")));
    EXPECT(fields_list_has(&f, FIELD_VARY, SLICE("COOKIE")));
    EXPECT(!fields_list_has(&f, FIELD_VARY, SLICE("a")));
    EXPECT(!fields_list_has(&f, FIELD_VARY, SLICE("x")));
    EXPECT(!fields_list_has(&f, FIELD_ALLOW, SLICE("x")));
}

TEST(cookies_are_found_by_exact_name)
{
    struct fields f = make(
        "Cookie: a=1; bb=2;c=3;d = 4 ; e=\"5\"|X: y|cookie: f=x=y; g=; A=9; flag");

    EXPECT_STR(fields_cookie(&f, SLICE("a")), "1");
    EXPECT_STR(fields_cookie(&f, SLICE("bb")), "2");
    EXPECT_STR(fields_cookie(&f, SLICE("c")), "3");
    EXPECT_STR(fields_cookie(&f, SLICE("d")), "4");
    EXPECT_STR(fields_cookie(&f, SLICE("e")), "\"5\"");
    EXPECT_STR(fields_cookie(&f, SLICE("f")), "x=y");
    EXPECT_STR(fields_cookie(&f, SLICE("g")), "");
    EXPECT(slice_is_present(fields_cookie(&f, SLICE("g"))));
    EXPECT_STR(fields_cookie(&f, SLICE("A")), "9");
    EXPECT(!slice_is_present(fields_cookie(&f, SLICE("b"))));
    EXPECT(!slice_is_present(fields_cookie(&f, SLICE("flag"))));
    EXPECT(!slice_is_present(fields_cookie(&f, SLICE("B"))));
    f = make("Host: a");
    EXPECT(!slice_is_present(fields_cookie(&f, SLICE("a"))));
    f = make("Cookie: |Cookie: ;;; a=2");
    EXPECT_STR(fields_cookie(&f, SLICE("a")), "2");
}
