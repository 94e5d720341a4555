/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/middleware.h - the room's door: every middleware that is built in.
 *
 * One file each, named after what stands in `use:`.  main/builtin.c lists them; nothing else needs
 * to know that one exists.
 */
#ifndef MIDDLEWARE_MIDDLEWARE_H
#define MIDDLEWARE_MIDDLEWARE_H

#include "exchange/middleware.h"

extern const struct middleware_ops middleware_body_limit;
extern const struct middleware_ops middleware_buffer;
extern const struct middleware_ops middleware_cache;
extern const struct middleware_ops middleware_compose;
extern const struct middleware_ops middleware_esi;
extern const struct middleware_ops middleware_compress;
extern const struct middleware_ops middleware_decompress;
extern const struct middleware_ops middleware_fault;
extern const struct middleware_ops middleware_files;
extern const struct middleware_ops middleware_grpc_web;
extern const struct middleware_ops middleware_headers;
extern const struct middleware_ops middleware_hide_origin; /* by default in every chain */
extern const struct middleware_ops middleware_ip_filter;
extern const struct middleware_ops middleware_mirror;
extern const struct middleware_ops middleware_redirect;
extern const struct middleware_ops middleware_request_id;
extern const struct middleware_ops middleware_respond;
extern const struct middleware_ops middleware_rewrite;
extern const struct middleware_ops middleware_shape;
extern const struct middleware_ops middleware_status;
extern const struct middleware_ops middleware_timeouts;

/* To be copied, not to be listed: see docs/guide/writing-a-middleware.md. */
extern const struct middleware_ops middleware_skeleton;

#endif
