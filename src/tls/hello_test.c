/* SPDX-License-Identifier: Apache-2.0 */
/* tls/hello_test.c - client hellos, whole, in pieces and spoilt; the fingerprints that come of
 * them. */
#include "base/test.h"
#include "tls/hello.h"
#include "tls/tls.h"

#include "base/check.h"

#include <openssl/sha.h>
#include <stdio.h>

/* ------------------------------------------------------------------ making a hello */

static unsigned char made[4096];
static size_t made_n;

static void
put(const void *bytes, size_t n)
{
    memcpy(made + made_n, bytes, n);
    made_n += n;
}

static void
put_u16(unsigned v)
{
    unsigned char bytes[2] = {(unsigned char) (v >> 8), (unsigned char) v};

    put(bytes, 2);
}

/* Lengths are filled in once what they count is there. */
static void
set_u16(size_t at, size_t v)
{
    made[at] = (unsigned char) (v >> 8);
    made[at + 1] = (unsigned char) v;
}

struct pairs {
    unsigned at[20];
    size_t   n;
};

static void
put_extension(unsigned type, const void *content, size_t n)
{
    put_u16(type);
    put_u16((unsigned) n);
    put(content, n);
}

/* The example of the JA4 specification: 15 ciphers and 16 extensions, without the reserved ones. */
static const struct pairs ciphers = {
    {0x0a0a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014,
     0x009c, 0x009d, 0x002f, 0x0035},
    16};
static const struct pairs plain_extensions = {
    {0x001b, 0x0033, 0x4469, 0x0017, 0x002d, 0x0005, 0x0023, 0x0012, 0xff01, 0x000b, 0x000a,
     0x0015},
    12};

static struct slice
make_hello(void)
{
    static const unsigned char name[] = "\x00\x0f\x00\x00\x0c" "Example.Test";
    static const unsigned char alpn[] = "\x00\x0c\x02h2\x08http/1.1";
    static const unsigned char signatures[] = "\x00\x10\x04\x03\x08\x04\x04\x01\x05\x03\x08\x05\x05"
                                              "\x01\x08\x06\x06\x01";
    static const unsigned char versions[] = "\x06\x3a\x3a\x03\x04\x03\x03";
    size_t extensions_at;

    made_n = 9; /* record and message header */
    put_u16(0x0303);
    put("RANDOMRANDOMRANDOMRANDOMRANDOMRA\x00", 33);
    put_u16((unsigned) ciphers.n * 2);
    for (size_t i = 0; i < ciphers.n; i++)
        put_u16(ciphers.at[i]);
    put("\x01\x00", 2);
    extensions_at = made_n;
    put_u16(0);
    put_extension(0x8a8a, "", 0);
    put_extension(0, name, sizeof(name) - 1);
    put_extension(16, alpn, sizeof(alpn) - 1);
    put_extension(13, signatures, sizeof(signatures) - 1);
    put_extension(43, versions, sizeof(versions) - 1);
    for (size_t i = 0; i < plain_extensions.n; i++)
        put_extension(plain_extensions.at[i], "", 0);
    set_u16(extensions_at, made_n - extensions_at - 2);
    memcpy(made, "\x16\x03\x01\x00\x00\x01\x00", 7);
    set_u16(3, made_n - 5);
    set_u16(7, made_n - 9);
    return slice_of((char *) made, made_n);
}

static enum tls_hello_result
parse(struct slice wire, struct tls_hello *h)
{
    static char scratch[65536];

    return tls_hello_parse(wire, scratch, h);
}

/* ------------------------------------------------------------------ reading */

TEST(a_hello_tells_name_protocols_and_versions)
{
    struct tls_hello h;

    EXPECT_EQ(parse(make_hello(), &h), TLS_HELLO_DONE);
    EXPECT_STR(h.sni, "Example.Test");
    EXPECT_STR(h.alpn, "\x02h2\x08http/1.1");
    EXPECT_EQ(h.version, 0x0303);
    EXPECT_EQ(h.ciphers.n, 32);
    EXPECT_EQ(h.versions.n, 6);
    EXPECT_EQ(h.signatures.n, 16);
}

TEST(every_beginning_of_a_hello_asks_for_more)
{
    struct slice whole = make_hello();
    struct tls_hello h;

    for (size_t n = 0; n < whole.n; n++)
        EXPECT_EQ(parse(slice_first(whole, n), &h), TLS_HELLO_MORE);
}

/* The same message in records of `step` bytes each. */
static struct slice
in_records(struct slice whole, size_t step)
{
    static char out[65536];
    size_t n = 0;

    for (size_t at = 5; at < whole.n; at += step) {
        size_t part = step < whole.n - at ? step : whole.n - at;

        memcpy(out + n, "\x16\x03\x01", 3);
        out[n + 3] = (char) (part >> 8);
        out[n + 4] = (char) part;
        memcpy(out + n + 5, whole.at + at, part);
        n += 5 + part;
    }
    return slice_of(out, n);
}

