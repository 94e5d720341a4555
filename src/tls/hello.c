/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls/hello.c - reading a client hello, and saying what else came instead.
 *
 * Every length is checked against what holds it.  What is malformed inside is left to OpenSSL to
 * refuse where it does not stand in the way: only the frame of the message has to be right.
 */
#include "tls/hello.h"

enum {

    RECORD_HANDSHAKE = 22,
    RECORD_MAX = 16384,
    MESSAGE_CLIENT_HELLO = 1,
    RANDOM_BYTES = 32,
};

enum extension {
    EXTENSION_SERVER_NAME = 0,
    EXTENSION_SIGNATURES = 13,
    EXTENSION_ALPN = 16,
    EXTENSION_VERSIONS = 43,
};

/* ------------------------------------------------------------------ taking bytes off the front */

static bool
take_number(struct slice *s, size_t width, size_t *value)
{
    *value = 0;
    if (s->n < width)
        return false;
    for (size_t i = 0; i < width; i++)
        *value = *value << 8 | (unsigned char) s->at[i];
    *s = slice_from(*s, width);
    return true;
}

static bool
take_bytes(struct slice *s, size_t n, struct slice *out)
{
    if (s->n < n)
        return false;
    *out = slice_first(*s, n);
    *s = slice_from(*s, n);
    return true;
}

/* A stretch after its length, which has `width` bytes. */
static bool
take_vector(struct slice *s, size_t width, struct slice *out)
{
    size_t n;

    return take_number(s, width, &n) && take_bytes(s, n, out);
}

/* ------------------------------------------------------------------ records */

static enum tls_hello_result
not_tls(struct slice wire)
{
    size_t n = 0;

    while (n < wire.n && n < 16 && wire.at[n] >= 'A' && wire.at[n] <= 'Z')
        n++;
    if (n == wire.n && n < 16)
        return TLS_HELLO_MORE;
    return n >= 2 && n < 16 && wire.at[n] == ' ' ? TLS_HELLO_HTTP : TLS_HELLO_NONE;
}

/* The content of the records so far, in one piece: in place when it is one record.  What follows in
 * records of another kind is not the hello's. */
static enum tls_hello_result
join_records(struct slice wire, char *scratch, struct slice *content)
{
    size_t total = 0;

    while (wire.n) {
        size_t type, version, n;

        if (!take_number(&wire, 1, &type))
            return TLS_HELLO_MORE;
        if (type != RECORD_HANDSHAKE)
            return total ? TLS_HELLO_DONE : TLS_HELLO_BAD;
        if (!take_number(&wire, 2, &version) || !take_number(&wire, 2, &n))
            return TLS_HELLO_MORE;
        if (version >> 8 != 3 || n == 0 || n > RECORD_MAX)
            return TLS_HELLO_BAD;
        if (n > wire.n)
            n = wire.n;
        if (total == 0 && n == wire.n) {
            *content = wire;
            return TLS_HELLO_DONE;
        }
        memcpy(scratch + total, wire.at, n);
        total += n;
        wire = slice_from(wire, n);
        *content = slice_of(scratch, total);
    }
    return total ? TLS_HELLO_DONE : TLS_HELLO_MORE;
}

/* ------------------------------------------------------------------ the message */

bool
tls_hello_extension(struct slice *rest, unsigned *type, struct slice *content)
{
    size_t number;

    if (!take_number(rest, 2, &number) || !take_vector(rest, 2, content))
        return false;
    *type = (unsigned) number;
    return true;
}

/* RFC 6066 3: the list may hold one name of each kind, and there is one kind. */
static void
read_server_name(struct tls_hello *h, struct slice content)
{
    struct slice list, name;
    size_t kind;

    if (take_vector(&content, 2, &list) && take_number(&list, 1, &kind) && kind == 0 &&
        take_vector(&list, 2, &name) && name.n && name.n <= 255 &&
        slice_find(name, '\0') == SLICE_NOT_FOUND)
        h->sni = name;
}

static bool
read_extensions(struct tls_hello *h)
{
    struct slice rest = h->extensions, content;
    unsigned type;

    while (rest.n) {
        if (!tls_hello_extension(&rest, &type, &content))
            return false;
        if (type == EXTENSION_SERVER_NAME)
            read_server_name(h, content);
        else if (type == EXTENSION_ALPN)
            (void) take_vector(&content, 2, &h->alpn);
        else if (type == EXTENSION_VERSIONS)
            (void) take_vector(&content, 1, &h->versions);
        else if (type == EXTENSION_SIGNATURES)
            (void) take_vector(&content, 2, &h->signatures);
    }
    return true;
}

static bool
read_body(struct tls_hello *h, struct slice body)
{
    struct slice ignored;
    size_t version;

    if (!take_number(&body, 2, &version) || !take_bytes(&body, RANDOM_BYTES, &ignored) ||
        !take_vector(&body, 1, &ignored) || !take_vector(&body, 2, &h->ciphers) ||
        !take_vector(&body, 1, &ignored))
        return false;
    h->version = (uint16_t) version;
    /* A hello of old ends here. */
    if (body.n == 0)
        return true;
    return take_vector(&body, 2, &h->extensions) && body.n == 0 && read_extensions(h);
}

enum tls_hello_result
tls_hello_parse(struct slice wire, char *scratch, struct tls_hello *h)
{
    struct slice content = {NULL, 0}, body;
    enum tls_hello_result result;
    size_t type, n;

    memset(h, 0, sizeof(*h));
    if (wire.n && wire.at[0] != RECORD_HANDSHAKE)
        return not_tls(wire);
    result = join_records(wire, scratch, &content);
    if (result != TLS_HELLO_DONE)
        return result;
    if (content.n && content.at[0] != MESSAGE_CLIENT_HELLO)
        return TLS_HELLO_BAD;
    if (!take_number(&content, 1, &type) || !take_number(&content, 3, &n))
        return TLS_HELLO_MORE;
    if (!take_bytes(&content, n, &body))
        return TLS_HELLO_MORE;
    return read_body(h, body) ? TLS_HELLO_DONE : TLS_HELLO_BAD;
}
