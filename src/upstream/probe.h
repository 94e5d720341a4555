/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/probe.h - what a kind of health check is, and how one plugs in.  Private to the room.
 *
 *     probe.c            the list of kinds
 *     probe_talk.c       what those have in common that talk over a connection
 *     probe_http.c ...   the kinds, one file each; with PROBE_TLS they may be encrypted
 *
 * A probe asks one server one question and says whether the answer was good.  How often, how many
 * times in a row and what follows from it is health.c's business.
 */
#ifndef UPSTREAM_PROBE_H
#define UPSTREAM_PROBE_H

#include "config/option.h"
#include "upstream/server.h"

struct regex;

/* `status:` */
struct status_range {
    unsigned low, high; /* both included */
};

/* One of the list `health:`; a server is up when all of them say so. */
struct health_config {
    int                kind;        /* index into probe_kinds */
    uint64_t           every_us;
    uint64_t           jitter;      /* millionths of `every` */
    uint64_t           timeout_us;
    int64_t            rise, fall;  /* so many in a row */
    int64_t            port;        /* 0: the server's own */
    int                tls;         /* enum probe_tls */
    struct slice       path, host, method;           /* http (host: grpc too); absent: the kind's
                                                      * own */
    struct slice       service;                      /* grpc; absent: the whole server */
    struct option_list status;                       /* http: of struct status_range */
    struct regex      *body;                         /* http */
    struct slice       send;                         /* tcp, agent */
    struct regex      *expect;                       /* tcp, ftp */
    struct option_list command;                      /* of struct slice */
};

/* Options that not every kind understands. */
enum probe_option {
    PROBE_PORT = 1,
    PROBE_HTTP = 2, /* path, method, status, body */
    PROBE_SEND = 4,
    PROBE_EXPECT = 8,
    PROBE_COMMAND = 16,
    PROBE_TLS = 32,
    PROBE_HOST = 64,
    PROBE_SERVICE = 128,
};

/* Whether a probe speaks TLS; auto: as the upstream, when it asks the server's own port. */
enum probe_tls { PROBE_TLS_AUTO, PROBE_TLS_ON, PROBE_TLS_OFF };

struct probe_answer {
    bool passed;
    bool undecided; /* neither passed nor failed: nothing was learned of the server */
    char why[160];  /* one line for the log and the status; of a failure */
    int  share;     /* percent of its weight that the server wants; -1: did not say */
    int  state;     /* enum server_state that the server wants; -1: did not say */
};

struct probe_kind {
    const char *name;
    unsigned    takes;      /* enum probe_option */
    unsigned    rise, fall; /* when the configuration does not say */
    enum upstream_http http; /* what it offers with TLS */
    /* What else must hold of its options, as an option_object's check; may be NULL. */
    bool (*check)(struct config_bind *b, struct health_config *config);
    /* Waits, on a fiber of the control thread, until deadline_us at most. */
    void (*run)(const struct health_config *config, const struct server *server,
                uint64_t deadline_us, struct probe_answer *answer);
};

/* All that are compiled in, and their names; both end with NULL. */
extern const struct probe_kind *const probe_kinds[];
extern const char *const probe_names[];
extern const struct probe_kind probe_http, probe_grpc, probe_tcp, probe_ftp, probe_command,
    probe_agent;

/* The answer is a failure, or says nothing of the server when it was us who lacked memory or
 * descriptors. */
void probe_fail(struct probe_answer *answer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void probe_fail_with(struct probe_answer *answer, const char *while_doing, enum err e);
void probe_pass(struct probe_answer *answer);

/* What an agent has said, one line without its end: up, down, 75%, drain ... */
void probe_agent_read(struct slice line, struct probe_answer *answer);
/* "200" or "200-299". */
bool probe_status_range(struct slice text, struct status_range *range);
/* Where a server's answer to FTP ends ("220 ready", or several lines of which the last begins so);
 * 0 when it is not complete.  *code is -1 when it is no answer of that protocol. */
size_t probe_ftp_reply(struct slice bytes, int *code);

#endif
