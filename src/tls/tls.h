/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls/tls.h - TLS on a sock: certificates, what a listener or an upstream needs, handshakes.
 *
 *     pem.c        texts of certificates and keys, checked: an identity; key.c, ocsp.c: parts of it
 *     store.c      identities by name, exact or wildcard, in constant time
 *     tickets.c    the keys of session tickets, which rotate
 *     hello.c      the client hello, read before OpenSSL sees it; ja4.c: its fingerprint
 *     server.c     a listener's side; accept.c: a handshake with a client
 *     connect.c    an upstream's side, and a handshake with a server
 *     handshake.c  the steps of both, and the facts that come out
 *     layer.c      an established connection as a layer of its sock; held.c: bytes that wait
 *     lean.c       a client's, once its handshake is done, with records of our own: record.c
 *     provider.c   algorithms of ours, which OpenSSL fetches: schedule.c, hmac.c
 *
 * OpenSSL     never waits and never yields: its input and output are buffers (layer.c), waiting
 *             happens outside.  Its error queue, which belongs to the thread, is emptied before
 *             each call.
 * Threads     Identities, stores, servers and clients are made on the control thread, never
 *             changed, and counted.  What OpenSSL makes of them is made once more on each worker
 *             (worker.h), with a library context of its own: workers then share neither locks nor
 *             reference counts inside OpenSSL.
 * Passwords   of private keys are not asked for; a key that has one is refused with that reason.
 */
#ifndef TLS_TLS_H
#define TLS_TLS_H

#include "base/err.h"
#include "base/text.h"
#include "runtime/sock.h"

/* ------------------------------------------------------------------ identities */

/* A certificate with its chain and key, and maybe an OCSP response.  Immutable, counted. */
struct tls_identity;

/* The files that make an identity, whole; absent: not given. */
struct tls_material {
    struct slice certificate; /* PEM: certificates in any order, and maybe the key */
    struct slice key;         /* PEM, where it is in a file of its own */
    struct slice ocsp;        /* DER: a response to staple */
    struct slice key_uri;     /* instead of a key: where it is and stays, as `pkcs11:object=site` */
};

/* NULL with a sentence in `why` (no full stop).  A remark that does not forbid its use goes to
 * `warning`, which stays empty without one. */
struct tls_identity *tls_identity_new(const struct tls_material *m, struct text *why,
                                      struct text *warning);
void tls_identity_hold(struct tls_identity *id);
void tls_identity_release(struct tls_identity *id);
/* The names that it is for, lower case; i counts from 0; absent past the last. */
struct slice tls_identity_name(const struct tls_identity *id, size_t i);
/* Wall clock, seconds since 1970. */
int64_t tls_identity_expires_s(const struct tls_identity *id);

/* What the certificate says, for people. */
struct tls_identity_facts {
    char    issuer[256]; /* RFC 2253, cut */
    int64_t not_before_s, not_after_s;
    bool    rsa;         /* its key; else elliptic curves */
    bool    stapled;     /* there is an OCSP response that is still good */
};
/* Control thread.  False: out of memory. */
bool tls_identity_describe(const struct tls_identity *id, struct tls_identity_facts *out);

/* ------------------------------------------------------------------ tickets */

enum { TLS_TICKETS_BYTES = 240 };

/* The keys of session tickets, for the process that comes after this one. */
struct tls_tickets {
    uint64_t      generation; /* changes with the keys; 0: there are none */
    uint64_t      next_us;    /* monotonic: when they change next */
    unsigned char keys[TLS_TICKETS_BYTES];
};

/* The keys as they are now; makes the first ones.  Any thread. */
void tls_tickets_save(struct tls_tickets *out);
/* Goes on with those; nothing when there are none.  Before anybody shakes hands. */
void tls_tickets_restore(const struct tls_tickets *saved);

/* ------------------------------------------------------------------ stores */

/* Identities by name; the first that is added is the default.  Immutable once in use. */
struct tls_store;

struct tls_store *tls_store_new(void);
/* Takes a reference of its own.  Of two for the same name and kind of key the one that expires last
 * is used.  False when out of memory. */
bool tls_store_add(struct tls_store *s, struct tls_identity *id);
size_t tls_store_count(const struct tls_store *s);
/* Some identity is for that name, in any case. */
bool tls_store_has(const struct tls_store *s, struct slice name);
void tls_store_hold(struct tls_store *s);
void tls_store_release(struct tls_store *s);

/* ------------------------------------------------------------------ a listener's side */

enum tls_profile { TLS_INTERMEDIATE, TLS_MODERN };
enum tls_client_mode { TLS_CLIENT_OFF, TLS_CLIENT_OPTIONAL, TLS_CLIENT_REQUIRED };

