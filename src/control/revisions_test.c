/* SPDX-License-Identifier: Apache-2.0 */
/* control/revisions_test.c */
#include "base/clock.h"
#include "control/testing_state.h"
#include "runtime/fiber.h"
#include "runtime/loop.h"

TEST(what_was_kept_is_there_after_a_restart)
{
    struct revision r;

    state_begin();
    EXPECT(revisions_open(state_folder));
    EXPECT(!revisions_current(STATE_SOURCE, &r, &state_arena));
    for (int i = 1; i <= 3; i++)
        EXPECT_EQ(state_add(i), i);
    revisions_close();
    EXPECT(revisions_open(state_folder));
    EXPECT(revisions_current(STATE_SOURCE, &r, &state_arena));
    EXPECT_EQ(r.number, 3);
    EXPECT_EQ(r.at_s, 1003);
    EXPECT_EQ(r.cause, REVISION_CHANGE);
    EXPECT_STR(r.who, "ci");
    EXPECT_STR(r.comment, "[3]\n");
    EXPECT_STR(r.patch, "[3]\n");
    EXPECT_STR(r.text, "routes: 3\n");
    EXPECT(r.hash == UINT64_MAX - 3);
    EXPECT(revisions_get(2, &r, &state_arena));
    EXPECT_STR(r.text, "routes: 2\n");
    EXPECT(!revisions_get(4, &r, &state_arena));
    EXPECT(!slice_is_present(revisions_fault()));
    state_end();
}

TEST(secrets_are_for_its_owner_alone)
{
    struct stat st;

    state_begin();
    fclose(fopen(state_path("revisions.db"), "w"));
    chmod(state_path("revisions.db"), 0644);
    EXPECT(revisions_open(state_folder));
    EXPECT_EQ(state_add(1), 1);
    EXPECT_EQ(stat(state_path("revisions.db"), &st), 0);
    EXPECT_EQ(st.st_mode & 0777, 0600);
    EXPECT_EQ(stat(state_path("revisions.db-wal"), &st), 0);
    EXPECT_EQ(st.st_mode & 0777, 0600);
    state_end();
}

TEST(lists_go_from_the_newest_in_pages)
{
    struct revision *list;
    size_t n;

    state_begin();
    EXPECT(revisions_open(state_folder));
    for (int i = 1; i <= 10; i++)
        EXPECT_EQ(state_add(i), i);
    list = revisions_list(STATE_SOURCE, 0, 4, &state_arena, &n);
    EXPECT_EQ(n, 4);
    EXPECT_EQ(list[0].number, 10);
    EXPECT_EQ(list[3].number, 7);
    EXPECT_STR(list[3].who, "ci");
    EXPECT(!slice_is_present(list[3].text));
    list = revisions_list(STATE_SOURCE, 3, 100, &state_arena, &n);
    EXPECT_EQ(n, 2);
    EXPECT_EQ(list[0].number, 2);
    state_end();
}

TEST(old_ones_go_and_numbers_are_never_given_twice)
{
    struct revision r;
    size_t n;

    state_begin();
    EXPECT(revisions_open(state_folder));
    for (int i = 1; i <= 10; i++)
        EXPECT_EQ(state_add(i), i);
    revisions_trim(STATE_SOURCE, 3);
    (void) revisions_list(STATE_SOURCE, 0, 100, &state_arena, &n);
    EXPECT_EQ(n, 3);
    EXPECT(!revisions_get(7, &r, &state_arena));
    EXPECT(revisions_get(8, &r, &state_arena));
    EXPECT_STR(r.text, "routes: 8\n");
    revisions_trim(STATE_SOURCE, 0); /* the one in force stays */
    EXPECT_EQ(state_current(), 10);
    EXPECT_EQ(state_add(11), 11);
    state_end();
}

