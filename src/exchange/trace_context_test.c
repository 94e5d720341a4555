/* SPDX-License-Identifier: Apache-2.0 */
/* What is a trace context and what is not, after the examples and rules of the recommendation. */
#include "base/check.h"
#include "base/test.h"
#include "exchange/trace_context.h"

#include <stdio.h>

#define ID "0af7651916cd43dd8448eb211c80319c"
#define SPAN "b7ad6b7169203331"

static char memory[16384];
static struct arena arena;
static struct fields fields;

static void
begin(void)
{
    arena_init(&arena, memory, sizeof(memory), sizeof(memory));
    fields_init(&fields, &arena, 8, 64);
}

static bool
reads(const char *value, struct trace_context *c)
{
    begin();
    CHECK(fields_add_named(&fields, SLICE("TraceParent"), slice_str(value)));
    return trace_context_read(&fields, c);
}

TEST(a_parent_is_read_and_written)
{
    char out[TRACEPARENT_LENGTH];
    struct trace_context c;

    EXPECT(reads("00-" ID "-" SPAN "-01", &c));
    EXPECT(c.sampled);
    EXPECT_STR(c.id_text, ID);
    trace_context_write(out, c.id, c.span, c.sampled);
    EXPECT_STR(slice_of(out, sizeof(out)), "00-" ID "-" SPAN "-01");
    EXPECT(reads("00-" ID "-" SPAN "-00", &c));
    EXPECT(!c.sampled);
}

TEST(flags_that_we_do_not_know_are_no_harm)
{
    struct trace_context c;

    EXPECT(reads("00-" ID "-" SPAN "-03", &c) && c.sampled);
    EXPECT(reads("00-" ID "-" SPAN "-fe", &c) && !c.sampled);
}

TEST(later_versions_are_read_as_far_as_we_know_them)
{
    struct trace_context c;

    EXPECT(reads("01-" ID "-" SPAN "-01", &c));
    EXPECT(reads("cc-" ID "-" SPAN "-01-what-the-future-brings", &c));
    EXPECT(!reads("cc-" ID "-" SPAN "-01.what", &c));
    EXPECT(!reads("ff-" ID "-" SPAN "-01", &c));
    EXPECT(!reads("00-" ID "-" SPAN "-01-more", &c));
}

TEST(what_is_malformed_is_not_there)
{
    static const char *const bad[] = {
        "",
        "00",
        "00-" ID "-" SPAN,
        "00-" ID "-" SPAN "-0",
        "00-" ID "-" SPAN "-1x",
        "0g-" ID "-" SPAN "-01",
        "00_" ID "-" SPAN "-01",
        "00-" ID "_" SPAN "-01",
        "00-" ID "-" SPAN "_01",
        "00-0AF7651916CD43DD8448EB211C80319C-" SPAN "-01",
        "00-00000000000000000000000000000000-" SPAN "-01",
        "00-" ID "-0000000000000000-01",
        "00-" ID "-b7ad6b716920333x-01",
        "000-" ID "-" SPAN "-01",
    };
    struct trace_context c;

    for (size_t i = 0; i < countof(bad); i++)
        if (reads(bad[i], &c))
            test_failed(__FILE__, __LINE__, "taken: %s", bad[i]);
}

TEST(two_parents_are_none)
{
    struct trace_context c;

    EXPECT(reads("00-" ID "-" SPAN "-01", &c));
    CHECK(fields_add_named(&fields, SLICE("traceparent"), SLICE("00-" ID "-" SPAN "-01")));
    EXPECT(!trace_context_read(&fields, &c));
}

static bool
state(const char *one, const char *two)
{
    begin();
    CHECK(fields_add_named(&fields, SLICE("tracestate"), slice_str(one)));
    if (two)
        CHECK(fields_add_named(&fields, SLICE("tracestate"), slice_str(two)));
    return trace_context_state_is_good(&fields);
}

TEST(states_that_may_go_on)
{
    begin();
    EXPECT(trace_context_state_is_good(&fields));
    EXPECT(state("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", NULL));
    EXPECT(state("a=1 , ,b=x y", "tenant@system=2"));
    EXPECT(state("0a-b_c*d/e=!", NULL));
    EXPECT(state("", NULL));
}

TEST(states_that_may_not)
{
    static char many[33 * 6 + 1];
    size_t n = 0;

    for (int i = 0; i < 33; i++)
        n += (size_t) snprintf(many + n, sizeof(many) - n, "k%02d=1,", i);
    EXPECT(!state(many, NULL));
    EXPECT(!state("A=1", NULL));
    EXPECT(!state("a", NULL));
    EXPECT(!state("a=", NULL));
    EXPECT(!state("=1", NULL));
    EXPECT(!state("a=1=2", NULL));
    EXPECT(!state("@a=1", NULL));
    EXPECT(!state("a@=1", NULL));
    EXPECT(!state("a@b@c=1", NULL));
    EXPECT(!state("a b=1", NULL));
    EXPECT(!state("a=1,a=2", NULL));
    EXPECT(!state("a=1", "a=2"));
    EXPECT(!state("a=\x7f", NULL));
}
