/* SPDX-License-Identifier: Apache-2.0 */
/* config/option_test.c - kinds and objects as other rooms write them. */
#include "config/option.h"

#include "base/check.h"
#include "base/test.h"

#include <errno.h>

/* A kind of ours: letters only, and the caret shows which byte is none. */
static bool
letters_parse(struct config_bind *b, const struct option *o, const struct config_node *node,
              void *out)
{
    if (!option_scalar(b, o, node))
        return false;
    for (size_t i = 0; i < node->text.n; i++)
        if (!ascii_is_alpha(node->text.at[i]))
            return option_error_inside(b, node, i, "only letters", "`%c` is no letter",
                                       node->text.at[i]);
    *(struct slice *) out = arena_copy(config_bind_arena(b), node->text);
    return true;
}

static void
letters_schema(const struct option *o, struct text *out)
{
    (void) o;
    text_literal(out, "{\"type\":\"string\"}");
}

static const struct option_kind letters = {"word", "`abc`", sizeof(struct slice), letters_parse,
                                           letters_schema};

struct inner {
    struct slice word;
    int64_t      number;
    int          checks;
};

struct outer {
    struct slice       word;
    struct inner       inner;
    struct inner       strict;
    struct option_list words; /* of struct slice, by name */
};

static bool
inner_check(struct config_bind *b, void *object)
{
    struct inner *inner = object;

    inner->checks++;
    if (inner->number == 13)
        return config_bind_error(b, &inner->number, NULL, "bad luck");
    if (inner->number == 14)
        return config_bind_error(b, &inner->word, NULL, "a word is wanted with 14");
    if (inner->number == 15)
        return false;
    return true;
}

static const struct option inner_options[] = {
    {"word", &letters, offsetof(struct inner, word), .preset = "inner"},
    {"number", &option_int, offsetof(struct inner, number), .preset = "1"},
    {NULL},
};
static const struct option_object inner_object = {"inner", NULL, sizeof(struct inner),
                                                  inner_options, .check = inner_check};
static const struct option strict_options[] = {
    {"word", &letters, offsetof(struct inner, word), .preset = "strict"},
    {"number", &option_int, offsetof(struct inner, number), .flags = OPTION_REQUIRED},
    {NULL},
};
static const struct option_object strict_object = {"strict", NULL, sizeof(struct inner),
                                                   strict_options, .check = inner_check};
static const struct option outer_options[] = {
    {"word", &letters, offsetof(struct outer, word)},
    {"inner", &option_objects, offsetof(struct outer, inner), .object = &inner_object},
    {"strict", &option_objects, offsetof(struct outer, strict), .object = &strict_object},
    {"words", &letters, offsetof(struct outer, words), .flags = OPTION_MAP},
    {NULL},
};
static const struct option_object outer_object = {"outer", NULL, sizeof(struct outer),
                                                  outer_options};

static struct config_report report;
static struct config *config;
static struct outer *outer;
static struct text printed;

static void
unload(void)
{
    config_free(config);
    config = NULL;
    config_report_free(&report);
    text_free(&printed);
}

static bool
load_as(const struct option_object *type, const char *text)
{
    unload();
    config_report_init(&report);
    text_init(&printed, 10000);
    config = config_load_text("o.yaml", slice_str(text), type, NULL, &report);
    outer = config ? config->root : NULL;
    config_report_print(&report, &printed);
    return config != NULL;
}

static bool
load(const char *text)
{
    return load_as(&outer_object, text);
}

TEST(a_kind_of_ones_own)
{
    EXPECT(load("word: abc\nwords: {one: x, two: y}"));
    EXPECT_STR(outer->word, "abc");
    EXPECT_EQ(outer->words.n, 2);
    EXPECT_STR(((struct slice *) outer->words.at)[1], "y");
    EXPECT(!load("word: 'ab1c'"));
    EXPECT_STR(text_slice(&printed), "o.yaml:1:10: error: `1` is no letter\n"
                                     "    1 | word: 'ab1c'\n"
                                     "      |          ^~~\n"
                                     "hint: only letters\n");
    EXPECT(!load("word: [a]"));
    EXPECT(slice_starts(text_slice(&printed),
                        SLICE("o.yaml:1:7: error: expected a word, found a list\n")));
    unload();
}

