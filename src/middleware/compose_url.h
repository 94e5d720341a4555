/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/compose_url.h - a URL with ${expressions} in it.  Private to compose.
 *
 * Unlike in a template, what an expression says is percent-encoded: a value that a client sends
 * stays one segment of a path, or one value of a query.  Only `path`, `raw_path`, `uri` and
 * `query`, which are in that form already, stand as they are.
 */
#ifndef MIDDLEWARE_COMPOSE_URL_H
#define MIDDLEWARE_COMPOSE_URL_H

#include "exchange/expr.h"

enum { COMPOSE_URL_MAX = 16 * 1024 };

struct compose_url;

extern const struct option_kind compose_url_option; /* [struct compose_url *] */

/* In the exchange's arena; absent when it is too long, a value is "." or "..", or there is no
 * memory. */
struct slice compose_url_render(const struct compose_url *u, struct exchange *x);

#endif
