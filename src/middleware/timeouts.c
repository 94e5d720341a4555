/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/timeouts.c - how long this route may wait.
 *
 *     - timeouts: {response: 10m, total: 1h}
 */
#include "base/check.h"
#include "exchange/exchange.h"
#include "middleware/middleware.h"

/* First, so that whoever reports a time-out can name the option: its place in the configuration is
 * found by the field's address. */
struct timeouts {
    struct exchange_timeouts limits;
};

#define SECOND_US INT64_C(1000000)
#define DAY_US    (86400 * SECOND_US)

static void
timeouts_handle(const struct middleware *self, struct exchange *x)
{
    const struct timeouts *t = self->config;

    x->timeouts = &t->limits;
    exchange_next(x);
}

static void
timeouts_explain(const struct middleware *self, struct exchange *x, struct text *out)
{
    const struct exchange_timeouts *t = &((const struct timeouts *) self->config)->limits;

    x->timeouts = t; /* as handle() would: whoever explains what is further in says these */
    text_printf(out, "waits %.3g s for a connection, %.3g s for a response",
                (double) t->connect_us / 1e6, (double) t->response_us / 1e6);
}

static const struct option timeouts_options[] = {
    {"connect", &option_duration, offsetof(struct timeouts, limits.connect_us), .preset = "5s",
     .min = 1000, .max = DAY_US, .doc = "Until a server accepts a new connection."},
    {"response", &option_duration, offsetof(struct timeouts, limits.response_us), .preset = "60s",
     .min = 1000, .max = 30 * DAY_US,
     .doc = "From the end of the request to the start of the response, and between two pieces of "
            "it."},
    {"send", &option_duration, offsetof(struct timeouts, limits.send_us), .preset = "60s",
     .min = 1000, .max = 30 * DAY_US,
     .doc = "Until a server or client that we send to takes some more bytes."},
    {"body", &option_duration, offsetof(struct timeouts, limits.body_us), .preset = "60s",
     .min = 1000, .max = 30 * DAY_US, .doc = "Between two pieces of the client's body."},
    {"total", &option_duration, offsetof(struct timeouts, limits.total_us), .preset = "0",
     .max = 30 * DAY_US,
     .doc = "From the head of the request to the last byte of the response; 0 is no limit."},
    {"tunnel", &option_duration, offsetof(struct timeouts, limits.tunnel_us), .preset = "1h",
     .min = 1000, .max = 30 * DAY_US,
     .doc = "Silence in both directions on an upgraded connection, such as a WebSocket."},
    {NULL},
};

const struct middleware_ops middleware_timeouts = {
    .options =
        {
            .name = "timeouts",
            .doc = "How long this route may wait. Each but `total` measures silence: every byte "
                   "that moves starts it anew.",
            .size = sizeof(struct timeouts),
            .options = timeouts_options,
            .takes_defaults = true,
            .ops = &middleware_timeouts,
        },
    .handle = timeouts_handle,
    .explain = timeouts_explain,
};
