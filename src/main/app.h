/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main/app.h - a configuration made ready: snapshot, upstreams, and where it came from.
 */
#ifndef MAIN_APP_H
#define MAIN_APP_H

#include "base/map.h"
#include "config/document.h"
#include "edge/edge.h"
#include "main/settings.h"
#include "upstream/upstream.h"

/* Where a configuration comes from, so that it can be read again. */
struct app_source {
    const char                 *path; /* a file, or NULL: text */
    struct slice                text;
    const struct config_source *reader;
};

/* One that somebody names: a route, or an option of some middleware. */
struct app_upstream {
    struct app_upstream     *next;
    struct upstream_terminal terminal; /* its upstream is a reference; its config lives in the
                                        * snapshot's config, which may outlive the app */
    struct middleware        relay;    /* to that terminal */
};

struct app {
    struct snapshot         snapshot; /* first: workers see only this */
    const struct settings  *settings;
    struct app_upstream    *upstreams, **end; /* in the order in which they were named first */
    size_t                  n_upstreams;
    struct map              by_name; /* name or URL -> struct app_upstream */
    struct map              configs; /* name -> struct upstream_config */
    bool                    open;    /* app_open_logs() has done its work */
    struct loop            *home;    /* where it is freed once it was served */
    struct arena            arena;
};

/* Reads, checks, builds; changes nothing that runs.  NULL after reporting errors.  Control
 * thread. */
struct app *app_load(const struct app_source *source, struct config_report *report);
/* The same of a document. */
struct app *app_prepare(const struct config_document *d, const struct config_source *reader,
                        struct config_report *report);
/* Opens logs: the last step that may fail; once is enough.  False after reporting errors. */
bool app_open_logs(struct app *a, struct config_report *report);
/* Upstreams become what it says. */
void app_apply(struct app *a);
/* After `now` has taken its place: looking up and checking end for upstreams that `now` does not
 * name any more.  NULL: for all. */
void app_retire(struct app *old, const struct app *now);
void app_free(struct app *a);

#endif
