/* SPDX-License-Identifier: Apache-2.0 */
/*
 * observe/log.h - messages to the operator, on stderr.
 *
 * One line each: time, level, a sentence, key=value facts.  Rare by nature; each place in the code
 * is limited to ten lines a second, after which the suppressed ones are counted and told with that
 * place's next line.  A stderr that does not take a line at once (a full pipe) loses it: nobody
 * waits for it; how many were lost is told when it takes lines again.
 */
#ifndef OBSERVE_LOG_H
#define OBSERVE_LOG_H

#include "base/slice.h"

#include <stdatomic.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* How much one place has said of late; a zeroed one is new. */
struct log_site {
    _Atomic uint64_t window_us; /* when its current second began */
    _Atomic uint32_t count, suppressed;
};

void log_set_level(enum log_level level);
bool log_is_on(enum log_level level);
/* Any thread.  Control bytes in the result are escaped; more than 2000 bytes are cut.  site NULL:
 * never suppressed. */
void log_write(struct log_site *site, enum log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#define LOG_AT(level, ...)                                                                        \
    do {                                                                                          \
        static struct log_site site_;                                                             \
        if (log_is_on(level))                                                                     \
            log_write(&site_, level, __VA_ARGS__);                                                \
    } while (0)

/* The answer to an operator's command. */
#define log_answer(level, ...)                                                                    \
    do {                                                                                          \
        if (log_is_on(level))                                                                     \
            log_write(NULL, level, __VA_ARGS__);                                                  \
    } while (0)

#define log_error(...) LOG_AT(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) LOG_AT(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) LOG_AT(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) LOG_AT(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
