/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control/dashboard.h - the dashboard's files, which are part of the binary.
 *
 * web/ is bundled by tools/web while the program is built; what comes out is the table below.  The
 * page asks the admin API for everything, so that its files are no secret: they need no token.
 */
#ifndef CONTROL_DASHBOARD_H
#define CONTROL_DASHBOARD_H

#include "control/api.h"

struct dashboard_file {
    const char  *path; /* "/", "/assets/app-1A2B3C4D.js" */
    const char  *type;
    const char  *etag, *gzip_etag; /* with their quotes: two representations, two tags */
    bool         lasting; /* its name changes with its content: it may be kept for ever */
    struct slice plain, gzip;
};

/* Generated; ends with path NULL. */
extern const struct dashboard_file dashboard_files[];
/* Content-Security-Policy: nothing from elsewhere, nothing inline. */
extern const char dashboard_policy[];

/* Answers a GET or HEAD of one of its paths; false: it has no such path, nothing was done. */
bool dashboard_answer(struct api_call *c);

#endif
