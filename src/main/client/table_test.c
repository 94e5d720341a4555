/* SPDX-License-Identifier: Apache-2.0 */
/* main/client/table_test.c - what people see of numbers, and of rows. */
#include "main/client/table.h"

#include "base/check.h"
#include "base/test.h"

static const struct table_column columns[] = {
    {"NAME", "name", TABLE_TEXT, 6},
    {"N", "n", TABLE_COUNT},
    {"ON", "on", TABLE_FLAG},
    {NULL},
};

/* Writes rows, given as JSON, and compares. */
static bool
shows(const char *rows, const struct table_view *view, const char *wanted)
{
    json_t *list = json_loads(rows, 0, NULL);
    struct text t;
    bool good;

    CHECK(list);
    text_init(&t, 4096);
    table_write(columns, list, view, "\n", &t);
    good = slice_eq(text_slice(&t), slice_str(wanted));
    if (!good)
        printf("# got:\n%.*s", SLICE_ARG(text_slice(&t)));
    text_free(&t);
    json_decref(list);
    return good;
}

TEST(columns_are_as_wide_as_they_need)
{
    const struct table_view all = {0};

    EXPECT(shows("[]", &all, "NAME  N  ON\n"));
    EXPECT(shows("[{\"name\":\"a\",\"n\":7,\"on\":true},{\"name\":\"longest\",\"n\":1234}]", &all,
                 "NAME       N  ON\n"
                 "a          7  yes\n"
                 "longe~  1234\n"));
    EXPECT(shows("[{\"name\":\"\303\244\303\266\303\274\303\244\303\266\303\274\303\244\"},{}]",
                 &all, "NAME    N  ON\n\303\244\303\266\303\274\303\244\303\266~\n\n"));
}

TEST(a_part_is_shown)
{
    static const char rows[] = "[{\"name\":\"a\"},{\"name\":\"b\"},{\"name\":\"c\"}]";

    EXPECT(shows(rows, &(struct table_view){.first = 1, .most = 1}, "NAME  N  ON\nb\n"));
    EXPECT(shows(rows, &(struct table_view){.first = 9}, "NAME  N  ON\n"));
    EXPECT(shows(rows, &(struct table_view){.first = 2, .most = SIZE_MAX}, "NAME  N  ON\nc\n"));
    EXPECT(shows(rows, &(struct table_view){.most = 1, .width = 6, .sorted = 1}, "NAME*\na\n"));
}

TEST(what_comes_from_elsewhere_is_harmless)
{
    const struct table_view all = {0};

    EXPECT(shows("[{\"name\":\"\\u001b[2J\",\"n\":\"x\",\"on\":1}]", &all, "NAME  N  ON\n?[2J\n"));
    EXPECT(shows("[{\"name\":\"a\\nb\\u009b\",\"n\":null}]", &all, "NAME  N  ON\na b?\n"));
    EXPECT(shows("[{\"name\":{},\"n\":[1]},{\"name\":[\"a\",1,{}]}]", &all,
                 "NAME    N  ON\n\na, 1,\n"));
}

/* The names in their order after sorting. */
static bool
sorts(int column, bool reversed, const char *wanted)
{
    json_t *list = json_loads("[{\"name\":\"b\",\"n\":1},{\"name\":\"c\",\"n\":3},"
                              "{\"name\":\"a\",\"n\":3},{\"name\":\"d\"}]", 0, NULL);
    char got[8];
    bool good;

    CHECK(list);
    table_sort(columns, column, reversed, list);
    for (size_t i = 0; i < 4; i++)
        got[i] = json_string_value(json_object_get(json_array_get(list, i), "name"))[0];
    good = memcmp(got, wanted, 4) == 0;
    json_decref(list);
    return good;
}

TEST(rows_in_order)
{
    EXPECT(sorts(1, false, "abcd"));
    EXPECT(sorts(1, true, "dcba"));
    EXPECT(sorts(2, false, "cabd"));
}

static bool
is_written(enum table_kind kind, double value, const char *wanted)
{
    json_t *number = json_real(value);
    char room[64];
    struct text t;

    text_fixed(&t, room, sizeof(room));
    table_put(kind, number, &t);
    json_decref(number);
    return slice_eq(text_slice(&t), slice_str(wanted));
}

TEST(numbers_have_units)
{
    EXPECT(is_written(TABLE_TOOK, 0, "0 us"));
    EXPECT(is_written(TABLE_TOOK, 999, "999 us"));
    EXPECT(is_written(TABLE_TOOK, 1000, "1.0 ms"));
    EXPECT(is_written(TABLE_TOOK, 12345, "12.3 ms"));
    EXPECT(is_written(TABLE_TOOK, 999960, "1.0 s"));
    EXPECT(is_written(TABLE_TOOK, 3.6e9, "3600 s"));
    EXPECT(is_written(TABLE_BYTES, 1023, "1023 B"));
    EXPECT(is_written(TABLE_BYTES, 1024, "1.0 KiB"));
    EXPECT(is_written(TABLE_BYTES, 5e18, "4441 PiB"));
    EXPECT(is_written(TABLE_SHARE, 0.5, "50.0 %"));
    EXPECT(is_written(TABLE_DATE, 0, ""));
    EXPECT(is_written(TABLE_DATE, 1795297680.5, "2026-11-21 21:48:00"));
    EXPECT(is_written(TABLE_DATE, 1e300, ""));
}

static bool
is_age(double seconds, const char *wanted)
{
    char room[64];
    struct text t;

    text_fixed(&t, room, sizeof(room));
    table_put_age(seconds, &t);
    return slice_eq(text_slice(&t), slice_str(wanted));
}

TEST(ages_have_two_units)
{
    EXPECT(is_age(0, "0 s"));
    EXPECT(is_age(59.9, "59 s"));
    EXPECT(is_age(60, "1 min 0 s"));
    EXPECT(is_age(3725, "1 h 2 min"));
    EXPECT(is_age(93784, "1 d 2 h"));
    EXPECT(is_age(-5, "0 s"));
}
