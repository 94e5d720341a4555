/* SPDX-License-Identifier: Apache-2.0 */
#include "exchange/reason.h"

#include "base/test.h"

static bool
is_code(const char *code)
{
    if (!*code)
        return false;
    for (; *code; code++)
        if (!ascii_is_alpha(*code) && !ascii_is_digit(*code) && *code != '_')
            return false;
    return true;
}

TEST(every_reason_has_a_code_and_a_sentence)
{
    for (enum reason r = REASON_NONE; r < REASON_COUNT; r++) {
        EXPECT(is_code(reason_code(r)));
        EXPECT(strlen(reason_sentence(r)) > 5);
        EXPECT(strchr(reason_sentence(r), '"') == NULL);
        EXPECT(strlen(blame_name(reason_blame(r))) > 4);
    }
}

TEST(codes_are_unique)
{
    for (enum reason r = REASON_NONE; r < REASON_COUNT; r++)
        for (enum reason other = REASON_NONE; other < r; other++)
            EXPECT(strcmp(reason_code(r), reason_code(other)) != 0);
}

TEST(who_is_to_blame_is_named)
{
    EXPECT_STR(slice_str(blame_name(reason_blame(REASON_NO_ROUTE))), "client");
    EXPECT_STR(slice_str(blame_name(reason_blame(REASON_SERVER_RESET))), "server");
    EXPECT_STR(slice_str(blame_name(reason_blame(REASON_OVERLOADED))), "proxy");
    EXPECT_STR(slice_str(blame_name(reason_blame(REASON_MISCONFIGURED))), "configuration");
    EXPECT_STR(slice_str(blame_name(reason_blame(REASON_NONE))), "nobody");
}

TEST(errors_have_a_proxy_status_and_answers_of_our_own_have_none)
{
    for (enum reason r = REASON_NONE; r < REASON_COUNT; r++)
        EXPECT((reason_blame(r) == BLAME_NOBODY) == (*reason_proxy_status(r) == '\0'));
    EXPECT_STR(slice_str(reason_proxy_status(REASON_CONNECT_TIMEOUT)), "connection_timeout");
}
