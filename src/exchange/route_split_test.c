/* SPDX-License-Identifier: Apache-2.0 */
#include "exchange/route_split.h"

#include "base/check.h"
#include "base/test.h"
#include "exchange/testing.h"
#include "runtime/loop.h"

#include <stdio.h>

/* No route is bound here. */
const struct option_object *const middleware_objects[] = {NULL};

enum { REQUESTS = 100000, BRANCHES_MAX = 8 };

static size_t counts[BRANCHES_MAX];

static void
count(const struct middleware *self, struct exchange *x)
{
    ++*(size_t *) self->config;
    exchange_respond(x, 200, SLICE("text/plain"), SLICE("counted"));
}

static const struct middleware_ops counter = {
    .options = {.name = "counter", .doc = "Counts."},
    .handle = count,
};

static struct middleware terminals[BRANCHES_MAX];
static struct route_branch branches[BRANCHES_MAX];

static struct route_split
split_of(const uint32_t *weights, size_t n)
{
    static const struct slice names[BRANCHES_MAX] = {SLICE_INIT("a"), SLICE_INIT("b"),
                                                     SLICE_INIT("c"), SLICE_INIT("d")};
    struct route_split s = {.branches = branches, .n = n};

    for (size_t i = 0; i < n; i++) {
        counts[i] = 0;
        terminals[i] = (struct middleware){&counter, &counts[i]};
        branches[i] = (struct route_branch){&terminals[i], names[i], weights[i]};
        s.total += weights[i];
    }
    return s;
}

/* The largest error of a share, in millionths of all requests. */
static uint64_t
worst_error(const struct route_split *s)
{
    uint64_t worst = 0;

    for (size_t i = 0; i < s->n; i++) {
        int64_t want = (int64_t) (1000000u * (uint64_t) branches[i].weight / s->total);
        int64_t got = (int64_t) (counts[i] * 1000000u / REQUESTS);
        uint64_t error = (uint64_t) (got > want ? got - want : want - got);

        if (error > worst)
            worst = error;
    }
    return worst;
}

TEST(shares_of_drawn_numbers_are_exact)
{
    static const struct {
        uint32_t weights[BRANCHES_MAX];
        size_t   n;
    } splits[] = {
        {{95, 5}, 2}, {{1, 1}, 2}, {{65535, 1}, 2}, {{1, 2, 3, 4}, 4}, {{65535, 65535, 1}, 3},
    };

    for (size_t i = 0; i < countof(splits); i++) {
        struct route_split s = split_of(splits[i].weights, splits[i].n);
        struct dice dice;

        dice_init(&dice, 42);
        for (size_t n = 0; n < REQUESTS; n++)
            counts[route_split_at(&s, dice_next(&dice)) - branches]++;
        printf("# split %zu: off by %.3f %% of all requests\n", i, (double) worst_error(&s) / 1e4);
        EXPECT(worst_error(&s) < 10000);
    }
}

TEST(shares_of_hashed_values_are_exact)
{
    static const uint32_t weights[] = {90, 9, 1};
    struct route_split s = split_of(weights, countof(weights));

    for (size_t n = 0; n < REQUESTS; n++) {
        char user[16];
        int length = snprintf(user, sizeof(user), "user%zu", n);

        counts[route_split_at(&s, route_split_hash(slice_of(user, (size_t) length))) - branches]++;
    }
    EXPECT(worst_error(&s) < 10000);
    EXPECT(counts[2] > REQUESTS / 100 * 9 / 10 && counts[2] < REQUESTS / 100 * 11 / 10);
}

TEST(the_ends_of_the_numbers_belong_to_somebody)
{
    static const uint32_t weights[] = {1, 65535, 1};
    struct route_split s = split_of(weights, countof(weights));

    EXPECT(route_split_at(&s, 0) == &branches[0]);
    EXPECT(route_split_at(&s, UINT64_MAX) == &branches[2]);
    EXPECT(route_split_at(&s, UINT64_MAX / 2) == &branches[1]);
}

/* The number is part of what users see: it may not change between versions. */
TEST(a_hash_is_the_same_for_ever)
{
    EXPECT(route_split_hash(SLICE("alice")) != route_split_hash(SLICE("alicf")));
    EXPECT(route_split_hash(SLICE("alice")) == UINT64_C(0x41A459462DD0F68B));
}

TEST(who_was_with_the_canary_stays_when_it_grows)
{
    static const uint32_t before[] = {95, 5}, after[] = {90, 10};
    size_t kept = 0, joined = 0;

    for (size_t n = 0; n < 10000; n++) {
        char user[16];
        int length = snprintf(user, sizeof(user), "user%zu", n);
        uint64_t number = route_split_hash(slice_of(user, (size_t) length));
        struct route_split s = split_of(before, 2);
        bool was = route_split_at(&s, number) == &branches[1], is;

        s = split_of(after, 2);
        is = route_split_at(&s, number) == &branches[1];
        EXPECT(is || !was);
        kept += was && is;
        joined += is && !was;
    }
    EXPECT(kept > 0 && joined > 0);
}

/* ------------------------------------------------------------------ as a terminal */

static struct expr *
compiled(struct arena *arena, const char *source)
{
    struct expr_error error;
    struct expr *e = expr_compile(arena, slice_str(source), EXPR_STRING, &error);

    CHECK(e != NULL);
    return e;
}

static void
ask(const struct route_split *s, const char *cookie)
{
    struct exchange *x = testing_exchange("GET", "http://h/", cookie ? "Cookie" : NULL, cookie,
                                          NULL);
    struct middleware chain[] = {{&route_split, s}};

    testing_run(x, chain, 1);
    EXPECT_EQ(x->response.status, 200);
    testing_exchange_free(x);
}

TEST(a_value_decides_and_without_one_the_lot)
{
    static const uint32_t weights[] = {1, 1};
    struct route_split s = split_of(weights, 2);
    struct arena arena;
    struct loop loop;

    EXPECT_EQ(loop_init(&loop, NULL, 0), OK);
    dice_init(&loop.dice, 1);
    arena_init(&arena, NULL, 0, 1 << 20);
    s.by = compiled(&arena, "cookie('user')");
    for (int i = 0; i < 100; i++)
        ask(&s, "user=alice");
    EXPECT(counts[0] == 100 || counts[1] == 100);
    counts[0] = counts[1] = 0;
    for (int i = 0; i < 100; i++)
        ask(&s, i % 2 ? "user=" : NULL);
    EXPECT(counts[0] > 20 && counts[1] > 20);
    arena_free(&arena);
    loop_exit(&loop);
}

TEST(it_says_who_takes_what)
{
    static const uint32_t weights[] = {95, 5};
    struct exchange *x = testing_exchange("GET", "http://h/", "Cookie", "user=alice", NULL);
    struct route_split s = split_of(weights, 2);
    struct middleware m = {&route_split, &s};
    char room[512];
    struct text out;

    text_fixed(&out, room, sizeof(room));
    route_split.explain(&m, x, &out);
    EXPECT_STR(text_slice(&out), "split: a 95%, b 5%\n");
    out.n = 0;
    s.by = compiled(&x->arena, "cookie('user')");
    route_split.explain(&m, x, &out);
    EXPECT(slice_starts(text_slice(&out), SLICE("split: a 95%, b 5% by cookie('user')\n")));
    EXPECT(slice_search(text_slice(&out), SLICE("'alice' stays with ")) != SLICE_NOT_FOUND);
    testing_exchange_free(x);
}
