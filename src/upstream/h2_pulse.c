/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/h2_pulse.c - is there still somebody at the other end of a link (RFC 9113 6.7)?
 *
 * A machine that vanishes, or a firewall that has forgotten a connection, says nothing, and all the
 * exchanges on the link would wait for their time-outs.  So a link on which exchanges wait and
 * nothing has come for a while is asked (PING); and one that has been idle for long is asked
 * together with the first request that uses it again, ahead of it in the same packet, which costs
 * no time.  Whatever comes is an answer.
 *
 * Without any, the link is given up.  Soon, if not even the other kernel has acknowledged what was
 * sent: then no server has seen the requests, and all of them may go elsewhere; else only after a
 * server has had time enough.
 *
 * A gRPC server counts PINGs and ends a connection that has more than a few in five minutes without
 * an answer of its own in between (gRPC's A8): so one silence is worth one PING in that time.
 */
#include "upstream/h2_link.h"

#include "observe/log.h"
#include "upstream/conn.h"

enum {
    SILENT_US = 5000000,  /* exchanges wait for so long */
    IDLE_US = 10000000,   /* nobody has used it for so long */
    SOON_US = 2000000,    /* so many retransmissions lost are no accident */
    ANSWER_US = 5000000,  /* the server itself */
    EVERY_US = 310000000, /* between PINGs to which nothing but answers comes */
};

static void
ask(struct h2_link *link)
{
    if (nghttp2_submit_ping(link->session, NGHTTP2_FLAG_NONE, NULL) != 0)
        return; /* out of memory: the next time */
    link->asked_us = loop_now_us();
    link->asked_before = link->conn->sock.sent;
    link->again_us = link->asked_us + EVERY_US;
    h2_link_wake(link);
}

/* What was written is on its way for so long; what was not is the business of who writes. */
static bool
is_dead(struct h2_link *link)
{
    uint64_t waited_us;

    if (link->writer)
        link->asked_us = loop_now_us();
    waited_us = loop_now_us() - link->asked_us;
    return waited_us >= ANSWER_US ||
           (waited_us >= SOON_US && server_conn_unseen(link->conn, link->asked_before));
}

static uint64_t
next_us(const struct h2_link *link)
{
    uint64_t at_us = link->heard_us + SILENT_US, now_us = loop_now_us();

    if (link->asked_us)
        at_us = now_us < link->asked_us + SOON_US ? link->asked_us + SOON_US
                                                  : link->asked_us + ANSWER_US;
    else if (at_us < link->again_us)
        at_us = link->again_us;
    return at_us > now_us ? at_us : now_us + SOON_US;
}

static void
on_beat(struct timer *t)
{
    struct h2_link *link = container_of(t, struct h2_link, pulse);

    if (link->over || link->streams == 0)
        return; /* the next exchange sets it anew */
    if (link->asked_us && is_dead(link)) {
        log_warning("server %.*s: nothing comes any more, not even an answer to a PING",
                    SLICE_ARG(link->conn->server->text));
        server_rest(link->conn->server);
        h2_link_lose(link);
        return;
    }
    if (!link->asked_us && loop_now_us() >= link->heard_us + SILENT_US &&
        loop_now_us() >= link->again_us)
        ask(link);
    timer_set(&loop_self()->timers, t, next_us(link));
}

void
h2_pulse_begin(struct h2_link *link)
{
    if (link->streams == 0 && !link->asked_us && loop_now_us() >= link->heard_us + IDLE_US)
        ask(link);
    if (timer_is_set(&link->pulse))
        return;
    /* Silence counts from when somebody waits. */
    link->pulse.fire = on_beat;
    timer_set(&loop_self()->timers, &link->pulse,
              loop_now_us() + (link->asked_us ? SOON_US : SILENT_US));
}

void
h2_pulse_heard(struct h2_link *link)
{
    link->heard_us = loop_now_us();
    link->asked_us = 0;
}

void
h2_pulse_end(struct h2_link *link)
{
    timer_clear(&loop_self()->timers, &link->pulse);
}
