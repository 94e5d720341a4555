/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/discovery_test.c - changes while running, through the interface that an API will use:
 * what they make of the servers that the configuration names.
 */
#include "upstream/discovery.h"

#include "base/test.h"
#include "observe/log.h"
#include "runtime/fiber.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define A "10.0.0.1:80"
#define B "10.0.0.2:80"
#define C "10.0.0.3:80"

static struct loop loop;
static struct upstream *group;

static struct config *
read_config(const char *yaml)
{
    struct config_report report;
    struct config *config;

    config_report_init(&report);
    config = config_load_text("group.yaml", slice_str(yaml), &upstream_object, NULL, &report);
    config_report_free(&report);
    CHECK(config != NULL);
    return config;
}

/* Starts it, or reloads. */
static void
apply(const char *yaml)
{
    struct config *config = read_config(yaml);

    CHECK(upstream_apply(group, config->root, config) == OK);
    config_free(config);
}

static void
put_up(const char *yaml)
{
    log_set_level(LOG_LEVEL_ERROR);
    CHECK(loop_init(&loop, NULL, 0) == OK);
    upstreams_init(1);
    group = upstream_get(SLICE("group"));
    CHECK(group != NULL);
    apply(yaml);
}

static void
take_down(void)
{
    upstream_release(group);
    for (int i = 0; i < 100; i++)
        loop_once(&loop, loop.now_us + 1000);
    loop_exit(&loop);
}

static enum err
change(enum upstream_change_kind kind, const char *address, uint32_t weight,
       enum server_state state)
{
    struct upstream_change c = {.kind = kind, .weight = weight, .state = state};

    CHECK(address_parse(slice_str(address), &c.server));
    return upstream_change(group, &c);
}

/* NULL: not in the set. */
static const struct server_entry *
entry_of(const char *address)
{
    const struct server_set *set = atomic_load(&group->set);

    for (size_t i = 0; i < set->lb.n; i++)
        if (slice_eq(set->entries[i].server->text, slice_str(address)))
            return &set->entries[i];
    return NULL;
}

static unsigned
faults_of(const char *address)
{
    return atomic_load(&entry_of(address)->server->faults);
}

static size_t
members(void)
{
    return ((struct server_set *) atomic_load(&group->set))->lb.n;
}

#define TWO "servers: [" A ", {address: " B ", weight: 3}]"

TEST(a_server_that_is_added_is_there_at_once_and_stays_across_reloads)
{
    put_up(TWO);
    EXPECT_EQ(members(), 2);
    EXPECT_EQ(change(UPSTREAM_ADD, C, 7, SERVER_READY), OK);
    EXPECT_EQ(members(), 3);
    EXPECT_EQ(entry_of(C)->weight, 7);
    EXPECT_EQ(faults_of(C), 0);
    apply(TWO);
    EXPECT_EQ(members(), 3);
    EXPECT_EQ(entry_of(C)->weight, 7);
    take_down();
}

TEST(a_server_may_be_added_out_of_service)
{
    put_up(TWO);
    EXPECT_EQ(change(UPSTREAM_ADD, C, 0, SERVER_MAINTENANCE), OK);
    EXPECT_EQ(entry_of(C)->weight, 1);
    EXPECT_EQ(faults_of(C), SERVER_IS_IN_MAINTENANCE);
    EXPECT_EQ(change(UPSTREAM_STATE, C, 0, SERVER_READY), OK);
    EXPECT_EQ(faults_of(C), 0);
    take_down();
}

TEST(a_server_that_is_removed_stays_away_across_reloads)
{
    struct server *gone;

    put_up(TWO);
    gone = entry_of(A)->server;
    server_hold(gone); /* as an exchange would that is under way */
    EXPECT_EQ(change(UPSTREAM_REMOVE, A, 0, SERVER_READY), OK);
    EXPECT_EQ(members(), 1);
    EXPECT(atomic_load(&gone->faults) & SERVER_IS_LEAVING);
    apply(TWO);
    EXPECT(!entry_of(A));
    EXPECT_EQ(change(UPSTREAM_ADD, A, 2, SERVER_READY), OK);
    EXPECT_EQ(entry_of(A)->weight, 2);
    server_release(gone);
    take_down();
}

TEST(the_last_one_may_be_removed)
{
    put_up("servers: [" A "]");
    EXPECT_EQ(change(UPSTREAM_REMOVE, A, 0, SERVER_READY), OK);
    EXPECT_EQ(members(), 0);
    EXPECT_EQ(change(UPSTREAM_ADD, B, 1, SERVER_READY), OK);
    EXPECT_EQ(members(), 1);
    take_down();
}

