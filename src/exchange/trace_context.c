/* SPDX-License-Identifier: Apache-2.0 */
/* exchange/trace_context.c - reading and writing the fields of W3C Trace Context. */
#include "exchange/trace_context.h"

enum { STATE_MEMBERS_MAX = 32, STATE_KEY_MAX = 256, STATE_VALUE_MAX = 256 };

/* ------------------------------------------------------------------ hexadecimal */

/* Lower case only (2.2.1); -1 for anything else. */
static int
digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* False when it is not all digits, or all zero. */
static bool
read_bytes(const char *at, uint8_t *out, size_t n)
{
    unsigned any = 0;

    for (size_t i = 0; i < n; i++) {
        int high = digit(at[2 * i]), low = digit(at[2 * i + 1]);

        if (high < 0 || low < 0)
            return false;
        out[i] = (uint8_t) (high << 4 | low);
        any |= out[i];
    }
    return any != 0;
}

void
trace_context_hex(char *out, const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = "0123456789abcdef"[bytes[i] >> 4];
        out[2 * i + 1] = "0123456789abcdef"[bytes[i] & 15];
    }
}

/* ------------------------------------------------------------------ traceparent */

/* Later versions may have more behind another dash (3.2.4). */
static bool
length_is_good(struct slice s)
{
    bool ours = slice_starts(s, SLICE("00"));

    return s.n == TRACEPARENT_LENGTH ||
           (!ours && s.n > TRACEPARENT_LENGTH && s.at[TRACEPARENT_LENGTH] == '-');
}

static bool
parse(struct slice s, struct trace_context *out)
{
    int flags;

    if (!length_is_good(s) || s.at[2] != '-' || s.at[35] != '-' || s.at[52] != '-')
        return false;
    if (digit(s.at[0]) < 0 || digit(s.at[1]) < 0 || slice_starts(s, SLICE("ff")))
        return false;
    if (!read_bytes(s.at + 3, out->id, sizeof(out->id)) ||
        !read_bytes(s.at + 36, out->span, sizeof(out->span)))
        return false;
    flags = digit(s.at[54]);
    if (digit(s.at[53]) < 0 || flags < 0)
        return false;
    out->sampled = flags & 1;
    out->id_text = slice_of(s.at + 3, 2 * TRACE_ID_BYTES);
    return true;
}

bool
trace_context_read(const struct fields *f, struct trace_context *out)
{
    const struct field *only = fields_next(f, NULL, SLICE("traceparent"));

    return only && !fields_next(f, only, SLICE("traceparent")) && parse(only->value, out);
}

void
trace_context_write(char out[TRACEPARENT_LENGTH], const uint8_t id[TRACE_ID_BYTES],
                    const uint8_t span[TRACE_SPAN_BYTES], bool sampled)
{
    memcpy(out, "00-", 3);
    trace_context_hex(out + 3, id, TRACE_ID_BYTES);
    out[35] = '-';
    trace_context_hex(out + 36, span, TRACE_SPAN_BYTES);
    memcpy(out + 52, sampled ? "-01" : "-00", 3);
}

/* ------------------------------------------------------------------ tracestate */

/* 3.3.1.3.1: lower case, digits, and "_-*" "/"; one "@" between tenant and system. */
static bool
key_is_good(struct slice key)
{
    bool system = false;

    if (key.n == 0 || key.n > STATE_KEY_MAX)
        return false;
    for (size_t i = 0; i < key.n; i++) {
        char c = key.at[i];

        if (c == '@' && i > 0 && i + 1 < key.n && !system)
            system = true;
        else if (c != '_' && c != '-' && c != '*' && c != '/' && !(c >= 'a' && c <= 'z') &&
                 !ascii_is_digit(c))
            return false;
    }
    return (key.at[0] >= 'a' && key.at[0] <= 'z') || ascii_is_digit(key.at[0]);
}

/* 3.3.1.3.2: printable, no comma, no equals sign; blanks at the end were cut off already. */
static bool
value_is_good(struct slice value)
{
    if (value.n == 0 || value.n > STATE_VALUE_MAX)
        return false;
    for (size_t i = 0; i < value.n; i++)
        if (value.at[i] < 0x20 || value.at[i] > 0x7e || value.at[i] == '=')
            return false;
    return true;
}

/* Adds the keys of one field's members to those that there are. */
static bool
take_members(struct slice rest, struct slice keys[STATE_MEMBERS_MAX], size_t *n)
{
    while (slice_is_present(rest)) {
        struct slice value = slice_trim(slice_cut(&rest, ',')), key;

        if (value.n == 0) /* empty members are allowed, and mean nothing */
            continue;
        key = slice_cut(&value, '=');
        if (*n == STATE_MEMBERS_MAX || !key_is_good(key) || !value_is_good(value))
            return false;
        for (size_t i = 0; i < *n; i++)
            if (slice_eq(keys[i], key))
                return false;
        keys[(*n)++] = key;
    }
    return true;
}

bool
trace_context_state_is_good(const struct fields *f)
{
    struct slice keys[STATE_MEMBERS_MAX];
    const struct field *field = NULL;
    size_t n = 0;

    while ((field = fields_next(f, field, SLICE("tracestate"))))
        if (!take_members(field->value, keys, &n))
            return false;
    return true;
}
