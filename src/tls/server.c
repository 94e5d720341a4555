/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls/server.c - what a listener needs: which certificate for which name, who may connect, tickets.
 *
 * Each worker has a context (SSL_CTX) of its own.  It holds no certificate: the client hello is
 * read before OpenSSL gets it (accept.c), so that it is known which one is right, and 10,000
 * certificates need no more contexts than one.
 */
#include "tls/server.h"

#include "base/clock.h"
#include "base/map.h"
#include "tls/challenge.h"
#include "tls/ocsp.h"
#include "tls/profile.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

/* ------------------------------------------------------------------ what OpenSSL asks */

/* Who comes to see a proof speaks that protocol only (RFC 8737 3); accept.c has a certificate for
 * it, or such a hello does not get here. */
static bool
is_challenge(struct slice offered)
{
    return slice_eq(offered, SLICE("\x0A" TLS_CHALLENGE_ALPN));
}

/* RFC 7301 3.2: a client that offers only what we do not speak is told so. */
static int
on_alpn(SSL *ssl, const unsigned char **out, unsigned char *n, const unsigned char *offered,
        unsigned offered_n, void *arg)
{
    static const unsigned char ours[] = "\x02h2\x08http/1.1";
    const struct tls_server *s = arg;
    const unsigned char *from = s->offer_h2 ? ours : ours + 3;
    unsigned from_n = (unsigned) (ours + sizeof(ours) - 1 - from);

    (void) ssl;
    if (is_challenge(slice_of((const char *) offered, offered_n))) {
        *out = offered + 1;
        *n = offered[0];
        return SSL_TLSEXT_ERR_OK;
    }
    if (SSL_select_next_proto((unsigned char **) out, n, from, from_n, offered, offered_n) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    return SSL_TLSEXT_ERR_OK;
}

/* The name has been acted upon already (accept.c); so the client is told that it was understood. */
static int
on_server_name(SSL *ssl, int *alert, void *arg)
{
    (void) ssl, (void) alert, (void) arg;
    return SSL_TLSEXT_ERR_OK;
}

static bool
use_identity(SSL *ssl, struct tls_identity *id, struct tls_worker *w)
{
    const struct tls_identity_copy *c = tls_identity_copy(id, w);

    return c && SSL_use_cert_and_key(ssl, c->leaf, c->key, c->chain, 1) == 1;
}

/* Now a certificate is needed: not for a client that comes back with a ticket. */
static int
on_certificate(SSL *ssl, void *arg)
{
    const struct tls_choice *choice = tls_layer_choice(ssl);
    struct tls_worker *w = tls_worker_self();

    (void) arg;
    for (size_t kind = 0; kind < TLS_KEY_KINDS; kind++)
        if (!w || (choice->of[kind] && !use_identity(ssl, choice->of[kind], w)))
            return 0;
    return 1;
}

/* The client asks for proof that the certificate is not revoked. */
static int
on_status(SSL *ssl, void *arg)
{
    const struct tls_choice *choice = tls_layer_choice(ssl);
    EVP_PKEY *key = SSL_get_privatekey(ssl);
    enum tls_key_kind kind = key && (EVP_PKEY_is_a(key, "RSA") || EVP_PKEY_is_a(key, "RSA-PSS"))
                                 ? TLS_KEY_RSA
                                 : TLS_KEY_ECDSA;
    struct slice der = choice && choice->of[kind] ? tls_ocsp_current(choice->of[kind])
                                                  : (struct slice){NULL, 0};
    unsigned char *copy = der.n ? OPENSSL_memdup(der.at, der.n) : NULL;

    (void) arg;
    if (!copy)
        return SSL_TLSEXT_ERR_NOACK;
    SSL_set_tlsext_status_ocsp_resp(ssl, copy, (long) der.n); /* takes it over */
    return SSL_TLSEXT_ERR_OK;
}

static bool
start_ticket(struct tls_worker *w, const struct tls_ticket_key *key, unsigned char *iv,
             EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int encrypt)
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_octet_string(OSSL_MAC_PARAM_KEY, (void *) key->mac, sizeof(key->mac)),
        OSSL_PARAM_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *) "SHA256", 6),
        OSSL_PARAM_END,
    };

    return EVP_CipherInit_ex2(cipher, w->ticket_cipher, key->cipher, iv, encrypt, NULL) &&
           EVP_MAC_CTX_set_params(mac, params);
}

