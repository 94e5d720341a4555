/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz/h1_request.c - a request's head, at once and in pieces.
 *
 * The first byte chooses the limits and the size of the pieces.  Properties: the pieces do not
 * change the verdict; what follows the head does not either; what is accepted keeps message.h's
 * promises; and a head written again from what was read is read as the same one.
 */
#include "h1_compare.h"
#include "http/h1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct h1_limits all_limits[] = {
    {.head_bytes = 65536, .target_bytes = 8192, .fields = 100},
    {.head_bytes = 64, .target_bytes = 16, .fields = 4},
    {.head_bytes = 200, .target_bytes = 8192, .fields = 3},
    {.head_bytes = 4096, .target_bytes = 5, .fields = 100},
};

static void
read_once(struct slice bytes, const struct h1_limits *limits, struct arena *arena,
          struct reading *r)
{
    size_t scanned = 0;

    r->result = h1_parse_request(bytes, &scanned, limits, arena, &r->head, &r->used, &r->fault);
}

static void
read_in_pieces(struct slice bytes, size_t piece, const struct h1_limits *limits,
               struct arena *arena, struct reading *r)
{
    size_t scanned = 0;

    for (size_t n = 0;;) {
        n = bytes.n - n < piece ? bytes.n : n + piece;
        r->result = h1_parse_request(slice_first(bytes, n), &scanned, limits, arena, &r->head,
                                     &r->used, &r->fault);
        CHECK(scanned <= n);
        if (r->result != H1_MORE || n == bytes.n)
            return;
    }
}

/* The pieces may wait for the end of the head with a fault that the whole shows at once, but never
 * come to another verdict. */
static void
compare(const struct reading *whole, const struct reading *pieces)
{
    if (pieces->result == H1_MORE) {
        CHECK(whole->result != H1_DONE);
        return;
    }
    CHECK(whole->result == pieces->result);
    CHECK(whole->fault == pieces->fault);
    CHECK(whole->used == pieces->used);
    if (whole->result == H1_DONE)
        check_same_head(&whole->head, &pieces->head);
}

static void
check_writing(const struct h1_head *head, struct arena *arena)
{
    static const struct h1_limits none = {SIZE_MAX, SIZE_MAX, 1000};
    size_t n = head->method_token.n + head->target.n + h1_fields_size(&head->fields) + 14;
    char *bytes = malloc(n), *p = bytes;
    struct reading again;

    CHECK(bytes);
    memcpy(p, head->method_token.at, head->method_token.n);
    p += head->method_token.n;
    *p++ = ' ';
    memcpy(p, head->target.at, head->target.n);
    p += head->target.n;
    memcpy(p, head->minor ? " HTTP/1.1\r\n" : " HTTP/1.0\r\n", 11);
    p = h1_write_fields(p + 11, &head->fields);
    memcpy(p, "\r\n", 2);
    CHECK(p + 2 == bytes + n);
    read_once(slice_of(bytes, n), &none, arena, &again);
    CHECK(again.result == H1_DONE && again.used == n);
    check_same_head(head, &again.head);
    free(bytes);
}

/* Nothing of this connection is left, and what every parser needs still is. */
static void
check_hop_by_hop(struct fields *f)
{
    bool had_host = fields_has(f, FIELD_HOST), had_length = fields_has(f, FIELD_CONTENT_LENGTH);

    if (!fields_remove_hop_by_hop(f))
        return;
    for (size_t i = 0; i < f->n; i++)
        CHECK(!field_is_hop_by_hop(f->at[i].id));
    CHECK(had_host == (fields_get(f, FIELD_HOST) != NULL));
    CHECK(had_length == (fields_get(f, FIELD_CONTENT_LENGTH) != NULL));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct h1_limits *limits;
    struct reading whole, pieces, head_only;
    struct slice bytes;
    struct arena arena;

    if (size == 0)
        return 0;
    limits = &all_limits[data[0] & 3];
    bytes = exact_copy(slice_of((const char *) data + 1, size - 1));
    arena_init(&arena, NULL, 0, 64u << 20);
    read_once(bytes, limits, &arena, &whole);
    read_in_pieces(bytes, 1u + (data[0] >> 2), limits, &arena, &pieces);
    compare(&whole, &pieces);
    if (whole.result == H1_DONE) {
        check_head_is_clean(&whole.head, whole.used, limits->head_bytes);
        CHECK(whole.head.minor == 0 || fields_has(&whole.head.fields, FIELD_HOST));
        read_once(slice_first(bytes, whole.used), limits, &arena, &head_only);
        compare(&whole, &head_only);
        read_once(slice_first(bytes, whole.used - 1), limits, &arena, &head_only);
        CHECK(head_only.result == H1_MORE);
        check_writing(&whole.head, &arena);
        check_hop_by_hop(&whole.head.fields);
    }
    arena_free(&arena);
    free((char *) bytes.at);
    return 0;
}
