/* SPDX-License-Identifier: Apache-2.0 */
/* tls/record_test.c - records against the trace of RFC 8448 3, and against ourselves. */
#include "tls/record.h"

#include "base/test.h"

#include <string.h>

static struct loop loop;
static struct tls_protection sealer, opener;

static void
from_hex(const char *hex, unsigned char *out)
{
    for (; hex[0] && hex[1]; hex += 2)
        sscanf(hex, "%2hhx", out++);
}

static const char server_secret[] =
    "a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643";
static const char client_secret[] =
    "9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5";

/* Both ends of one direction. */
static void
begin(enum tls_suite suite, const char *hex)
{
    unsigned char secret[48] = {0};

    CHECK(loop_init(&loop, NULL, 0) == OK);
    from_hex(hex, secret);
    tls_protection_start(&sealer, tls_worker_self(), suite, secret, true);
    tls_protection_start(&opener, tls_worker_self(), suite, secret, false);
}

static void
end(void)
{
    tls_protection_end(&sealer);
    tls_protection_end(&opener);
    loop_exit(&loop);
}

static void
seal(enum tls_record_type type, const void *at, size_t n, unsigned char *out)
{
    struct iovec iov = {(void *) at, n};
    struct tls_pieces from = {&iov, 0};

    CHECK(tls_record_seal(&sealer, type, &from, n, out));
}

/* In place, as one that was changed at that byte; SIZE_MAX: unchanged. */
static ssize_t
open_changed(const unsigned char *record, size_t size, size_t at, enum tls_record_type *type)
{
    static unsigned char copy[TLS_RECORD_HEADER + TLS_RECORD_SEALED_MAX];

    memcpy(copy, record, size);
    if (at < size)
        copy[at] ^= 0x40;
    return tls_record_open(&opener, copy, size, copy + TLS_RECORD_HEADER, type);
}

TEST(a_record_of_the_server_is_that_of_rfc_8448)
{
    unsigned char want[72], got[72], payload[50];

    from_hex("17030300432e937e11ef4ac740e538ad36005fc4a46932fc3225d05f82aa1b36e30efaf97d90"
             "e6dffc602dcb501a59a8fcc49c4bf2e5f0a21c0047c2abf332540dd032e167c2955d",
             want);
    for (size_t i = 0; i < sizeof(payload); i++)
        payload[i] = (unsigned char) i;
    begin(TLS_AES_128, server_secret);
    sealer.number = 1; /* the ticket went before */
    seal(TLS_RECORD_DATA, payload, sizeof(payload), got);
    EXPECT(memcmp(got, want, sizeof(want)) == 0);
    end();
}

TEST(a_record_of_the_client_is_that_of_rfc_8448)
{
    unsigned char record[72], got[60];
    enum tls_record_type type;

    from_hex("1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5b4"
             "6b395bd54a9a20441e2b62974e1f5a6292a2977014bd1e3deae63aeebb21694915e4",
             record);
    begin(TLS_AES_128, client_secret);
    EXPECT_EQ(tls_record_open(&opener, record, sizeof(record), got, &type), 50);
    EXPECT_EQ(type, TLS_RECORD_DATA);
    for (size_t i = 0; i < 50; i++)
        EXPECT_EQ(got[i], i);
    end();
}

TEST(every_suite_seals_pieces_and_opens_them_in_order)
{
    static unsigned char record[TLS_RECORD_PLAIN_MAX + TLS_RECORD_EXTRA];
    static unsigned char plain[TLS_RECORD_PLAIN_MAX + 1];
    struct iovec iov[4] = {
        {(char *) "abc", 3}, {(char *) "", 0}, {(char *) "defgh", 5}, {plain, sizeof(plain)}};

    for (enum tls_suite suite = 0; suite < TLS_SUITES; suite++) {
        struct tls_pieces from = {iov, 1};
        enum tls_record_type type;

        begin(suite, server_secret);
        CHECK(tls_record_seal(&sealer, TLS_RECORD_DATA, &from, 4, record));
        EXPECT_EQ(open_changed(record, 4 + TLS_RECORD_EXTRA, SIZE_MAX, &type), 4);
        CHECK(tls_record_seal(&sealer, TLS_RECORD_ALERT, &from, 3 + 10000, record));
        EXPECT_EQ(tls_record_open(&opener, record, 10003 + TLS_RECORD_EXTRA, plain, &type), 10003);
        EXPECT_EQ(type, TLS_RECORD_ALERT);
        EXPECT(memcmp(plain, "fgh", 3) == 0);
        /* The same record once more has the wrong number. */
        EXPECT_EQ(open_changed(record, 10003 + TLS_RECORD_EXTRA, SIZE_MAX, &type),
                  -TLS_ALERT_BAD_RECORD_MAC);
        end();
        memset(plain, 0, sizeof(plain));
    }
}