/* 1: go on; 0: no such key, a full handshake then; 2: go on, and give a newer ticket. */
static int
on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
          EVP_MAC_CTX *mac, int encrypt)
{
    struct tls_worker *w = tls_worker_self();
    const struct tls_ticket_key *keys;
    size_t i = 0;

    if (!w)
        return encrypt ? -1 : 0;
    tls_tickets_refresh(&w->tickets, loop_now_us());
    keys = w->tickets.keys;
    if (encrypt) {
        memcpy(name, keys[0].name, TLS_TICKET_NAME);
        if (RAND_bytes_ex(w->library, iv, 16, 0) != 1)
            return -1;
        return start_ticket(w, &keys[0], iv, cipher, mac, 1) ? 1 : -1;
    }
    while (i < TLS_TICKET_KEYS && memcmp(name, keys[i].name, TLS_TICKET_NAME) != 0)
        i++;
    if (i == TLS_TICKET_KEYS)
        return 0;
    if (!start_ticket(w, &keys[i], iv, cipher, mac, 0))
        return -1;
    /* In TLS 1.3 clients use a ticket once (RFC 8446 C.4): without another one their next visit
     * would cost a full handshake. */
    return i == 0 && SSL_version(ssl) < TLS1_3_VERSION ? 1 : 2;
}

static void
on_keylog(const SSL *ssl, const char *line)
{
    const struct tls_server *s = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    struct iovec iov[2] = {{(char *) line, strlen(line)}, {(char *) "\n", 1}};

    (void) !writev(s->keylog_fd, iov, 2);
}

/* ------------------------------------------------------------------ contexts */

static bool
set_client_ca(const struct tls_server *s, SSL_CTX *c, struct text *why)
{
    STACK_OF(X509_NAME) * names;

    if (s->client_mode == TLS_CLIENT_OFF)
        return true;
    names = sk_X509_NAME_new_null();
    if (!names || tls_profile_trust(SSL_CTX_get_cert_store(c), names,
                                    slice_of(s->client_ca, s->client_ca_n), why) < 0) {
        sk_X509_NAME_pop_free(names, X509_NAME_free);
        return false;
    }
    SSL_CTX_set_client_CA_list(c, names);
    SSL_CTX_set_verify(c,
                       SSL_VERIFY_PEER | (s->client_mode == TLS_CLIENT_REQUIRED
                                              ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT
                                              : 0),
                       NULL);
    return true;
}

static SSL_CTX *
make_context(struct tls_server *s, OSSL_LIB_CTX *library, struct text *why)
{
    SSL_CTX *c = SSL_CTX_new_ex(library, NULL, TLS_server_method());

    if (!c || !tls_profile_apply(c, s->profile) || !set_client_ca(s, c, why)) {
        if (why->n == 0)
            text_literal(why, "out of memory");
        SSL_CTX_free(c);
        return NULL;
    }
    SSL_CTX_set_app_data(c, s);
    SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_session_id_context(c, s->session_context, sizeof(s->session_context));
    SSL_CTX_set_timeout(c, tls_tickets_lifetime_s());
    /* Without a close_notify the end is an end as well: requests say themselves how long they
     * are. */
    SSL_CTX_set_options(c, SSL_OP_IGNORE_UNEXPECTED_EOF);
    if (s->no_tickets) {
        SSL_CTX_set_options(c, SSL_OP_NO_TICKET);
        SSL_CTX_set_num_tickets(c, 0);
    } else {
        /* One, not OpenSSL's two: a client that opens several connections at once gets one with
         * each, and every ticket costs a handshake some 8 us. */
        SSL_CTX_set_num_tickets(c, 1);
        SSL_CTX_set_tlsext_ticket_key_evp_cb(c, on_ticket);
    }
    SSL_CTX_set_alpn_select_cb(c, on_alpn, s);
    SSL_CTX_set_tlsext_servername_callback(c, on_server_name);
    if (!s->no_stapling)
        SSL_CTX_set_tlsext_status_cb(c, on_status);
    SSL_CTX_set_cert_cb(c, on_certificate, NULL);
    if (s->keylog_fd >= 0)
        SSL_CTX_set_keylog_callback(c, on_keylog);
    return c;
}

SSL_CTX *
tls_server_context(struct tls_server *s, struct tls_worker *w)
{
    char room[200];
    struct text why;

    if (s->contexts[w->number])
        return s->contexts[w->number];
    text_fixed(&why, room, sizeof(room));
    s->contexts[w->number] = make_context(s, w->library, &why);
    ERR_clear_error();
    return s->contexts[w->number];
}

