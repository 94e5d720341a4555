/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config/testing_load.h - loads a text with the sample tables and looks at what came out.
 */
#ifndef CONFIG_TESTING_LOAD_H
#define CONFIG_TESTING_LOAD_H

#include "config/testing.h"

#include "base/test.h"

#include <stdio.h>

SAMPLE struct sample_world world;
SAMPLE struct config_source source = {
    .read = sample_read, .env = sample_env, .match = sample_match, .arg = &world};
SAMPLE struct config_report report;
SAMPLE struct config *config;
SAMPLE struct sample_root *root;
SAMPLE struct text printed;

SAMPLE void
unload(void)
{
    config_free(config);
    config = NULL;
    config_report_free(&report);
    text_free(&printed);
    world = (struct sample_world){0};
}

/* True when it loads.  Whatever was loaded before is gone. */
SAMPLE bool
load(const char *text)
{
    struct sample_world kept = world;

    unload();
    world = kept;
    config_report_init(&report);
    text_init(&printed, 1 << 20);
    config = config_load_text("c.yaml", slice_str(text), &sample_root_object, &source, &report);
    root = config ? config->root : NULL;
    config_report_print(&report, &printed);
    return config != NULL;
}

/* The first message, with its place and hint but without the line. */
SAMPLE struct slice
complaint(const char *text)
{
    static char memory[4096];
    struct slice rest, line;
    struct text out;

    text_fixed(&out, memory, sizeof(memory));
    load(text);
    rest = text_slice(&printed);
    for (int n = 0; rest.n; n++) {
        line = slice_cut(&rest, '\n');
        if (n && !slice_starts(line, SLICE(" ")) && !slice_starts(line, SLICE("hint: ")))
            break;
        if (slice_starts(line, SLICE(" ")))
            continue;
        text_put(&out, n ? SLICE("; ") : SLICE(""));
        text_put(&out, line);
    }
    return text_slice(&out);
}

#define ROUTE "upstreams: {a: x:1}\nroutes: "

SAMPLE const struct sample_route *
route(size_t i)
{
    return &((const struct sample_route *) root->routes.at)[i];
}

SAMPLE const struct sample_upstream *
upstream(size_t i)
{
    return &((const struct sample_upstream *) root->upstreams.at)[i];
}

SAMPLE struct slice
string_at(struct option_list list, size_t i)
{
    return ((const struct slice *) list.at)[i];
}

#endif
