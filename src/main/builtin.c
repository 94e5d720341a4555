/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main/builtin.c - the one list of everything compiled in.  A new middleware is one file in
 * middleware/ and one line here.
 */
#include "main/builtin.h"

#include "exchange/route.h"
#include "middleware/middleware.h"

#define BUILTIN_MIDDLEWARE(X)                                                                     \
    X(middleware_body_limit)                                                                      \
    X(middleware_buffer)                                                                          \
    X(middleware_cache)                                                                           \
    X(middleware_compose)                                                                         \
    X(middleware_esi)                                                                             \
    X(middleware_compress)                                                                        \
    X(middleware_decompress)                                                                      \
    X(middleware_fault)                                                                           \
    X(middleware_files)                                                                           \
    X(middleware_grpc_web)                                                                        \
    X(middleware_headers)                                                                         \
    X(middleware_hide_origin)                                                                     \
    X(middleware_ip_filter)                                                                       \
    X(middleware_mirror)                                                                          \
    X(middleware_redirect)                                                                        \
    X(middleware_request_id)                                                                      \
    X(middleware_respond)                                                                         \
    X(middleware_rewrite)                                                                         \
    X(middleware_shape)                                                                           \
    X(middleware_status)                                                                          \
    X(middleware_timeouts)

const struct middleware_ops *const builtin_middleware[] = {
#define OPS(ops) &ops,
    BUILTIN_MIDDLEWARE(OPS)
#undef OPS
    NULL,
};

const struct option_object *const middleware_objects[] = {
#define OBJECT(ops) &ops.options,
    BUILTIN_MIDDLEWARE(OBJECT)
#undef OBJECT
    NULL,
};
