/* SPDX-License-Identifier: Apache-2.0 */
#include "base/test.h"
#include "config/load.h"

static struct config_report report;
static struct text printed;

static void
start(const char *text)
{
    config_report_init(&report);
    text_init(&printed, 1 << 20);
    report_add_file(&report, SLICE("site.yaml"), slice_str(text));
}

static void
finish(void)
{
    config_report_free(&report);
    text_free(&printed);
}

static struct config_mark
at(uint32_t line, uint32_t column)
{
    return (struct config_mark){line, column, 0};
}

static struct slice
print(void)
{
    printed.n = 0;
    config_report_print(&report, &printed);
    return text_slice(&printed);
}

TEST(a_message_shows_line_caret_and_hint)
{
    start("a: 1\n    helath: {path: /healthz}\n");
    config_report_add(&report, CONFIG_ERROR, at(2, 5), "did you mean `health`?", "unknown key `%s`",
                      "helath");
    EXPECT_STR(print(), "site.yaml:2:5: error: unknown key `helath`\n"
                        "    2 |     helath: {path: /healthz}\n"
                        "      |     ^~~~~~\n"
                        "hint: did you mean `health`?\n");
    EXPECT_EQ(report.errors, 1);
    finish();
}

TEST(lines_with_secrets_are_not_shown)
{
    start("token: hidden\nname: x\n");
    report_secret(&report, at(1, 8));
    config_report_add(&report, CONFIG_ERROR, at(1, 8), "make it longer", "too short");
    config_report_add(&report, CONFIG_ERROR, at(2, 7), NULL, "no such name");
    EXPECT_STR(print(), "site.yaml:1:8: error: too short\n"
                        "hint: make it longer\n"
                        "site.yaml:2:7: error: no such name\n"
                        "    2 | name: x\n"
                        "      |       ^\n");
    finish();
}

TEST(messages_are_sorted_by_place)
{
    start("a\nb\n");
    report_add_file(&report, SLICE("other.yaml"), SLICE("x\n"));
    config_report_add(&report, CONFIG_WARNING, (struct config_mark){1, 1, 1}, NULL, "4");
    config_report_add(&report, CONFIG_ERROR, at(2, 1), NULL, "3");
    config_report_add(&report, CONFIG_ERROR, at(1, 1), NULL, "2");
    config_report_add(&report, CONFIG_ERROR, (struct config_mark){0}, NULL, "1");
    EXPECT_STR(print(), "error: 1\n"
                        "site.yaml:1:1: error: 2\n    1 | a\n      | ^\n"
                        "site.yaml:2:1: error: 3\n    2 | b\n      | ^\n"
                        "other.yaml:1:1: warning: 4\n    1 | x\n      | ^\n");
    EXPECT_EQ(report.errors, 3);
    EXPECT_EQ(report.warnings, 1);
    finish();
}

TEST(the_same_message_is_kept_once)
{
    start("a\n");
    for (int i = 0; i < 10; i++)
        config_report_add(&report, CONFIG_ERROR, at(1, 1), NULL, "x");
    config_report_add(&report, CONFIG_ERROR, at(1, 1), NULL, "y");
    EXPECT_EQ(report.errors, 2);
    finish();
}

TEST(past_a_hundred_they_are_counted)
{
    start("a\n");
    for (int i = 0; i < 150; i++)
        config_report_add(&report, CONFIG_ERROR, at(1, 1), NULL, "message %d", i);
    EXPECT_EQ(report.errors, 150);
    EXPECT(slice_ends(print(), SLICE("\n... and 50 more\n")));
    EXPECT(slice_search(print(), SLICE("message 99\n")) != SLICE_NOT_FOUND);
    EXPECT(slice_search(print(), SLICE("message 100\n")) == SLICE_NOT_FOUND);
    finish();
}

TEST(a_caret_underlines_what_it_means)
{
    static const struct {
        const char *line;
        uint32_t    column;
        const char *caret;
    } cases[] = {
        {"key: value", 1, "      | ^~~\n"},
        {"key: a value", 6, "      |      ^\n"},
        {"key: \"a \\\" b\" # c", 6, "      |      ^~~~~~~~\n"},
        {"key: 'a, b'", 6, "      |      ^~~~~~\n"},
        {"key: 'open", 6, "      |      ^~~~~\n"},
        {"k: [a,b]", 4, "      |    ^\n"},
        {"k: [abc,b]", 5, "      |     ^~~\n"},
        {"u: http://x:80/", 4, "      |    ^~~~~~~~~~~~\n"},
        {"u: ${env:X}", 4, "      |    ^~~~~~~~\n"},
        {"u: {a: bc}", 8, "      |        ^~\n"},
        {"\xc3\xa4\xc3\xb6: x", 7, "      |     ^\n"},
        {"\tx", 2, "      |  ^\n"},
        {"ab", 3, "      |   ^\n"},
        {"ab", 99, "      |   ^\n"},
        {"", 1, "      | ^\n"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        start(cases[i].line);
        config_report_add(&report, CONFIG_ERROR, at(1, cases[i].column), NULL, "x");
        EXPECT(slice_ends(print(), slice_str(cases[i].caret)));
        finish();
    }
}

TEST(a_long_line_is_shown_in_part)
{
    char line[1001];
    struct slice out;

    memset(line, 'x', 1000);
    memcpy(line + 500, " here ", 6);
    line[1000] = '\0';
    start(line);
    config_report_add(&report, CONFIG_ERROR, at(1, 502), NULL, "x");
    out = print();
    EXPECT(out.n < 350);
    EXPECT(slice_search(out, SLICE("    1 | ...xxx")) != SLICE_NOT_FOUND);
    EXPECT(slice_search(out, SLICE("xxx...\n")) != SLICE_NOT_FOUND);
    EXPECT(slice_ends(out, SLICE(" ^~~~\n")));
    finish();
}

TEST(a_terminal_gets_no_control_bytes)
{
    start("a\x1b[31m\xff\n");
    config_report_add(&report, CONFIG_ERROR, at(1, 1), NULL, "unknown `%s`", "\x1b[31m\n");
    EXPECT_STR(print(), "site.yaml:1:1: error: unknown `?[31m `\n"
                        "    1 | a?[31m?\n"
                        "      | ^~~~~~~\n");
    finish();
}

TEST(a_long_message_is_cut_between_characters)
{
    char text[2001];

    for (size_t i = 0; i < 2000; i += 2)
        memcpy(text + i, "\xc3\xa4", 2);
    text[2000] = '\0';
    start("a");
    config_report_add(&report, CONFIG_ERROR, at(1, 1), NULL, "%s", text);
    config_report_add(&report, CONFIG_ERROR, at(1, 1), NULL, "x%s", text);
    for (struct config_message *m = report.messages; m; m = m->next) {
        EXPECT(m->text.n > 500 && m->text.n < 610);
        EXPECT(slice_ends(m->text, SLICE("\xa4...")));
    }
    finish();
}

TEST(a_line_that_is_not_there_is_not_shown)
{
    start("a\n");
    config_report_add(&report, CONFIG_ERROR, at(9, 1), NULL, "x");
    config_report_add(&report, CONFIG_ERROR, (struct config_mark){1, 1, 7}, NULL, "y");
    EXPECT_STR(print(), "site.yaml:9:1: error: x\nerror: y\n");
    finish();
}
