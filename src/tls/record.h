/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls/record.h - private: records of TLS 1.3 (RFC 8446 5), sealed and opened by OpenSSL's ciphers.
 *
 * Without waiting and without memory of its own: where bytes come from and go to is lean.c's.
 */
#ifndef TLS_RECORD_H
#define TLS_RECORD_H

#include "tls/worker.h"

#include <sys/uio.h>

enum tls_record_type { TLS_RECORD_ALERT = 21, TLS_RECORD_HANDSHAKE = 22, TLS_RECORD_DATA = 23 };

/* RFC 8446 6 */
enum tls_alert {
    TLS_ALERT_CLOSE_NOTIFY = 0,
    TLS_ALERT_UNEXPECTED_MESSAGE = 10,
    TLS_ALERT_BAD_RECORD_MAC = 20,
    TLS_ALERT_RECORD_OVERFLOW = 22,
    TLS_ALERT_ILLEGAL_PARAMETER = 47,
    TLS_ALERT_DECODE_ERROR = 50,
    TLS_ALERT_INTERNAL_ERROR = 80,
    TLS_ALERT_USER_CANCELED = 90,
};

enum {
    TLS_RECORD_HEADER = 5,
    TLS_RECORD_TAG = 16,
    TLS_RECORD_PLAIN_MAX = 16384,  /* most content of one */
    TLS_RECORD_EXTRA = 5 + 1 + 16, /* what sealing adds */
    /* Most that may follow a header.  RFC 8446 5.2 lets ciphers add 255 bytes, but those that there
     * are add a tag, and padding may not make a record longer than content could (5.4). */
    TLS_RECORD_SEALED_MAX = 16384 + 1 + 16,
};

/* One direction of a connection. */
struct tls_protection {
    struct tls_worker *worker;
    EVP_CIPHER_CTX    *context; /* NULL: made again when it is needed */
    uint64_t           number;  /* of the next record; never used twice with one secret */
    uint8_t            suite;   /* enum tls_suite */
    bool               seals;   /* else opens */
    unsigned char      iv[12];
    unsigned char      secret[48];
};

/* After how many records a key is replaced (RFC 8446 5.5); tests lower it. */
extern uint64_t tls_records_per_key;

/* The secret has as many bytes as the suite's digest. */
void tls_protection_start(struct tls_protection *p, struct tls_worker *w, enum tls_suite suite,
                          const unsigned char *secret, bool seals);
/* Frees what can be made again from the secret. */
void tls_protection_cool(struct tls_protection *p);
/* Also overwrites the secret. */
void tls_protection_end(struct tls_protection *p);
/* The next secret (RFC 8446 7.2).  False when OpenSSL fails: nothing has changed then. */
bool tls_protection_update(struct tls_protection *p);

/* Vectors of which the first `done` bytes of the first are done. */
struct tls_pieces {
    const struct iovec *iov;
    size_t              done;
};

/* The next n bytes of the pieces, which have as many, as one record at `out`, where there is room
 * for TLS_RECORD_EXTRA more.  False when OpenSSL fails. */
bool tls_record_seal(struct tls_protection *p, enum tls_record_type type, struct tls_pieces *from,
                     size_t n, unsigned char *out);
/* Bytes of the record that begins there, its header included; 0: it is not there yet in whole, and
 * *missing more are needed; negative: an alert says why it cannot be one. */
ssize_t tls_record_size(struct slice s, size_t *missing);
/* One whole record, of a size that tls_record_size() gave, to `out`: there is room for its size
 * less its header and tag, or it is the record's own content.  Bytes of content, and its type;
 * negative: an alert. */
ssize_t tls_record_open(struct tls_protection *p, const unsigned char *record, size_t size,
                        unsigned char *out, enum tls_record_type *type);

#endif
