/* SPDX-License-Identifier: Apache-2.0 */
/* edge/h2_options.c - what can be configured of HTTP/2 on a listener. */
#include "edge/h2_options.h"

/* Windows end at 2^31 - 1 (RFC 9113 6.9.1); below 65535 the client may have sent more than the
 * window before it hears of it. */
static const struct option h2_options[] = {
    {"enabled", &option_bool, offsetof(struct h2_options, enabled), .preset = "true",
     .doc =
         "Speak HTTP/2: with clients that ask for it by ALPN where the listener has TLS, else with "
         "those that begin with its preface."},
    {"max_streams", &option_int, offsetof(struct h2_options, max_streams), .preset = "128",
     .min = 1, .max = 65535,
     .doc =
         "How many requests one connection may have under way; a request that the client gave up "
         "counts until it has really ended."},
    {"window", &option_bytes, offsetof(struct h2_options, window), .preset = "64KiB",
     .min = 65535, .max = 16777216,
     .doc = "How much of one request's body is taken in before somebody wants it."},
    {"connection_window", &option_bytes, offsetof(struct h2_options, connection_window),
     .preset = "1MiB", .min = 65535, .max = 1073741824,
     .doc = "The same for all requests of a connection together."},
    {"max_continuations", &option_int, offsetof(struct h2_options, max_continuations),
     .preset = "8", .max = 64,
     .doc = "In how many CONTINUATION frames the fields of a request may go on."},
    {"resets", &option_rate_kind, offsetof(struct h2_options, resets), .preset = "300/m",
     .doc =
         "How many requests a client may give up, or spoil so that they are reset: so many at "
         "once, then at this rate (\"rapid reset\", CVE-2023-44487; \"MadeYouReset\", "
         "CVE-2025-8671)."},
    {"control_frames", &option_rate_kind, offsetof(struct h2_options, control_frames),
     .preset = "3000/m",
     .doc =
         "How many frames that carry nothing (SETTINGS, PING, PRIORITY, WINDOW_UPDATE, empty DATA "
         "and unknown ones) a client may send beyond what the answers call for: so many at once, "
         "then at this rate."},
    {NULL},
};

const struct option_object h2_object = {
    .name = "http2",
    .doc = "HTTP/2 on a listener; `true` or `false` may stand for it.",
    .size = sizeof(struct h2_options),
    .options = h2_options,
    .shorthand = "enabled",
    .takes_defaults = true,
};
