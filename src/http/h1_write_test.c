/* SPDX-License-Identifier: Apache-2.0 */
#include "base/test.h"
#include "http/h1.h"

#include <stdlib.h>

static struct slice
chunk_header(uint64_t n)
{
    static char out[18];

    return slice_of(out, h1_chunk_header(out, n));
}

TEST(chunk_headers)
{
    EXPECT_STR(chunk_header(1), "1\r\n");
    EXPECT_STR(chunk_header(15), "f\r\n");
    EXPECT_STR(chunk_header(16), "10\r\n");
    EXPECT_STR(chunk_header(255), "ff\r\n");
    EXPECT_STR(chunk_header(256), "100\r\n");
    EXPECT_STR(chunk_header(65536), "10000\r\n");
    EXPECT_STR(chunk_header(0x0123456789ABCDEF), "123456789abcdef\r\n");
    EXPECT_STR(chunk_header(UINT64_MAX), "ffffffffffffffff\r\n");
}

TEST(fields_of_every_length_are_written)
{
    static _Alignas(16) char memory[65536];
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz";
    struct arena arena;

    for (size_t name = 1; name < 40; name++)
        for (size_t value = 0; value < 50; value++) {
            struct fields f;
            size_t n = name + value + 4;
            char *out;

            arena_init(&arena, memory, sizeof(memory), 0);
            fields_init(&f, &arena, 2, 2);
            fields_add_named(&f, slice_of(letters, name), slice_of(letters + 1, value));
            fields_add(&f, FIELD_VIA, SLICE("x"));
            EXPECT_EQ(h1_fields_size(&f), n + 8);
            out = malloc(n + 8);
            EXPECT(h1_write_fields(out, &f) == out + n + 8);
            EXPECT(memcmp(out, letters, name) == 0);
            EXPECT(memcmp(out + name, ": ", 2) == 0);
            EXPECT(memcmp(out + name + 2, letters + 1, value) == 0);
            EXPECT(memcmp(out + n - 2, "\r\nVia: x\r\n", 10) == 0);
            free(out);
        }
}

TEST(no_fields_write_nothing)
{
    struct fields f;
    char c;

    fields_init(&f, NULL, 0, 10);
    EXPECT_EQ(h1_fields_size(&f), 0);
    EXPECT(h1_write_fields(&c, &f) == &c);
}