TEST(a_changed_record_is_refused)
{
    unsigned char record[5 + TLS_RECORD_EXTRA];
    enum tls_record_type type;

    begin(TLS_AES_128, server_secret);
    for (size_t i = 0; i < sizeof(record); i++) {
        sealer.number = opener.number = 7;
        seal(TLS_RECORD_DATA, "hello", 5, record);
        EXPECT_EQ(open_changed(record, sizeof(record), i, &type), -TLS_ALERT_BAD_RECORD_MAC);
    }
    end();
}

TEST(an_update_changes_the_key_on_both_sides)
{
    unsigned char record[5 + TLS_RECORD_EXTRA];
    enum tls_record_type type;

    begin(TLS_AES_256, server_secret);
    EXPECT(tls_protection_update(&sealer));
    seal(TLS_RECORD_DATA, "hello", 5, record);
    EXPECT_EQ(open_changed(record, sizeof(record), SIZE_MAX, &type), -TLS_ALERT_BAD_RECORD_MAC);
    EXPECT(tls_protection_update(&opener));
    EXPECT_EQ(open_changed(record, sizeof(record), SIZE_MAX, &type), 5);
    /* What was freed meanwhile is made again, and the number goes on. */
    tls_protection_cool(&sealer);
    tls_protection_cool(&opener);
    seal(TLS_RECORD_HANDSHAKE, "hello", 5, record);
    EXPECT_EQ(sealer.number, 2);
    EXPECT_EQ(open_changed(record, sizeof(record), SIZE_MAX, &type), 5);
    EXPECT_EQ(type, TLS_RECORD_HANDSHAKE);
    end();
}

/* A record whose sealed part ends in those bytes. */
static ssize_t
open_inner(const void *at, size_t n)
{
    static unsigned char record[TLS_RECORD_HEADER + TLS_RECORD_SEALED_MAX];
    enum tls_record_type type = 0;
    ssize_t got;

    /* The last byte of the content passes for the type. */
    seal(((const unsigned char *) at)[n - 1], at, n - 1, record);
    got = open_changed(record, n - 1 + TLS_RECORD_EXTRA, SIZE_MAX, &type);
    return got < 0 ? got : got * 1000 + (ssize_t) type;
}

TEST(padding_is_taken_off)
{
    static unsigned char zeros[100];

    begin(TLS_CHACHA20, client_secret);
    EXPECT_EQ(open_inner("ab\x17\0\0\0", 6), 2023);
    EXPECT_EQ(open_inner("\x15\0", 2), 21);
    EXPECT_EQ(open_inner("a\0\x17", 3), 2023);
    EXPECT_EQ(open_inner(zeros, sizeof(zeros)), -TLS_ALERT_UNEXPECTED_MESSAGE);
    EXPECT_EQ(open_inner(zeros, 1), -TLS_ALERT_UNEXPECTED_MESSAGE);
    end();
}

TEST(content_is_16_kib_at_most_and_with_padding_no_more)
{
    static unsigned char much[TLS_RECORD_PLAIN_MAX + 1];

    memset(much, 'x', sizeof(much));
    begin(TLS_AES_128, client_secret);
    much[TLS_RECORD_PLAIN_MAX] = 23;
    EXPECT_EQ(open_inner(much, TLS_RECORD_PLAIN_MAX + 1), TLS_RECORD_PLAIN_MAX * 1000 + 23);
    memset(much + 1, 0, sizeof(much) - 1);
    much[0] = 23;
    EXPECT_EQ(open_inner(much, TLS_RECORD_PLAIN_MAX + 1), 23);
    end();
}

