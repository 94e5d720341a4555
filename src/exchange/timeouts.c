/* SPDX-License-Identifier: Apache-2.0 */
/* exchange/timeouts.c - how long exchanges wait when nothing is configured. */
#include "exchange/exchange.h"

const struct exchange_timeouts exchange_default_timeouts = {
    .connect_us = 5000000,
    .response_us = 60000000,
    .send_us = 60000000,
    .body_us = 60000000,
    .total_us = 0,
    .tunnel_us = 3600000000,
};
