/* SPDX-License-Identifier: Apache-2.0 */
/* acme/dns_update_test.c - messages to the byte; the bytes are dnspython's. */
#include "acme/dns_update.h"

#include "base/test.h"

#include <string.h>

enum { AT_S = 1700000000, ID = 0x1234 };

static const char secret[] = "\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f"
                             "\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f";
static const struct acme_dns_key key = {SLICE_INIT("Key.test"), {secret, 32}};
static const struct acme_dns_change change = {
    .zone = SLICE_INIT("Example.test."),
    .name = SLICE_INIT("_acme-challenge.example.test"),
    .value = SLICE_INIT("value-of-the-proof"),
    .ttl_s = 90,
    .add = true,
};

static const char signed_update[] =
    "\x12\x34\x28\x00\x00\x01\x00\x00\x00\x01\x00\x01\x07\x65\x78\x61\x6d\x70\x6c\x65"
    "\x04\x74\x65\x73\x74\x00\x00\x06\x00\x01\x0f\x5f\x61\x63\x6d\x65\x2d\x63\x68\x61"
    "\x6c\x6c\x65\x6e\x67\x65\x07\x65\x78\x61\x6d\x70\x6c\x65\x04\x74\x65\x73\x74\x00"
    "\x00\x10\x00\x01\x00\x00\x00\x5a\x00\x13\x12\x76\x61\x6c\x75\x65\x2d\x6f\x66\x2d"
    "\x74\x68\x65\x2d\x70\x72\x6f\x6f\x66\x03\x6b\x65\x79\x04\x74\x65\x73\x74\x00\x00"
    "\xfa\x00\xff\x00\x00\x00\x00\x00\x3d\x0b\x68\x6d\x61\x63\x2d\x73\x68\x61\x32\x35"
    "\x36\x00\x00\x00\x65\x53\xf1\x00\x01\x2c\x00\x20\x58\xcf\x89\x72\x64\x95\x65\x9f"
    "\xea\xde\xa8\x19\x4b\x91\x86\xae\x02\x94\xfa\x58\xeb\x04\xdf\x0c\xe8\x03\x12\xb4"
    "\xed\xd5\x0e\xf2\x12\x34\x00\x00\x00\x00";

static const char good_answer[] =
    "\x12\x34\xa8\x00\x00\x01\x00\x00\x00\x00\x00\x01\x07\x65\x78\x61\x6d\x70\x6c\x65"
    "\x04\x74\x65\x73\x74\x00\x00\x06\x00\x01\x03\x6b\x65\x79\xc0\x14\x00\xfa\x00\xff"
    "\x00\x00\x00\x00\x00\x3d\x0b\x68\x6d\x61\x63\x2d\x73\x68\x61\x32\x35\x36\x00\x00"
    "\x00\x65\x53\xf1\x00\x01\x2c\x00\x20\x20\x8c\x79\xee\x45\x6c\x92\x9a\xba\x0d\x94"
    "\x5a\xda\x2e\x15\x96\xf4\x18\xd0\x4a\x06\x1e\x88\x0b\xf6\x32\x98\x7c\xe3\xa3\x54"
    "\xa6\x12\x34\x00\x00\x00\x00";

static const char refusal[] =
    "\x12\x34\xa8\x05\x00\x01\x00\x00\x00\x00\x00\x01\x07\x65\x78\x61\x6d\x70\x6c\x65"
    "\x04\x74\x65\x73\x74\x00\x00\x06\x00\x01\x03\x6b\x65\x79\xc0\x14\x00\xfa\x00\xff"
    "\x00\x00\x00\x00\x00\x3d\x0b\x68\x6d\x61\x63\x2d\x73\x68\x61\x32\x35\x36\x00\x00"
    "\x00\x65\x53\xf1\x00\x01\x2c\x00\x20\xbd\x2d\x90\x23\x31\xd7\x55\xb7\x4a\x00\x77"
    "\xb8\xe9\xcc\xf6\x47\x9e\x13\xa3\x44\xd7\x56\x36\xb1\xe5\xc9\x77\x99\xae\xa7\x34"
    "\x4b\x12\x34\x00\x00\x00\x00";

static const char question[] =
    "\x43\x21\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x0f\x5f\x61\x63\x6d\x65\x2d\x63"
    "\x68\x61\x6c\x6c\x65\x6e\x67\x65\x07\x65\x78\x61\x6d\x70\x6c\x65\x04\x74\x65\x73"
    "\x74\x00\x00\x10\x00\x01";

/* The signed update, and its MAC. */
static bool
make(struct text *t, char room[600], uint8_t mac[MAC_BYTES])
{
    text_fixed(t, room, 600);
    return acme_dns_write_update(t, ID, &change) && acme_dns_sign(t, &key, AT_S, mac);
}

static enum err
read_at(struct slice answer, uint64_t now_s, struct acme_dns_answer *a)
{
    uint8_t mac[MAC_BYTES];
    char room[600];
    struct text t;

    if (!make(&t, room, mac))
        return ERR_IO;
    return acme_dns_read(answer, ID, &key, mac, now_s, (struct slice){NULL, 0}, a);
}

#define BYTES(array) slice_of(array, sizeof(array) - 1)

TEST(an_update_is_signed_as_others_sign_it)
{
    uint8_t mac[MAC_BYTES];
    char room[600];
    struct text t;

    EXPECT(make(&t, room, mac));
    EXPECT_EQ(t.n, sizeof(signed_update) - 1);
    EXPECT(memcmp(t.at, signed_update, t.n) == 0);
}