TEST(an_object_that_is_absent_has_its_presets_and_its_check)
{
    EXPECT(load(""));
    EXPECT_STR(outer->inner.word, "inner");
    EXPECT_EQ(outer->inner.number, 1);
    EXPECT_EQ(outer->inner.checks, 1);
    EXPECT(load("inner: {number: 2}"));
    EXPECT_EQ(outer->inner.checks, 1);
    unload();
}

TEST(an_absent_object_that_lacks_something_is_left_alone)
{
    EXPECT(load(""));
    EXPECT_STR(outer->strict.word, "strict");
    EXPECT_EQ(outer->strict.checks, 0);
    EXPECT(load("strict: {number: 5}"));
    EXPECT_EQ(outer->strict.checks, 1);
    EXPECT(!load("strict: {}"));
    EXPECT(slice_starts(text_slice(&printed), SLICE("o.yaml:1:9: error: missing key `number`\n")));
    unload();
}

TEST(a_check_points_at_the_value_or_at_the_object)
{
    EXPECT(!load("inner:\n  number: 13\n"));
    EXPECT(slice_starts(text_slice(&printed), SLICE("o.yaml:2:11: error: bad luck\n")));
    EXPECT(!load("word: a\ninner: {number: 14}\n"));
    EXPECT(
        slice_starts(text_slice(&printed), SLICE("o.yaml:2:8: error: a word is wanted with 14\n")));
    unload();
}

TEST(a_check_that_says_nothing_still_fails)
{
    EXPECT(!load("inner: {number: 15}"));
    EXPECT_EQ(report.errors, 1);
    unload();
}

struct wrong {
    uint64_t timeout_us;
};

TEST(a_wrong_preset_says_that_the_program_is_wrong)
{
    static const struct option options[] = {
        {"timeout", &option_duration, offsetof(struct wrong, timeout_us), .preset = "soon"},
        {NULL}};
    static const struct option_object object = {"wrong", NULL, sizeof(struct wrong), options};

    EXPECT(!load_as(&object, ""));
    EXPECT(
        slice_starts(text_slice(&printed),
                     SLICE("error: in the default of `timeout`, which is a mistake in the program: "
                           "expected a duration, found `soon`\n")));
    unload();
}

struct many {
    struct option_list numbers; /* of int64_t */
    struct slice       quoted;
};

TEST(presets_are_written_as_a_user_would)
{
    static const struct option options[] = {
        {"numbers", &option_int, offsetof(struct many, numbers), .preset = "[1, 2, 3]",
         .flags = OPTION_LIST},
        {"quoted", &option_string, offsetof(struct many, quoted), .preset = "\"a\\tb\""},
        {NULL},
    };
    static const struct option_object object = {"many", NULL, sizeof(struct many), options};
    struct many *many;

    EXPECT(load_as(&object, ""));
    many = config->root;
    EXPECT_EQ(many->numbers.n, 3);
    EXPECT_EQ(((int64_t *) many->numbers.at)[2], 3);
    EXPECT_STR(many->quoted, "a\tb");
    EXPECT(load_as(&object, "numbers: 7"));
    many = config->root;
    EXPECT_EQ(many->numbers.n, 1);
    EXPECT(!load_as(&object, "numbers: [1, x, 2]"));
    EXPECT_EQ(report.errors, 1);
    unload();
}

TEST(an_object_without_options)
{
    static const struct option_object object = {.name = "nothing"};

    EXPECT(load_as(&object, ""));
    EXPECT(!load_as(&object, "a: b"));
    unload();
}

/* ------------------------------------------------------------------ what tables may ask for */

static char released[16];
static size_t n_released;

static void
release(void *what)
{
    if (n_released < sizeof(released))
        released[n_released++] = *(char *) what;
}

