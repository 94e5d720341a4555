/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config/schema.c - the tables as a JSON Schema (draft 2020-12), for editors and the REST API.
 *
 * Every type of object has a definition, so that types may contain themselves.  Where the loader
 * accepts a short form, the schema offers both.
 */
#include "config/describe.h"

#include "base/check.h"

struct schema {
    struct description types;
    struct text       *out;
};

enum body_how { BODY_OBJECT, BODY_ROOT, BODY_DEFAULTS };

static void
put_string(struct text *out, struct slice s)
{
    text_byte(out, '"');
    text_json(out, s);
    text_byte(out, '"');
}

static void
put_reference(struct schema *s, const struct option_object *object)
{
    text_literal(s->out, "{\"$ref\":\"#/$defs/");
    describe_name(&s->types, object, s->out);
    text_literal(s->out, "\"}");
}

/* ------------------------------------------------------------------ defaults of options */

static bool
is_number(struct slice s)
{
    size_t digits = s.n && s.at[0] == '-';
    uint64_t ignored;

    return slice_to_u64(slice_from(s, digits), UINT64_MAX, &ignored) &&
           (s.at[digits] != '0' || s.n == 1);
}

/* In the type that an editor would insert. */
static void
put_preset(struct schema *s, const struct option *o)
{
    struct slice preset = slice_str(o->preset);

    if (preset.n && strchr("[{\"'", preset.at[0])) /* has structure: shown in the reference only */
        return;
    text_literal(s->out, ",\"default\":");
    if (o->kind == &option_bool)
        text_put(s->out, strchr("ty", preset.at[0]) || slice_eq(preset, SLICE("on"))
                             ? SLICE("true")
                             : SLICE("false"));
    else if ((o->kind == &option_int || o->kind == &option_bytes) && is_number(preset))
        text_put(s->out, preset);
    else
        put_string(s->out, preset);
}

/* ------------------------------------------------------------------ one option */

/* {"anyOf":[a name without options, {"name":{...}}, ...]} */
static void
put_variants(struct schema *s, const struct option *o)
{
    text_literal(s->out, "{\"anyOf\":[{\"enum\":[");
    for (size_t i = 0; o->variants[i]; i++) {
        text_put(s->out, i ? SLICE(",") : SLICE(""));
        put_string(s->out, slice_str(o->variants[i]->name));
    }
    text_literal(s->out, "]},{\"type\":\"object\",\"minProperties\":1,\"maxProperties\":1,"
                         "\"additionalProperties\":false,\"properties\":{");
    for (size_t i = 0; o->variants[i]; i++) {
        text_put(s->out, i ? SLICE(",") : SLICE(""));
        put_string(s->out, slice_str(o->variants[i]->name));
        text_literal(s->out, ":{\"anyOf\":[{\"type\":\"null\"},");
        put_reference(s, o->variants[i]);
        text_literal(s->out, "]}");
    }
    text_literal(s->out, "}}]}");
}

/* One value, or one item of a list. */
static void
put_item(struct schema *s, const struct option *o)
{
    if (o->kind == &option_objects)
        put_reference(s, o->object);
    else if (o->kind == &option_variants)
        put_variants(s, o);
    else
        o->kind->schema(o, s->out);
}

static void
put_value(struct schema *s, const struct option *o)
{
    if (o->flags & OPTION_MAP) {
        text_literal(s->out, "{\"type\":\"object\",\"additionalProperties\":");
        put_item(s, o);
        text_byte(s->out, '}');
    } else if (o->flags & OPTION_LIST) {
        text_literal(s->out, "{\"anyOf\":[{\"type\":\"array\",\"items\":");
        put_item(s, o);
        text_literal(s->out, "},");
        put_item(s, o);
        text_literal(s->out, "]}");
    } else {
        put_item(s, o);
    }
}

static void
put_option(struct schema *s, const struct option *o)
{
    put_string(s->out, slice_str(o->name));
    text_literal(s->out, ":{\"description\":");
    put_string(s->out, slice_str(o->doc ? o->doc : ""));
    if (o->preset)
        put_preset(s, o);
    if (o->flags & OPTION_SECRET)
        text_literal(s->out, ",\"writeOnly\":true");
    text_literal(s->out, ",\"allOf\":[");
    put_value(s, o);
    text_literal(s->out, "]}");
}