TEST(a_weight_is_changed_and_the_server_keeps_what_it_has)
{
    struct server *b;

    put_up(TWO);
    b = entry_of(B)->server;
    EXPECT_EQ(change(UPSTREAM_WEIGHT, B, 9, SERVER_READY), OK);
    EXPECT_EQ(entry_of(B)->weight, 9);
    EXPECT(entry_of(B)->server == b);
    EXPECT_EQ(entry_of(A)->weight, 1);
    apply("servers: [" A ", {address: " B ", weight: 5}]");
    EXPECT_EQ(entry_of(B)->weight, 9);
    EXPECT(entry_of(B)->server == b);
    take_down();
}

TEST(states_are_changed_and_stay_across_reloads)
{
    put_up(TWO);
    EXPECT_EQ(change(UPSTREAM_STATE, A, 0, SERVER_DRAINING), OK);
    EXPECT_EQ(faults_of(A), SERVER_IS_DRAINING);
    EXPECT_EQ(faults_of(B), 0);
    apply(TWO);
    EXPECT_EQ(faults_of(A), SERVER_IS_DRAINING);
    EXPECT_EQ(change(UPSTREAM_STATE, A, 0, SERVER_MAINTENANCE), OK);
    EXPECT_EQ(faults_of(A), SERVER_IS_IN_MAINTENANCE);
    EXPECT_EQ(change(UPSTREAM_STATE, A, 0, SERVER_READY), OK);
    EXPECT_EQ(faults_of(A), 0);
    take_down();
}

TEST(an_operator_may_let_in_whom_the_configuration_drains)
{
    put_up("servers: [" A ", {address: " B ", state: draining}]");
    EXPECT_EQ(faults_of(B), SERVER_IS_DRAINING);
    EXPECT_EQ(change(UPSTREAM_STATE, B, 0, SERVER_READY), OK);
    EXPECT_EQ(faults_of(B), 0);
    EXPECT_EQ(change(UPSTREAM_FORGET, B, 0, SERVER_READY), OK);
    EXPECT_EQ(faults_of(B), SERVER_IS_DRAINING);
    take_down();
}

TEST(what_is_forgotten_is_as_the_configuration_says)
{
    put_up(TWO);
    EXPECT_EQ(change(UPSTREAM_WEIGHT, B, 9, SERVER_READY), OK);
    EXPECT_EQ(change(UPSTREAM_STATE, B, 0, SERVER_DRAINING), OK);
    EXPECT_EQ(change(UPSTREAM_REMOVE, A, 0, SERVER_READY), OK);
    EXPECT_EQ(change(UPSTREAM_ADD, C, 1, SERVER_READY), OK);
    EXPECT_EQ(change(UPSTREAM_FORGET, A, 0, SERVER_READY), OK);
    EXPECT_EQ(change(UPSTREAM_FORGET, B, 0, SERVER_READY), OK);
    EXPECT_EQ(change(UPSTREAM_FORGET, C, 0, SERVER_READY), OK);
    EXPECT_EQ(members(), 2);
    EXPECT_EQ(entry_of(A)->weight, 1);
    EXPECT_EQ(entry_of(B)->weight, 3);
    EXPECT_EQ(faults_of(B), 0);
    take_down();
}

TEST(whom_nobody_knows_cannot_be_changed)
{
    put_up(TWO);
    EXPECT_EQ(change(UPSTREAM_REMOVE, C, 0, SERVER_READY), ERR_NOT_FOUND);
    EXPECT_EQ(change(UPSTREAM_WEIGHT, C, 2, SERVER_READY), ERR_NOT_FOUND);
    EXPECT_EQ(change(UPSTREAM_STATE, C, 0, SERVER_DRAINING), ERR_NOT_FOUND);
    EXPECT_EQ(change(UPSTREAM_FORGET, A, 0, SERVER_READY), ERR_NOT_FOUND);
    EXPECT_EQ(change(UPSTREAM_REMOVE, A, 0, SERVER_READY), OK);
    EXPECT_EQ(change(UPSTREAM_REMOVE, A, 0, SERVER_READY), ERR_NOT_FOUND);
    EXPECT_EQ(members(), 1);
    take_down();
}

TEST(an_upstream_is_found_by_its_name)
{
    put_up(TWO);
    EXPECT(upstream_find(SLICE("group")) == group);
    EXPECT(!upstream_find(SLICE("groups")));
    take_down();
}

/* ------------------------------------------------------------------ servers that a source names */

static char path[64], listing[160];

static void
write_list(const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

    CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t) strlen(text));
    close(fd);
}

