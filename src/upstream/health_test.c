/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/health_test.c - checks of servers that are there, not there, silent, or have an agent;
 * all on one loop, with intervals of a few milliseconds.
 */
#include "upstream/health.h"

#include "base/test.h"
#include "observe/log.h"
#include "runtime/fiber.h"
#include "upstream/probe.h"

#include <arpa/inet.h>
#include <unistd.h>

enum { EVERY_US = 10000, WAIT_US = 3000000, MANY = 400, PROBES_MAX = 256 };

/* A server in the same loop that says one line to whoever connects, or nothing at all. */
struct speaker {
    struct acceptor acceptor;
    const char     *line; /* NULL: it hangs */
    bool            listens;
    size_t          accepted;
    int             kept[2 * MANY];
    size_t          n_kept;
};

static struct loop loop;
static struct speaker speaker;
static struct health_config checks[2];
static struct upstream_config config;
static struct config owner = {.refs = 1}; /* never the last reference */
static struct upstream *group;
static union address address;

static void
on_accept(struct acceptor *a, int fd, const union address *peer)
{
    struct speaker *s = container_of(a, struct speaker, acceptor);

    (void) peer;
    s->accepted++;
    if (s->line) {
        (void) !send(fd, s->line, strlen(s->line), MSG_NOSIGNAL);
        close(fd);
    } else if (s->n_kept < countof(s->kept)) {
        s->kept[s->n_kept++] = fd;
    } else {
        close(fd);
    }
}

static void
speak(const char *line)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
    socklen_t n = sizeof(address.v4);

    speaker = (struct speaker){.line = line, .listens = true};
    speaker.acceptor.on_accept = on_accept;
    speaker.acceptor.burst = 64;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    /* Not sock_listen(): that accepts only who speaks first. */
    CHECK(fd >= 0 && bind(fd, &address.any, n) == 0 && listen(fd, 1024) == 0);
    getsockname(fd, &address.any, &n);
    CHECK(acceptor_start(&speaker.acceptor, fd) == OK);
}

static void
hush(void)
{
    if (!speaker.listens)
        return;
    speaker.listens = false;
    acceptor_stop(&speaker.acceptor);
    for (size_t i = 0; i < speaker.n_kept; i++)
        close(speaker.kept[i]);
    loop_once(&loop, loop.now_us);
}

static void
set_members(size_t n, bool newcomers)
{
    static const struct set_options options = {.policy = &lb_round_robin};
    struct server *servers[MANY];
    struct server_entry entries[MANY] = {0};
    union address addresses[MANY] = {0};

    CHECK(n <= MANY);
    for (size_t i = 0; i < n; i++) {
        addresses[i] = address;
        addresses[i].v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t) i);
    }
    CHECK(servers_new(group, addresses, n, servers));
    for (size_t i = 0; i < n; i++) {
        entries[i].server = servers[i];
        entries[i].weight = 1;
        if (newcomers)
            server_set_fault(servers[i], SERVER_IS_UNPROVED, true);
    }
    group->set = server_set_new(entries, n, &options, false);
    CHECK(group->set != NULL);
    for (size_t i = 0; i < n; i++)
        server_release(servers[i]);
}

static struct server *
member(size_t i)
{
    return ((struct server_set *) group->set)->entries[i].server;
}

static unsigned
faults(void)
{
    return atomic_load(&member(0)->faults);
}

