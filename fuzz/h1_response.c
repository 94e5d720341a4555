/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz/h1_response.c - a response's head and a trailer section, at once and in pieces.
 *
 * The first byte chooses the request's method, the limits and the size of the pieces.
 */
#include "h1_compare.h"
#include "http/h1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct h1_limits all_limits[] = {
    {.head_bytes = 65536, .fields = 100},
    {.head_bytes = 64, .fields = 3},
};

static const enum method methods[] = {METHOD_GET, METHOD_HEAD, METHOD_CONNECT, METHOD_OTHER};

struct reader {
    const struct h1_limits *limits;
    struct arena           *arena;
    enum method             request;
    bool                    trailers;
};

static void
parse(const struct reader *with, struct slice bytes, size_t *scanned, struct reading *r)
{
    if (with->trailers)
        r->result = h1_parse_response_trailers(bytes, scanned, with->limits, with->arena,
                                               &r->head.fields, &r->used, &r->fault);
    else
        r->result = h1_parse_response(bytes, scanned, with->limits, with->arena, with->request,
                                      &r->head, &r->used, &r->fault);
}

static void
compare(const struct reader *with, const struct reading *whole, const struct reading *pieces)
{
    if (pieces->result == H1_MORE) {
        CHECK(whole->result != H1_DONE);
        return;
    }
    CHECK(whole->result == pieces->result);
    CHECK(whole->fault == pieces->fault);
    CHECK(whole->used == pieces->used);
    if (whole->result != H1_DONE)
        return;
    if (with->trailers)
        check_same_fields(&whole->head.fields, &pieces->head.fields);
    else
        check_same_head(&whole->head, &pieces->head);
}

static void
check_response(const struct reader *with, const struct reading *r)
{
    const struct h1_head *head = &r->head;

    check_head_is_clean(head, r->used, with->limits->head_bytes);
    CHECK(head->status >= 100 && head->status <= 599);
    CHECK(is_field_value(head->reason));
    if (status_has_no_body(head->status) || with->request == METHOD_HEAD)
        CHECK(head->framing == H1_NO_BODY);
    CHECK(head->framing != H1_UNTIL_CLOSE || !head->keep_alive);
}

static void
check_trailers(const struct fields *trailers)
{
    check_fields_are_clean(trailers);
    CHECK(fields_may_trail(trailers));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reading whole, pieces;
    struct reader with;
    struct slice bytes;
    struct arena arena;
    size_t scanned = 0, piece;

    if (size == 0)
        return 0;
    with = (struct reader){&all_limits[data[0] >> 2 & 1], &arena, methods[data[0] & 3],
                           data[0] >> 3 & 1};
    piece = 1u + (data[0] >> 4);
    bytes = exact_copy(slice_of((const char *) data + 1, size - 1));
    arena_init(&arena, NULL, 0, 64u << 20);
    parse(&with, bytes, &scanned, &whole);
    scanned = 0;
    for (size_t n = 0;;) {
        n = bytes.n - n < piece ? bytes.n : n + piece;
        parse(&with, slice_first(bytes, n), &scanned, &pieces);
        if (pieces.result != H1_MORE || n == bytes.n)
            break;
    }
    compare(&with, &whole, &pieces);
    if (whole.result == H1_DONE && with.trailers)
        check_trailers(&whole.head.fields);
    else if (whole.result == H1_DONE)
        check_response(&with, &whole);
    arena_free(&arena);
    free((char *) bytes.at);
    return 0;
}
