/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz/target.c - request targets, authorities, queries and dates.
 *
 * The normal path is checked from its definition, byte by byte, and normalising it again changes
 * nothing.  The first byte chooses what is parsed.
 */
#include "base/check.h"
#include "http/date.h"
#include "http/uri.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool
is_unreserved(int c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           c == '-' || c == '.' || c == '_' || c == '~';
}

static void
check_encoding(struct slice s)
{
    uint64_t byte = 0;

    CHECK(s.n >= 3 && slice_hex_to_u64(slice_of(s.at + 1, 2), &byte));
    CHECK(!(s.at[1] >= 'a' && s.at[1] <= 'f') && !(s.at[2] >= 'a' && s.at[2] <= 'f'));
    CHECK(byte != 0 && !is_unreserved((int) byte));
}

static void
check_normal_path(struct slice path)
{
    struct slice rest;

    CHECK(path.n > 0 && path.at[0] == '/');
    for (size_t i = 0; i < path.n; i++) {
        unsigned char c = (unsigned char) path.at[i];

        CHECK(c > ' ' && c < 0x7F && !strchr("\"#<>?\\^`{|}", c));
        if (c == '%')
            check_encoding(slice_from(path, i));
    }
    rest = slice_from(path, 1);
    while (slice_is_present(rest)) {
        struct slice segment = slice_cut(&rest, '/');

        CHECK(!slice_eq(segment, SLICE(".")) && !slice_eq(segment, SLICE("..")));
        CHECK(segment.n || !slice_is_present(rest));
    }
}

static void
check_target(struct slice bytes, struct arena *arena)
{
    struct target t, again;

    if (target_parse(bytes, false, false, arena, &t) != OK)
        return;
    check_normal_path(t.path);
    CHECK(slice_is_present(t.scheme) == slice_is_present(t.authority));
    CHECK(!slice_is_present(t.authority) || authority_is_valid(t.authority));
    CHECK(t.raw_path.n + t.query.n <= bytes.n);
    CHECK(target_parse(t.path, false, false, arena, &again) == OK);
    CHECK(again.path.at == t.path.at && again.path.n == t.path.n);
    CHECK(!slice_eq(t.path, t.raw_path) || t.path.at == t.raw_path.at);
}

static void
check_connect(struct slice bytes, struct arena *arena)
{
    struct target t;
    struct authority a;

    if (target_parse(bytes, true, false, arena, &t) != OK)
        return;
    CHECK(authority_parse(t.authority, arena, &a) == OK && a.port != 0);
}

static void
check_authority(struct slice bytes, struct arena *arena)
{
    struct authority a, again;
    enum err e = authority_parse(bytes, arena, &a);
    struct slice text;

    CHECK((e == OK) == authority_is_valid(bytes));
    if (e != OK)
        return;
    CHECK(a.host.n > 0 && a.host.n <= bytes.n);
    text = arena_printf(arena, a.ipv6 ? "[%.*s]" : "%.*s", SLICE_ARG(a.host));
    CHECK(authority_parse(text, arena, &again) == OK);
    CHECK(slice_eq(a.host, again.host) && a.ipv6 == again.ipv6 && again.port == 0);
}

/* "NAME LF QUERY". */
static void
check_query(struct slice bytes, struct arena *arena)
{
    struct slice query = bytes, name = slice_cut(&query, '\n');
    struct slice value = query_value(query, name, arena);

    CHECK(value.n <= query.n);
    CHECK(name.n == 0 || slice_is_present(query) || !slice_is_present(value));
}

static void
check_decoding(struct slice bytes, struct arena *arena)
{
    char *out = arena_alloc(arena, bytes.n + 1);
    size_t n;

    CHECK(out);
    if (percent_decode(bytes, false, out, &n) == OK)
        CHECK(n <= bytes.n && (n == bytes.n) == (slice_find(bytes, '%') == SLICE_NOT_FOUND));
}

static void
check_date(struct slice bytes)
{
    int64_t seconds, again;
    char text[HTTP_DATE_LENGTH];

    if (!http_date_parse(bytes, 1795215600, &seconds))
        return;
    if (seconds > 253402300799) /* 9999-12-31 23:59:60 */
        return;
    http_date_write(text, seconds);
    CHECK(http_date_parse(slice_of(text, sizeof(text)), 1795215600, &again) && again == seconds);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    char *copy;
    struct slice bytes;

    if (size == 0)
        return 0;
    copy = malloc(size > 1 ? size - 1 : 1);
    CHECK(copy);
    memcpy(copy, data + 1, size - 1);
    bytes = slice_of(copy, size - 1);
    arena_init(&arena, NULL, 0, 64u << 20);
    switch (data[0] % 8) {
    case 0: check_authority(bytes, &arena); break;
    case 1: check_query(bytes, &arena); break;
    case 2: check_decoding(bytes, &arena); break;
    case 3: check_date(bytes); break;
    case 4: check_connect(bytes, &arena); break;
    default: check_target(bytes, &arena); break;
    }
    arena_free(&arena);
    free(copy);
    return 0;
}
