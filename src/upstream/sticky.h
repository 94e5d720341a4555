/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/sticky.h - a client stays with its server: a signed cookie says with which.  Private to
 * the room.
 *
 * The cookie holds a number that stands for the server (never its address), the time at which it
 * was given, and a signature over both and the upstream's name.  A cookie that does not verify is
 * no cookie: the client is balanced anew, and told again.
 *
 *     sticky_read() -> the server with seen.id, else the policy's choice -> sticky_strip()
 *     -> relay -> sticky_write()
 *
 * Time comes in as seconds since 1970.  Any worker; nothing here waits.
 */
#ifndef UPSTREAM_STICKY_H
#define UPSTREAM_STICKY_H

#include "upstream/upstream.h"

extern const struct option_object sticky_object;

/* What a request's cookie said; zero: nothing that counts. */
struct sticky_seen {
    uint64_t id;
    uint64_t issued_s;
};

/* What stands for a server in cookies: the same in each process that has the same secret, and
 * nothing can be learned from it.  secret: sticky_config's; absent: that of this process.  Never 0,
 * but when out of memory. */
uint64_t sticky_id(struct slice secret, struct slice upstream, struct slice server);

/* The request's cookie, when it is one that we gave and that is not too old. */
bool sticky_read(const struct sticky_config *config, struct slice upstream,
                 const struct exchange *x, uint64_t now_s, struct sticky_seen *seen);
/* Takes the cookie out of the request: it is not the servers' business.  Out of memory it stays. */
void sticky_strip(const struct sticky_config *config, struct slice upstream, struct exchange *x);
/* Gives the client of x->response a cookie for the server `id`, when it has none for it (seen: as
 * sticky_read() left it) or half of that one's life is over. */
void sticky_write(const struct sticky_config *config, struct slice upstream,
                  const struct sticky_seen *seen, uint64_t id, struct exchange *x, uint64_t now_s);

#endif
