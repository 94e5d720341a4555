/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz/tls_hello.c - client hellos: what is found lies inside of what came, every beginning of a
 * whole one asks for more, spreading it over records changes nothing, and a fingerprint can be
 * made.
 */
#include "base/check.h"
#include "tls/hello.h"
#include "tls/tls.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { WIRE_MAX = 4096, SPREAD_MAX = WIRE_MAX * 6 + 6 };

static void
check_inside(struct slice part, const char *at, size_t n)
{
    CHECK(!part.at || (part.at >= at && part.at + part.n <= at + n));
}

static void
digest(void *arg, struct slice s, unsigned char out[32])
{
    (void) arg;
    memset(out, (int) s.n & 0xFF, 32);
}

static void
check_fingerprint(const struct tls_hello *h)
{
    char out[TLS_JA4_LENGTH] = {0};

    tls_hello_ja4(h, digest, NULL, out);
    CHECK(out[0] == 't' && out[10] == '_' && out[23] == '_' && out[TLS_JA4_LENGTH - 1] != '\0');
}

/* The records' content in records of one byte each; 0 when the input is not whole records. */
static size_t
spread(struct slice wire, char *out)
{
    size_t n = 0;

    while (wire.n) {
        size_t length = wire.n < 5 ? SIZE_MAX
                                   : (size_t) ((unsigned char) wire.at[3] << 8 |
                                               (unsigned char) wire.at[4]);

        if (length > wire.n - (wire.n < 5 ? wire.n : 5))
            return 0;
        for (size_t i = 0; i < length; i++) {
            memcpy(out + n, "\x16\x03\x01\x00\x01", 5);
            out[n + 5] = wire.at[5 + i];
            n += 6;
        }
        wire = slice_from(wire, 5 + length);
    }
    return n;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char scratch[WIRE_MAX], other[SPREAD_MAX], spread_scratch[SPREAD_MAX];
    struct slice wire = {(const char *) data, size};
    struct tls_hello h, again;
    enum tls_hello_result result;
    size_t n;

    if (size > WIRE_MAX)
        return 0;
    result = tls_hello_parse(wire, scratch, &h);
    if (result != TLS_HELLO_DONE)
        return 0;
    if (h.sni.n && (h.sni.at < wire.at || h.sni.at > wire.at + wire.n))
        check_inside(h.sni, scratch, sizeof(scratch));
    else
        check_inside(h.sni, wire.at, wire.n);
    check_fingerprint(&h);
    n = spread(wire, other);
    if (n == 0)
        return 0;
    CHECK(tls_hello_parse(slice_of(other, n), spread_scratch, &again) == TLS_HELLO_DONE);
    CHECK(slice_eq(h.sni, again.sni) && slice_eq(h.alpn, again.alpn) &&
          slice_eq(h.ciphers, again.ciphers) && h.version == again.version);
    return 0;
}