/* An upstream whose servers are checked so; nobody listens yet. */
static void
put_up(const struct probe_kind *kind)
{
    log_set_level(LOG_LEVEL_ERROR);
    CHECK(loop_init(&loop, NULL, 0) == OK);
    address.v4 = (struct sockaddr_in){.sin_family = AF_INET,
                                      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    config = (struct upstream_config){.health = {checks, 1}};
    checks[0] = (struct health_config){
        .every_us = EVERY_US, .timeout_us = WAIT_US, .rise = 2, .fall = 3};
    while (probe_kinds[checks[0].kind] != kind)
        checks[0].kind++;
    checks[1] = checks[0];
    group = upstream_get(SLICE("group"));
    CHECK(group != NULL);
    group->config = &config;
    group->owner = &owner;
}

/* Waits until all faults are so. */
static bool
become(unsigned wanted)
{
    uint64_t until_us = loop.now_us + WAIT_US;

    while (faults() != wanted && loop.now_us < until_us)
        loop_once(&loop, loop.now_us + 1000);
    return faults() == wanted;
}

static void
run_for(uint64_t us)
{
    for (uint64_t until_us = loop.now_us + us; loop.now_us < until_us;)
        loop_once(&loop, loop.now_us + 1000);
}

/* True when nothing is left over. */
static bool
take_down(void)
{
    struct server_set *set;
    bool clean;

    hush();
    health_stop(group);
    for (int i = 0; i < 100 && fiber_count() > 0; i++)
        loop_once(&loop, loop.now_us + 1000);
    loop_once(&loop, loop.now_us);
    set = atomic_exchange(&group->set, NULL);
    clean = fiber_count() == 0 && !group->checks &&
            list_is_empty(&set->entries[0].server->checks) &&
            atomic_load(&set->entries[0].server->refs) == 1 && atomic_load(&owner.refs) == 1;
    server_set_free(set);
    group->config = NULL;
    group->owner = NULL;
    upstream_release(group);
    loop_exit(&loop);
    return clean;
}

TEST(a_dead_server_goes_down_and_comes_back)
{
    put_up(&probe_tcp);
    speak("");
    hush(); /* the port is free again, and nobody listens */
    set_members(1, false);
    health_follow(group);
    EXPECT_EQ(faults(), 0);
    EXPECT(become(SERVER_IS_DOWN));
    EXPECT_STR(slice_str(member(0)->why), "connecting: the peer refused the connection");
    speak("hello");
    EXPECT(become(0));
    EXPECT_STR(slice_str(member(0)->why), "");
    hush();
    EXPECT(become(SERVER_IS_DOWN));
    EXPECT(take_down());
}

TEST(a_newcomer_is_asked_at_once_and_needs_one_pass)
{
    put_up(&probe_tcp);
    speak("hello");
    checks[0].every_us = (uint64_t) 3600 * 1000000;
    set_members(1, true);
    health_follow(group);
    EXPECT_EQ(faults(), SERVER_IS_UNPROVED);
    EXPECT(become(0));
    EXPECT(take_down());
}

TEST(a_newcomer_that_fails_stays_out)
{
    put_up(&probe_tcp);
    speak("");
    hush();
    set_members(1, true);
    health_follow(group);
    EXPECT(become(SERVER_IS_UNPROVED | SERVER_IS_DOWN));
    speak("hello");
    EXPECT(become(0));
    EXPECT(take_down());
}

TEST(all_checks_must_pass)
{
    put_up(&probe_tcp);
    speak("hello");
    config.health.n = 2;
    checks[1].port = 1; /* nobody listens there */
    set_members(1, true);
    health_follow(group);
    EXPECT(become(SERVER_IS_UNPROVED | SERVER_IS_DOWN));
    run_for(10 * EVERY_US);
    EXPECT_EQ(faults(), SERVER_IS_UNPROVED | SERVER_IS_DOWN);
    /* Without the second check it is well at once. */
    config.health.n = 1;
    health_follow(group);
    EXPECT_EQ(faults(), 0);
    EXPECT(take_down());
}

TEST(a_new_configuration_keeps_what_is_known)
{
    static struct health_config renewed;
    size_t before;

    put_up(&probe_tcp);
    speak("");
    hush();
    set_members(1, false);
    health_follow(group);
    EXPECT(become(SERVER_IS_DOWN));
    renewed = checks[0];
    renewed.every_us = (uint64_t) 3600 * 1000000;
    config.health.at = &renewed;
    health_follow(group);
    EXPECT_EQ(faults(), SERVER_IS_DOWN);
    /* An unchanged one does not ask anew either. */
    speak("hello");
    run_for(20 * EVERY_US);
    before = speaker.accepted;
    health_follow(group);
    health_follow(group);
    run_for(20 * EVERY_US);
    EXPECT_EQ(speaker.accepted, before);
    /* No checks, nobody is down. */
    config.health.n = 0;
    health_follow(group);
    EXPECT_EQ(faults(), 0);
    EXPECT(take_down());
}

TEST(a_check_that_is_new_to_a_server_at_work_needs_all_failures)
{
    put_up(&probe_tcp);
    speak("");
    hush();
    group->served = true;
    set_members(1, false);
    checks[0].fall = 20;
    health_follow(group);
    run_for(8 * EVERY_US);
    EXPECT_EQ(faults(), 0);
    EXPECT(become(SERVER_IS_DOWN));
    EXPECT(take_down());
}

TEST(probes_of_silent_servers_are_bounded_and_end_with_the_checks)
{
    put_up(&probe_agent);
    speak(NULL);
    set_members(MANY, false);
    hush();
    address.v4.sin_addr.s_addr = htonl(INADDR_ANY);
    speak(NULL);
    health_follow(group);
    for (int i = 0; i < 50 && speaker.accepted < PROBES_MAX; i++)
        run_for(20 * EVERY_US); /* once is enough, but for sanitizers */
    EXPECT_EQ(fiber_count(), PROBES_MAX);
    EXPECT_EQ(speaker.accepted, PROBES_MAX);
    EXPECT(take_down());
}

static bool
all_are_proved(void)
{
    for (size_t i = 0; i < MANY; i++)
        if (atomic_load(&member(i)->faults))
            return false;
    return true;
}

TEST(those_that_wait_get_their_turn)
{
    put_up(&probe_agent);
    speak(NULL);
    set_members(MANY, true);
    hush();
    address.v4.sin_addr.s_addr = htonl(INADDR_ANY);
    speak(NULL);
    checks[0].timeout_us = 10 * EVERY_US;
    checks[0].every_us = (uint64_t) 3600 * 1000000;
    health_follow(group);
    for (int i = 0; i < 100 && !all_are_proved(); i++)
        run_for(EVERY_US);
    EXPECT(all_are_proved());
    EXPECT_EQ(speaker.accepted, MANY);
    EXPECT(take_down());
}

TEST(agents_drain_and_throttle)
{
    put_up(&probe_agent);
    checks[0].rise = checks[0].fall = 1;
    speak("drain 50%\n");
    set_members(1, false);
    health_follow(group);
    EXPECT(become(SERVER_IS_DRAINING));
    EXPECT_EQ(atomic_load(&member(0)->reported_share), LB_SHARE_FULL / 2);
    speaker.line = "up 100%\n"; /* as HAProxy: only `ready` takes it back */
    run_for(5 * EVERY_US);
    EXPECT_EQ(faults(), SERVER_IS_DRAINING);
    speaker.line = "ready\n";
    EXPECT(become(0));
    EXPECT_EQ(atomic_load(&member(0)->reported_share), LB_SHARE_FULL);
    speaker.line = "maint\n";
    EXPECT(become(SERVER_IS_IN_MAINTENANCE));
    speaker.line = "ready down # deploying\n";
    EXPECT(become(SERVER_IS_DOWN));
    EXPECT_STR(slice_str(member(0)->why), "the agent says down: deploying");
    speaker.line = "75%\n";
    EXPECT(become(0));
    EXPECT(take_down());
}

TEST(agents_take_back_only_what_is_theirs)
{
    put_up(&probe_agent);
    speak("maint\n");
    set_members(1, false);
    server_set_fault(member(0), SERVER_IS_DRAINING, true); /* an operator's */
    health_follow(group);
    EXPECT(become(SERVER_IS_DRAINING | SERVER_IS_IN_MAINTENANCE));
    /* The operator's wishes are set anew with each configuration; the agent's stay on top. */
    server_set_fault(member(0), SERVER_IS_IN_MAINTENANCE, false);
    health_follow(group);
    EXPECT_EQ(faults(), SERVER_IS_DRAINING | SERVER_IS_IN_MAINTENANCE);
    speaker.line = "drain\n";
    EXPECT(become(SERVER_IS_DRAINING));
    speaker.line = "ready\n";
    run_for(5 * EVERY_US);
    EXPECT_EQ(faults(), SERVER_IS_DRAINING);
    EXPECT(take_down());
}

TEST(an_agent_that_is_not_there_harms_nobody)
{
    put_up(&probe_agent);
    speak("");
    hush();
    set_members(1, true);
    health_follow(group);
    EXPECT(become(0));
    EXPECT(take_down());
}
