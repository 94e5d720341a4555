/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls/challenge.h - what certificate authorities look for to see that a name is ours (RFC 8555 8),
 * and which names wait for their first certificate.
 *
 * Whoever orders certificates enters here what is to be shown; connections on all workers look it
 * up.  It stands apart from configurations and listeners: a proof is asked for at any of them, and
 * a reload changes nothing about it.
 *
 * Threads  entries change on the control thread only (rarely); any thread reads.  A change
 *          publishes a new table; the old one is freed when no worker can be looking at it any
 *          more.
 */
#ifndef TLS_CHALLENGE_H
#define TLS_CHALLENGE_H

#include "tls/tls.h"

enum { TLS_CHALLENGE_ANSWER_MAX = 512, TLS_CHALLENGE_ENTRIES_MAX = 4096 };

/* The path of proofs over HTTP, before the token. */
#define TLS_CHALLENGE_PATH "/.well-known/acme-challenge/"
/* The protocol (ALPN) of proofs over TLS (RFC 8737). */
#define TLS_CHALLENGE_ALPN "acme-tls/1"

/* ------------------------------------------------------------------ control thread */

/* GET of TLS_CHALLENGE_PATH and the token is answered so, until it is withdrawn.  False when out of
 * memory, or the answer is too long. */
bool tls_challenge_add_token(struct slice token, struct slice answer);
void tls_challenge_remove_token(struct slice token);
/* A client that asks for this name (lower case) and TLS_CHALLENGE_ALPN is shown this identity, of
 * which a reference is taken. */
bool tls_challenge_add_identity(struct slice name, struct tls_identity *id);
void tls_challenge_remove_identity(struct slice name);
/* A certificate for the name is under way: a handshake that asks for it may wait a while. */
bool tls_challenge_expect(struct slice name);
void tls_challenge_unexpect(struct slice name);
/* Who is told, on a worker's thread, that a client asks a server for a name (lower case) that it
 * has no certificate for.  True: it may be expected soon.  NULL: nobody. */
typedef bool tls_challenge_wanted_f(const struct tls_server *server, struct slice name);
void tls_challenge_on_wanted(tls_challenge_wanted_f *wanted);

/* ------------------------------------------------------------------ any thread */

/* The answer for a token, copied to out (TLS_CHALLENGE_ANSWER_MAX bytes); absent: nobody expects
 * that. */
struct slice tls_challenge_answer(struct slice token, char *out);
/* With a reference for the caller; NULL: there is none. */
struct tls_identity *tls_challenge_identity(struct slice name);
bool tls_challenge_is_expected(struct slice name);
/* A client asks for the name, and there is no certificate.  As tls_challenge_wanted_f. */
bool tls_challenge_wanted(const struct tls_server *server, struct slice name);

#endif
