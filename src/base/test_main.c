/* SPDX-License-Identifier: Apache-2.0 */
/* base/test_main.c - runs the registered tests and prints TAP.  Linked into every unit test. */
#include "base/test.h"

#include <stdarg.h>
#include <stdio.h>

static struct test *first;
static struct test **last = &first;
static int count;
static bool failed;

void
test_register(struct test *t)
{
    *last = t;
    last = &t->next;
    count++;
}

void
test_failed(const char *file, int line, const char *format, ...)
{
    va_list args;

    failed = true;
    printf("# %s:%d: ", file, line);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
}

int
main(void)
{
    int number = 0, bad = 0;

    printf("1..%d\n", count);
    for (struct test *t = first; t; t = t->next) {
        failed = false;
        t->run();
        bad += failed;
        printf("%s %d - %s\n", failed ? "not ok" : "ok", ++number, t->name);
        fflush(stdout);
    }
    return bad ? 1 : 0;
}
