/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/check.c - what a broken invariant prints before the process ends.
 *
 * Only async-signal-safe calls: the heap may be what is broken.
 */
#include "base/check.h"

#include <execinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void
check_failed(const char *what, const char *file, int line)
{
    char text[512];
    void *frames[32];
    int n = snprintf(text, sizeof(text), "maitred: broken invariant: %s at %s:%d\n", what, file,
                     line);

    if (n > 0 &&
        write(STDERR_FILENO, text, (size_t) n < sizeof(text) ? (size_t) n : sizeof(text)) > 0)
        backtrace_symbols_fd(frames, backtrace(frames, (int) countof(frames)), STDERR_FILENO);
    abort();
}
