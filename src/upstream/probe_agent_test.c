/* SPDX-License-Identifier: Apache-2.0 */
/* upstream/probe_agent_test.c - what the lines of agents mean. */
#include "upstream/probe.h"

#include "base/test.h"

static struct probe_answer
read_line(const char *line)
{
    struct probe_answer a = {.share = -1, .state = -1};

    probe_agent_read(slice_str(line), &a);
    return a;
}

TEST(lines_of_agents)
{
    static const struct {
        const char *line;
        bool        passed;
        int         share, state;
        const char *why;
    } cases[] = {
        {"up", true, -1, -1, ""},
        {"75%", true, 75, -1, ""},
        {"0%", true, 0, -1, ""},
        {"250%", true, 100, -1, ""},
        {"ready up 50%", true, 50, SERVER_READY, ""},
        {"UP, Drain", true, -1, SERVER_DRAINING, ""},
        {"maint\t20%", true, 20, SERVER_MAINTENANCE, ""},
        {"drain ready", true, -1, SERVER_READY, ""},
        {"up maxconn:30", true, -1, -1, ""},
        {"  up  # all is well, 3%", true, -1, -1, ""},
        {"down", false, -1, -1, "the agent says down"},
        {"Stopped#for an upgrade", false, -1, -1, "the agent says Stopped: for an upgrade"},
        {"failed 20%", false, -1, -1, "the agent says failed"},
        {"20% fail", false, 20, -1, "the agent says fail"},
        {"great", false, -1, -1, "the agent says `great`, which means nothing"},
        {"%", false, -1, -1, "the agent says `%`, which means nothing"},
        {"-5%", false, -1, -1, "the agent says `-5%`, which means nothing"},
        {"", false, -1, -1, "the agent says nothing"},
        {" , # up", false, -1, -1, "the agent says nothing"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct probe_answer a = read_line(cases[i].line);

        EXPECT_EQ(a.passed, cases[i].passed);
        EXPECT_EQ(a.share, cases[i].share);
        EXPECT_EQ(a.state, cases[i].state);
        EXPECT_STR(slice_str(a.why), cases[i].why);
        EXPECT(!a.undecided);
    }
}

TEST(long_words_are_cut)
{
    char line[600];
    struct probe_answer a;

    memset(line, 'x', sizeof(line) - 1);
    line[sizeof(line) - 1] = '\0';
    a = read_line(line);
    EXPECT(!a.passed);
    EXPECT(strlen(a.why) < sizeof(a.why) - 1);
}

TEST(zero_bytes_separate_words)
{
    struct probe_answer a = {.share = -1, .state = -1};

    probe_agent_read(slice_of("up\0" "5%", 5), &a);
    EXPECT(a.passed);
    EXPECT_EQ(a.share, 5);
}
