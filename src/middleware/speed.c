/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/speed.c - see speed.h.
 */
#include "middleware/speed.h"

/* A size, and the second that everybody means. */
static bool
speed_parse(struct config_bind *b, const struct option *o, const struct config_node *node,
            void *out)
{
    struct config_node size = *node;

    if (node->kind == CONFIG_SCALAR && slice_ends(node->text, SLICE("/s")))
        size.text.n -= 2;
    return option_bytes.parse(b, o, &size, out);
}

static void
speed_schema(const struct option *o, struct text *out)
{
    (void) o;
    text_literal(out, "{\"type\":[\"integer\",\"string\"]}");
}

const struct option_kind speed_option = {
    .name = "speed",
    .syntax = "`10KiB/s`, `1MiB/s`",
    .size = sizeof(uint64_t),
    .parse = speed_parse,
    .schema = speed_schema,
};
