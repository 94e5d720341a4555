/* SPDX-License-Identifier: Apache-2.0 */
/*
 * acme/acme.h - certificates that look after themselves (RFC 8555).
 *
 *     acme.c         which names are wanted, and who shows their certificates
 *     names.c        what a host name is; demand.c: what clients ask workers for
 *     keeper.c       one name's certificate: from the state folder, ordered, renewed
 *     order.c        one certificate from one authority
 *     challenge.c    proofs that a name is ours, over HTTP and TLS; challenge_dns.c: in the DNS
 *     account.c      accounts with authorities
 *     client.c       requests to an authority; jose.c: their signatures; json.c: answers
 *     certificate.c  X.509: requests, and certificates of our own; local.c: those of localhost
 *     dns_update.c   messages of RFC 2136 on the wire; dns_send.c: to a name server and back;
 *                    command.c: a program that does the same
 *     state.c        files that outlive the process; schedule.c: when
 *     options.c      what can be configured
 *
 * Names      each host that a listener's routes name and that no certificate of its own covers gets
 *            one.  Until the first is there, a self-signed one is shown.
 * Threads    everything runs on fibers of the control thread.  Workers meet its results only: the
 *            stores of tls/ and the proofs of tls/challenge.h.
 * Lifetime   what is kept is kept by name and survives reloads; it holds the configuration that it
 *            was last wanted by.
 */
#ifndef ACME_ACME_H
#define ACME_ACME_H

#include "config/option.h"
#include "tls/tls.h"

enum { ACME_DIRECTORIES_MAX = 8 };
enum acme_challenge { ACME_HTTP_01, ACME_TLS_ALPN_01, ACME_DNS_01, ACME_CHALLENGES };

/* `dns:`, how proofs get into the DNS: a server that takes updates, or a command. */
struct acme_dns {
    struct slice       server;     /* as written; absent: there is a command */
    struct slice       zone;
    struct slice       key_name;
    struct slice       key_secret; /* base64 */
    struct slice       secret;     /* the same as bytes */
    uint64_t           ttl_us;
    struct option_list command;    /* of struct slice: program and arguments */
    uint64_t           delay_us;   /* after the record is there */
    uint64_t           timeout_us; /* of an update or a run, and of waiting to see the record */
};

/* `eab:` */
struct acme_binding {
    struct slice key_id;
    struct slice hmac;   /* base64url */
    struct slice secret; /* the same as bytes */
};

/* `acme:` of a listener's `tls:`. */
struct acme_config {
    struct slice         email;       /* may be absent */
    struct option_list   directories; /* of struct slice: URLs, tried in this order */
    struct slice         ca;          /* path; absent: whom the system trusts */
    struct option_list   challenges;  /* of int (enum acme_challenge); empty: what fits */
    struct acme_dns     *dns;         /* NULL: no proofs by DNS */
    struct acme_binding *binding;     /* NULL: none */
    struct option_list   names;       /* of struct slice: beside those of the routes */
    struct option_list   on_demand;   /* of struct slice: patterns */
    uint64_t             renew;       /* millionths of a certificate's life */
    uint64_t             retry_us;    /* after the first failure */
    struct slice         state;       /* folder */
    struct tls_client   *tls;         /* made of `ca`; NULL: whom the system trusts */
};

extern const struct option_object acme_object;

/* An order by the one would go as one by the other. */
bool acme_config_same(const struct acme_config *a, const struct acme_config *b);

/* ------------------------------------------------------------------ keeping certificates */

/* One server whose certificates are looked after. */
struct acme_follow {
    const struct acme_config *config;
    struct tls_server        *server;
    struct tls_store         *fixed; /* the certificates that it was
                                      * configured with; may be empty */
    const struct slice       *hosts; /* names and patterns that its routes want, lower case */
    size_t                    n_hosts;
};

/*
 * On a fiber of the control thread; waits for files only.  From now on these servers show, beside
 * their fixed certificates, those that are kept for their hosts; what was followed before and is
 * not in the list any more is forgotten (its files stay).  owner: where the configs live; it and
 * the servers are referenced, the rest is looked at during the call only.  False when out of
 * memory: then some names are not looked after until the next call.
 */
bool acme_follow(const struct acme_follow *follow, size_t n, struct config *owner);
/* Ends what is under way; its fibers end soon after. */
void acme_stop(void);

/* One name, as it is now; texts live during the call. */
struct acme_name {
    struct slice name;
    struct slice directory;  /* who gave the certificate; empty: the local authority, or nobody */
    struct slice why;        /* the last attempt failed; empty: nothing is wrong */
    unsigned     failures;   /* since the last success */
    int64_t      next_s;     /* the next attempt, seconds since 1970; 0: none is planned */
    bool         has_one;    /* there is a certificate */
    bool         on_demand;
};
/* visit(name) for each that is looked after.  Control thread; visit must not wait. */
void acme_each(void (*visit)(void *arg, const struct acme_name *n), void *arg);

/* ------------------------------------------------------------------ the local authority */

/* Of the authority for localhost (a PEM file, there once a certificate of its was needed), with a
 * zero byte.  False: the path is too long. */
bool acme_local_ca_path(struct slice state, char *out, size_t room);

#endif
