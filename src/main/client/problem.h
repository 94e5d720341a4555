/* SPDX-License-Identifier: Apache-2.0 */
/* main/client/problem.h - what the admin API complains about (RFC 9457), for people. */
#ifndef MAIN_CLIENT_PROBLEM_H
#define MAIN_CLIENT_PROBLEM_H

#include "base/text.h"

#include <jansson.h>

/* What was sent, when complaints may point into it. */
struct problem_source {
    const char  *name; /* of the local file; NULL: none */
    struct slice text;
    bool         same_machine; /* other files are where they are said to be */
};

/* A list of complaints with their places, as `maitred check` prints them. */
void problem_print_list(const json_t *complaints, const struct problem_source *source,
                              struct text *out);
/* The complaints of a problem document, and its sentence, without line break, into `sentence`.
 * False: it is no such document. */
bool problem_print(struct slice json, const struct problem_source *source,
                         struct text *complaints, struct text *sentence);

#endif
