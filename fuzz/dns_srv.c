/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz/dns_srv.c - SRV records out of DNS messages: what is read is sorted, bounded and usable.
 */
#include "base/check.h"
#include "runtime/dns.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_answer(const struct dns_srv_answer *answer)
{
    CHECK(answer->n <= DNS_SRV_MAX && answer->ttl_s <= INT32_MAX);
    for (size_t i = 0; i < answer->n; i++) {
        const struct dns_srv_target *t = &answer->targets[i];

        CHECK(t->port > 0 && strnlen(t->name, sizeof(t->name)) <= DNS_NAME_MAX && t->name[0]);
        CHECK(i == 0 || t[-1].priority <= t->priority);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct dns_srv_answer answer;
    char *copy = malloc(size + 1);

    CHECK(copy);
    memcpy(copy, data, size);
    if (dns_srv_read(slice_of(copy, size), &answer) == OK)
        check_answer(&answer);
    free(copy);
    return 0;
}
