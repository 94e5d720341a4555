/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/probe_ftp.c - a check by the greeting of an FTP server (RFC 959 5.4): 220, or what the
 * configuration expects of its text.  It takes its leave with QUIT, as the protocol wants.
 */
#include "exchange/expr.h"
#include "upstream/probe_talk.h"

enum { GREETING_MAX = 8 * 1024, READY = 220, CODE = 3 };

/* The three digits at the start, -1 when there are none. */
static int
code_of(struct slice line)
{
    uint64_t code;

    return line.n > CODE && slice_to_u64(slice_first(line, CODE), 599, &code) && code >= 100
               ? (int) code
               : -1;
}

size_t
probe_ftp_reply(struct slice bytes, int *code)
{
    size_t at = 0, end;
    bool first = true;

    *code = 0;
    while ((end = slice_find(slice_from(bytes, at), '\n')) != SLICE_NOT_FOUND) {
        struct slice line = slice_of(bytes.at + at, end);
        int number = code_of(line);

        if (first)
            *code = number;
        first = false;
        at += end + 1;
        if (*code < 0 || (number == *code && line.at[CODE] != '-'))
            return at;
    }
    return 0;
}

static bool
greets_well(const struct health_config *config, struct slice greeting, int code,
            struct probe_answer *answer)
{
    if (code < 0)
        probe_fail(answer, "what it says is no FTP");
    else if (config->expect && !regex_matches(config->expect, greeting))
        probe_fail(answer, "its greeting, %d, does not match `expect`", code);
    else if (!config->expect && code != READY)
        probe_fail(answer, "it greets with %d", code);
    else
        return true;
    return false;
}

static void
run_ftp(const struct health_config *config, const struct server *server, uint64_t deadline_us,
        struct probe_answer *answer)
{
    struct probe_talk *t = probe_connect(config, server, deadline_us, GREETING_MAX, answer);
    struct probe_answer ignored;
    enum err e = OK;
    size_t n = 0;
    int code = 0;

    if (!t)
        return;
    while (e == OK && !(n = probe_ftp_reply(text_slice(&t->got), &code)))
        e = probe_receive(t);
    if (!n) {
        probe_fail_with(answer, t->got.n ? "in the middle of the greeting" : "no greeting", e);
    } else if (greets_well(config, slice_first(text_slice(&t->got), n), code, answer)) {
        probe_pass(answer);
    }
    probe_close(t, n && probe_send(t, SLICE("QUIT\r\n"), &ignored));
}

const struct probe_kind probe_ftp = {
    .name = "ftp",
    .takes = PROBE_PORT | PROBE_EXPECT,
    .rise = 2,
    .fall = 3,
    .run = run_ftp,
};
