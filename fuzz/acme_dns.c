/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz/acme_dns.c - what a name server answers to updates and questions: what is read stays within
 * the message, and a signature is believed only when it is the key's.
 *
 * The first byte chooses who reads it: without a key, with one, looking for a record or not.  The
 * answers of the corpus are signed for the MAC below, at the time below.
 */
#include "acme/dns_update.h"
#include "base/check.h"

#include <stdlib.h>

enum { AT_S = 1700000000, WITH_KEY = 1, WITH_VALUE = 2 };

static const struct acme_dns_key key = {
    SLICE_INIT("Key.test"), SLICE_INIT("\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d"
                                       "\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b"
                                       "\x1c\x1d\x1e\x1f")};
/* Of the signed update in acme/dns_update_test.c, to which the answers are. */
static const uint8_t asked[MAC_BYTES] = {
    0x58, 0xcf, 0x89, 0x72, 0x64, 0x95, 0x65, 0x9f, 0xea, 0xde, 0xa8,
    0x19, 0x4b, 0x91, 0x86, 0xae, 0x02, 0x94, 0xfa, 0x58, 0xeb, 0x04,
    0xdf, 0x0c, 0xe8, 0x03, 0x12, 0xb4, 0xed, 0xd5, 0x0e, 0xf2,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_answer(enum err e, const struct acme_dns_answer *a, struct slice message)
{
    CHECK(e == OK || e == ERR_MALFORMED || e == ERR_DENIED);
    CHECK(a->rcode <= 15 && a->tsig_error <= 65535);
    CHECK(message.n >= 12 || e == ERR_MALFORMED);
}

/* With another key the same message is never believed; an unsigned reader is not stricter. */
static void
check_signature(struct slice message, uint16_t id, struct slice value)
{
    static const struct acme_dns_key other = {SLICE_INIT("Key.test"), SLICE_INIT("other")};
    struct acme_dns_answer a;

    CHECK(acme_dns_read(message, id, &other, asked, AT_S, value, &a) != OK);
    CHECK(acme_dns_read(message, id, NULL, asked, AT_S, value, &a) == OK);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice value = {NULL, 0}, message;
    struct acme_dns_answer a;
    uint16_t id;
    char *copy;
    enum err e;

    if (size == 0)
        return 0;
    copy = malloc(size > 1 ? size - 1 : 1); /* its end is the end of what may be read */
    CHECK(copy);
    memcpy(copy, data + 1, size - 1);
    message = slice_of(copy, size - 1);
    if (data[0] & WITH_VALUE)
        value = SLICE("value-of-the-proof");
    id = (uint16_t) (size > 2 ? data[1] << 8 | data[2] : 0);
    e = acme_dns_read(message, id, data[0] & WITH_KEY ? &key : NULL, asked, AT_S, value, &a);
    check_answer(e, &a, message);
    CHECK(slice_is_present(value) || !a.has_value);
    CHECK(acme_dns_rcode_name(a.rcode)[0]);
    if (e == OK && data[0] & WITH_KEY)
        check_signature(message, id, value);
    free(copy);
    return 0;
}
