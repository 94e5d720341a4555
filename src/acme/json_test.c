/* SPDX-License-Identifier: Apache-2.0 */
/* acme/json_test.c - JSON from elsewhere. */
#include "acme/json.h"

#include "base/test.h"

#include <stdlib.h>

TEST(members_and_elements)
{
    struct acme_json *j = acme_json_read(SLICE("{\"a\": {\"b\": [\"x\", 7]}, \"t\": true}"));
    const struct acme_json *list = acme_json_get(acme_json_get(j, "a"), "b");
    bool good = j && slice_eq(acme_json_text(acme_json_at(list, 0)), SLICE("x")) &&
                !slice_is_present(acme_json_text(acme_json_at(list, 1))) &&
                !acme_json_at(list, 2) && !acme_json_get(list, "a") && !acme_json_at(j, 0) &&
                acme_json_is_true(acme_json_get(j, "t")) && !acme_json_is_true(NULL) &&
                !slice_is_present(acme_json_get_text(NULL, "x"));

    acme_json_free(j);
    EXPECT(good);
}

TEST(what_is_no_json_is_none)
{
    static const char *const bad[] = {
        "", "{", "[1", "{\"a\": }", "{\"a\": 1, \"a\": 2}", "{} {}", "\xff", "{\"a\": \"\\ud800\"}",
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        EXPECT(acme_json_read(slice_str(bad[i])) == NULL);
}

/* Each level costs stack. */
TEST(depth_is_bounded)
{
    char deep[200000];
    struct acme_json *j;

    memset(deep, '[', sizeof(deep));
    EXPECT(acme_json_read(slice_of(deep, sizeof(deep))) == NULL);
    memset(deep + 32, ']', 32);
    j = acme_json_read(slice_of(deep, 64));
    EXPECT(j != NULL);
    acme_json_free(j);
    EXPECT(acme_json_read(SLICE("\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"")) == NULL);
}
