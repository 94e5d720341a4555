/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/upstream.h - named groups of servers, and the terminal that relays an exchange to one of
 * them.
 *
 * Lifetime  an upstream outlives snapshots: it is found again by its name, so that counters, health
 *           and pooled connections survive a reload.  What a snapshot says of it is applied when
 *           the snapshot is committed.
 * Threads   registry, discovery, health and sets belong to the control thread; picking and relaying
 *           happens on workers, which see servers' shared state through atomics and have pools of
 *           their own.
 */
#ifndef UPSTREAM_UPSTREAM_H
#define UPSTREAM_UPSTREAM_H

#include "balance/policy.h"
#include "exchange/route.h"

struct breaker_config;
struct concurrency_config;
struct geo;
struct upstream_tls;

/* What whoever operates a server wants of it. */
enum server_state {
    SERVER_READY,
    SERVER_DRAINING,    /* finishes what it has, and keeps its sticky clients */
    SERVER_MAINTENANCE, /* gets nothing at all */
};
extern const char *const server_states[]; /* their names; ends with NULL */

/* What the configuration says of one server, or of a source of servers. */
struct server_config {
    struct slice address; /* "10.0.0.1:80", "name:80", "unix:/path"; absent with srv and file */
    struct slice srv;     /* name of SRV records: "_http._tcp.app.internal" */
    struct slice file;    /* path of a list of servers that is watched */
    int64_t      weight;
    int64_t      tier;    /* 0 first; a backup is in 1 */
    struct slice region;
    int64_t      max_connections; /* to this server, of all workers; 0: no limit */
    int          state;           /* enum server_state */
};

/* `balance:`, whatever the policy; struct lb_options first. */
struct balance_config {
    struct lb_options lb;
    struct expr      *by; /* hash: of what */
};

/* `sticky:` */
struct sticky_config {
    struct slice cookie;   /* its name */
    struct slice secret;
    uint64_t     max_age_us; /* 0: until the browser ends */
    int          secure;   /* index into auto, always, never */
    int          same_site;  /* index into lax, strict, none */
};

/* `regions:` where servers and clients are. */
struct region_config {
    struct slice name;
    struct slice at;        /* "53.3,-6.3": latitude and longitude; may be absent */
    double       latitude, longitude;
    struct option_list near; /* of struct slice: other regions, the nearest first */
};
struct locality_config {
    struct expr       *from;    /* an expression that names the
                                 * client's region; NULL: by database */
    struct slice       database; /* MaxMind database */
    struct geo        *geo;     /* ... opened */
    struct option_list regions; /* of struct region_config */
    uint64_t           spill;   /* millionths */
};

/* `queue:` where exchanges wait for servers that are at their max_connections. */
struct queue_config {
    int64_t  size;       /* for each server */
    uint64_t timeout_us;
};

/* `connections:` to servers. */
struct connections_config {
    uint64_t           idle_timeout_us;
    int64_t            max_idle;     /* of each worker to one server */
    int64_t            warm;         /* of each worker to one server, kept open beforehand */
    uint64_t           max_age_us;   /* 0: no limit */
    int64_t            max_requests; /* 0: no limit */
    uint64_t           patience_us;  /* wait for one to come back before a new one is made */
    bool               learn_idle;   /* close them before the server does */
    int64_t            streams;   /* HTTP/2: exchanges on a connection at a time */
    bool               fast_open;
    uint64_t           keepalive_us; /* TCP keep-alive probes after so much silence; 0: none */
    union address      source;       /* family 0: any */
    struct slice       source_text;
};

/* `hedge:` */
struct hedge_config {
    uint64_t after_us;
    int64_t  most; /* further attempts */
};

#include "upstream/guard.h"
#include "upstream/passive.h"

