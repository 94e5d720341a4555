/* SPDX-License-Identifier: Apache-2.0 */
/* Methods, statuses and the numbers of field names. */
#include "http/message.h"

#include "base/test.h"
#include "http/h1.h"

#include <ctype.h>

TEST(every_method_is_found_by_its_name)
{
#define CHECK_METHOD(id, name, safe, idempotent)                                                  \
    EXPECT_EQ(method_from(SLICE(name)), id);                                                      \
    EXPECT_STR(method_name(id), name);                                                            \
    EXPECT_EQ(method_is_safe(id), safe);                                                          \
    EXPECT_EQ(method_is_idempotent(id), idempotent);
    METHOD_TABLE(CHECK_METHOD)
#undef CHECK_METHOD
}

TEST(other_methods_are_case_sensitive_strangers)
{
    static const char *const others[] = {
        "",        "get",      "Get",  "GETS", "PROPFIND", "P",     "POSTS", "PATCHY",
        "DELETES", "CONNECTS", "HEAP", "PUR",  "TRACK",    "QUEEN", "PIANO", "BREW"};

    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        EXPECT_EQ(method_from(slice_str(others[i])), METHOD_OTHER);
    EXPECT_EQ(method_from((struct slice){NULL, 0}), METHOD_OTHER);
    EXPECT(!method_is_safe(METHOD_OTHER));
    EXPECT(!method_is_idempotent(METHOD_OTHER));
    EXPECT_STR(method_name(METHOD_OTHER), "");
}

TEST(statuses_have_phrases)
{
    EXPECT_STR(status_phrase(100), "Continue");
    EXPECT_STR(status_phrase(200), "OK");
    EXPECT_STR(status_phrase(404), "Not Found");
    EXPECT_STR(status_phrase(421), "Misdirected Request");
    EXPECT_STR(status_phrase(511), "Network Authentication Required");
    EXPECT_STR(status_phrase(0), "Unknown");
    EXPECT_STR(status_phrase(99), "Unknown");
    EXPECT_STR(status_phrase(299), "Unknown");
    EXPECT_STR(status_phrase(512), "Unknown");
    EXPECT_STR(status_phrase(1000), "Unknown");
}

TEST(some_statuses_never_have_a_body)
{
    EXPECT(status_has_no_body(100));
    EXPECT(status_has_no_body(199));
    EXPECT(status_has_no_body(204));
    EXPECT(status_has_no_body(304));
    EXPECT(!status_has_no_body(200));
    EXPECT(!status_has_no_body(205));
    EXPECT(!status_has_no_body(404));
}

TEST(every_known_field_is_found_in_any_case)
{
    char text[64];

    for (unsigned id = 1; id < FIELD_COUNT; id++) {
        struct slice name = field_name(id);

        EXPECT_EQ(field_id_from(name), id);
        for (size_t i = 0; i < name.n; i++)
            text[i] = (char) tolower(name.at[i]);
        EXPECT_EQ(field_id_from(slice_of(text, name.n)), id);
        for (size_t i = 0; i < name.n; i++)
            text[i] = (char) toupper(name.at[i]);
        EXPECT_EQ(field_id_from(slice_of(text, name.n)), id);
    }
}

/* Whatever byte is changed to whatever else: only a letter's case makes no difference. */
TEST(no_other_name_is_taken_for_a_known_one)
{
    char text[64];

    for (unsigned id = 1; id < FIELD_COUNT; id++) {
        struct slice name = field_name(id);

        for (size_t i = 0; i < name.n; i++)
            for (int c = 0; c < 256; c++) {
                bool same = tolower(c) == tolower(name.at[i]);

                memcpy(text, name.at, name.n);
                text[i] = (char) c;
                EXPECT_EQ(field_id_from(slice_of(text, name.n)) == id, same);
            }
        memcpy(text, name.at, name.n);
        text[name.n] = 's';
        EXPECT(field_id_from(slice_of(text, name.n + 1)) != id);
        EXPECT(field_id_from(slice_of(text, name.n - 1)) != id);
    }
}

TEST(strange_names_are_other)
{
    EXPECT_EQ(field_id_from((struct slice){NULL, 0}), FIELD_OTHER);
    EXPECT_EQ(field_id_from(SLICE("T")), FIELD_OTHER);
    EXPECT_EQ(field_id_from(SLICE("X-Frame-Options")), FIELD_OTHER);
    EXPECT_EQ(field_id_from(SLICE("Content_Length")), FIELD_OTHER);
    EXPECT_EQ(field_id_from(SLICE("Strict-Transport-Security-And-Much-More-Of-It-To-Come")),
              FIELD_OTHER);
    EXPECT_STR(field_name(FIELD_OTHER), "");
}

TEST(hop_by_hop_names_are_marked)
{
    EXPECT(field_is_hop_by_hop(FIELD_CONNECTION));
    EXPECT(field_is_hop_by_hop(FIELD_KEEP_ALIVE));
    EXPECT(field_is_hop_by_hop(FIELD_PROXY_CONNECTION));
    EXPECT(field_is_hop_by_hop(FIELD_TE));
    EXPECT(field_is_hop_by_hop(FIELD_TRANSFER_ENCODING));
    EXPECT(field_is_hop_by_hop(FIELD_UPGRADE));
    EXPECT(!field_is_hop_by_hop(FIELD_OTHER));
    EXPECT(!field_is_hop_by_hop(FIELD_HOST));
    EXPECT(!field_is_hop_by_hop(FIELD_CONTENT_LENGTH));
    EXPECT(!field_is_hop_by_hop(FIELD_X_REQUEST_ID));
}

TEST(tokens_are_the_tchars_of_rfc_9110)
{
    EXPECT(is_token(SLICE("!#$%&'*+-.^_`|~09azAZ")));
    EXPECT(!is_token(SLICE("")));
    for (int c = 0; c < 256; c++) {
        char byte = (char) c;
        bool want = c > ' ' && c < 0x7F && !strchr("\"(),/:;<=>?@[\\]{}", c);

        EXPECT_EQ(is_token(slice_of(&byte, 1)), want);
    }
}

TEST(values_hold_no_control_bytes)
{
    EXPECT(is_field_value(SLICE("")));
    EXPECT(is_field_value((struct slice){NULL, 0}));
    EXPECT(is_field_value(SLICE("a b\tc \xC3\xA9 \xFF")));
    for (int c = 0; c < 256; c++) {
        char text[40];

        memset(text, 'x', sizeof(text));
        text[17] = (char) c;
        EXPECT_EQ(is_field_value(slice_of(text, sizeof(text))), c == '\t' || (c >= 32 && c != 127));
    }
}

TEST(every_fault_has_a_status_and_words)
{
    EXPECT_EQ(h1_fault_status(H1_OK), 0);
    for (unsigned f = H1_BAD_REQUEST_LINE; f <= H1_BAD_CONNECTION; f++) {
        EXPECT(h1_fault_status(f) >= 400 && h1_fault_status(f) < 600);
        EXPECT(strlen(h1_fault_words(f)) > 5);
    }
    EXPECT_EQ(h1_fault_status(H1_TARGET_TOO_LONG), 414);
    EXPECT_EQ(h1_fault_status(H1_UNSUPPORTED_VERSION), 505);
}
