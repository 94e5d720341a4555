/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/probe_talk.h - a probe's conversation over one connection.  Private to the room.
 *
 * Whatever the server does - hang, send without end, reset - it ends at the deadline, and takes no
 * more memory than what was said at the start.
 */
#ifndef UPSTREAM_PROBE_TALK_H
#define UPSTREAM_PROBE_TALK_H

#include "base/text.h"
#include "runtime/sock.h"
#include "upstream/probe.h"

struct probe_talk {
    struct sock sock;
    uint64_t    deadline_us;
    struct text got;   /* what has come */
};

/* Where the probe goes: the server, or another port of its machine. */
union address probe_address(const struct health_config *config, const struct server *server);
/* What the Host field says: as configured, or that address. */
void probe_write_host(struct text *out, const struct health_config *config,
                      const struct server *server);
/* Connects, with a PROXY header when the servers of the upstream expect one.  max_bytes bounds what
 * can be received.  NULL: *answer says why. */
struct probe_talk *probe_connect(const struct health_config *config, const struct server *server,
                                 uint64_t deadline_us, size_t max_bytes,
                                 struct probe_answer *answer);
/* False: *answer says why. */
bool probe_send(struct probe_talk *t, struct slice bytes, struct probe_answer *answer);
/* At least one more byte at the end of t->got; ERR_LIMIT when it is full. */
enum err probe_receive(struct probe_talk *t);
/* patient: everything has been said, and the server will close too: waits for that a moment, so
 * that it does not see a reset. */
void probe_close(struct probe_talk *t, bool patient);

#endif
