/* SPDX-License-Identifier: Apache-2.0 */
/* main/settings.h - the whole configuration: the object at the top of every file. */
#ifndef MAIN_SETTINGS_H
#define MAIN_SETTINGS_H

#include "config/option.h"

struct process_config {
    struct slice workers; /* "auto" or a number */
    unsigned     worker_count; /* what it comes to */
    struct slice user;
    uint64_t     drain_us;
    int64_t      max_connections;
    int          log_level; /* enum log_level */
};

struct settings {
    struct process_config process;
    struct option_list    listeners; /* of struct listener_config */
    struct option_list    upstreams; /* of struct upstream_config */
    struct option_list    stores;    /* of struct cache_store */
    struct option_list    routes;    /* of struct route */
    struct option_list    logs;      /* of struct access_log */
    bool                  metrics;   /* exchanges are counted */
    struct tracing_config *tracing;  /* NULL: nothing is traced */
    struct analytics_config *analytics; /* NULL: nothing is recorded */
    struct admin_config   *admin;    /* NULL: there is no API */
};

extern const struct option_object settings_object;

#endif
