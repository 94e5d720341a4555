/* SPDX-License-Identifier: Apache-2.0 */
/* main/builtin.h - everything that is compiled in and chosen by name. */
#ifndef MAIN_BUILTIN_H
#define MAIN_BUILTIN_H

#include "exchange/middleware.h"

/* Ends with NULL; a route's `use` knows them as middleware_objects (exchange/route.h). */
extern const struct middleware_ops *const builtin_middleware[];

#endif
