/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/probe_test.c - each kind of probe against a server that does exactly what the test says,
 * good or bad.
 */
#include "upstream/probe.h"

#include "base/clock.h"
#include "base/test.h"
#include "exchange/expr.h"
#include "runtime/fiber.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { QUICK_US = 3000000, SOON_US = 150000, FLOOD_BYTES = 1024 * 1024 };

/* What the server does with its one connection. */
struct script {
    const char *waits_for; /* reads until this has come; NULL: nothing */
    const char *says;
    size_t      floods;    /* then so many more bytes */
    bool        hangs;     /* until the probe has left */
    bool        resets;
};

struct stage {
    struct script   script;
    int             listener;
    pthread_t       thread;
    struct upstream upstream;
    struct server   server;
    char            heard[4096];
    size_t          heard_n;
    ssize_t         last; /* what the server read at the end: 0, or -1 for a reset */
};

static void
hear(struct stage *s, int fd)
{
    while (!memmem(s->heard, s->heard_n, s->script.waits_for, strlen(s->script.waits_for))) {
        ssize_t n = read(fd, s->heard + s->heard_n, sizeof(s->heard) - s->heard_n);

        if (n <= 0)
            return;
        s->heard_n += (size_t) n;
    }
}

static void
say(const struct stage *s, int fd)
{
    char much[4096];

    memset(much, 'a', sizeof(much));
    if (s->script.says)
        (void) !send(fd, s->script.says, strlen(s->script.says), MSG_NOSIGNAL);
    for (size_t n = 0; n < s->script.floods; n += sizeof(much))
        if (send(fd, much, sizeof(much), MSG_NOSIGNAL) <= 0)
            return;
}

static void *
play(void *arg)
{
    struct stage *s = arg;
    struct linger at_once = {1, 0};
    int fd = accept(s->listener, NULL, NULL);
    char scrap[4096];

    if (s->script.waits_for)
        hear(s, fd);
    say(s, fd);
    if (s->script.resets)
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    else if (!s->script.hangs)
        shutdown(fd, SHUT_WR);
    while (!s->script.resets && (s->last = read(fd, scrap, sizeof(scrap))) > 0)
        ;
    close(fd);
    return NULL;
}

static void
put_up(struct stage *s, const struct script *script)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(at);

    *s = (struct stage){.script = *script};
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(bind(s->listener, (struct sockaddr *) &at, n) == 0 && listen(s->listener, 1) == 0);
    getsockname(s->listener, (struct sockaddr *) &at, &n);
    s->upstream.name = SLICE("group");
    s->server.upstream = &s->upstream;
    s->server.address.v4 = at;
    s->server.text = SLICE("127.0.0.1:1");
}

/* ------------------------------------------------------------------ asking */

struct question {
    const struct probe_kind    *kind;
    const struct health_config *config;
    const struct server        *server;
    uint64_t                    within_us;
    struct probe_answer         answer;
};

static void
run_question(void *arg)
{
    struct question *q = arg;

    q->kind->run(q->config, q->server, loop_now_us() + q->within_us, &q->answer);
}

static struct probe_answer
ask_server(const struct probe_kind *kind, const struct health_config *config,
           const struct server *server, uint64_t within_us)
{
    struct question q = {kind, config, server, within_us, {.share = -1, .state = -1}};
    struct loop loop;

    CHECK(loop_init(&loop, NULL, 0) == OK);
    fiber_start("probe", run_question, &q);
    while (fiber_count() > 0)
        loop_once(&loop, loop.now_us + 100000);
    loop_once(&loop, loop.now_us);
    loop_exit(&loop);
    return q.answer;
}

static struct stage stage;

static struct probe_answer
ask(const struct probe_kind *kind, const struct health_config *config, const struct script *script)
{
    struct probe_answer answer;
    uint64_t within_us = script->hangs ? SOON_US : QUICK_US;

    put_up(&stage, script);
    CHECK(pthread_create(&stage.thread, NULL, play, &stage) == 0);
    answer = ask_server(kind, config, &stage.server, within_us);
    pthread_join(stage.thread, NULL);
    close(stage.listener);
    return answer;
}

static struct regex *
regex(const char *pattern)
{
    char error[100];
    size_t offset;

    return regex_compile(slice_str(pattern), error, sizeof(error), &offset);
}

/* ------------------------------------------------------------------ http */

#define REQUEST_END "\r\n\r\n"

static const struct health_config page = {
    .method = SLICE_INIT("GET"),
    .path = SLICE_INIT("/healthz?deep=1"),
};

