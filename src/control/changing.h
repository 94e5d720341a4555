/* SPDX-License-Identifier: Apache-2.0 */
/* control/changing.h - private: what all operations that change the configuration share. */
#ifndef CONTROL_CHANGING_H
#define CONTROL_CHANGING_H

#include "control/api.h"
#include "control/configuration.h"

/* Their query parameters. */
#define CONFIGURATION_QUERY                                                                       \
    {{"dry_run", "boolean", "Only say what would come of it."},                                   \
     {"comment", "string", "Why; it is kept with the revision."},                                 \
     {"confirm", "string",                                                                        \
      "On trial: back to what was before unless confirmed within this time, such as 60s."},       \
     {"guard", "string",                                                                          \
      "On trial: back as soon as this does not hold, such as errors < 1%, p99 < +20%."},          \
     {NULL}}

/* Makes the change as the call's query says, and answers. */
void api_change(struct api_call *c, struct configuration_change *change);

#endif
