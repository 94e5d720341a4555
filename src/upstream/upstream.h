/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/upstream.h - named groups of servers, and the terminal that relays an exchange to one of
 * them.
 *
 * Lifetime  an upstream outlives snapshots: it is found again by its name, so that counters, health
 *           and pooled connections survive a reload.  What a snapshot says of it is applied when
 *           the snapshot is committed.
 * Threads   registry, names and sets belong to the control thread; picking and relaying happens on
 *           workers, which see servers' shared state through atomics and have pools of their own.
 */
#ifndef UPSTREAM_UPSTREAM_H
#define UPSTREAM_UPSTREAM_H

#include "exchange/route.h"

/* What the configuration says of one server. */
struct server_config {
    struct slice address; /* "10.0.0.1:80", "name:80", "unix:/path" */
    int64_t      weight;
};

/* What the configuration says of an upstream. */
struct upstream_config {
    struct slice          name;
    struct option_variant balance; /* object->ops is a struct lb_policy_ops */
    struct option_list    servers;
    int64_t               retries;
    uint64_t              idle_timeout_us;
    int64_t               max_idle;
    int                   proxy_protocol; /* 0 off, 1, 2 */
    uint64_t              resolve_us;
};

extern const struct option_object upstream_object;
/* The same without name and servers: for a URL that stands for an upstream. */
extern const struct option_object upstream_url_object;

struct upstream;

/* Control thread, before any worker runs. workers: how many there will be. */
void upstreams_init(unsigned workers);
/* Ends name look-ups and frees what nobody refers to; the workers have ended. */
void upstreams_exit(void);

/* The upstream of this name, made when there is none yet; a reference.  Control thread. NULL: out
 * of memory. */
struct upstream *upstream_get(struct slice name);
void upstream_release(struct upstream *u);
/* Makes `config` what the upstream is from now on, and starts looking up names.  Control thread, on
 * its loop.  The config is copied. */
enum err upstream_apply(struct upstream *u, const struct upstream_config *config);
/* Every name of every upstream has been looked up at least once. */
bool upstreams_settled(void);
/* Names are not looked up any more: of one, of all. */
void upstream_stop(struct upstream *u);
void upstreams_stop_all(void);
/* Closes the calling worker's pooled connections, of all upstreams: before its loop ends. */
void upstreams_close_idle(void);

/* The last member of a route's chain. */
struct upstream_terminal {
    struct upstream              *upstream;
    const struct upstream_config *config;
};
extern const struct middleware_ops upstream_relay; /* middleware.config: a struct
                                                    * upstream_terminal */

/* Closes a connection that was handed out as x->response.tunnel. */
void upstream_tunnel_close(struct sock *server);

/* One line a server, for `maitred explain`: address, weight, state. */
void upstream_explain(struct upstream *u, const struct upstream_config *config, struct text *out);

/* A parsed "http://host:port": host:port in *address.  False: not such a URL. */
bool upstream_url(struct slice to, struct slice *address);

#endif
