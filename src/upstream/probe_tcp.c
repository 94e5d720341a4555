/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/probe_tcp.c - a check by a TCP connection: it can be made, and, if wanted, what the
 * server says (unasked, or to some bytes) matches.
 */
#include "exchange/expr.h"
#include "upstream/probe_talk.h"

enum {
    ANSWER_MAX = 64 * 1024,
    LOOKS = 64, /* afterwards only when there is a quarter more: a server that drips must not make
                 * us search the same bytes for ever */
};

static bool
matches(const struct health_config *config, const struct probe_talk *t)
{
    return regex_matches(config->expect, text_slice(&t->got));
}

static bool
expect(const struct health_config *config, struct probe_talk *t, struct probe_answer *answer)
{
    size_t next = 1;
    enum err e;

    for (unsigned looks = 0; (e = probe_receive(t)) == OK;) {
        if (t->got.n < next)
            continue;
        if (matches(config, t))
            return true;
        next = ++looks < LOOKS ? t->got.n + 1 : t->got.n + t->got.n / 4;
    }
    /* The last bytes may not have been looked at. */
    if (t->got.n && matches(config, t))
        return true;
    if (t->got.n && e != ERR_RESET)
        probe_fail(answer, "what it says does not match `expect`");
    else
        probe_fail_with(answer, "no answer", e);
    return false;
}

static void
run_tcp(const struct health_config *config, const struct server *server, uint64_t deadline_us,
        struct probe_answer *answer)
{
    struct probe_talk *t = probe_connect(config, server, deadline_us, ANSWER_MAX, answer);

    if (!t)
        return;
    if ((!config->send.n || probe_send(t, config->send, answer)) &&
        (!config->expect || expect(config, t, answer)))
        probe_pass(answer);
    probe_close(t, false);
}

const struct probe_kind probe_tcp = {
    .name = "tcp",
    .takes = PROBE_PORT | PROBE_SEND | PROBE_EXPECT,
    .rise = 2,
    .fall = 3,
    .run = run_tcp,
};