/* ------------------------------------------------------------------ objects */

static void put_body(struct schema *s, const struct described *type, enum body_how how);

static void
put_defaults(struct schema *s)
{
    const char *comma = "";

    text_literal(s->out,
                 "\"defaults\":{\"description\":\"Options for all objects of a type; what an "
                 "object says itself wins.\",\"type\":\"object\","
                 "\"additionalProperties\":false,\"properties\":{");
    for (size_t i = 0; i < s->types.n; i++) {
        const struct described *type = &s->types.types[i];

        if (!type->object->takes_defaults || type->number > 1)
            continue;
        text_put(s->out, slice_str(comma));
        put_string(s->out, slice_str(type->object->name));
        text_byte(s->out, ':');
        put_body(s, type, BODY_DEFAULTS);
        comma = ",";
    }
    text_literal(s->out, "}}");
}

/* The keys that the engine itself reads. */
static void
put_engine_keys(struct schema *s)
{
    text_literal(
        s->out,
        "\"version\":{\"description\":\"Version of the configuration language.\",\"enum\":[1,"
        "\"1\"]},"
        "\"include\":{\"description\":\"Files to join in, relative to this one; may hold `*`.\","
        "\"anyOf\":[{\"type\":\"string\"},{\"type\":\"array\",\"items\":{\"type\":\"string\"}}]"
        "},");
    put_defaults(s);
}

static void
put_required(struct schema *s, const struct described *type)
{
    const char *comma = "";

    text_literal(s->out, ",\"required\":[");
    for (const struct option *o = type->object->options; o && o->name; o++) {
        if (!(o->flags & OPTION_REQUIRED) || !describe_shows(type, o))
            continue;
        text_put(s->out, slice_str(comma));
        put_string(s->out, slice_str(o->name));
        comma = ",";
    }
    text_byte(s->out, ']');
}

static void
put_body(struct schema *s, const struct described *type, enum body_how how)
{
    const char *comma = how == BODY_ROOT ? "," : "";

    text_literal(s->out, "{\"type\":\"object\",\"properties\":{");
    if (how == BODY_ROOT)
        put_engine_keys(s);
    for (const struct option *o = type->object->options; o && o->name; o++) {
        if (!describe_shows(type, o))
            continue;
        text_put(s->out, slice_str(comma));
        put_option(s, o);
        comma = ",";
    }
    text_literal(s->out, "},\"additionalProperties\":false");
    /* What a file lacks may come from its defaults, or from another file. */
    if (how == BODY_OBJECT && !type->object->takes_defaults)
        put_required(s, type);
    text_byte(s->out, '}');
}

static const struct option *
shorthand_of(const struct option_object *object)
{
    for (const struct option *o = object->options; object->shorthand && o && o->name; o++)
        if (strcmp(o->name, object->shorthand) == 0)
            return o;
    return NULL;
}

static void
put_definition(struct schema *s, const struct described *type)
{
    const struct option *shorthand = shorthand_of(type->object);

    text_byte(s->out, '"');
    describe_name(&s->types, type->object, s->out);
    text_literal(s->out, "\":{\"description\":");
    put_string(s->out, slice_str(type->object->doc ? type->object->doc : ""));
    text_literal(s->out, ",\"anyOf\":[");
    put_body(s, type, BODY_OBJECT);
    if (shorthand) {
        text_byte(s->out, ',');
        put_value(s, shorthand);
    }
    text_literal(s->out, "]}");
}

void
config_write_schema(const struct option_object *type, const char *title, struct text *out)
{
    struct schema s = {.out = out};

    if (!describe(&s.types, type))
        out->full = true;
    text_literal(out, "{\"$schema\":\"https://json-schema.org/draft/2020-12/schema\",\"title\":");
    put_string(out, slice_str(title));
    text_literal(out, ",\"description\":");
    put_string(out, slice_str(type->doc ? type->doc : ""));
    text_literal(out, ",\"allOf\":[");
    if (s.types.n)
        put_body(&s, &s.types.types[0], BODY_ROOT);
    text_literal(out, "],\"$defs\":{");
    for (size_t i = 1; i < s.types.n; i++) {
        text_put(out, i > 1 ? SLICE(",\n") : SLICE("\n"));
        put_definition(&s, &s.types.types[i]);
    }
    text_literal(out, "}}\n");
    describe_free(&s.types);
}
