/* SPDX-License-Identifier: Apache-2.0 */
/*
 * acme/staple.h - one certificate's OCSP response: fetched, verified, shown, kept, renewed.
 * Private to the room; stapling.c knows which certificates have one.
 */
#ifndef ACME_STAPLE_H
#define ACME_STAPLE_H

#include "acme/duty.h"
#include "base/text.h"
#include "tls/ocsp.h"

/* An identity that some server shows; a reference. */
struct acme_shown {
    struct tls_identity *id;
    uint32_t             round; /* the last look that has seen it */
};

struct acme_staple {
    struct slice             certificate; /* DER; own memory */
    struct acme_shown       *ids;         /* that are made of it; never empty once it is known */
    size_t                   n_ids;
    struct arena             arena;       /* of the question, and the state folder's path */
    struct tls_ocsp_question question;
    bool                     must;        /* clients may insist on being shown a response */
    const char              *state;
    struct text              response;    /* empty: none yet */
    struct tls_ocsp_life     life;        /* of it */
    int64_t                  renewal_s;   /* wall clock */
    bool                     loaded;      /* the file was looked for */
    unsigned                 failures;    /* in a row */
    uint64_t                 not_before_us;
    struct acme_duty         duty;
};

/* Of the identity's certificate, without showing it yet; NULL when out of memory. */
struct acme_staple *acme_staple_new(const struct tls_identity *id, const char *state);
/* This identity, of the same certificate, is shown in this round of looking; false when out of
 * memory. */
bool acme_staple_attach(struct acme_staple *s, struct tls_identity *id, uint32_t round);
/* Forgets those that this round has not seen; true when none is left. */
bool acme_staple_detach_old(struct acme_staple *s, uint32_t round);
/* Its name, for messages. */
struct slice acme_staple_name(const struct acme_staple *s);
/* Shows what an earlier process has kept, if it is good; waits for the file.  Not when it is
 * waiting for its turn, or has been loaded: then nothing.  True: it has looked. */
bool acme_staple_load(struct acme_staple *s);
/* Sets its timer. */
void acme_staple_wake(struct acme_staple *s);
/* Ends what is under way, and frees it, at once or later. */
void acme_staple_drop(struct acme_staple *s);

#endif
