/* SPDX-License-Identifier: Apache-2.0 */
/* base/json.c - counting the levels of a JSON text. */
#include "base/json.h"

size_t
json_levels(struct slice text)
{
    size_t level = 0, deepest = 0;
    bool quoted = false;

    for (size_t i = 0; i < text.n; i++) {
        char c = text.at[i];

        if (quoted && c == '\\')
            i++;
        else if (c == '"')
            quoted = !quoted;
        else if (!quoted && (c == '[' || c == '{'))
            deepest = ++level > deepest ? level : deepest;
        else if (!quoted && (c == ']' || c == '}') && level)
            level--;
    }
    return deepest;
}
