/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz/proxy_protocol.c - PROXY headers, at once and byte by byte, and written again.
 */
#include "http/proxy_protocol.h"
#include "base/check.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Every shorter piece asks for more, and what follows the header does not matter. */
static void
check_pieces(struct slice bytes, size_t used)
{
    struct proxy_header h;
    size_t n;

    for (size_t i = 0; i < used; i++)
        CHECK(proxy_header_parse(slice_first(bytes, i), &h, &n) == H1_MORE && n == 0);
    CHECK(proxy_header_parse(slice_first(bytes, used), &h, &n) == H1_DONE && n == used);
}

static void
check_writing(const struct proxy_header *h, int version)
{
    char out[PROXY_HEADER_MAX];
    size_t used, n = proxy_header_write(out, version, (const struct sockaddr *) &h->source,
                                        (const struct sockaddr *) &h->destination);
    struct proxy_header again;
    bool is_ip = h->source.ss_family == AF_INET || h->source.ss_family == AF_INET6;

    CHECK(n <= (version == 1 ? 107 : 52));
    CHECK(proxy_header_parse(slice_of(out, n), &again, &used) == H1_DONE && used == n);
    CHECK(again.local == !is_ip);
    if (!is_ip)
        return;
    CHECK(memcmp(&again.source, &h->source, sizeof(h->source)) == 0);
    CHECK(memcmp(&again.destination, &h->destination, sizeof(h->destination)) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = malloc(size + 1);
    struct slice bytes = {copy, size};
    struct proxy_header h;
    size_t used;
    enum h1_result result;

    CHECK(copy);
    memcpy(copy, data, size);
    result = proxy_header_parse(bytes, &h, &used);
    CHECK(result != H1_MORE || size < PROXY_HEADER_MAX);
    if (result == H1_DONE) {
        CHECK(used > 0 && used <= size && used <= PROXY_HEADER_MAX);
        CHECK(h.local == (h.source.ss_family == AF_UNSPEC));
        CHECK(h.source.ss_family == h.destination.ss_family);
        check_pieces(bytes, used);
        check_writing(&h, 1);
        check_writing(&h, 2);
    }
    free(copy);
    return 0;
}