struct tls_server_options {
    struct tls_store    *store;      /* the server takes a reference of its own */
    struct slice         client_ca;  /* PEM; read while the server is made */
    enum tls_client_mode client_mode;
    enum tls_profile     profile;
    bool                 refuse_unknown; /* names that no identity is for: alert, not the default */
    bool                 no_tickets, no_stapling;
    const char          *keylog; /* path; NULL: none */
};

/* Counted: connections that are in their handshake hold one. */
struct tls_server;

/* NULL with a sentence in `why`. */
struct tls_server *tls_server_new(const struct tls_server_options *o, struct text *why);
/* Before it is used: HTTP/2 may be agreed on.  Without it, only HTTP/1.1. */
void tls_server_offer_h2(struct tls_server *s);
/* Control thread, while it is used: other identities for handshakes to come. */
void tls_server_swap(struct tls_server *s, struct tls_store *store);
/* The same for further ones, which are shown for names that no identity of the store above is for:
 * certificates that look after themselves.  Without a call there are none. */
void tls_server_keep(struct tls_server *s, struct tls_store *kept);
/* What a client that asks for this name (lower case; empty: none) is shown, one of maybe several
 * kinds of key; *for_name: it is for that name, and not just the default.  NULL: its handshake is
 * refused.  Control thread; it lives as long as the server's stores. */
const struct tls_identity *tls_server_shows(const struct tls_server *s, struct slice name,
                                            bool *for_name);
void tls_server_hold(struct tls_server *s);
void tls_server_release(struct tls_server *s);

/* ------------------------------------------------------------------ an upstream's side */

struct tls_client_options {
    struct slice         ca;       /* PEM: whom to trust; absent: whom the system trusts */
    bool                 insecure; /* any certificate will do */
    struct tls_identity *identity; /* to show to servers that ask, or NULL; a reference is taken */
    bool                 offer_h2, offer_h1; /* by ALPN; neither: nothing is offered */
    enum tls_profile     profile;
};

/* Counted: connections that are in their handshake hold one. */
struct tls_client;

/* NULL with a sentence in `why`. */
struct tls_client *tls_client_new(const struct tls_client_options *o, struct text *why);
void tls_client_hold(struct tls_client *c);
void tls_client_release(struct tls_client *c);

/* The last session with one server, so that the next connection spares a full handshake.  Zeroed at
 * first; belongs to one worker; outlives the connections that were made with it. */
struct tls_session_slot {
    void    *session;
    uint64_t client; /* with which tls_client it was agreed */
};

void tls_session_clear(struct tls_session_slot *slot);

/* ------------------------------------------------------------------ facts */

enum { TLS_JA4_LENGTH = 36 };

/* What is known of a connection; lives as long as its layer.  Absent slices: there is none. */
struct tls_facts {
    struct slice sni;     /* lower case */
    struct slice version; /* 1.2 or 1.3 */
    struct slice cipher;  /* OpenSSL's name */
    struct slice alpn;    /* agreed on */
    struct slice ja4;     /* fingerprint of the client hello */
    bool         resumed;
    /* The peer's certificate, if it sent one; it was verified, or there would be no connection. */
    bool         client_verified;
    struct slice client_subject;     /* RFC 2253 */
    struct slice client_san;         /* names of all kinds, separated by commas */
    struct slice client_fingerprint; /* SHA-256 of the certificate, lower-case hex */
};

/* Of a sock with a TLS layer; else NULL. */
const struct tls_facts *tls_facts(const struct sock *s);

/* ------------------------------------------------------------------ handshakes */

/* A handshake to be made with a client, and why it failed. */
struct tls_greeting {
    char  *buffer; /* for the client hello; BUFFER_SMALL_BYTES; stays the caller's */
    size_t n;      /* bytes that are in it already */
    bool   plain_http; /* the client speaks HTTP without TLS: an answer in clear would help it */
    char   why[120];   /* what to tell the operator, empty when there is nothing to say */
};

/* On a fiber; waits.  OK: s has its layer.  Else the connection is to be closed, after an answer if
 * it was plain HTTP. */
enum err tls_accept(struct sock *s, struct tls_server *server, struct tls_greeting *g,
                    uint64_t deadline_us);

/* A handshake to be made with a server. */
struct tls_call {
    struct slice             name; /* host name or IP address that its certificate must be for */
    struct slice             sni;  /* to ask for; absent: name, unless that is an IP address */
    struct tls_session_slot *slot; /* may be NULL */
    char                     why[120]; /* why it failed, for the operator */
};

/* On a fiber; waits.  s is connected.  OK: s has its layer. */
enum err tls_connect(struct sock *s, struct tls_client *client, struct tls_call *call,
                     uint64_t deadline_us);

#endif
