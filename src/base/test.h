/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/test.h - unit tests: one executable per *_test.c, one function per behaviour.
 *
 *     TEST(an_empty_map_has_nothing) { EXPECT(map_get(&m, SLICE("x")) == NULL); }
 *
 * Tests register themselves; test_main.c runs them in the order written and prints TAP, which meson
 * and people can read.  A failed EXPECT ends the test function, not the program.
 */
#ifndef BASE_TEST_H
#define BASE_TEST_H

#include "base/slice.h"

struct test {
    const char  *name;
    void       (*run)(void);
    struct test *next;
};

void test_register(struct test *t);
/* Prints the place and marks the running test as failed. */
void test_failed(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* What is timed takes so many times longer, for who compiles with a sanitizer. */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
enum { TEST_SLOWDOWN = 30 };
#else
enum { TEST_SLOWDOWN = 1 };
#endif

#define TEST(test_name)                                                                           \
    static void test_name(void);                                                                  \
    __attribute__((constructor)) static void test_name##_register(void)                           \
    {                                                                                             \
        static struct test t_ = {#test_name, test_name, NULL};                                    \
        test_register(&t_);                                                                       \
    }                                                                                             \
    static void test_name(void)

#define EXPECT(condition)                                                                         \
    do {                                                                                          \
        if (!(condition)) {                                                                       \
            test_failed(__FILE__, __LINE__, "expected %s", #condition);                           \
            return;                                                                               \
        }                                                                                         \
    } while (0)

#define EXPECT_EQ(got, want)                                                                      \
    do {                                                                                          \
        long long got_ = (long long) (got), want_ = (long long) (want);                           \
        if (got_ != want_) {                                                                      \
            test_failed(__FILE__, __LINE__, "%s is %lld, expected %lld", #got, got_, want_);      \
            return;                                                                               \
        }                                                                                         \
    } while (0)

#define EXPECT_STR(got, want)                                                                     \
    do {                                                                                          \
        struct slice got_ = (got), want_ = slice_str(want);                                       \
        if (!slice_eq(got_, want_)) {                                                             \
            test_failed(__FILE__, __LINE__, "%s is \"%.*s\", expected \"%.*s\"", #got,            \
                        SLICE_ARG(got_), SLICE_ARG(want_));                                       \
            return;                                                                               \
        }                                                                                         \
    } while (0)

#endif