static void
put_up_with_list(const char *text)
{
    snprintf(path, sizeof(path), "/tmp/discovery_test.%d", (int) getpid());
    snprintf(listing, sizeof(listing), "servers: [{file: %s}]", path);
    write_list(text);
    put_up(listing);
    for (int i = 0; i < 3000 && !group->settled; i++)
        loop_once(&loop, loop.now_us + 1000);
}

/* The loop runs until the file has been looked at again. */
static bool
become(size_t n, uint32_t weight)
{
    for (int i = 0; i < 4000 && (members() != n || entry_of(B)->weight != weight); i++)
        loop_once(&loop, loop.now_us + 1000);
    return members() == n && entry_of(B)->weight == weight;
}

TEST(servers_that_a_file_names_are_changed_at_once_and_are_again_what_it_says)
{
    put_up_with_list("[" A ", {address: " B ", weight: 3}]");
    EXPECT(become(2, 3));
    EXPECT_EQ(change(UPSTREAM_WEIGHT, B, 9, SERVER_READY), OK);
    EXPECT_EQ(entry_of(B)->weight, 9);
    EXPECT_EQ(change(UPSTREAM_STATE, B, 0, SERVER_DRAINING), OK);
    EXPECT_EQ(faults_of(B), SERVER_IS_DRAINING);
    EXPECT_EQ(change(UPSTREAM_REMOVE, A, 0, SERVER_READY), OK);
    EXPECT_EQ(members(), 1);
    EXPECT_EQ(change(UPSTREAM_FORGET, A, 0, SERVER_READY), OK);
    EXPECT_EQ(change(UPSTREAM_FORGET, B, 0, SERVER_READY), OK);
    EXPECT(become(2, 3));
    EXPECT_EQ(faults_of(A) | faults_of(B), 0);
    unlink(path);
    take_down();
}

/* ------------------------------------------------------------------ in the next process */

static struct upstream_change kept[16];
static size_t n_kept;

static void
keep_change(void *arg, struct slice upstream, const struct upstream_change *c)
{
    (void) arg;
    CHECK(n_kept < countof(kept));
    EXPECT(slice_eq(upstream, SLICE("group")));
    kept[n_kept++] = *c;
}

TEST(what_was_changed_can_be_had_again_before_the_first_configuration_is_applied)
{
    put_up(TWO);
    EXPECT_EQ(change(UPSTREAM_ADD, C, 7, SERVER_READY), OK);
    EXPECT_EQ(change(UPSTREAM_STATE, C, 0, SERVER_DRAINING), OK);
    EXPECT_EQ(change(UPSTREAM_WEIGHT, B, 9, SERVER_READY), OK);
    EXPECT_EQ(change(UPSTREAM_WEIGHT, A, 5, SERVER_READY), OK);
    EXPECT_EQ(change(UPSTREAM_REMOVE, A, 0, SERVER_READY), OK);
    n_kept = 0;
    upstream_changes_each(keep_change, NULL);
    upstream_release(group);
    group = upstream_get(SLICE("group"));
    for (size_t i = 0; i < n_kept; i++)
        EXPECT_EQ(upstream_restore(group, &kept[i]), OK);
    apply(TWO);
    EXPECT_EQ(members(), 2);
    EXPECT(!entry_of(A));
    EXPECT_EQ(entry_of(B)->weight, 9);
    EXPECT_EQ(faults_of(B), 0);
    EXPECT_EQ(entry_of(C)->weight, 7);
    EXPECT_EQ(faults_of(C), SERVER_IS_DRAINING);
    EXPECT_EQ(change(UPSTREAM_FORGET, A, 0, SERVER_READY), OK);
    EXPECT_EQ(change(UPSTREAM_FORGET, C, 0, SERVER_READY), OK);
    EXPECT(entry_of(A) && !entry_of(C));
    take_down();
}

/* ------------------------------------------------------------------ what nobody should ask for */

TEST(weights_are_kept_within_what_policies_understand)
{
    put_up(TWO);
    EXPECT_EQ(change(UPSTREAM_WEIGHT, A, 0, SERVER_READY), OK);
    EXPECT_EQ(entry_of(A)->weight, 1);
    EXPECT_EQ(change(UPSTREAM_WEIGHT, A, UINT32_MAX, SERVER_READY), OK);
    EXPECT_EQ(entry_of(A)->weight, LB_WEIGHT_MAX);
    EXPECT_EQ(change(UPSTREAM_ADD, C, UINT32_MAX, SERVER_READY), OK);
    EXPECT_EQ(entry_of(C)->weight, LB_WEIGHT_MAX);
    take_down();
}
