/* SPDX-License-Identifier: Apache-2.0 */
/* base/text.c - growing, bounded text. */
#include "base/text.h"

#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>

void
text_init(struct text *t, size_t max_bytes)
{
    *t = (struct text){.max_bytes = max_bytes};
}

void
text_fixed(struct text *t, void *memory, size_t room)
{
    *t = (struct text){.at = memory, .room = room, .max_bytes = room, .fixed = true};
}

void
text_free(struct text *t)
{
    if (!t->fixed)
        free(t->at);
    *t = (struct text){.max_bytes = t->max_bytes};
}

bool
text_reserve(struct text *t, size_t n)
{
    size_t need, room;
    char *grown;

    if (n <= t->room - t->n)
        return true;
    if (t->fixed || __builtin_add_overflow(t->n, n, &need) || need > t->max_bytes) {
        t->full = true;
        return false;
    }
    room = t->room ? t->room : 256;
    while (room < need)
        room *= 2;
    if (room > t->max_bytes)
        room = t->max_bytes;
    grown = realloc(t->at, room);
    if (!grown) {
        t->full = true;
        return false;
    }
    t->at = grown;
    t->room = room;
    return true;
}

void
text_vprintf(struct text *t, const char *format, va_list args)
{
    va_list again;
    int n;

    va_copy(again, args);
    n = vsnprintf(t->at ? t->at + t->n : NULL, t->room - t->n, format, again);
    va_end(again);
    if (n < 0)
        return;
    /* vsnprintf wants room for its zero byte as well. */
    if ((size_t) n >= t->room - t->n) {
        if (!text_reserve(t, (size_t) n + 1))
            return;
        vsnprintf(t->at + t->n, t->room - t->n, format, args);
    }
    t->n += (size_t) n;
}

void
text_printf(struct text *t, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    text_vprintf(t, format, args);
    va_end(args);
}

size_t
text_format_u64(char *out, uint64_t value)
{
    size_t n = 1;

    for (uint64_t rest = value; rest >= 10; rest /= 10)
        n++;
    for (size_t i = n; i-- > 0; value /= 10)
        out[i] = (char) ('0' + value % 10);
    return n;
}

void
text_u64(struct text *t, uint64_t value)
{
    char digits[20];

    text_put(t, slice_of(digits, text_format_u64(digits, value)));
}

size_t
text_utf8_length(struct slice s)
{
    const unsigned char *p = (const unsigned char *) s.at;
    size_t len;
    unsigned low = 0x80, high = 0xBF;

    if (s.n == 0)
        return 0;
    if (p[0] >= 0xC2 && p[0] <= 0xDF)
        len = 2;
    else if (p[0] >= 0xE0 && p[0] <= 0xEF)
        len = 3;
    else if (p[0] >= 0xF0 && p[0] <= 0xF4)
        len = 4;
    else
        return 0;
    if (len > s.n)
        return 0;
    if (p[0] == 0xE0)
        low = 0xA0;
    else if (p[0] == 0xED)
        high = 0x9F;
    else if (p[0] == 0xF0)
        low = 0x90;
    else if (p[0] == 0xF4)
        high = 0x8F;
    if (p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < len; i++)
        if (p[i] < 0x80 || p[i] > 0xBF)
            return 0;
    return len;
}

static bool
json_plain(unsigned char c)
{
    return c >= 0x20 && c < 0x7F && c != '"' && c != '\\';
}

static void
json_escape(struct text *t, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";

    switch (c) {
    case '"': text_literal(t, "\\\""); return;
    case '\\': text_literal(t, "\\\\"); return;
    case '\n': text_literal(t, "\\n"); return;
    case '\r': text_literal(t, "\\r"); return;
    case '\t': text_literal(t, "\\t"); return;
    default: break;
    }
    text_literal(t, "\\u00");
    text_byte(t, hex[c >> 4]);
    text_byte(t, hex[c & 15]);
}

/* How many bytes at the start of s are the same in a JSON string. */
static size_t
plain_length(struct slice s)
{
    size_t i = 0;
    uint64_t v;

    for (; s.n - i >= sizeof(v); i += sizeof(v)) {
        memcpy(&v, s.at + i, sizeof(v));
        if (text_special_bytes(v))
            break;
    }
    while (i < s.n && json_plain((unsigned char) s.at[i]))
        i++;
    return i;
}

void
text_json(struct text *t, struct slice s)
{
    while (s.n) {
        size_t n = plain_length(s);

        text_put(t, slice_first(s, n));
        s = slice_from(s, n);
        if (s.n == 0)
            break;
        n = 1;
        if ((unsigned char) s.at[0] < 0x80) {
            json_escape(t, (unsigned char) s.at[0]);
        } else if ((n = text_utf8_length(s))) {
            text_put(t, slice_first(s, n));
        } else {
            text_literal(t, "\\ufffd");
            n = 1;
        }
        s = slice_from(s, n);
    }
}

void
text_html(struct text *t, struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        switch (s.at[i]) {
        case '<': text_literal(t, "&lt;"); break;
        case '>': text_literal(t, "&gt;"); break;
        case '&': text_literal(t, "&amp;"); break;
        case '"': text_literal(t, "&quot;"); break;
        case '\'': text_literal(t, "&#39;"); break;
        default: text_byte(t, s.at[i]); break;
        }
    }
}
