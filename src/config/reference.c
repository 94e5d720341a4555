/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config/reference.c - the tables as Markdown, for docs/reference/.
 */
#include "config/describe.h"
#include "config/units.h"

#include "base/check.h"

enum { KINDS_MAX = 64 };

struct reference {
    struct description        types;
    const struct option_kind *kinds[KINDS_MAX]; /* that were mentioned, for the table at the end */
    size_t                    n_kinds;
    struct text              *out;
};

/* Text of a cell: a bar would end it, a line break the table. */
static void
put_cell(struct text *out, const char *text)
{
    for (; text && *text; text++) {
        if (*text == '|')
            text_byte(out, '\\');
        text_byte(out, *text == '\n' ? ' ' : *text);
    }
}

static void
put_link(struct reference *r, const struct option_object *object)
{
    text_byte(r->out, '[');
    text_put(r->out, slice_str(object->name));
    text_literal(r->out, "](#");
    describe_name(&r->types, object, r->out);
    text_byte(r->out, ')');
}

static void
mention(struct reference *r, const struct option_kind *kind)
{
    for (size_t i = 0; i < r->n_kinds; i++)
        if (r->kinds[i] == kind)
            return;
    if (r->n_kinds < KINDS_MAX)
        r->kinds[r->n_kinds++] = kind;
}

/* ------------------------------------------------------------------ the columns */

static void
put_item_type(struct reference *r, const struct option *o)
{
    if (o->kind == &option_objects) {
        put_link(r, o->object);
    } else if (o->kind == &option_variants) {
        for (size_t i = 0; o->variants[i]; i++) {
            text_put(r->out, i ? SLICE(", ") : SLICE("one of "));
            put_link(r, o->variants[i]);
        }
    } else if (o->kind == &option_choice) {
        for (size_t i = 0; o->choices[i]; i++) {
            text_printf(r->out, "%s`", i ? ", " : "");
            put_cell(r->out, o->choices[i]);
            text_byte(r->out, '`');
        }
    } else if (o->kind == &option_pairs) {
        text_put(r->out, o->flags & OPTION_MAP ? SLICE("string") : SLICE("name: string"));
        mention(r, &option_string);
    } else {
        text_put(r->out, slice_str(o->kind->name));
        mention(r, o->kind);
    }
}

static void
put_type(struct reference *r, const struct option *o)
{
    if (o->flags & OPTION_MAP)
        text_literal(r->out, "map of name: ");
    else if (o->flags & OPTION_LIST)
        text_literal(r->out, "list of ");
    put_item_type(r, o);
}

static void
put_default(struct reference *r, const struct option *o)
{
    if (o->flags & OPTION_REQUIRED) {
        text_literal(r->out, "required");
    } else if (o->preset && *o->preset) {
        text_byte(r->out, '`');
        put_cell(r->out, o->preset);
        text_byte(r->out, '`');
    }
}

static void
put_bound(struct text *out, const struct option *o, int64_t value)
{
    text_byte(out, '`');
    if (o->kind == &option_bytes)
        units_write_bytes(out, (uint64_t) value);
    else if (o->kind == &option_duration)
        units_write_duration(out, (uint64_t) value);
    else if (o->kind == &option_percent)
        units_write_percent(out, (uint64_t) value);
    else
        units_write_int(out, value);
    text_byte(out, '`');
}

static void
put_bounds(struct text *out, const struct option *o)
{
    if (o->min == 0 && o->max == 0)
        return;
    if (o->max == INT64_MAX) {
        text_literal(out, " At least ");
        put_bound(out, o, o->min);
    } else if (o->min == INT64_MIN) {
        text_literal(out, " At most ");
        put_bound(out, o, o->max);
    } else {
        text_literal(out, " From ");
        put_bound(out, o, o->min);
        text_literal(out, " to ");
        put_bound(out, o, o->max);
    }
    text_byte(out, '.');
}

static void
put_option(struct reference *r, const struct option *o)
{
    text_printf(r->out, "| `%s` | ", o->name);
    put_type(r, o);
    text_literal(r->out, " | ");
    put_default(r, o);
    text_literal(r->out, " | ");
    put_cell(r->out, o->doc);
    put_bounds(r->out, o);
    if (o->flags & OPTION_SECRET)
        text_literal(r->out, " Secret: masked wherever the configuration is shown.");
    text_literal(r->out, " |\n");
}

/* ------------------------------------------------------------------ the sections */

static bool
takes_list(const struct option_object *object)
{
    for (const struct option *o = object->options; o && o->name; o++)
        if (strcmp(o->name, object->shorthand) == 0)
            return o->flags & OPTION_LIST;
    return false;
}

static void
put_heading(struct reference *r, const struct described *type)
{
    if (type->number > 1) { /* the anchor of the heading belongs to the first of that name */
        text_literal(r->out, "<a id=\"");
        describe_name(&r->types, type->object, r->out);
        text_literal(r->out, "\"></a>\n\n");
    }
    text_printf(r->out, "## %s\n\n%s\n\n", type->object->name,
                type->object->doc ? type->object->doc : "");
    if (type->object->shorthand)
        text_printf(r->out, "%s in its place stands for `%s`.\n\n",
                    takes_list(type->object) ? "A single value or a list" : "A single value",
                    type->object->shorthand);
    if (type->object->takes_defaults)
        text_printf(r->out,
                    "What is absent comes from `defaults: {%s: {...}}`, if that is there.\n\n",
                    type->object->name);
}

static void
put_section(struct reference *r, const struct described *type, bool is_root)
{
    const struct option *o = type->object->options;

    put_heading(r, type);
    if (!o || !o->name) {
        text_literal(r->out, "It has no options.\n\n");
        return;
    }
    text_literal(r->out, "| option | type | default | meaning |\n|---|---|---|---|\n");
    if (is_root)
        text_literal(
            r->out,
            "| `version` | integer | `1` | Version of the configuration language. |\n"
            "| `include` | list of path | | Files to join in at this place, relative to this "
            "one; may hold `*`. |\n"
            "| `defaults` | map | | Options for all objects of a type; what an object says "
            "itself wins. |\n");
    for (; o->name; o++)
        if (describe_shows(type, o))
            put_option(r, o);
    text_byte(r->out, '\n');
}

static void
put_kinds(struct reference *r)
{
    text_literal(r->out,
                 "## Values\n\nAny value may hold `${env:NAME}`, `${env:NAME:-fallback}` or "
                 "`${file:/path}`; `$${env:NAME}` is the text itself.\n\n"
                 "| type | written as |\n|---|---|\n");
    for (size_t i = 0; i < r->n_kinds; i++) {
        text_printf(r->out, "| %s | ", r->kinds[i]->name);
        put_cell(r->out, r->kinds[i]->syntax);
        text_literal(r->out, " |\n");
    }
}

void
config_write_reference(const struct option_object *type, struct text *out)
{
    struct reference r = {.out = out};

    if (!describe(&r.types, type))
        out->full = true;
    for (size_t i = 0; i < r.types.n; i++)
        put_section(&r, &r.types.types[i], i == 0);
    put_kinds(&r);
    describe_free(&r.types);
}
