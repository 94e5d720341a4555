/* SPDX-License-Identifier: Apache-2.0 */
/* acme/names.h - host names, wildcards and patterns.  All in lower case.  Private to the room. */
#ifndef ACME_NAMES_H
#define ACME_NAMES_H

#include "config/option.h"

enum { ACME_NAME_LONGEST = 253 };

/* Letters, digits, hyphens; whole labels: nothing else becomes a file's name or goes to an
 * authority. */
bool acme_name_is_host(struct slice name);
/* "*.example.com" */
bool acme_name_is_wildcard(struct slice name);
/* "*.example.com" of "www.example.com", into out; empty: there is none. */
struct slice acme_name_wildcard_over(struct slice name, char out[ACME_NAME_LONGEST + 2]);
/* patterns: of struct slice, as in routes: names, or a star that stands for any number of
 * labels. */
bool acme_name_is_allowed(const struct option_list *patterns, struct slice name);

#endif