static struct probe_answer
ask_page(const struct health_config *config, const char *says)
{
    return ask(&probe_http, config, &(struct script){.waits_for = REQUEST_END, .says = says});
}

TEST(http_asks_as_a_client_that_leaves)
{
    struct probe_answer a = ask_page(&page, "HTTP/1.1 204 Fine\r\n\r\n");
    struct slice heard = slice_of(stage.heard, stage.heard_n);

    EXPECT(a.passed);
    EXPECT(slice_starts(heard, SLICE("GET /healthz?deep=1 HTTP/1.1\r\nHost: 127.0.0.1:")));
    EXPECT(slice_search(heard, SLICE("\r\nUser-Agent: maitred\r\n")) != SLICE_NOT_FOUND);
    EXPECT(slice_ends(heard, SLICE("\r\nConnection: close\r\n\r\n")));
    EXPECT_EQ(stage.last, 0);
}

TEST(http_says_the_host_that_was_configured)
{
    struct health_config c = page;

    c.host = SLICE("app.example");
    EXPECT(ask_page(&c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").passed);
    EXPECT(slice_search(slice_of(stage.heard, stage.heard_n), SLICE("\r\nHost: app.example\r\n")) !=
           SLICE_NOT_FOUND);
}

TEST(http_judges_by_status)
{
    struct status_range only[] = {{200, 200}, {503, 503}};
    struct health_config c = page;
    struct probe_answer a;

    EXPECT(ask_page(&page, "HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n").passed);
    a = ask_page(&page, "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n");
    EXPECT(!a.passed && !a.undecided);
    EXPECT_STR(slice_str(a.why), "status 503 is not one of those that pass");
    c.status = (struct option_list){only, 2};
    EXPECT(ask_page(&c, "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n").passed);
    EXPECT(!ask_page(&c, "HTTP/1.1 201 Made\r\nContent-Length: 0\r\n\r\n").passed);
}

TEST(http_skips_informational_answers)
{
    EXPECT(
        ask_page(&page, "HTTP/1.1 103 Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n\r\n").passed);
}

TEST(http_searches_the_body_however_it_is_framed)
{
    static const char *const good[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nall: well",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nall: \r\n4\r\nwell\r\n0\r\n\r\n",
        "HTTP/1.0 200 OK\r\n\r\nall: well",
    };
    static const char *const bad[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nall: ill",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nall: well",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nall: \r\nzz",
    };
    struct health_config c = page;

    c.body = regex("^all: well$");
    for (size_t i = 0; i < countof(good); i++)
        EXPECT(ask_page(&c, good[i]).passed);
    for (size_t i = 0; i < countof(bad); i++)
        EXPECT(!ask_page(&c, bad[i]).passed);
    regex_free(c.body);
}

TEST(http_reads_no_more_than_it_searches)
{
    struct script flood = {REQUEST_END, "HTTP/1.1 200 OK\r\n\r\nwell", .floods = FLOOD_BYTES};
    struct health_config c = page;

    EXPECT(ask(&probe_http, &c, &flood).passed);
    c.body = regex("well");
    EXPECT(ask(&probe_http, &c, &flood).passed);
    regex_free(c.body);
    c.body = regex("ill");
    EXPECT(!ask(&probe_http, &c, &flood).passed);
    regex_free(c.body);
}

TEST(http_fails_with_what_is_no_answer)
{
    static const struct {
        struct script script;
        const char   *why;
    } cases[] = {
        {{.waits_for = REQUEST_END}, "no answer: the peer has finished sending"},
        {{.waits_for = REQUEST_END, .hangs = true}, "no answer: the deadline has passed"},
        {{REQUEST_END, "HTTP/1.1 200 OK\r\nContent-", .hangs = true},
         "in the middle of the head: the deadline has passed"},
        {{REQUEST_END, "HTTP/1.1 200 OK\r\nContent-"},
         "in the middle of the head: the peer has finished sending"},
        {{REQUEST_END, "SSH-2.0-OpenSSH\r\n"}, "malformed answer: malformed protocol version"},
        {{REQUEST_END, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"},
         "malformed answer: more than one Content-Length"},
        {{REQUEST_END, "HTTP/1.1 200 OK\r\nX: ", .floods = FLOOD_BYTES},
         "malformed answer: the head is larger than the limit"},
    };

    for (size_t i = 0; i < countof(cases); i++) {
        struct probe_answer a = ask(&probe_http, &page, &cases[i].script);

        EXPECT(!a.passed && !a.undecided);
        EXPECT_STR(slice_str(a.why), cases[i].why);
    }
}

TEST(http_fails_when_it_is_reset)
{
    struct script reset = {.waits_for = REQUEST_END, .resets = true};

    EXPECT(!ask(&probe_http, &page, &reset).passed);
}

TEST(a_server_that_is_not_there_fails)
{
    struct probe_answer a;

    put_up(&stage, &(struct script){0});
    close(stage.listener);
    a = ask_server(&probe_http, &page, &stage.server, QUICK_US);
    EXPECT(!a.passed && !a.undecided);
    EXPECT_STR(slice_str(a.why), "connecting: the peer refused the connection");
}

TEST(another_port_is_asked_when_configured)
{
    struct health_config c = page;
    struct probe_answer a;

    put_up(&stage, &(struct script){.waits_for = REQUEST_END, .says = "HTTP/1.1 200 OK\r\n\r\n"});
    c.port = ntohs(stage.server.address.v4.sin_port);
    stage.server.address.v4.sin_port = htons(1);
    CHECK(pthread_create(&stage.thread, NULL, play, &stage) == 0);
    a = ask_server(&probe_http, &c, &stage.server, QUICK_US);
    pthread_join(stage.thread, NULL);
    close(stage.listener);
    EXPECT(a.passed);
}

TEST(servers_behind_a_proxy_header_get_one)
{
    static const struct upstream_config v1 = {.proxy_protocol = 1};
    struct script script = {.waits_for = REQUEST_END, .says = "HTTP/1.1 200 OK\r\n\r\n"};
    struct probe_answer a;

    put_up(&stage, &script);
    stage.upstream.config = &v1;
    CHECK(pthread_create(&stage.thread, NULL, play, &stage) == 0);
    a = ask_server(&probe_http, &page, &stage.server, QUICK_US);
    pthread_join(stage.thread, NULL);
    close(stage.listener);
    EXPECT(a.passed);
    EXPECT(slice_starts(slice_of(stage.heard, stage.heard_n), SLICE("PROXY UNKNOWN\r\nGET ")));
}

/* ------------------------------------------------------------------ tcp */

TEST(tcp_needs_a_connection_only)
{
    struct health_config c = {0};

    EXPECT(ask(&probe_tcp, &c, &(struct script){0}).passed);
    EXPECT(ask(&probe_tcp, &c, &(struct script){.says = "hello\r\n"}).passed);
}

TEST(tcp_expects_an_answer_to_what_it_sends)
{
    struct health_config c = {.send = SLICE("PING\r\n"), .expect = regex("^\\+PONG")};
    struct probe_answer a;

    EXPECT(ask(&probe_tcp, &c, &(struct script){"PING\r\n", "+PONG\r\n"}).passed);
    a = ask(&probe_tcp, &c, &(struct script){"PING\r\n", "-ERR\r\n"});
    EXPECT_STR(slice_str(a.why), "what it says does not match `expect`");
    a = ask(&probe_tcp, &c, &(struct script){"PING\r\n", "-ERR\r\n", .hangs = true});
    EXPECT(!a.passed);
    a = ask(&probe_tcp, &c, &(struct script){.waits_for = "PING\r\n", .hangs = true});
    EXPECT_STR(slice_str(a.why), "no answer: the deadline has passed");
    a = ask(&probe_tcp, &c, &(struct script){.waits_for = "PING\r\n", .floods = FLOOD_BYTES});
    EXPECT(!a.passed && !a.undecided);
    regex_free(c.expect);
}

/* ------------------------------------------------------------------ ftp */

TEST(ftp_is_greeted)
{
    static const struct {
        const char *greeting, *why; /* why NULL: it passes */
    } cases[] = {
        {"220 ready\r\n", NULL},
        {"220-welcome\r\n to here\r\n221 no end\r\n220 ready\r\n", NULL},
        {"120 in 5 minutes\r\n", "it greets with 120"},
        {"421 too many\r\n", "it greets with 421"},
        {"SSH-2.0-OpenSSH\r\n", "what it says is no FTP"},
        {"220-welcome\r\n", "in the middle of the greeting: the peer has finished sending"},
        {NULL, "no greeting: the peer has finished sending"},
    };
    struct health_config c = {0};

    for (size_t i = 0; i < countof(cases); i++) {
        struct probe_answer a = ask(&probe_ftp, &c, &(struct script){.says = cases[i].greeting});

        EXPECT_EQ(a.passed, cases[i].why == NULL);
        EXPECT_STR(slice_str(a.why), cases[i].why ? cases[i].why : "");
    }
}

TEST(ftp_greetings_can_be_expected)
{
    struct health_config c = {.expect = regex("vsFTPd")};

    EXPECT(ask(&probe_ftp, &c, &(struct script){.says = "220 (vsFTPd 3.0.3)\r\n"}).passed);
    EXPECT(!ask(&probe_ftp, &c, &(struct script){.says = "220 ProFTPD\r\n"}).passed);
    regex_free(c.expect);
}

/* ------------------------------------------------------------------ command */

static struct probe_answer
run_shell(const char *script, uint64_t within_us)
{
    struct slice words[] = {SLICE("/bin/sh"), SLICE("-c"), slice_str(script)};
    struct health_config c = {.command = {words, countof(words)}};

    put_up(&stage, &(struct script){0});
    close(stage.listener);
    return ask_server(&probe_command, &c, &stage.server, within_us);
}

TEST(commands_tell_by_their_exit_status)
{
    EXPECT(run_shell("exit 0", QUICK_US).passed);
    EXPECT_STR(slice_str(run_shell("exit 3", QUICK_US).why), "the command ended with status 3");
    EXPECT_STR(slice_str(run_shell("kill -9 $$", QUICK_US).why),
               "the command was ended by signal 9");
    EXPECT_STR(slice_str(run_shell("echo 'disk full '; echo more; exit 1", QUICK_US).why),
               "disk full");
}

TEST(commands_are_told_what_it_is_about)
{
    EXPECT(run_shell("test $MAITRED_SERVER = 127.0.0.1:1 -a $MAITRED_UPSTREAM = group", QUICK_US)
               .passed);
}

TEST(commands_may_write_much)
{
    EXPECT(run_shell("head -c 1000000 /dev/zero", QUICK_US).passed);
}

/* Whether somebody still holds the writing end of the named pipe. */
static bool
is_held(int reader)
{
    char byte;
    ssize_t n;

    while ((n = read(reader, &byte, 1)) > 0)
        ;
    return n < 0;
}

TEST(commands_that_hang_are_killed_with_their_children)
{
    char folder[] = "/tmp/maitred-probe-XXXXXX", path[64], script[256];
    uint64_t began_us = clock_monotonic_us();
    struct probe_answer a;
    bool held = true;
    char byte = 0;
    int reader;

    CHECK(mkdtemp(folder) != NULL);
    snprintf(path, sizeof(path), "%s/pipe", folder);
    snprintf(script, sizeof(script), "exec 8>%s; printf x >&8; sleep 60 & sleep 60", path);
    CHECK(mkfifo(path, 0600) == 0);
    reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    a = run_shell(script, SOON_US * 2);
    EXPECT(read(reader, &byte, 1) == 1 && byte == 'x');
    for (int i = 0; i < 100 && (held = is_held(reader)); i++)
        usleep(20000);
    close(reader);
    unlink(path);
    rmdir(folder);
    EXPECT_STR(slice_str(a.why), "waiting for the command to end: the deadline has passed");
    EXPECT(clock_monotonic_us() - began_us < 3000000);
    EXPECT(!held);
}

TEST(a_child_that_keeps_the_pipe_is_not_waited_for)
{
    uint64_t began_us = clock_monotonic_us();

    EXPECT(run_shell("sleep 3 & exit 0", QUICK_US * 2).passed);
    EXPECT(clock_monotonic_us() - began_us < 2000000);
}

TEST(commands_that_are_not_there_fail)
{
    struct slice word = SLICE("/nowhere/check");
    struct health_config c = {.command = {&word, 1}};
    struct probe_answer a = ask_server(&probe_command, &c, &stage.server, QUICK_US);

    EXPECT(!a.passed && !a.undecided);
    EXPECT_STR(slice_str(a.why), "cannot start the command: No such file or directory");
}

/* ------------------------------------------------------------------ agent */

TEST(agents_are_read_to_the_end_of_the_line)
{
    struct health_config c = {0};
    struct probe_answer a = ask(&probe_agent, &c, &(struct script){.says = "up 40%\nrest"});

    EXPECT(a.passed);
    EXPECT_EQ(a.share, 40);
    a = ask(&probe_agent, &c, &(struct script){.says = "drain"});
    EXPECT(a.passed);
    EXPECT_EQ(a.state, SERVER_DRAINING);
}

TEST(agents_that_say_nothing_decide_nothing)
{
    struct health_config c = {.send = SLICE("how?\n")};

    EXPECT(ask(&probe_agent, &c, &(struct script){.hangs = true}).undecided);
    EXPECT(ask(&probe_agent, &c, &(struct script){.waits_for = "how?\n"}).undecided);
    EXPECT(ask(&probe_agent, &c, &(struct script){.says = "down", .hangs = true}).undecided);
    EXPECT(!ask(&probe_agent, &c, &(struct script){"how?\n", "down"}).undecided);
}
