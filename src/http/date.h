/* SPDX-License-Identifier: Apache-2.0 */
/* http/date.h - HTTP dates (RFC 9110 5.6.7). */
#ifndef HTTP_DATE_H
#define HTTP_DATE_H

#include "base/slice.h"

#include <stdint.h>

#define HTTP_DATE_LENGTH 29

/* IMF-fixdate, exactly HTTP_DATE_LENGTH bytes, no zero byte. */
void http_date_write(char *out, int64_t unix_seconds);
/* All three forms that a recipient must accept; false when it is none of them. */
bool http_date_parse(struct slice s, int64_t now_unix_seconds, int64_t *unix_seconds);
/* ISO 8601 with milliseconds, "2026-11-20T22:48:00.123Z", 24 bytes, no zero byte. */
#define ISO_DATE_LENGTH 24
void iso_date_write(char *out, uint64_t unix_us);

#endif
