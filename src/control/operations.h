/* SPDX-License-Identifier: Apache-2.0 */
/* control/operations.h - the lists of all operations and schemas; private to the room. */
#ifndef CONTROL_OPERATIONS_H
#define CONTROL_OPERATIONS_H

#include "control/api.h"

/* One for each subject; each ends with an operation without a path.  Ends with NULL. */
extern const struct api_operation *const api_operations[];
/* Likewise, each ends with a schema without a name. */
extern const struct api_schema *const api_schemas[];

extern const struct api_operation operations_configuration[], operations_revision[],
    operations_process[], operations_server[], operations_traffic[], operations_cache[],
    operations_analytics[], operations_event[], operations_certificate[];
extern const struct api_schema schemas_configuration[], schemas_revision[], schemas_process[],
    schemas_server[], schemas_traffic[], schemas_cache[], schemas_analytics[], schemas_event[],
    schemas_certificate[];

/* The operation for a path, its parameters filled in.  NULL: none; *allowed then has a bit for each
 * method (enum method) that the path knows. */
const struct api_operation *operation_find(enum method method, struct slice path,
                                           struct slice parameters[API_PARAMETERS_MAX],
                                           uint32_t *allowed);

/* The terminal of the admin listeners' only route. */
extern const struct middleware_ops control_terminal;

/* OpenAPI 3.1 of all operations; the configuration's schemas come from the option tables. */
void openapi_write(struct text *out);

#endif