/* What the configuration says of an upstream. */
struct upstream_config {
    struct slice               name;
    struct option_list         servers; /* of struct server_config */
    struct option_variant      balance; /* object->ops is a struct lb_policy_ops; value: struct
                                         * balance_config, NULL for policies without options */
    struct sticky_config      *sticky;
    struct locality_config    *locality;
    struct option_list         health; /* of struct health_config (probe.h) */
    struct passive_config      passive;
    struct retries_config      retries;
    struct hedge_config       *hedge;
    struct breaker_config     *breaker;
    struct concurrency_config *concurrency;
    struct connections_config  connections;
    struct queue_config        queue;
    uint64_t                   slow_start_us;
    uint64_t                   panic;  /* millionths of usable servers
                                        * below which health is ignored */
    int64_t                    subset; /* each worker uses only so many; 0: all */
    int                        load;   /* enum upstream_load */
    int                        proxy_protocol; /* 0 off, 1, 2 */
    struct upstream_tls       *tls;  /* NULL: in clear */
    int                        http; /* enum upstream_http */
    uint64_t                   resolve_us;
};

/* Which versions of HTTP servers are spoken to in. */
enum upstream_http { UPSTREAM_HTTP1, UPSTREAM_HTTP2, UPSTREAM_HTTP_ANY /* as agreed with TLS */ };

/* Where servers' own reports of their load come from. */
enum upstream_load { LOAD_IGNORE, LOAD_FIELD /* endpoint-load-metrics */ };

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
/* Makes `config`, which lives in `owner` (a reference is taken), what the upstream is from now on:
 * its servers are looked up, its checks begin.  Control thread, on its loop. */
enum err upstream_apply(struct upstream *u, const struct upstream_config *config,
                        struct config *owner);
/* All that a configuration names have been applied: readers of the status see them. */
void upstreams_applied(void);
/* All workers serve what was applied: connections that are wanted beforehand are made. */
void upstreams_served(void);
/* Every source of every upstream has been asked at least once. */
bool upstreams_settled(void);
/* Looking up and checking end: of one that the configuration has no more, of all. */
void upstream_stop(struct upstream *u);
void upstreams_stop_all(void);
/* Closes the calling worker's pooled connections, of all upstreams: before its loop ends. */
void upstreams_close_idle(void);

/* ------------------------------------------------------------------ changes while running */

enum upstream_change_kind {
    UPSTREAM_ADD,    /* a server that the configuration does not have */
    UPSTREAM_REMOVE, /* what it is serving it finishes */
    UPSTREAM_WEIGHT,
    UPSTREAM_STATE,
    UPSTREAM_FORGET, /* the server is again what the configuration says */
};

struct upstream_change {
    enum upstream_change_kind kind;
    union address             server;
    uint32_t                  weight; /* add, weight */
    enum server_state         state;  /* add, state */
};

/* Takes effect at once and survives reloads.  Control thread.  ERR_NOT_FOUND: there is no such
 * server; ERR_NO_MEMORY. */
enum err upstream_change(struct upstream *u, const struct upstream_change *change);
/* What has been changed so far, in an order in which upstream_restore() makes it so again; control
 * thread. */
void upstream_changes_each(void (*visit)(void *arg, struct slice upstream,
                                         const struct upstream_change *change),
                           void *arg);
/* As upstream_change(), but before upstream_apply(): the server need not be known yet. */
enum err upstream_restore(struct upstream *u, const struct upstream_change *change);
/* Without a reference; NULL: there is none of this name.  Control thread. */
struct upstream *upstream_find(struct slice name);

/* A member of a JSON object, "upstreams": all of them and their servers: state, why, load,
 * connections, multiplexing ratio, health.  Any thread that holds a worker's loop: reads what is
 * published. */
void upstreams_write_status(struct text *out);

/* ------------------------------------------------------------------ relaying */

/* The last member of a route's chain. */
struct upstream_terminal {
    struct upstream              *upstream;
    const struct upstream_config *config;
};
extern const struct middleware_ops upstream_relay; /* middleware.config: a struct
                                                    * upstream_terminal */

/* Closes a connection that was handed out as x->response.tunnel. */
void upstream_tunnel_close(struct sock *server);

/* For `maitred explain`: each server, whether it was considered for this exchange, why not, and
 * which one would be taken.  x may be NULL: only the servers. */
void upstream_explain(struct upstream *u, const struct upstream_config *config, struct exchange *x,
                      struct text *out);

/* A parsed "http://host:port" or "https://host": host and port in *address, from the arena if need
 * be.  False: not such a URL. */
bool upstream_url(struct slice to, struct arena *arena, struct slice *address, bool *secure);
/* TLS without options, for such a URL: by whom the system trusts.  NULL: out of memory. */
struct upstream_tls *upstream_tls_plain(void);

#endif
