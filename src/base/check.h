/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/check.h - assertions that stay on in release builds.
 *
 * CHECK states an invariant of our own code.  Input from the network is never checked with it: a
 * peer must not be able to end the process.
 */
#ifndef BASE_CHECK_H
#define BASE_CHECK_H

#include <stddef.h>

/* Prints the broken invariant with its place and a backtrace, then aborts.  Never returns. */
__attribute__((noreturn, cold)) void check_failed(const char *what, const char *file, int line);

#define CHECK(condition)                                                                          \
    ((condition) ? (void) 0 : check_failed(#condition, __FILE__, __LINE__))

#define UNREACHABLE() check_failed("not reachable", __FILE__, __LINE__)

#define countof(array) (sizeof(array) / sizeof((array)[0]))

/* The struct that holds MEMBER at POINTER. */
#define container_of(pointer, type, member)                                                       \
    ((type *) (void *) ((char *) (pointer) -offsetof(type, member)))

/* Move a pointer out of where it is kept, leaving NULL: no reachable pointer to freed memory. */
#define take(place)                                                                               \
    __extension__({                                                                               \
        __typeof__(*(place)) taken_ = *(place);                                                   \
        *(place) = NULL;                                                                          \
        taken_;                                                                                   \
    })

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#endif
