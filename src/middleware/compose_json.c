/* SPDX-License-Identifier: Apache-2.0 */
/* middleware/compose_json.c - without calling itself: a fiber's stack is small. */
#include "middleware/compose_json.h"

#include "base/text.h"

struct reader {
    const char *at, *end;
    uint64_t    objects; /* bit: this level is an object, not a list */
    unsigned    depth;
};

static void
skip_blanks(struct reader *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r'))
        r->at++;
}

static bool
skip(struct reader *r, char c)
{
    if (r->at == r->end || *r->at != c)
        return false;
    r->at++;
    return true;
}

/* ------------------------------------------------------------------ single values */

static bool
read_literal(struct reader *r, struct slice word)
{
    if (!slice_starts(slice_of(r->at, (size_t) (r->end - r->at)), word))
        return false;
    r->at += word.n;
    return true;
}

static bool
read_digits(struct reader *r)
{
    const char *start = r->at;

    while (r->at < r->end && ascii_is_digit(*r->at))
        r->at++;
    return r->at > start;
}

static bool
read_number(struct reader *r)
{
    (void) skip(r, '-');
    if (!skip(r, '0') && !read_digits(r))
        return false;
    if (skip(r, '.') && !read_digits(r))
        return false;
    if (!skip(r, 'e') && !skip(r, 'E'))
        return true;
    if (!skip(r, '-'))
        (void) skip(r, '+');
    return read_digits(r);
}

static bool
read_escape(struct reader *r)
{
    uint64_t code;

    if (r->at == r->end)
        return false;
    if (*r->at++ != 'u')
        return memchr("\"\\/bfnrt", r->at[-1], 8) != NULL;
    if (r->end - r->at < 4 || !slice_hex_to_u64(slice_of(r->at, 4), &code))
        return false;
    r->at += 4;
    return true;
}

static bool
read_string(struct reader *r)
{
    if (!skip(r, '"'))
        return false;
    while (r->at < r->end) {
        unsigned char c = (unsigned char) *r->at;
        size_t n = 1;

        if (skip(r, '"'))
            return true;
        if (skip(r, '\\')) {
            if (!read_escape(r))
                return false;
            continue;
        }
        if (c >= 0x80)
            n = text_utf8_length(slice_of(r->at, (size_t) (r->end - r->at)));
        if (c < ' ' || n == 0)
            return false;
        r->at += n;
    }
    return false;
}

/* ------------------------------------------------------------------ what they are in */

static bool
is_in_object(const struct reader *r)
{
    return r->depth && (r->objects >> (r->depth - 1) & 1);
}

static bool
read_key(struct reader *r)
{
    skip_blanks(r);
    if (!read_string(r))
        return false;
    skip_blanks(r);
    return skip(r, ':');
}

/* A value that is none of the others, or the beginning of a list or object. *open: that one, and
 * it is not empty. */
static bool
read_value(struct reader *r, bool *open)
{
    bool object;

    *open = false;
    skip_blanks(r);
    if (r->at == r->end)
        return false;
    switch (*r->at) {
    case '"': return read_string(r);
    case 't': return read_literal(r, SLICE("true"));
    case 'f': return read_literal(r, SLICE("false"));
    case 'n': return read_literal(r, SLICE("null"));
    case '{':
    case '[': break;
    default: return read_number(r);
    }
    object = *r->at++ == '{';
    skip_blanks(r);
    if (skip(r, object ? '}' : ']'))
        return true;
    if (r->depth == COMPOSE_JSON_DEPTH_MAX)
        return false;
    r->objects &= ~(UINT64_C(1) << r->depth);
    r->objects |= (uint64_t) object << r->depth;
    r->depth++;
    *open = true;
    return !object || read_key(r);
}

/* Behind a value: all that ends here, and the comma.  False: neither. */
static bool
read_ends(struct reader *r)
{
    for (skip_blanks(r); r->depth; skip_blanks(r)) {
        if (skip(r, ','))
            return !is_in_object(r) || read_key(r);
        if (!skip(r, is_in_object(r) ? '}' : ']'))
            return false;
        r->depth--;
    }
    return true;
}

