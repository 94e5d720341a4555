/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main/app.h - a configuration made ready: snapshot, upstreams, and where it came from.
 */
#ifndef MAIN_APP_H
#define MAIN_APP_H

#include "base/map.h"
#include "edge/edge.h"
#include "main/settings.h"
#include "upstream/upstream.h"

/* Where a configuration comes from, so that it can be read again. */
struct app_source {
    const char                 *path; /* a file, or NULL: text */
    struct slice                text;
    const struct config_source *reader;
};

struct app {
    struct snapshot        snapshot; /* first: workers see only this */
    const struct settings *settings;
    struct app_upstream   *upstreams; /* those of the configuration, and
                                       * those that routes name by URL */
    size_t                 n_upstreams;
    struct map             by_name; /* name -> struct app_upstream */
    struct map             configs; /* name -> struct upstream_config */
    struct arena           arena;
};

struct app_upstream {
    struct upstream              *upstream; /* a reference */
    const struct upstream_config *config;
};

/* Reads, checks, builds; changes nothing that runs.  NULL after reporting errors.  Control
 * thread. */
struct app *app_load(const struct app_source *source, struct config_report *report);
/* Opens logs: the last step that may fail.  False after reporting errors. */
bool app_open_logs(struct app *a, struct config_report *report);
/* Upstreams become what it says. */
void app_apply(struct app *a);
void app_free(struct app *a);

#endif
