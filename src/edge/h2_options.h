/* SPDX-License-Identifier: Apache-2.0 */
/* edge/h2_options.h - what can be configured of HTTP/2 on a listener. */
#ifndef EDGE_H2_OPTIONS_H
#define EDGE_H2_OPTIONS_H

#include "config/option.h"

struct h2_options {
    bool               enabled;
    int64_t            max_streams;
    uint64_t           window;
    uint64_t           connection_window;
    int64_t            max_continuations;
    struct option_rate resets;
    struct option_rate control_frames;
};

extern const struct option_object h2_object;

#endif
