/* SPDX-License-Identifier: Apache-2.0 */
/* control/operations.c - everything that the API can do, and which of it a path means. */
#include "control/operations.h"

const struct api_operation *const api_operations[] = {
    operations_process, operations_configuration, operations_revision,  operations_server,
    operations_cache,   operations_traffic,       operations_analytics, operations_event,
    operations_certificate, NULL,
};

const struct api_schema *const api_schemas[] = {
    schemas_process, schemas_configuration, schemas_revision,  schemas_server,
    schemas_cache,   schemas_traffic,       schemas_analytics, schemas_event,
    schemas_certificate, NULL,
};

/* Does the path fit the pattern?  A last {rest} takes what is left. */
static bool
fits(const char *pattern, struct slice path, struct slice parameters[API_PARAMETERS_MAX])
{
    struct slice rest = slice_str(pattern);
    size_t n = 0;

    while (rest.n) {
        struct slice want, have;

        if (slice_eq(rest, SLICE("{rest}"))) {
            parameters[n] = path.n ? path : SLICE("");
            return path.n == 0 || path.at[0] == '/';
        }
        if (path.n == 0 || path.at[0] != '/')
            return false;
        rest = slice_from(rest, 1);
        path = slice_from(path, 1);
        want = slice_first(rest, slice_find(rest, '/'));
        if (slice_ends(want, SLICE("{rest}")) && want.n > 6)
            want = slice_first(want, want.n - 6);
        have = slice_first(path, slice_find(path, '/'));
        rest = slice_from(rest, want.n);
        path = slice_from(path, have.n);
        if (want.n && want.at[0] == '{') {
            if (have.n == 0 || n == API_PARAMETERS_MAX)
                return false;
            parameters[n++] = have;
        } else if (!slice_eq(want, have)) {
            return false;
        }
    }
    return path.n == 0;
}

const struct api_operation *
operation_find(enum method method, struct slice path,
               struct slice parameters[API_PARAMETERS_MAX], uint32_t *allowed)
{
    *allowed = 0;
    for (size_t i = 0; api_operations[i]; i++)
        for (const struct api_operation *o = api_operations[i]; o->path; o++) {
            if (!fits(o->path, path, parameters))
                continue;
            if (o->method == method || (o->method == METHOD_GET && method == METHOD_HEAD))
                return o;
            *allowed |= 1u << o->method;
        }
    return NULL;
}
