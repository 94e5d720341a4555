/* SPDX-License-Identifier: Apache-2.0 */
/* upstream/server_list_test.c - what lists of servers may look like, and what is said of bad
 * ones. */
#include "upstream/server_list.h"

#include "base/test.h"

static const struct server_config entry = {
    .file = SLICE_INIT("s.yaml"),
    .weight = 7,
    .tier = 2,
    .region = SLICE_INIT("north"),
    .max_connections = 30,
    .state = SERVER_DRAINING,
};

static struct config *list;
static char complaint_bytes[512];
static struct text complaint;

static bool
reads(const char *text)
{
    config_free(list);
    text_fixed(&complaint, complaint_bytes, sizeof(complaint_bytes));
    list = server_list_read("s.yaml", slice_str(text), &complaint);
    return list != NULL;
}

/* "10.0.0.1:80 10.0.0.2:80" */
static struct slice
addresses(void)
{
    static char bytes[512];
    struct text out;

    text_fixed(&out, bytes, sizeof(bytes));
    for (size_t i = 0; i < server_list_count(list); i++) {
        struct discovered d = server_list_get(list, i, &entry);
        char address[ADDRESS_TEXT_MAX];

        text_put(&out, i ? SLICE(" ") : SLICE(""));
        text_put(&out, slice_of(address, address_write(&d.address, address)));
    }
    return text_slice(&out);
}

#define TWO "10.0.0.1:80 [::1]:81"

TEST(a_list_may_be_bare_or_under_its_key_in_yaml_or_json)
{
    static const char *const texts[] = {
        "- 10.0.0.1:80\n- '[::1]:81'\n",
        "# who serves\n---\n\n- 10.0.0.1:80\n# one more\n- address: '[::1]:81'",
        "\xEF\xBB\xBF- 10.0.0.1:80\n- '[::1]:81'\n",
        "  - 10.0.0.1:80\n  - '[::1]:81'\n",
        "servers:\n  - 10.0.0.1:80\n  - '[::1]:81'\n",
        "servers: [10.0.0.1:80, '[::1]:81']",
        "[\"10.0.0.1:80\", {\"address\": \"[::1]:81\"}]",
        "[\n  \"10.0.0.1:80\",\n  {\n    \"address\": \"[::1]:81\"\n  }\n]\n",
        "{\"servers\": [\"10.0.0.1:80\", \"[::1]:81\"]}\n",
    };

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        EXPECT(reads(texts[i]));
        EXPECT_STR(addresses(), TWO);
    }
}

TEST(an_empty_list_is_a_list)
{
    EXPECT(reads("[]"));
    EXPECT_EQ(server_list_count(list), 0);
    EXPECT(reads("servers: []"));
    EXPECT_EQ(server_list_count(list), 0);
}

TEST(what_the_list_does_not_say_the_entry_says)
{
    struct discovered d;

    EXPECT(reads("- unix:/run/a\n"));
    d = server_list_get(list, 0, &entry);
    EXPECT(d.source == &entry);
    EXPECT_EQ(d.weight, 7);
    EXPECT_EQ(d.tier, 2);
    EXPECT_STR(d.region, "north");
    EXPECT_EQ(d.max_connections, 30);
    EXPECT_EQ(d.state, SERVER_DRAINING);
}

TEST(what_the_list_says_counts_even_zero)
{
    struct discovered d;

    EXPECT(reads("- {address: 10.0.0.1:80, weight: 3, tier: 0, region: south, max_connections: 0, "
                 "state: ready}\n- {address: 10.0.0.2:80, state: maintenance}"));
    d = server_list_get(list, 0, &entry);
    EXPECT_EQ(d.weight, 3);
    EXPECT_EQ(d.tier, 0);
    EXPECT_STR(d.region, "south");
    EXPECT_EQ(d.max_connections, 0);
    EXPECT_EQ(d.state, SERVER_READY);
    d = server_list_get(list, 1, &entry);
    EXPECT_EQ(d.state, SERVER_MAINTENANCE);
}

/* Bad lists, and how what is said of them begins. */
static const struct {
    const char *text, *complaint;
} bad[] = {
    {"", "s.yaml:1:1: error: "},
    {"# nothing\n", "s.yaml:1:1: error: "},
    {"servers:\n", "s.yaml:1:1: error: "},
    {"10.0.0.1:80", "s.yaml:1:1: error: "},
    {"- 10.0.0.1:80\n- app.internal:80\n",
     "s.yaml:2:3: error: `app.internal:80` is not an address with its port; hint: "},
    {"- 10.0.0.1:80\n- {address: 10.0.0.2:80, wieght: 3}\n", "s.yaml:2:26: error: unknown key"},
    {"[\"10.0.0.1:80\",\n {\"address\": \"10.0.0.2:80\", \"weight\": 0}]", "s.yaml:2:39: error: "},
    {"servers:\n- weight: 3\n", "s.yaml:2:3: error: "},
    {"- 10.0.0.1:80\n- {address: 10.0.0.2:80\n", "s.yaml:3:1: error: "},
    {"[\"10.0.0.1:80\",\n", "s.yaml:2:1: error: "},
    {"- {address: 10.0.0.1:80, state: asleep}\n", "s.yaml:1:33: error: "},
    {"- ${env:HOME}\n", "s.yaml:1:3: error: "},
    {"include: other.yaml\nservers: []\n", "s.yaml:1:10: error: cannot read"},
    {"- ${file:/etc/hostname}\n", "s.yaml:1:3: error: "},
};

TEST(a_bad_list_is_complained_of_with_its_place)
{
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        EXPECT(!reads(bad[i].text));
        if (!slice_starts(text_slice(&complaint), slice_str(bad[i].complaint)))
            EXPECT_STR(text_slice(&complaint), bad[i].complaint);
        EXPECT_EQ(slice_find(text_slice(&complaint), '\n'), SLICE_NOT_FOUND);
    }
}