/* ------------------------------------------------------------------ servers */

/* Everything that could be wrong is wrong now, not with the first client. */
static bool
try_all(struct tls_server *s, struct text *why)
{
    SSL_CTX *c = make_context(s, NULL, why);

    SSL_CTX_free(c);
    ERR_clear_error();
    return c != NULL;
}

/* Tickets of a listener that asks for other client certificates say nothing here.  The same in
 * every process, so that they are good after an upgrade too. */
static void
make_session_context(struct tls_server *s)
{
    unsigned char sum[32]; /* SHA-256 */

    SHA256((const unsigned char *) s->client_ca, s->client_ca_n, sum);
    memcpy(s->session_context, sum, sizeof(s->session_context));
    s->session_context[0] = (unsigned char) s->client_mode;
}

static bool
copy_options(struct tls_server *s, const struct tls_server_options *o, struct text *why)
{
    s->client_mode = o->client_mode;
    s->profile = o->profile;
    s->refuse_unknown = o->refuse_unknown;
    s->no_tickets = o->no_tickets;
    s->no_stapling = o->no_stapling;
    if (o->client_ca.n) {
        s->client_ca = malloc(o->client_ca.n);
        if (!s->client_ca) {
            text_literal(why, "out of memory");
            return false;
        }
        memcpy(s->client_ca, o->client_ca.at, o->client_ca.n);
        s->client_ca_n = o->client_ca.n;
    }
    make_session_context(s);
    if (!o->keylog)
        return true;
    s->keylog_fd = open(o->keylog, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (s->keylog_fd < 0)
        text_printf(why, "cannot write `%s`: %s", o->keylog, strerror(errno));
    return s->keylog_fd >= 0;
}

struct tls_server *
tls_server_new(const struct tls_server_options *o, struct text *why)
{
    struct tls_server *s = calloc(1, sizeof(*s));

    if (!s) {
        text_literal(why, "out of memory");
        return NULL;
    }
    s->refs = 1;
    s->keylog_fd = -1;
    tls_store_hold(o->store);
    s->store = o->store;
    if (copy_options(s, o, why) && try_all(s, why))
        return s;
    tls_server_release(s);
    return NULL;
}

void
tls_server_offer_h2(struct tls_server *s)
{
    s->offer_h2 = true;
}

static void
release_store(void *store)
{
    tls_store_release(store);
}

void
tls_server_swap(struct tls_server *s, struct tls_store *store)
{
    tls_store_hold(store);
    /* A worker that has just read the pointer takes its reference before it is back in its loop. */
    workers_retire(release_store, atomic_exchange(&s->store, store));
}

void
tls_server_keep(struct tls_server *s, struct tls_store *kept)
{
    tls_store_hold(kept);
    kept = atomic_exchange(&s->kept, kept);
    if (kept)
        workers_retire(release_store, kept);
}

void
tls_server_hold(struct tls_server *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
}

void
tls_server_release(struct tls_server *s)
{
    if (!s || atomic_fetch_sub(&s->refs, 1) != 1)
        return;
    for (size_t i = 0; i < WORKERS_MAX; i++)
        SSL_CTX_free(s->contexts[i]);
    tls_store_release(s->store);
    tls_store_release(s->kept);
    free(s->client_ca);
    if (s->keylog_fd >= 0)
        close(s->keylog_fd);
    free(s);
}

static const struct tls_identity *
first_of(const struct tls_choice *choice)
{
    for (size_t kind = 0; choice && kind < TLS_KEY_KINDS; kind++)
        if (choice->of[kind])
            return choice->of[kind];
    return NULL;
}

const struct tls_identity *
tls_server_shows(const struct tls_server *s, struct slice name, bool *for_name)
{
    const struct tls_store *const stores[] = {atomic_load(&s->store), atomic_load(&s->kept)};
    const struct tls_identity *id = NULL;

    for (size_t i = 0; i < 2 && !id; i++)
        id = stores[i] ? first_of(tls_store_find(stores[i], name)) : NULL;
    *for_name = id != NULL;
    for (size_t i = 0; i < 2 && !id && !s->refuse_unknown; i++)
        id = stores[i] ? first_of(tls_store_default(stores[i])) : NULL;
    return id;
}