TEST(removing_names_the_one_record)
{
    struct acme_dns_change c = change;
    char room[600], added[600];
    struct text t, other;
    size_t differs = 0;

    c.add = false;
    text_fixed(&t, room, sizeof(room));
    text_fixed(&other, added, sizeof(added));
    EXPECT(acme_dns_write_update(&t, ID, &c) && acme_dns_write_update(&other, ID, &change));
    EXPECT_EQ(t.n, other.n);
    for (size_t i = 0; i < t.n; i++)
        differs += t.at[i] != other.at[i];
    EXPECT_EQ(differs, 2); /* class NONE, and no TTL */
}

TEST(a_question_is_asked_as_others_ask_it)
{
    char room[600];
    struct text t;

    text_fixed(&t, room, sizeof(room));
    EXPECT(acme_dns_write_question(&t, 0x4321, change.name));
    EXPECT(slice_eq(text_slice(&t), BYTES(question)));
}

TEST(names_that_are_none_are_not_written)
{
    static const char *const bad[] = {
        "", ".", "a..b", ".a",
        "0123456789012345678901234567890123456789012345678901234567890123.test",
    };
    char room[1000];

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct text t;

        text_fixed(&t, room, sizeof(room));
        EXPECT(!acme_dns_write_question(&t, 1, slice_str(bad[i])));
    }
}

TEST(a_good_answer_is_believed)
{
    struct acme_dns_answer a;

    EXPECT_EQ(read_at(BYTES(good_answer), AT_S + 300, &a), OK);
    EXPECT_EQ(a.rcode, 0);
    EXPECT_EQ(a.tsig_error, 0);
}

TEST(a_signed_refusal_is_one)
{
    struct acme_dns_answer a;

    EXPECT_EQ(read_at(BYTES(refusal), AT_S, &a), OK);
    EXPECT_EQ(a.rcode, 5);
    EXPECT(acme_dns_is_refusal(a.rcode));
    EXPECT_STR(slice_str(acme_dns_rcode_name(a.rcode)), "REFUSED");
}

TEST(an_old_answer_is_not)
{
    struct acme_dns_answer a;

    EXPECT_EQ(read_at(BYTES(good_answer), AT_S + 301, &a), ERR_DENIED);
    EXPECT_EQ(read_at(BYTES(good_answer), AT_S - 301, &a), ERR_DENIED);
}

/* Whatever bit of it is changed on the way. */
TEST(a_forged_answer_is_not)
{
    for (size_t bit = 0; bit < 8 * (sizeof(good_answer) - 1); bit++) {
        char copy[sizeof(good_answer)];
        struct acme_dns_answer a;

        memcpy(copy, good_answer, sizeof(copy));
        copy[bit / 8] ^= (char) (1 << bit % 8);
        if ((copy[bit / 8] | 0x20) == (good_answer[bit / 8] | 0x20) && bit / 8 >= 12 &&
            ascii_is_alpha(copy[bit / 8]))
            continue; /* the same name, in other letters */
        EXPECT(read_at(slice_of(copy, sizeof(copy) - 1), AT_S, &a) != OK);
    }
}

TEST(an_answer_that_is_cut_off_is_not)
{
    struct acme_dns_answer a;

    for (size_t n = 0; n < sizeof(good_answer) - 1; n++)
        EXPECT(read_at(slice_of(good_answer, n), AT_S, &a) != OK);
}

TEST(an_answer_without_signature_is_not)
{
    static const char bare[] = "\x12\x34\xa8\x05\x00\x00\x00\x00\x00\x00\x00\x00";
    struct acme_dns_answer a;

    EXPECT_EQ(read_at(BYTES(bare), AT_S, &a), ERR_DENIED);
    EXPECT_EQ(a.rcode, 5); /* it is no news that it was refused */
}

TEST(a_record_is_found_among_others)
{
    static const char answer[] = "\x43\x21\x81\x80\x00\x01\x00\x02\x00\x00\x00\x00"
                                 "\x01x\x04test\x00\x00\x10\x00\x01"
                                 "\xc0\x0c\x00\x10\x00\x01\x00\x00\x00\x01\x00\x06\x05other"
                                 "\xc0\x0c\x00\x10\x00\x01\x00\x00\x00\x01\x00\x04\x03one";
    struct acme_dns_answer a;

    EXPECT_EQ(acme_dns_read(BYTES(answer), 0x4321, NULL, NULL, 0, SLICE("one"), &a), OK);
    EXPECT(a.has_value);
    EXPECT_EQ(acme_dns_read(BYTES(answer), 0x4321, NULL, NULL, 0, SLICE("on"), &a), OK);
    EXPECT(!a.has_value);
    EXPECT_EQ(acme_dns_read(BYTES(answer), 0x4322, NULL, NULL, 0, SLICE("one"), &a), ERR_MALFORMED);
}

TEST(names_that_point_at_themselves_come_to_an_end)
{
    static const char answer[] = "\x43\x21\x81\x80\x00\x01\x00\x00\x00\x00\x00\x00"
                                 "\xc0\x0c\x00\x10\x00\x01";
    struct acme_dns_answer a;

    EXPECT_EQ(acme_dns_read(BYTES(answer), 0x4321, NULL, NULL, 0, SLICE("x"), &a), ERR_MALFORMED);
}
