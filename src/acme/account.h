/* SPDX-License-Identifier: Apache-2.0 */
/*
 * acme/account.h - accounts with certificate authorities.  Private to the room.
 *
 * There is one for each directory, address and binding; its key and URL are kept in the state
 * folder.  Fibers that need the same one at the same time wait for the first to get it.
 */
#ifndef ACME_ACCOUNT_H
#define ACME_ACCOUNT_H

#include "acme/acme.h"
#include "acme/client.h"

/* The client's directory has been read; from now on it has its key and account.  False with
 * c->trouble. */
bool acme_account_open(struct acme_client *c, const struct acme_config *config);
/* The authority does not know the account any more: opening it makes a new one. */
void acme_account_forget(struct acme_client *c, const struct acme_config *config);
void acme_account_exit(void);

#endif
