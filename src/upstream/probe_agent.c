/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/probe_agent.c - a program beside the server tells how it is, in HAProxy's words.
 *
 * Whoever connects is sent one line ("agent-check" in HAProxy's configuration manual): words,
 * separated by blanks or commas, up to a `#`:
 *
 *     up                  it is well               drain    finish what is there, nothing new
 *     down failed stopped it is not                maint    nothing at all
 *     75%                 it wants so much of      ready    no more of drain and maint
 *                         its weight               maxconn:N  understood, not heeded
 *
 * As there, an agent that cannot be reached says nothing: it may be started anew without any harm.
 * Other than there, whatever is not `down` counts as passed: an agent that said `down` and then
 * says `75%` wants work.
 */
#include "upstream/probe_talk.h"

enum { LINE_MAX_BYTES = 1024, PERCENT_MAX = 100 };

/* ------------------------------------------------------------------ the line */

static bool
read_state(struct slice word, struct probe_answer *answer)
{
    static const struct {
        struct slice      word;
        enum server_state state;
    } states[] = {
        {SLICE_INIT("ready"), SERVER_READY},
        {SLICE_INIT("drain"), SERVER_DRAINING},
        {SLICE_INIT("maint"), SERVER_MAINTENANCE},
    };

    for (size_t i = 0; i < countof(states); i++)
        if (slice_eq_nocase(word, states[i].word)) {
            answer->state = (int) states[i].state;
            return true;
        }
    return false;
}

static bool
read_share(struct slice word, struct probe_answer *answer)
{
    uint64_t percent;

    if (!slice_ends(word, SLICE("%")) ||
        !slice_to_u64(slice_first(word, word.n - 1), UINT32_MAX, &percent))
        return false;
    answer->share = percent > PERCENT_MAX ? PERCENT_MAX : (int) percent;
    return true;
}

static bool
says_down(struct slice word)
{
    return slice_eq_nocase(word, SLICE("down")) || slice_eq_nocase(word, SLICE("fail")) ||
           slice_eq_nocase(word, SLICE("failed")) || slice_eq_nocase(word, SLICE("stopped"));
}

static struct slice
next_word(struct slice *rest)
{
    size_t start = 0, end;
    struct slice word;

    while (start < rest->n && strchr(" \t,", rest->at[start]))
        start++;
    for (end = start; end < rest->n && !strchr(" \t,", rest->at[end]);)
        end++;
    word = slice_of(rest->at + start, end - start);
    *rest = slice_from(*rest, end);
    return word;
}

static void
take_word(struct slice word, struct slice comment, struct probe_answer *answer)
{
    if (says_down(word))
        probe_fail(answer, "the agent says %.*s%s%.*s", SLICE_ARG(word), comment.n ? ": " : "",
                   SLICE_ARG(comment));
    else if (!read_state(word, answer) && !read_share(word, answer) &&
             !slice_eq_nocase(word, SLICE("up")) && !slice_starts_nocase(word, SLICE("maxconn:")))
        probe_fail(answer, "the agent says `%.*s`, which means nothing", SLICE_ARG(word));
}

void
probe_agent_read(struct slice line, struct probe_answer *answer)
{
    size_t hash = slice_find(line, '#');
    struct slice comment = {NULL, 0}, word;
    bool any = false;

    if (hash != SLICE_NOT_FOUND) {
        comment = slice_trim(slice_from(line, hash + 1));
        line = slice_first(line, hash);
    }
    probe_pass(answer);
    while ((word = next_word(&line)).n && answer->passed) {
        any = true;
        take_word(slice_first(word, 64), slice_first(comment, 64), answer);
    }
    if (!any)
        probe_fail(answer, "the agent says nothing");
}

/* ------------------------------------------------------------------ the asking */

static size_t
line_end(struct slice bytes)
{
    size_t n = 0;

    while (n < bytes.n && bytes.at[n] != '\n' && bytes.at[n] != '\r')
        n++;
    return n;
}

static bool
check_agent(struct config_bind *b, struct health_config *h)
{
    if (h->port)
        return true;
    return config_bind_error(b, h, "add `port:`", "an agent listens on a port of its own");
}

/* False: it was not reached, or said nothing. */
static bool
hear(const struct health_config *config, struct probe_talk *t, struct probe_answer *answer)
{
    enum err e = OK;
    size_t n = 0;

    if (config->send.n && !probe_send(t, config->send, answer))
        return false;
    while (e == OK && (n = line_end(text_slice(&t->got))) == t->got.n)
        e = probe_receive(t);
    if (e != OK && (e != ERR_END || !n)) {
        probe_fail_with(answer, "no answer from the agent", e);
        return false;
    }
    probe_agent_read(slice_first(text_slice(&t->got), n), answer);
    return true;
}

static void
run_agent(const struct health_config *config, const struct server *server, uint64_t deadline_us,
          struct probe_answer *answer)
{
    struct probe_talk *t = probe_connect(config, server, deadline_us, LINE_MAX_BYTES, answer);
    bool heard = t && hear(config, t, answer);

    if (t)
        probe_close(t, heard);
    if (!heard)
        answer->undecided = true;
}

const struct probe_kind probe_agent = {
    .name = "agent",
    .takes = PROBE_PORT | PROBE_SEND,
    .rise = 1, /* it knows better than a question from afar, and means what it says */
    .fall = 1,
    .check = check_agent,
    .run = run_agent,
};
