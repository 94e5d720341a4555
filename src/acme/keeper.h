/* SPDX-License-Identifier: Apache-2.0 */
/*
 * acme/keeper.h - one name's certificate: from the state folder, ordered, renewed.  Private to the
 * room.
 *
 * When there is something to do for it, and who does it: duty.h.
 */
#ifndef ACME_KEEPER_H
#define ACME_KEEPER_H

#include "acme/acme.h"
#include "acme/certificate.h"
#include "acme/client.h"
#include "acme/duty.h"

struct acme_keeper_events;

struct acme_keeper {
    struct slice              name; /* lower case; may begin with a star */
    const struct acme_config *config; /* that it was last wanted by */
    struct config            *owner;  /* of that; a reference */
    bool                      wanted; /* by a route, or `names`; else on demand */
    bool                      local;
    bool                      loaded; /* it was looked for in the state folder */
    struct tls_identity      *id;          /* what an authority gave; NULL: nothing yet */
    struct tls_identity      *placeholder; /* self-signed; NULL: not made */
    /* Of `id`: */
    char                    *directory; /* URL; NULL: the local authority */
    struct acme_certificate  facts;
    int64_t                  window_from_s, window_to_s; /* as the authority last said;
                                                          * 0: nothing */
    int64_t                  renewal_s; /* wall clock */
    uint64_t                 look_us;   /* when to ask the authority for the window */
    /* Of what went wrong since: */
    unsigned failures;
    char     why[ACME_WHY_MAX];
    uint64_t not_before_us;                           /* no attempt before */
    uint64_t directory_wait_us[ACME_DIRECTORIES_MAX]; /* by its place in the configuration */
    /* keeper.c's: */
    const struct acme_keeper_events *events;
    struct acme_duty duty;
};

/* What the room's other half wants to hear of. */
struct acme_keeper_events {
    /* `id` is another one, or the attempt to get the first one has failed. */
    void (*changed)(struct acme_keeper *k);
    /* The time to try again has come, but nobody wants it but on demand. */
    void (*idle)(struct acme_keeper *k);
};

/* NULL when out of memory. */
struct acme_keeper *acme_keeper_new(struct slice name, const struct acme_config *config,
                                    struct config *owner, const struct acme_keeper_events *events);
/* Another configuration, from now on. */
void acme_keeper_use(struct acme_keeper *k, const struct acme_config *config,
                     struct config *owner);
/* Reads what is there of it, or has the local authority issue it.  Waits for files. */
void acme_keeper_load(struct acme_keeper *k);
/* What to show; makes the self-signed one when it is needed.  NULL when out of memory. */
struct tls_identity *acme_keeper_identity(struct acme_keeper *k);
/* Sets its timer, or does at once what is due. */
void acme_keeper_wake(struct acme_keeper *k);
/* Ends what is under way, and frees it, at once or later. */
void acme_keeper_drop(struct acme_keeper *k);
/* Attendants that are at work. */
size_t acme_keepers_busy(void);

#endif
