/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls/ja4.c - the JA4 fingerprint of a client hello.
 *
 *     t13d1516h2_8daaf6152771_e5627efa2ab1
 *     |||| | |   `ciphers     `extensions and signature algorithms, hashed
 *     |||| | `first and last byte of the first ALPN name
 *     |||| `how many ciphers and extensions
 *     |||`d: a name was sent, i: none
 *     |`highest version        `t: over TCP
 *
 * Ciphers and extensions are sorted before they are hashed, so that a client which shuffles them
 * keeps its fingerprint; reserved values (GREASE, RFC 8701), which are drawn at random, do not
 * count.
 */
#include "tls/hello.h"
#include "tls/tls.h"

#include <stdlib.h>

enum { VALUES_MAX = 512, HASH_HEX = 12 };

/* Two-byte values, without the reserved ones. */
struct values {
    uint16_t at[VALUES_MAX];
    size_t   n;
};

static bool
is_grease(unsigned v)
{
    return (v & 0x0F0F) == 0x0A0A && v >> 8 == (v & 0xFF);
}

static void
add_value(struct values *v, unsigned value)
{
    if (!is_grease(value) && v->n < VALUES_MAX)
        v->at[v->n++] = (uint16_t) value;
}

static void
add_pairs(struct values *v, struct slice pairs)
{
    for (size_t i = 0; i + 1 < pairs.n; i += 2)
        add_value(v, (unsigned) (unsigned char) pairs.at[i] << 8 | (unsigned char) pairs.at[i + 1]);
}

static int
compare(const void *a, const void *b)
{
    return *(const uint16_t *) a - *(const uint16_t *) b;
}

static void
put_hex(struct text *t, unsigned value, unsigned digits)
{
    while (digits--)
        text_byte(t, "0123456789abcdef"[value >> digits * 4 & 15]);
}

static void
put_values(struct text *t, const struct values *v)
{
    for (size_t i = 0; i < v->n; i++) {
        if (i)
            text_byte(t, ',');
        put_hex(t, v->at[i], 4);
    }
}

static void
put_count(struct text *t, size_t n)
{
    n = n > 99 ? 99 : n;
    text_byte(t, (char) ('0' + n / 10));
    text_byte(t, (char) ('0' + n % 10));
}

static void
put_version(struct text *t, const struct tls_hello *h)
{
    struct values versions = {.n = 0};
    unsigned best = h->version;

    add_pairs(&versions, h->versions);
    if (versions.n)
        best = 0;
    for (size_t i = 0; i < versions.n; i++)
        best = versions.at[i] > best ? versions.at[i] : best;
    if (best >= 0x0301 && best <= 0x0304) {
        text_byte(t, '1');
        text_byte(t, (char) ('0' + (best & 0xFF) - 1));
    } else {
        text_literal(t, "00");
    }
}

static bool
is_alphanumeric(char c)
{
    return ascii_is_alpha(c) || ascii_is_digit(c);
}

/* First and last byte of the first name; in hex, its first and last digit, when one is not a letter
 * or digit. */
static void
put_alpn(struct text *t, const struct tls_hello *h)
{
    size_t n = h->alpn.n ? (unsigned char) h->alpn.at[0] : 0;
    char first, last;

    if (n == 0 || n >= h->alpn.n) {
        text_literal(t, "00");
        return;
    }
    first = h->alpn.at[1];
    last = h->alpn.at[n];
    if (is_alphanumeric(first) && is_alphanumeric(last)) {
        text_byte(t, first);
        text_byte(t, last);
    } else {
        put_hex(t, (unsigned char) first >> 4, 1);
        put_hex(t, (unsigned char) last & 15, 1);
    }
}

static void
put_hash(struct text *t, const struct text *of, tls_digest_f *digest, void *arg)
{
    unsigned char hash[32];

    if (of->n == 0) {
        text_literal(t, "000000000000");
        return;
    }
    digest(arg, text_slice(of), hash);
    for (size_t i = 0; i < HASH_HEX / 2; i++)
        put_hex(t, hash[i], 2);
}

static void
read_extension_types(const struct tls_hello *h, struct values *counted, struct values *hashed)
{
    struct slice rest = h->extensions, content;
    unsigned type;

    while (tls_hello_extension(&rest, &type, &content)) {
        add_value(counted, type);
        if (type != 0 && type != 16)
            add_value(hashed, type);
    }
}

void
tls_hello_ja4(const struct tls_hello *h, tls_digest_f *digest, void *arg, char *out)
{
    struct values ciphers = {.n = 0}, extensions = {.n = 0}, hashed = {.n = 0},
                  signatures = {.n = 0};
    char room[2 * VALUES_MAX * 5 + 2];
    struct text t, list;

    text_fixed(&t, out, TLS_JA4_LENGTH);
    add_pairs(&ciphers, h->ciphers);
    read_extension_types(h, &extensions, &hashed);
    add_pairs(&signatures, h->signatures);
    text_byte(&t, 't');
    put_version(&t, h);
    text_byte(&t, slice_is_present(h->sni) ? 'd' : 'i');
    put_count(&t, ciphers.n);
    put_count(&t, extensions.n);
    put_alpn(&t, h);
    text_byte(&t, '_');
    qsort(ciphers.at, ciphers.n, sizeof(ciphers.at[0]), compare);
    text_fixed(&list, room, sizeof(room));
    put_values(&list, &ciphers);
    put_hash(&t, &list, digest, arg);
    text_byte(&t, '_');
    qsort(hashed.at, hashed.n, sizeof(hashed.at[0]), compare);
    text_fixed(&list, room, sizeof(room));
    put_values(&list, &hashed);
    if (list.n && signatures.n) {
        text_byte(&list, '_');
        put_values(&list, &signatures);
    }
    put_hash(&t, &list, digest, arg);
}