/* A thousand reloads of one file. */
TEST(the_same_text_is_kept_once)
{
    struct revision r = {.cause = REVISION_RELOAD, .patch = SLICE("[]\n")};
    struct stat st;
    char *text = malloc(100000);

    state_begin();
    memset(text, 'x', 100000);
    r.text = slice_of(text, 100000);
    EXPECT(revisions_open(state_folder));
    for (int i = 1; i <= 100; i++)
        EXPECT_EQ(revisions_add(&r), i);
    EXPECT(revisions_get(50, &r, &state_arena));
    EXPECT_EQ(r.text.n, 100000);
    revisions_close();
    EXPECT_EQ(stat(state_path("revisions.db"), &st), 0);
    EXPECT(st.st_size < 300000);
    free(text);
    state_end();
}

TEST(two_configurations_share_a_folder)
{
    struct revision r = {.cause = REVISION_START, .source = SLICE("/etc/other.yaml")};
    struct slice other = r.source;
    size_t n;

    state_begin();
    EXPECT(revisions_open(state_folder));
    EXPECT_EQ(state_add(1), 1);
    EXPECT_EQ(revisions_add(&r), 2);
    EXPECT_EQ(state_add(3), 3);
    EXPECT_EQ(state_current(), 3);
    EXPECT(revisions_current(other, &r, &state_arena));
    EXPECT_EQ(r.number, 2);
    EXPECT_STR(r.source, "/etc/other.yaml");
    (void) revisions_list(STATE_SOURCE, 0, 10, &state_arena, &n);
    EXPECT_EQ(n, 2);
    revisions_trim(STATE_SOURCE, 1);
    EXPECT(revisions_get(2, &r, &state_arena));
    EXPECT(!revisions_get(1, &r, &state_arena));
    EXPECT(!revisions_current(SLICE("/etc/third.yaml"), &r, &state_arena));
    state_end();
}

TEST(without_a_folder_nothing_is_kept_and_that_is_said)
{
    struct revision r;

    state_begin();
    EXPECT(!revisions_open(NULL));
    EXPECT_EQ(state_add(1), 0);
    EXPECT(!revisions_current(STATE_SOURCE, &r, &state_arena));
    EXPECT(!revisions_usable());
    EXPECT(slice_search(revisions_fault(), SLICE("no state directory")) != SLICE_NOT_FOUND);
    state_end();
}

TEST(who_did_what)
{
    struct audit_entry e = {.at_s = 5, .who = SLICE("token ci"), .from = SLICE("10.0.0.1"),
                            .action = SLICE("PATCH"), .target = SLICE("/v1/config/routes"),
                            .outcome = SLICE("200")};
    struct audit_entry *list;
    size_t n;

    state_begin();
    EXPECT(revisions_open(state_folder));
    for (int i = 0; i < 3; i++)
        EXPECT(audit_add(&e));
    e.outcome = SLICE("412");
    EXPECT(audit_add(&e));
    list = audit_list(0, 2, &state_arena, &n);
    EXPECT_EQ(n, 2);
    EXPECT_EQ(list[0].number, 4);
    EXPECT_STR(list[0].outcome, "412");
    EXPECT_STR(list[1].who, "token ci");
    EXPECT_STR(list[1].from, "10.0.0.1");
    EXPECT_STR(list[1].action, "PATCH");
    EXPECT_STR(list[1].target, "/v1/config/routes");
    (void) audit_list(2, 10, &state_arena, &n);
    EXPECT_EQ(n, 1);
    state_end();
}

/* ------------------------------------------------------------------ on fibers */

static int kept, expected;

static void
keep_some(void *arg)
{
    for (int i = 0; i < 5; i++)
        kept += state_add(*(int *) arg * 10 + i) > 0;
}

TEST(fibers_wait_for_each_other)
{
    struct loop loop;
    int numbers[8];

    state_begin();
    EXPECT(revisions_open(state_folder));
    EXPECT_EQ(loop_init(&loop, NULL, 0), OK);
    kept = 0;
    for (int i = 0; i < 8; i++) {
        numbers[i] = i;
        expected += fiber_start("keeper", keep_some, &numbers[i]) ? 5 : 0;
    }
    while (fiber_count() > 0)
        loop_once(&loop, loop.now_us + 100000);
    EXPECT_EQ(kept, expected);
    EXPECT_EQ(kept, 40);
    EXPECT_EQ(state_current(), 40);
    offload_exit();
    loop_exit(&loop);
    state_end();
}