TEST(numbers_do_not_begin_anew)
{
    unsigned char record[5 + TLS_RECORD_EXTRA];
    struct iovec iov = {(char *) "hello", 5};
    struct tls_pieces from = {&iov, 0};
    enum tls_record_type type;

    begin(TLS_AES_128, client_secret);
    sealer.number = opener.number = UINT64_MAX - 1;
    seal(TLS_RECORD_DATA, "hello", 5, record);
    EXPECT_EQ(open_changed(record, sizeof(record), SIZE_MAX, &type), 5);
    EXPECT(!tls_record_seal(&sealer, TLS_RECORD_DATA, &from, 5, record));
    EXPECT_EQ(open_changed(record, sizeof(record), SIZE_MAX, &type), -TLS_ALERT_INTERNAL_ERROR);
    EXPECT_EQ(sealer.number, UINT64_MAX);
    end();
}

TEST(at_the_end_the_secret_is_overwritten)
{
    static const unsigned char zeros[48];
    unsigned char record[5 + TLS_RECORD_EXTRA];

    begin(TLS_AES_256, client_secret);
    seal(TLS_RECORD_DATA, "hello", 5, record);
    EXPECT(memcmp(sealer.secret, zeros, 32) != 0 && memcmp(sealer.iv, zeros, 12) != 0);
    end();
    EXPECT(memcmp(sealer.secret, zeros, 48) == 0 && memcmp(sealer.iv, zeros, 12) == 0);
    EXPECT(!sealer.context);
}

TEST(an_update_that_fails_changes_nothing)
{
    unsigned char secret[48], record[5 + TLS_RECORD_EXTRA];
    struct tls_digest *d;
    EVP_MD *md;

    begin(TLS_AES_128, client_secret);
    seal(TLS_RECORD_DATA, "hello", 5, record);
    memcpy(secret, sealer.secret, sizeof(secret));
    d = &sealer.worker->digests[TLS_SHA256];
    md = d->md;
    d->md = EVP_MD_fetch(sealer.worker->library, "SHAKE128", NULL); /* blocks too large for it */
    CHECK(d->md);
    EXPECT(!tls_protection_update(&sealer));
    EVP_MD_free(d->md);
    d->md = md;
    EXPECT_EQ(sealer.number, 1);
    EXPECT(memcmp(secret, sealer.secret, sizeof(secret)) == 0);
    end();
}

static ssize_t
size_of(const char *at, size_t n, size_t *missing)
{
    return tls_record_size(slice_of(at, n), missing);
}

TEST(the_size_of_a_record_is_in_its_header)
{
    size_t missing;

    EXPECT_EQ(size_of(NULL, 0, &missing), 0);
    EXPECT_EQ(missing, 5);
    EXPECT_EQ(size_of("\x17\3\3\0", 4, &missing), 0);
    EXPECT_EQ(size_of("\x17\3\3\0\x11", 5, &missing), 0);
    EXPECT_EQ(missing, 17);
    EXPECT_EQ(size_of("\x17\3\3\0\x11 45678901234567", 20, &missing), 0);
    EXPECT_EQ(missing, 2);
    EXPECT_EQ(size_of("\x17\3\3\0\x11 4567890123456789 more", 27, &missing), 22);
    EXPECT_EQ(size_of("\x17\3\3\x40\x11", 5, &missing), 0);
    EXPECT_EQ(size_of("\x17\3\3\x40\x12", 5, &missing), -TLS_ALERT_RECORD_OVERFLOW);
    EXPECT_EQ(size_of("\x17\3\3\xFF\xFF", 5, &missing), -TLS_ALERT_RECORD_OVERFLOW);
    EXPECT_EQ(size_of("\x17\3\3\0\x10", 5, &missing), -TLS_ALERT_BAD_RECORD_MAC);
    EXPECT_EQ(size_of("\x15\3\3\0\2", 5, &missing), -TLS_ALERT_UNEXPECTED_MESSAGE);
    EXPECT_EQ(size_of("GET /", 5, &missing), -TLS_ALERT_UNEXPECTED_MESSAGE);
}
