/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http/h1_chunked.c - the chunked coding, byte by byte for the framing, run by run for the content.
 *
 * Chunk lines are where smugglers live: a lone LF, blanks around the size, a sign, "0x" or a number
 * that overflows is read differently by different parsers, so all of them are refused (RFC 9112 7.1
 * allows blanks only before an extension's semicolon).  What an extension says is ignored.
 */
#include "http/chars.h"
#include "http/h1.h"

enum {
    SIZE,            /* hexadecimal digits */
    EXTENSION_BLANK, /* blanks before the first ';' */
    EXTENSION,
    SIZE_LF,
    CONTENT,
    CONTENT_CR,
    CONTENT_LF,
    FINISHED,
};

enum { DIGITS_MAX = 16, EXTENSION_BYTES_MAX = 4096 };

static enum h1_fault
take_extension(struct h1_chunked *c, char byte)
{
    if (byte == '\r' && c->state == EXTENSION) {
        c->state = SIZE_LF;
        return H1_OK;
    }
    if (byte == '\n')
        return H1_BAD_LINE_END;
    if (!is_field_value(slice_of(&byte, 1)))
        return H1_BAD_CHUNK_SIZE;
    if (c->state == EXTENSION_BLANK && byte != ' ' && byte != '\t') {
        if (byte != ';')
            return H1_BAD_CHUNK_SIZE;
        c->state = EXTENSION;
    }
    return ++c->extensions > EXTENSION_BYTES_MAX ? H1_CHUNK_EXTENSION_TOO_LONG : H1_OK;
}

/* The size ended; c is what came instead of another digit. */
static enum h1_fault
end_size(struct h1_chunked *c, char byte)
{
    if (!c->digits)
        return H1_BAD_CHUNK_SIZE;
    switch (byte) {
    case '\r': c->state = SIZE_LF; return H1_OK;
    case ';':
    case ' ':
    case '\t': c->state = EXTENSION_BLANK; return take_extension(c, byte);
    case '\n': return H1_BAD_LINE_END;
    default: return H1_BAD_CHUNK_SIZE;
    }
}

static enum h1_fault
take_size(struct h1_chunked *c, char byte)
{
    int digit = hex_digit(byte);

    if (digit < 0)
        return end_size(c, byte);
    /* Sizes stay below 2^63, so that sums of two of them cannot overflow. */
    if (++c->digits > DIGITS_MAX || c->left >> 59)
        return H1_BAD_CHUNK_SIZE;
    c->left = c->left << 4 | (unsigned) digit;
    return H1_OK;
}

static enum h1_fault
take_size_lf(struct h1_chunked *c, char byte)
{
    if (byte != '\n')
        return H1_BAD_LINE_END;
    c->state = c->left ? CONTENT : FINISHED;
    return H1_OK;
}

static enum h1_fault
take_content_end(struct h1_chunked *c, char byte)
{
    if (byte != (c->state == CONTENT_CR ? '\r' : '\n'))
        return H1_BAD_CHUNK_END;
    c->digits = 0;
    c->state = c->state == CONTENT_CR ? CONTENT_LF : SIZE;
    return H1_OK;
}

static inline enum h1_fault
take_byte(struct h1_chunked *c, char byte)
{
    switch (c->state) {
    case SIZE: return take_size(c, byte);
    case EXTENSION_BLANK:
    case EXTENSION: return take_extension(c, byte);
    case SIZE_LF: return take_size_lf(c, byte);
    default: return take_content_end(c, byte);
    }
}

/* The content of this chunk that lies at the start of bytes. */
static struct slice
take_content(struct h1_chunked *c, struct slice bytes)
{
    struct slice run = slice_first(bytes, c->left < SIZE_MAX ? (size_t) c->left : SIZE_MAX);

    c->left -= run.n;
    if (c->left == 0)
        c->state = CONTENT_CR;
    return run;
}

enum h1_result
h1_chunked_next(struct h1_chunked *c, struct slice bytes, struct slice *data, size_t *used,
                enum h1_fault *fault)
{
    size_t i = 0;

    *fault = H1_OK;
    *data = slice_of(bytes.at, 0);
    while (i < bytes.n && c->state != CONTENT && c->state != FINISHED) {
        *fault = take_byte(c, bytes.at[i]);
        if (*fault != H1_OK) {
            *used = i;
            return H1_BAD;
        }
        i++;
    }
    if (i < bytes.n && c->state == CONTENT) {
        *data = take_content(c, slice_of(bytes.at + i, bytes.n - i));
        i += data->n;
    }
    *used = i;
    return c->state == FINISHED ? H1_DONE : H1_MORE;
}
