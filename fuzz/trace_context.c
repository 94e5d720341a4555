/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz/trace_context.c - W3C Trace Context: what is read can be written again and says the same,
 * and a state that may go on has no more members than it may.
 *
 * The first line of the input is a traceparent, each further one a tracestate.
 */
#include "exchange/trace_context.h"
#include "base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_round(const struct trace_context *c)
{
    char text[TRACEPARENT_LENGTH];
    struct slice again = slice_of(text, sizeof(text));
    struct trace_context back;
    struct fields f;
    char memory[1024] __attribute__((aligned(16)));
    struct arena arena;

    trace_context_write(text, c->id, c->span, c->sampled);
    CHECK(slice_eq(slice_of(text + 3, 2 * TRACE_ID_BYTES), c->id_text));
    arena_init(&arena, memory, sizeof(memory), sizeof(memory));
    fields_init(&f, &arena, 1, 1);
    CHECK(fields_add_named(&f, SLICE("traceparent"), again));
    CHECK(trace_context_read(&f, &back));
    CHECK(memcmp(back.id, c->id, sizeof(back.id)) == 0);
    CHECK(memcmp(back.span, c->span, sizeof(back.span)) == 0);
    CHECK(back.sampled == c->sampled);
    arena_free(&arena);
}

static size_t
count_equals(const struct fields *f)
{
    size_t n = 0;

    for (uint32_t i = 1; i < f->n; i++)
        for (size_t at = 0; at < f->at[i].value.n; at++)
            n += f->at[i].value.at[at] == '=';
    return n;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice rest = slice_of((const char *) data, size);
    struct trace_context c;
    struct arena arena;
    struct fields f;

    if (size == 0)
        return 0;
    arena_init(&arena, NULL, 0, 1024 * 1024);
    fields_init(&f, &arena, 8, 64);
    (void) fields_add_named(&f, SLICE("traceparent"), slice_cut(&rest, '\n'));
    while (slice_is_present(rest))
        (void) fields_add_named(&f, SLICE("tracestate"), slice_trim(slice_cut(&rest, '\n')));
    if (trace_context_read(&f, &c))
        check_round(&c);
    /* One equals sign in each member, and no more than 32 of those. */
    if (trace_context_state_is_good(&f))
        CHECK(count_equals(&f) <= 32);
    arena_free(&arena);
    return 0;
}
