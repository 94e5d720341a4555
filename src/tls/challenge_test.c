/* SPDX-License-Identifier: Apache-2.0 */
/* tls/challenge_test.c - what is entered is found, until it is withdrawn. */
#include "tls/challenge.h"

#include "base/test.h"
#include "runtime/loop.h"

#include <stdio.h>

/* Old tables are freed by way of the loop. */
static void
with_loop(bool (*body)(void), bool *good)
{
    struct loop loop;

    CHECK(loop_init(&loop, NULL, 0) == OK);
    *good = body();
    loop_once(&loop, loop.now_us);
    loop_once(&loop, loop.now_us);
    loop_exit(&loop);
}

#define EXPECT_IN_LOOP(body)                                                                      \
    do {                                                                                          \
        bool good_;                                                                               \
        with_loop(body, &good_);                                                                  \
        EXPECT(good_);                                                                            \
    } while (0)

static bool
answers(const char *token, const char *answer)
{
    char room[TLS_CHALLENGE_ANSWER_MAX];
    struct slice found = tls_challenge_answer(slice_str(token), room);

    return answer ? slice_eq(found, slice_str(answer)) && slice_is_present(found)
                  : !slice_is_present(found);
}

static bool
tokens(void)
{
    bool good = answers("a", NULL) && tls_challenge_add_token(SLICE("a"), SLICE("1")) &&
                tls_challenge_add_token(SLICE("b"), SLICE("2")) && answers("a", "1") &&
                answers("b", "2") && answers("", NULL) && answers("ab", NULL) &&
                tls_challenge_add_token(SLICE("a"), SLICE("3")) && answers("a", "3");

    tls_challenge_remove_token(SLICE("a"));
    good = good && answers("a", NULL) && answers("b", "2");
    tls_challenge_remove_token(SLICE("a"));
    tls_challenge_remove_token(SLICE("b"));
    return good && answers("b", NULL);
}

TEST(tokens_come_and_go)
{
    EXPECT_IN_LOOP(tokens);
}

static bool
long_answer(void)
{
    char much[TLS_CHALLENGE_ANSWER_MAX + 1] = "";

    return !tls_challenge_add_token(SLICE("a"), slice_of(much, sizeof(much))) &&
           answers("a", NULL);
}

TEST(an_answer_that_nobody_has_room_for_is_refused)
{
    EXPECT_IN_LOOP(long_answer);
}

static bool
names(void)
{
    bool good = tls_challenge_expect(SLICE("a.test")) &&
                tls_challenge_is_expected(SLICE("a.test")) &&
                !tls_challenge_is_expected(SLICE("b.test")) && answers("a.test", NULL);

    tls_challenge_unexpect(SLICE("a.test"));
    return good && !tls_challenge_is_expected(SLICE("a.test"));
}

TEST(names_are_expected_until_they_are_not)
{
    EXPECT_IN_LOOP(names);
}

static bool
many(void)
{
    char token[16];
    size_t n = 0;

    for (int i = 0; i < TLS_CHALLENGE_ENTRIES_MAX + 10; i++) {
        snprintf(token, sizeof(token), "t%d", i);
        n += tls_challenge_add_token(slice_str(token), SLICE("x"));
        loop_once(loop_self(), loop_now_us()); /* or the old tables would pile up */
    }
    for (int i = 0; i < TLS_CHALLENGE_ENTRIES_MAX + 10; i++) {
        snprintf(token, sizeof(token), "t%d", i);
        tls_challenge_remove_token(slice_str(token));
        loop_once(loop_self(), loop_now_us());
    }
    return n == TLS_CHALLENGE_ENTRIES_MAX;
}

TEST(there_is_an_end_to_how_many)
{
    EXPECT_IN_LOOP(many);
}

static const struct tls_server *asked_of;

static bool
wanted(const struct tls_server *server, struct slice name)
{
    asked_of = server;
    return slice_eq(name, SLICE("yes"));
}

TEST(whoever_wants_to_hear_of_wishes_does)
{
    const struct tls_server *server = (const struct tls_server *) (const void *) &asked_of;

    EXPECT(!tls_challenge_wanted(server, SLICE("yes")));
    tls_challenge_on_wanted(wanted);
    EXPECT(tls_challenge_wanted(server, SLICE("yes")));
    EXPECT(!tls_challenge_wanted(server, SLICE("no")));
    EXPECT(asked_of == server);
    tls_challenge_on_wanted(NULL);
    EXPECT(!tls_challenge_wanted(server, SLICE("yes")));
}
