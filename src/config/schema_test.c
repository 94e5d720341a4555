/* SPDX-License-Identifier: Apache-2.0 */
/* config/schema_test.c - the texts that are generated from the tables. */
#include "config/testing.h"

#include "base/test.h"

static struct text out;

static bool
has(const char *part)
{
    return slice_search(text_slice(&out), slice_str(part)) != SLICE_NOT_FOUND;
}

static void
write_schema(const struct option_object *type)
{
    text_init(&out, 1 << 20);
    config_write_schema(type, "sample \"1\"", &out);
}

/* Brackets and quotes close in the right order. */
static bool
is_balanced(struct slice s)
{
    char open[100];
    size_t depth = 0;

    for (size_t i = 0; i < s.n; i++) {
        if (s.at[i] == '"') {
            for (i++; i < s.n && s.at[i] != '"'; i++)
                i += s.at[i] == '\\';
        } else if (s.at[i] == '{' || s.at[i] == '[') {
            if (depth == sizeof(open))
                return false;
            open[depth++] = s.at[i] == '{' ? '}' : ']';
        } else if (s.at[i] == '}' || s.at[i] == ']') {
            if (depth == 0 || open[--depth] != s.at[i])
                return false;
        }
    }
    return depth == 0;
}

TEST(the_schema_is_json)
{
    write_schema(&sample_root_object);
    EXPECT(is_balanced(text_slice(&out)));
    EXPECT(!out.full);
    EXPECT(!has(",,") && !has("{,") && !has(",}") && !has(",]") && !has("[,"));
    EXPECT(has(
        "{\"$schema\":\"https://json-schema.org/draft/2020-12/schema\",\"title\":\"sample "
        "\\\"1\\\"\""));
    text_free(&out);
}

TEST(the_schema_says_what_the_tables_say)
{
    write_schema(&sample_root_object);
    EXPECT(
        has("\"timeout\":{\"description\":\"How long anything may take.\",\"default\":\"1m30s\""));
    EXPECT(has("\"admin\":{\"description\":\"The API.\",\"default\":true"));
    EXPECT(has(
        "\"strict\":{\"description\":\"Whether a redirect counts as a "
        "failure.\",\"default\":false"));
    EXPECT(has("\"default\":3,\"allOf\":[{\"type\":[\"integer\",\"string\"]"));
    EXPECT(has("\"minimum\":1,\"maximum\":10"));
    EXPECT(has("\"maximum\":64"));
    EXPECT(!has("-9223372036854775808"));
    EXPECT(has("\"writeOnly\":true"));
    EXPECT(has("\"required\":[\"rate\"]"));
    EXPECT(has("\"additionalProperties\":false"));
    EXPECT(has("{\"enum\":[\"round_robin\",\"least_connections\",\"off\",\"2\",2]}"));
    EXPECT(has(
        "\"routes\":{\"description\":\"Routes inside this one.\",\"allOf\":[{\"anyOf\":[{\"type\":"
        "\"array\",\"items\":{\"$ref\":\"#/$defs/route\"}},{\"$ref\":\"#/$defs/route\"}]}]}"));
    EXPECT(!has("secret_switch"));
    EXPECT(!has("\"name\":{\"description\":\"Its name.\""));
    text_free(&out);
}

struct twins {
    struct sample_deny one, two;
};

TEST(two_types_of_one_name_are_told_apart)
{
    static const struct option_object other = {.name = "deny", .doc = "Another."};
    static const struct option options[] = {
        {"one", &option_objects, offsetof(struct twins, one), .object = &sample_deny_object},
        {"two", &option_objects, offsetof(struct twins, two), .object = &other},
        {NULL},
    };
    static const struct option_object root = {"twins", NULL, sizeof(struct twins), options};

    write_schema(&root);
    EXPECT(has("\"$ref\":\"#/$defs/deny\"") && has("\"$ref\":\"#/$defs/deny_2\""));
    EXPECT(has("\"deny_2\":{\"description\":\"Another.\""));
    text_free(&out);
    text_init(&out, 1 << 20);
    config_write_reference(&root, &out);
    EXPECT(has("| `two` | [deny](#deny_2) |"));
    EXPECT(has("<a id=\"deny_2\"></a>\n\n## deny\n\nAnother.\n"));
    text_free(&out);
}

TEST(the_reference_has_a_section_for_every_object)
{
    text_init(&out, 1 << 20);
    config_write_reference(&sample_root_object, &out);
    EXPECT(slice_starts(text_slice(&out),
                        SLICE("## configuration\n\nThe whole of it.\n\n| option | type | "
                              "default | meaning |\n|---|---|---|---|\n")));
    EXPECT(has(
        "| `timeout` | duration | `1m30s` | How long anything may take. From `1ms` to `1h`. |\n"));
    EXPECT(has(
        "| `threads` | integer |  | Workers; negative: so many cores are left alone. At most `64`. "
        "|"));
    EXPECT(has(
        "| `upstreams` | map of name: [upstream](#upstream) |  | Groups of servers by name. |"));
    EXPECT(has("| `to` | string | required | The upstream. |"));
    EXPECT(has("| `host` | list of string |  | Host names; `*` \\| any. |"));
    EXPECT(has(
        "| `use` | list of one of [compress](#compress), [rate_limit](#rate_limit), [deny](#deny) "
        "|"));
    EXPECT(has("| `balance` | `round_robin`, `least_connections`, `off`, `2` | `round_robin` |"));
    EXPECT(has("Secret: masked wherever the configuration is shown. |"));
    EXPECT(has(
        "## upstream\n\nA group of servers.\n\nA single value or a list in its place stands for "
        "`servers`.\n\nWhat is absent comes from `defaults: {upstream: {...}}`, if that is "
        "there.\n"));
    EXPECT(has("## health\n\nActive checks.\n\nA single value in its place stands for `path`.\n"));
    EXPECT(has("## deny\n\nRefuses everything.\n\nIt has no options.\n"));
    EXPECT(has("| duration | `250ms`, `10s`, `1m30s`, `2h`, `7d` |\n"));
    EXPECT(!has("secret_switch"));
    EXPECT(!out.full);
    text_free(&out);
}

TEST(a_text_that_is_too_small_says_so)
{
    char memory[100];

    text_fixed(&out, memory, sizeof(memory));
    config_write_schema(&sample_root_object, "x", &out);
    EXPECT(out.full);
    text_fixed(&out, memory, sizeof(memory));
    config_write_reference(&sample_root_object, &out);
    EXPECT(out.full);
}