bool
compose_json_is_valid(struct slice text)
{
    struct reader r = {.at = text.at, .end = text.at + text.n};
    bool open;

    do {
        if (!read_value(&r, &open) || (!open && !read_ends(&r)))
            return false;
    } while (r.depth);
    return r.at == r.end;
}

struct slice
compose_json_trim(struct slice text)
{
    struct reader r = {.at = text.at, .end = text.at + text.n};

    skip_blanks(&r);
    while (r.end > r.at && memchr(" \t\r\n", r.end[-1], 4))
        r.end--;
    return slice_of(r.at, (size_t) (r.end - r.at));
}

/* ------------------------------------------------------------------ members */

/* Of valid text, up to the ',' or '}' behind it. */
static void
skip_value(struct reader *r)
{
    size_t depth = 0;

    while (r->at < r->end) {
        char c = *r->at;

        if (c == '"') {
            (void) read_string(r);
            continue;
        }
        if (depth == 0 && (c == ',' || c == '}'))
            return;
        depth += c == '{' || c == '[';
        depth -= c == '}' || c == ']';
        r->at++;
    }
}

static void
put_code_point(struct text *out, uint32_t code)
{
    if (code < 0x80) {
        text_byte(out, (char) code);
        return;
    }
    if (code < 0x800) {
        text_byte(out, (char) (0xC0 | code >> 6));
    } else {
        if (code < 0x10000) {
            text_byte(out, (char) (0xE0 | code >> 12));
        } else {
            text_byte(out, (char) (0xF0 | code >> 18));
            text_byte(out, (char) (0x80 | (code >> 12 & 0x3F)));
        }
        text_byte(out, (char) (0x80 | (code >> 6 & 0x3F)));
    }
    text_byte(out, (char) (0x80 | (code & 0x3F)));
}

/* The digits of a \u; they are there. */
static uint32_t
read_unit(struct reader *r)
{
    uint64_t code = 0;

    (void) slice_hex_to_u64(slice_of(r->at, 4), &code);
    r->at += 4;
    return (uint32_t) code;
}

/* Behind \u.  What is beyond 16 bits is written as a pair of surrogates (RFC 8259 7). */
static uint32_t
read_code_point(struct reader *r)
{
    uint32_t code = read_unit(r), low;
    const char *behind = r->at;

    if (code < 0xD800 || code >= 0xDC00 ||
        !slice_starts(slice_of(r->at, (size_t) (r->end - r->at)), SLICE("\\u")))
        return code;
    r->at += 2;
    low = read_unit(r);
    if (low >= 0xDC00 && low < 0xE000)
        return 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    r->at = behind;
    return code;
}

static void
decode_escape(struct reader *r, struct text *out)
{
    static const char letters[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    char c = *r->at++;

    if (c == 'u')
        put_code_point(out, read_code_point(r));
    else
        text_byte(out, meant[strchr(letters, c) - letters]);
}

void
compose_json_decode(struct slice string, struct text *out)
{
    struct reader r = {.at = string.at + 1, .end = string.at + string.n - 1};

    while (r.at < r.end) {
        if (skip(&r, '\\'))
            decode_escape(&r, out);
        else
            text_byte(out, *r.at++);
    }
}

bool
compose_json_member(struct slice *rest, struct slice *key, struct slice *member)
{
    struct reader r = {.at = rest->at, .end = rest->at + rest->n};
    const char *start;

    skip_blanks(&r);
    if (!skip(&r, '{') && !skip(&r, ','))
        return false;
    skip_blanks(&r);
    start = r.at;
    if (!read_string(&r))
        return false;
    *key = slice_of(start, (size_t) (r.at - start));
    skip_value(&r);
    *member = compose_json_trim(slice_of(start, (size_t) (r.at - start)));
    *rest = slice_of(r.at, (size_t) (r.end - r.at));
    return true;
}
