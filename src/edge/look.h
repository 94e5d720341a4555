/* SPDX-License-Identifier: Apache-2.0 */
/*
 * edge/look.h - what an edge has at this moment, for those who operate it.
 *
 * Threads  the edge's own worker.
 */
#ifndef EDGE_LOOK_H
#define EDGE_LOOK_H

#include "edge/edge.h"

/* A copy; texts are cut, and end in a zero byte. */
struct edge_connection {
    uint64_t    id; /* as in logs: unique in the process */
    char        client[64], listener[64];
    const char *protocol; /* "http/1.1", "h2" */
    const char *state;    /* "idle", "serving" */
    bool        secure;
    uint32_t    requests; /* so far */
};

/* How many connections there are now, and how many tunnels beside them. */
uint64_t edge_open(const struct edge *e, uint64_t *tunnels);
/* Until visit says false.  Tunnels are not among them. */
void edge_each_connection(const struct edge *e,
                          bool (*visit)(void *arg, const struct edge_connection *c), void *arg);
/* Ends it, with what it carries.  False: it is not here (any more). */
bool edge_close_connection(struct edge *e, uint64_t id);

#endif
