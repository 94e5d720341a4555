/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz/esi.c - documents with ESI, whole and in pieces of any size: the same events, in the same
 * order, and an end in any case.
 *
 * The first byte of the input is the size of the pieces.
 */
#include "base/check.h"
#include "exchange/testing.h"
#include "middleware/esi/parser.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { OUT_MAX = 64 * 1024 * 1024, EVENTS_MAX = 100000 };

/* Where pieces were cut leaves no trace in what is written. */
static void
put_event(struct text *out, const struct esi_event *e)
{
    if (e->kind == ESI_EVENT_TEXT) {
        text_put(out, e->text);
        return;
    }
    text_printf(out, "\x01%d %d %llu", (int) e->kind, e->goes_on, (unsigned long long) e->wait_us);
    text_put(out, e->text);
    text_put(out, e->src);
    text_put(out, e->alt);
    text_put(out, slice_str(e->problem));
}

static void
check_event(const struct esi_event *e, unsigned *open)
{
    CHECK(e->kind != ESI_EVENT_TEXT || e->text.n > 0);
    CHECK(e->kind != ESI_EVENT_FETCH || e->src.n > 0);
    CHECK(e->kind != ESI_EVENT_FAILED || e->problem);
    if (e->kind == ESI_EVENT_TRY)
        CHECK(++*open <= ESI_BLOCKS_MAX);
    if (e->kind == ESI_EVENT_EXCEPT)
        CHECK(*open > 0);
    if (e->kind == ESI_EVENT_TRY_END)
        CHECK((*open)-- > 0);
}

/* What a sub-parser makes of it when an attempt has failed is fuzzed too. */
static void
parse(struct exchange *x, struct esi_inlines *inlines, struct slice document, size_t step,
      struct text *out)
{
    struct esi_parser p;
    struct esi_event e = {.kind = ESI_EVENT_NONE};
    unsigned open = 0, events = 0;
    bool ended = false;

    esi_parser_init(&p, x, inlines);
    while (!ended && e.kind != ESI_EVENT_FAILED && events < EVENTS_MAX) {
        /* Each piece in memory of its own, so that a read past it is seen. */
        size_t n = document.n < step ? document.n : step;
        char *copy = malloc(n ? n : 1);
        struct slice piece = slice_of(copy, n);

        CHECK(copy);
        if (n)
            memcpy(copy, document.at, n);
        document = slice_from(document, n);
        ended = n == 0;
        do {
            if (ended)
                esi_parser_end(&p, &e);
            else
                esi_parser_next(&p, &piece, &e);
            check_event(&e, &open);
            if (e.kind != ESI_EVENT_NONE)
                put_event(out, &e);
            events++;
        } while (e.kind != ESI_EVENT_NONE && e.kind != ESI_EVENT_FAILED && events < EVENTS_MAX);
        CHECK(piece.n == 0 || e.kind == ESI_EVENT_FAILED || events >= EVENTS_MAX);
        free(copy);
    }
    CHECK(!ended || e.kind != ESI_EVENT_NONE || open == 0);
    esi_parser_free(&p);
}

static void
read_in_pieces(struct exchange *x, struct slice document, size_t step, struct text *out)
{
    struct esi_inlines inlines;

    esi_inlines_init(&inlines);
    text_init(out, OUT_MAX);
    parse(x, &inlines, document, step, out);
    esi_inlines_free(&inlines);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice document = slice_of((const char *) data + (size > 0), size - (size > 0));
    struct exchange *x = testing_exchange("GET", "http://h.example/?a=1&b=%3C&c", "Cookie",
                                          "c=1; d=\"x\"", "Accept-Language", "en", NULL);
    struct text whole, pieces;

    read_in_pieces(x, document, document.n + 1, &whole);
    read_in_pieces(x, document, size ? 1 + data[0] % 32 : 1, &pieces);
    /* EVENTS_MAX counts pieces of texts too, so that only short ones can be compared. */
    if (size < EVENTS_MAX / 4)
        CHECK(slice_eq(text_slice(&whole), text_slice(&pieces)));
    text_free(&whole);
    text_free(&pieces);
    testing_exchange_free(x);
    return 0;
}
