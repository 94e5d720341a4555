/* SPDX-License-Identifier: Apache-2.0 */
/* main/arguments_test.c - words and options, in any order; and the table of commands itself. */
#include "main/arguments.h"

#include "base/slice.h"
#include "base/test.h"

static const struct command_option own[] = {
    {"-c", "--config", "FILE", "A file."},
    {"--force", .doc = "A flag."},
    {NULL},
};

static const struct command_option shared[] = {
    {"--many", .value = "X", .doc = "More than once.", .repeats = true},
    {NULL},
};

static const struct command command = {
    "test", "ONE [TWO]", "For tests.", NULL, {own, shared}, NULL,
};

/* Reads words separated by blanks; the status. */
static int
read_line(const char *line, struct arguments *a)
{
    static char room[256];
    char *argv[16];
    int argc = 0;

    snprintf(room, sizeof(room), "%s", line);
    for (char *at = room; *at; argc++) {
        argv[argc] = at;
        at += strcspn(at, " ");
        while (*at == ' ')
            *at++ = '\0';
    }
    return arguments_read(a, &command, argc, argv);
}

TEST(options_stand_anywhere)
{
    struct arguments a;

    EXPECT_EQ(read_line("one -c file --force two", &a), 0);
    EXPECT_STR(slice_str(arguments_value(&a, "-c")), "file");
    EXPECT(arguments_has(&a, "--force") && !arguments_has(&a, "--many"));
    EXPECT_STR(slice_str(arguments_word(&a, 1)), "two");
    EXPECT(arguments_word(&a, 2) == NULL);
    EXPECT_EQ(read_line("--config=a=b", &a), 0);
    EXPECT_STR(slice_str(arguments_value(&a, "-c")), "a=b");
    EXPECT_EQ(read_line("--many 1 --many 2", &a), 0);
    EXPECT_STR(slice_str(arguments_value(&a, "--many")), "2");
    EXPECT_EQ(a.n_given, 2);
    EXPECT_EQ(read_line("-c --force", &a), 0);
    EXPECT_STR(slice_str(arguments_value(&a, "-c")), "--force");
}

TEST(words_may_look_like_options)
{
    struct arguments a;

    EXPECT_EQ(read_line("-- --force -", &a), 0);
    EXPECT_STR(slice_str(arguments_word(&a, 0)), "--force");
    EXPECT(!arguments_has(&a, "--force"));
    EXPECT_EQ(read_line("-", &a), 0);
    EXPECT_STR(slice_str(arguments_word(&a, 0)), "-");
}

TEST(mistakes)
{
    static const char *const lines[] = {"--nonsense", "-c",      "--force=1",
                                        "one two three", "--forc", "-cfile"};
    struct arguments a;

    for (size_t i = 0; i < countof(lines); i++)
        EXPECT_EQ(read_line(lines[i], &a), 2);
}

/* What completion and the manual rely on. */
TEST(the_table_is_whole)
{
    const struct command_option *o;

    for (const struct command *c = command_list; c->name; c++) {
        EXPECT(c->summary && c->run && command_find(c->name) == c);
        for (size_t i = 0; (o = command_option_at(c, i)); i++) {
            EXPECT(o->name[0] == '-' && o->doc && o->doc[strlen(o->doc) - 1] == '.');
            for (size_t j = 0; j < i; j++)
                EXPECT(strcmp(command_option_at(c, j)->name, o->name) != 0);
        }
    }
    EXPECT(command_find("nonsense") == NULL);
}
