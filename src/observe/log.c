/* SPDX-License-Identifier: Apache-2.0 */
/* observe/log.c - one write() for a line, on whatever thread has something to say. */
#include "observe/log.h"

#include "base/clock.h"
#include "base/text.h"
#include "http/date.h"

#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#define LINES_PER_SECOND 10
#define SECOND_US 1000000u
#define MESSAGE_MAX 2000 /* bytes before escaping */
/* A line is at most PIPE_BUF long (4096), so that a pipe takes it whole or not at all. */
#define LINE_MAX_BYTES 4096

static _Atomic int level_now = LOG_LEVEL_INFO;
static _Atomic uint32_t lost_lines;

void
log_set_level(enum log_level level)
{
    atomic_store_explicit(&level_now, (int) level, memory_order_relaxed);
}

bool
log_is_on(enum log_level level)
{
    return (int) level <= atomic_load_explicit(&level_now, memory_order_relaxed);
}

/* May this place say something now?  *suppressed: how often it could not since it last did. */
static bool
site_admits(struct log_site *site, uint32_t *suppressed)
{
    uint64_t now_us = clock_monotonic_us();
    uint64_t window_us = atomic_load(&site->window_us);

    *suppressed = 0;
    if ((window_us == 0 || now_us - window_us >= SECOND_US) &&
        atomic_compare_exchange_strong(&site->window_us, &window_us, now_us)) {
        atomic_store(&site->count, 1);
        *suppressed = atomic_exchange(&site->suppressed, 0);
        return true;
    }
    if (atomic_fetch_add(&site->count, 1) < LINES_PER_SECOND)
        return true;
    atomic_fetch_add(&site->suppressed, 1);
    return false;
}

static void
put_start(struct text *line, enum log_level level)
{
    static const char *const names[] = {
        [LOG_LEVEL_ERROR] = "error ",
        [LOG_LEVEL_WARNING] = "warning ",
        [LOG_LEVEL_INFO] = "info  ",
        [LOG_LEVEL_DEBUG] = "debug ",
    };
    char date[ISO_DATE_LENGTH];

    iso_date_write(date, clock_wall_us());
    text_put(line, slice_of(date, sizeof(date)));
    text_byte(line, ' ');
    text_put(line, slice_str(names[level]));
}

/* A peer's bytes may be in a message: they must neither start a line nor steer a terminal. */
static void
put_escaped(struct text *line, struct slice message)
{
    static const char hex[] = "0123456789abcdef";

    for (size_t i = 0; i < message.n; i++) {
        unsigned char c = (unsigned char) message.at[i];

        if (c >= 0x20 && c != 0x7F)
            text_byte(line, (char) c);
        else if (c == '\n')
            text_literal(line, "\\n");
        else
            text_put(line, slice_of((char[]){'\\', 'x', hex[c >> 4], hex[c & 15]}, 4));
    }
}

/* Nobody waits for stderr: a pipe with room takes any line of ours whole.  False when the line is
 * lost. */
static bool
emit(struct slice line)
{
    struct pollfd ready = {.fd = STDERR_FILENO, .events = POLLOUT};

    return poll(&ready, 1, 0) == 1 && (ready.revents & POLLOUT) &&
           write(STDERR_FILENO, line.at, line.n) > 0;
}

/* " (25 like this were suppressed)" */
static void
put_count(struct text *line, uint32_t count, struct slice what)
{
    if (count == 0)
        return;
    text_literal(line, " (");
    text_u64(line, count);
    text_put(line, what);
}

void
log_write(struct log_site *site, enum log_level level, const char *format, ...)
{
    char memory[LINE_MAX_BYTES], message[MESSAGE_MAX];
    struct text line;
    uint32_t suppressed = 0, lost;
    va_list args;
    int n;

    if (site && !site_admits(site, &suppressed))
        return;
    va_start(args, format);
    n = vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    if (n < 0)
        return;
    /* A hundred bytes are kept free for the counts, one for the newline. */
    text_fixed(&line, memory, sizeof(memory) - 101);
    put_start(&line, level);
    put_escaped(&line, slice_first(slice_str(message), sizeof(message)));
    line.room += 100;
    put_count(&line, suppressed, SLICE(" like this were suppressed)"));
    lost = atomic_load(&lost_lines);
    put_count(&line, lost, SLICE(" messages were lost)"));
    memory[line.n] = '\n';
    if (emit(slice_of(memory, line.n + 1)))
        atomic_fetch_sub(&lost_lines, lost);
    else
        atomic_fetch_add(&lost_lines, 1);
}
