/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls/layer.h - private: a TLS connection as a layer of its sock.
 *
 * OpenSSL reads and writes through a BIO of ours that never waits: input is received straight into
 * OpenSSL's buffer; output is sent straight from it, and what the wire does not take is held in a
 * buffer that the worker lends.  So OpenSSL never sees a write that is not done, and a connection
 * that is idle has no buffer at all.  In a handshake with a client OpenSSL is given one record at a
 * time, so that what follows the last one is still here when lean.c takes over.
 */
#ifndef TLS_LAYER_H
#define TLS_LAYER_H

#include "tls/held.h"
#include "tls/hello.h"
#include "tls/record.h"
#include "tls/server.h"

/* What a connection has instead of an SSL once lean.c has taken it over. */
struct tls_lean {
    struct tls_protection in, out;
    struct slice          plain;  /* content that nobody has taken yet, in what was received */
    size_t                behind; /* how much follows it of its record */
    uint32_t              idle;   /* records in a row without any */
    bool                  much;   /* the last time there was more than room for it */
    bool                  finished; /* we have said goodbye */
    bool                  asked;    /* the client wants us to change our key */
    uint8_t               update_n; /* what is here of ... */
    unsigned char         update[5]; /* ... a KeyUpdate that came in pieces */
    char                  alpn[16];
};

struct tls_layer {
    struct sock_layer        layer;
    struct sock             *sock;
    struct list              link; /* in the worker's list of those with buffers */
    SSL                     *ssl;    /* NULL: lean.c has it */
    struct tls_held          in;     /* received, not yet looked at */
    struct tls_held          out;    /* sealed, not yet on the wire */
    bool                     apart;  /* OpenSSL gets what it asks for and no more */
    bool                     corked; /* hold everything; somebody flushes soon */
    bool                     drained; /* the last read found no whole record */
    bool                     failed; /* OpenSSL must not be asked to send any more */
    bool                     warm;    /* it is in that list */
    bool                     used;    /* since the list was last looked through */
    bool                     ended;  /* the wire has */
    int                      wire_errno;
    const struct tls_choice *choice; /* during the handshake with a client */
    struct tls_session_slot *slot;   /* of a server's connection, or NULL */
    uint64_t                 client; /* serial number of its struct tls_client */
    char                    *peer;   /* texts of the peer's certificate; malloc'd, may be NULL */
    struct tls_facts         facts;
    struct tls_lean          lean;
    char                     texts[]; /* fingerprint and name of the client hello */
};

/* A layer over s that is not yet in force: NULL when out of memory.  hello may be NULL. */
struct tls_layer *tls_layer_new(struct sock *s, SSL_CTX *context, const struct tls_hello *hello);
/* Before the handshake with a client: what of it was received already.  False: out of memory. */
bool tls_layer_feed(struct tls_layer *t, struct slice early);
/* On a fiber, once it is a client or server side: to the end of the handshake.  OK: in force.  Else
 * it still is the caller's to free; `why` says what happened. */
enum err tls_layer_handshake(struct tls_layer *t, uint64_t deadline_us, char *why, size_t room);
void tls_layer_free(struct tls_layer *t);
void tls_layer_free_ssl(struct tls_layer *t);
/* 0: nothing is held any more that should be sent; IO_PENDING; -errno. */
ssize_t tls_layer_flush(struct tls_layer *t);
/* OpenSSL is about to work for it: what it takes for that is given back in a while. */
void tls_layer_warm(struct tls_layer *t);
/* Of a sock that has one, or NULL. */
struct tls_layer *tls_layer_of(const struct sock *s);

#endif