TEST(a_hello_may_be_spread_over_records)
{
    struct slice whole = make_hello();
    struct tls_hello h;

    for (size_t step = 1; step < 60; step += 7) {
        struct slice wire = in_records(whole, step);

        EXPECT_EQ(parse(wire, &h), TLS_HELLO_DONE);
        EXPECT_STR(h.sni, "Example.Test");
        EXPECT_EQ(parse(slice_first(wire, wire.n - 1), &h), TLS_HELLO_MORE);
    }
}

TEST(what_follows_the_hello_does_not_matter)
{
    struct slice whole = make_hello();
    static char wire[8192];
    struct tls_hello h;

    memcpy(wire, whole.at, whole.n);
    memcpy(wire + whole.n, "\x14\x03\x03\x00\x01\x01\x17\x03\x03\x00\x02zz", 13);
    EXPECT_EQ(parse(slice_of(wire, whole.n + 13), &h), TLS_HELLO_DONE);
    EXPECT_STR(h.sni, "Example.Test");
}

TEST(a_spoilt_byte_never_leads_outside)
{
    struct slice whole = make_hello();
    struct tls_hello h;

    for (size_t i = 0; i < whole.n; i++)
        for (unsigned v = 0; v < 256; v += 5) {
            unsigned char kept = made[i];

            made[i] = (unsigned char) v;
            (void) parse(whole, &h);
            EXPECT(!h.sni.at || (h.sni.at >= whole.at && h.sni.at + h.sni.n <= whole.at + whole.n));
            made[i] = kept;
        }
}

TEST(what_is_no_hello_is_told_apart)
{
    static const struct {
        struct slice          wire;
        enum tls_hello_result result;
    } cases[] = {
        {SLICE_INIT("GET / HTTP/1.1\r\n"), TLS_HELLO_HTTP},
        {SLICE_INIT("PRI * HTTP/2.0\r\n"), TLS_HELLO_HTTP},
        {SLICE_INIT("GE"), TLS_HELLO_MORE},
        {SLICE_INIT("SSH-2.0-x\r\n"), TLS_HELLO_NONE},
        {SLICE_INIT("\x00\x01"), TLS_HELLO_NONE},
        {SLICE_INIT("\x15\x03\x01\x00\x02\x02\x28"), TLS_HELLO_NONE},
        {SLICE_INIT("\x16\x03\x01\x00\x05hello"), TLS_HELLO_BAD},
        {SLICE_INIT("\x16\x02\x01\x00\x05\x01"), TLS_HELLO_BAD},
        {SLICE_INIT("\x16\x03\x01\x00\x00"), TLS_HELLO_BAD},
        {SLICE_INIT("\x16\x03\x01\x48\x00\x01"), TLS_HELLO_BAD},
    };
    struct tls_hello h;

    for (size_t i = 0; i < countof(cases); i++)
        if (parse(cases[i].wire, &h) != cases[i].result)
            test_failed(__FILE__, __LINE__, "case %zu", i);
}

/* ------------------------------------------------------------------ fingerprints */

static void
digest(void *arg, struct slice s, unsigned char out[32])
{
    (void) arg;
    SHA256((const unsigned char *) s.at, s.n, out);
}

/* FoxIO's own example, technical_details/JA4.md. */
TEST(ja4_is_the_one_of_the_specification)
{
    char out[TLS_JA4_LENGTH];
    struct tls_hello h;

    EXPECT_EQ(parse(make_hello(), &h), TLS_HELLO_DONE);
    tls_hello_ja4(&h, digest, NULL, out);
    EXPECT_STR(slice_of(out, sizeof(out)), "t13d1516h2_8daaf6152771_e5627efa2ab1");
}

TEST(ja4_of_a_bare_hello)
{
    static const unsigned char bare[] = "\x16\x03\x01\x00\x2f\x01\x00\x00\x2b\x03\x03"
                                        "RANDOMRANDOMRANDOMRANDOMRANDOMRA\x00\x00\x04\xc0\x2f\xc0"
                                        "\x30\x01\x00";
    char out[TLS_JA4_LENGTH];
    struct tls_hello h;
    unsigned char hash[32];
    char want[64];

    EXPECT_EQ(parse(slice_of((const char *) bare, sizeof(bare) - 1), &h), TLS_HELLO_DONE);
    tls_hello_ja4(&h, digest, NULL, out);
    SHA256((const unsigned char *) "c02f,c030", 9, hash);
    snprintf(want, sizeof(want), "t12i020000_%02x%02x%02x%02x%02x%02x_000000000000", hash[0],
             hash[1], hash[2], hash[3], hash[4], hash[5]);
    EXPECT_STR(slice_of(out, sizeof(out)), want);
}
