/* SPDX-License-Identifier: Apache-2.0 */
/* control/admin.h - `admin:` in the configuration: where the API listens, and who may use it. */
#ifndef CONTROL_ADMIN_H
#define CONTROL_ADMIN_H

#include "control/api.h"
#include "edge/edge.h"

struct admin_token {
    struct slice name;
    struct slice token;
    int          right; /* enum api_right */
};

struct admin_config {
    struct option_list listen; /* of struct listener_config */
    struct option_list tokens; /* of struct admin_token */
    struct slice       state;  /* folder of the revisions and the history */
    int64_t            keep;   /* revisions */
    bool               dashboard;
};

extern const struct option_object admin_object;

#endif
