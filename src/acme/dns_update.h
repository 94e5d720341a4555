/* SPDX-License-Identifier: Apache-2.0 */
/*
 * acme/dns_update.h - messages to a name server that takes updates (RFC 2136), signed with a shared
 * key (TSIG with hmac-sha256, RFC 8945).  No I/O.  Private to the room.
 */
#ifndef ACME_DNS_UPDATE_H
#define ACME_DNS_UPDATE_H

#include "base/err.h"
#include "base/mac.h"
#include "base/text.h"

enum { ACME_DNS_MESSAGE_MAX = 65535, ACME_TXT_MAX = 255 };

struct acme_dns_key {
    struct slice name, secret;
};

/* Adds the record `name` TXT `value`, or removes it, but no other of that name. */
struct acme_dns_change {
    struct slice zone, name, value;
    uint32_t     ttl_s;
    bool         add;
};

/* These write to an empty text with room for the message.  False: a name is malformed or does not
 * fit, or out of memory. */
bool acme_dns_write_update(struct text *out, uint16_t id, const struct acme_dns_change *change);
/* Asks for the TXT records of a name. */
bool acme_dns_write_question(struct text *out, uint16_t id, struct slice name);
/* Signs what stands in `message`; mac: for reading the answer. */
bool acme_dns_sign(struct text *message, const struct acme_dns_key *key, uint64_t now_s,
                   uint8_t mac[MAC_BYTES]);

/* An answer, read. */
struct acme_dns_answer {
    unsigned rcode;
    unsigned tsig_error; /* 0: none */
    bool     truncated;
    bool     has_value;  /* among its TXT records is the one that was looked for */
};

/*
 * Reads the answer to message `id`.  key: the answer must be signed with it (NULL: need not), over
 * `mac` of the question.  value: a TXT record to look for (may be absent).  ERR_MALFORMED: it is no
 * such answer; ERR_DENIED: its signature is missing or wrong.  rcode and tsig_error are set with
 * OK, and with ERR_DENIED where the server refuses our signature (it does not sign that).
 */
enum err acme_dns_read(struct slice message, uint16_t id, const struct acme_dns_key *key,
                       const uint8_t mac[MAC_BYTES], uint64_t now_s, struct slice value,
                       struct acme_dns_answer *answer);
/* The server does not answer questions like that, or not ours: asking again does not help. */
bool acme_dns_is_refusal(unsigned rcode);
/* "REFUSED", "NOTAUTH"; "?" for one without a name. */
const char *acme_dns_rcode_name(unsigned rcode);

#endif