static bool
held_parse(struct config_bind *b, const struct option *o, const struct config_node *node, void *out)
{
    struct slice *kept = out;

    if (!option_scalar(b, o, node))
        return false;
    *kept = arena_copy(config_bind_arena(b), node->text);
    return kept->at && config_bind_cleanup(b, release, (void *) kept->at);
}

static const struct option_kind held = {"text", "`abc`", sizeof(struct slice), held_parse,
                                        letters_schema};

struct holder {
    struct option_list words; /* of struct slice */
    struct slice       file, content;
};

static bool
holder_check(struct config_bind *b, void *object)
{
    struct holder *h = object;

    return !h->file.n || config_bind_read(b, &h->file, h->file, 20, &h->content);
}

static const struct option holder_options[] = {
    {"words", &held, offsetof(struct holder, words), .flags = OPTION_LIST},
    {"file", &option_string, offsetof(struct holder, file)},
    {NULL},
};
static const struct option_object holder_object = {"holder", NULL, sizeof(struct holder),
                                                   holder_options, .check = holder_check};

TEST(clean_ups_run_in_the_end_or_after_a_failure)
{
    n_released = 0;
    EXPECT(load_as(&holder_object, "words: [a, b, c]"));
    EXPECT_EQ(n_released, 0);
    unload();
    EXPECT_STR(slice_of(released, n_released), "cba");
    n_released = 0;
    EXPECT(!load_as(&holder_object, "words: [a, b]\nfoo: bar"));
    EXPECT_STR(slice_of(released, n_released), "ba");
    unload();
}

static const struct sample_file {
    const char *path, *text;
} files[] = {
    {"etc/main.yaml", "include: sub/part.yaml\nwords: [x]\n"},
    {"etc/sub/part.yaml", "file: note\n"},
    {"etc/sub/note", "content"},
    {"etc/long.yaml", "file: long"},
    {"etc/long", "more than twenty bytes"},
};

static int
read_sample(void *arg, const char *path, struct text *out)
{
    (void) arg;
    for (size_t i = 0; i < countof(files); i++)
        if (strcmp(files[i].path, path) == 0) {
            text_put(out, slice_str(files[i].text));
            return out->full ? EFBIG : 0;
        }
    return ENOENT;
}

static bool
load_sample(const char *path)
{
    static const struct config_source source = {.read = read_sample};

    unload();
    config_report_init(&report);
    text_init(&printed, 10000);
    config = config_load_file(path, &holder_object, &source, &report);
    config_report_print(&report, &printed);
    return config != NULL;
}

TEST(a_file_is_read_from_beside_the_file_that_names_it)
{
    EXPECT(load_sample("etc/main.yaml"));
    EXPECT_STR(((struct holder *) config->root)->content, "content");
    EXPECT(!load_sample("etc/long.yaml"));
    EXPECT(
        slice_starts(text_slice(&printed),
                     SLICE("etc/long.yaml:1:7: error: cannot read `etc/long`: File too large\n")));
    EXPECT(!load_as(&holder_object, "words: x\nfile: /no/such"));
    EXPECT(slice_starts(text_slice(&printed),
                        SLICE("o.yaml:2:7: error: cannot read `/no/such`: No such file or "
                              "directory\n")));
    unload();
}

TEST(an_object_that_nobody_has_written)
{
    static const struct option_object object = {
        "outer", NULL, sizeof(struct outer), outer_options, .takes_defaults = true};
    struct outer *made;
    struct arena arena;

    arena_init(&arena, NULL, 0, 1 << 20);
    EXPECT(load_as(&object, "defaults: {outer: {word: abc, inner: {number: 3}}}"));
    made = config_bind_defaults(config, &arena, &object, &report);
    EXPECT(made != NULL);
    EXPECT_STR(made->word, "abc");
    EXPECT_EQ(made->inner.number, 3);
    EXPECT_EQ(made->inner.checks, 1);
    made = config_bind_defaults(NULL, &arena, &object, &report);
    EXPECT(made != NULL && made->inner.number == 1);
    EXPECT(config_bind_defaults(NULL, &arena, &strict_object, &report) == NULL);
    EXPECT_EQ(report.errors, 1);
    arena_free(&arena);
    unload();
}
