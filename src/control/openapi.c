/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control/openapi.c - the description of the API (OpenAPI 3.1), out of the tables of operations;
 * the configuration's own schema out of the tables of options.
 */
#include "base/check.h"
#include "control/operations.h"
#include "control/room.h"

#include <string.h>

enum { SCHEMA_MAX = 16 * 1024 * 1024 };

static json_t *
reference(const char *schema)
{
    return json_pack("{s:s+}", "$ref", "#/components/schemas/", schema);
}

static void
add_media(json_t *content, const char *type, const char *schema)
{
    json_object_set_new(content, type,
                        schema ? json_pack("{s:o}", "schema", reference(schema)) : json_object());
}

static json_t *
content(const char *type, const char *schema)
{
    json_t *all = json_object();

    add_media(all, type ? type : "application/json", schema);
    return all;
}

static bool
is_configuration(const char *schema)
{
    return schema && strcmp(schema, "Configuration") == 0;
}

static bool
is_patch(const char *schema)
{
    return schema && strcmp(schema, "Patch") == 0;
}

/* What stands at a JSON Pointer into the configuration. */
static bool
is_at_pointer(const struct api_operation *o)
{
    return strstr(o->path, "{rest}") != NULL;
}

/* Whatever takes a whole configuration takes a patch of the one in force too. */
static json_t *
body_content(const struct api_operation *o)
{
    bool whole = is_configuration(o->body) && !is_at_pointer(o);
    json_t *all = json_object();

    if (!is_patch(o->body))
        add_media(all, "application/json", o->body);
    if (is_patch(o->body) || whole) {
        add_media(all, "application/merge-patch+json", "Patch");
        add_media(all, "application/json-patch+json", "Patch");
    }
    if (is_patch(o->body) || is_configuration(o->body))
        add_media(all, "application/yaml", o->body);
    return all;
}

static json_t *
answer_content(const struct api_operation *o)
{
    json_t *all = content(o->type, o->answer);

    if (is_configuration(o->answer))
        add_media(all, "application/yaml", o->answer);
    return all;
}

/* "/v1/config{rest}" is "/v1/config{rest}" there too, where "{rest}" may hold slashes. */
static void
add_path_parameters(json_t *list, const char *path)
{
    for (const char *at = strchr(path, '{'); at; at = strchr(at + 1, '{')) {
        const char *end = strchr(at, '}');
        bool rest = strncmp(at, "{rest}", 6) == 0;

        json_array_append_new(
            list, json_pack("{s:s%, s:s, s:b, s:s, s:{s:s}}", "name", at + 1,
                            (size_t) (end - at - 1), "in", "path", "required", 1, "description",
                            rest ? "A JSON Pointer (RFC 6901), with its leading slash; may be "
                                   "empty, and hold slashes."
                                 : "Percent-encoded.",
                            "schema", "type", "string"));
    }
}

/* It can ask for what it changes to be as it was read. */
static bool
changes_configuration(const struct api_operation *o)
{
    return o->writes && o->answer && strcmp(o->answer, "Change") == 0;
}

static void
add_condition(json_t *list)
{
    json_array_append_new(
        list, json_pack("{s:s, s:s, s:s, s:{s:s}}", "name", "If-Match", "in", "header",
                        "description",
                        "The ETag that came with what is to be changed: answers 412 when that is "
                        "another by now (RFC 9110).",
                        "schema", "type", "string"));
}

static json_t *
parameters(const struct api_operation *o)
{
    json_t *list = json_array();

    add_path_parameters(list, o->path);
    for (size_t i = 0; i < countof(o->query) && o->query[i].name; i++)
        json_array_append_new(
            list, json_pack("{s:s, s:s, s:s, s:{s:s}}", "name", o->query[i].name, "in", "query",
                            "description", o->query[i].doc, "schema", "type", o->query[i].type));
    if (changes_configuration(o))
        add_condition(list);
    return list;
}

static json_t *
responses(const struct api_operation *o)
{
    unsigned success = o->success ? o->success : o->answer || o->type ? 200 : 204;
    json_t *all = json_object(), *good;
    char status[12];

    snprintf(status, sizeof(status), "%u", success);
    good = json_pack("{s:s}", "description", o->summary);
    if (o->answer || o->type)
        json_object_set_new(good, "content", answer_content(o));
    json_object_set_new(all, status, good);
    json_object_set_new(all, "default",
                        json_pack("{s:s, s:o}", "description", "A problem (RFC 9457).", "content",
                                  content("application/problem+json", "Problem")));
    return all;
}

static json_t *
describe(const struct api_operation *o)
{
    json_t *d = json_pack("{s:s, s:o, s:o, s:s, s:[{s:[]}]}", "summary", o->summary, "parameters",
                          parameters(o), "responses", responses(o), "x-right",
                          api_rights[o->right], "security", "token");

    if (o->doc)
        json_object_set_new(d, "description", json_string(o->doc));
    if (o->body)
        json_object_set_new(d, "requestBody",
                            json_pack("{s:b, s:o}", "required", 1, "content", body_content(o)));
    return d;
}

static json_t *
paths(void)
{
    json_t *all = json_object();

    for (size_t i = 0; api_operations[i]; i++)
        for (const struct api_operation *o = api_operations[i]; o->path; o++) {
            json_t *path = json_object_get(all, o->path);
            char method[16];
            struct slice name = method_name(o->method);

            CHECK(name.n < sizeof(method));
            for (size_t j = 0; j < name.n; j++)
                method[j] = ascii_lower(name.at[j]);
            method[name.n] = '\0';
            if (!path) {
                path = json_object();
                json_object_set_new(all, o->path, path);
            }
            json_object_set_new(path, method, describe(o));
        }
    return all;
}

static const char problem_schema[] =
    "{\"type\":\"object\",\"required\":[\"type\",\"title\",\"status\",\"detail\"],\"properties\":{"
    "\"type\":{\"type\":\"string\"},\"title\":{\"type\":\"string\"},\"status\":{\"type\":"
    "\"integer\"},\"detail\":{\"type\":\"string\"},\"text\":{\"type\":\"string\"},\"errors\":{"
    "\"type\":\"array\",\"items\":{\"type\":\"object\",\"required\":[\"severity\",\"detail\"],"
    "\"properties\":{\"severity\":{\"enum\":[\"error\",\"warning\"]},\"detail\":{\"type\":"
    "\"string\"},\"file\":{\"type\":\"string\"},\"line\":{\"type\":\"integer\"},\"column\":{"
    "\"type\":\"integer\"},\"hint\":{\"type\":\"string\"},\"pointer\":{\"type\":\"string\"}}}}}}";

static void
add_schema(json_t *all, const char *name, const char *text)
{
    json_object_set_new(all, name, json_loads(text, 0, NULL));
}

/* A schema that is no document of its own any more: its references begin at the root of the whole
 * one. */
static void
move_references(json_t *schema, const char *place)
{
    const char *to = json_string_value(json_object_get(schema, "$ref")), *key;
    json_t *part;
    size_t i;

    if (to && to[0] == '#')
        json_object_set_new(schema, "$ref", json_pack("s++", "#", place, to + 1));
    json_object_foreach (schema, key, part)
        move_references(part, place);
    json_array_foreach (schema, i, part)
        move_references(part, place);
}

/* What every part of the configuration may be: its own definitions, from the tables. */
static json_t *
configuration_schema(void)
{
    const struct snapshot *s = control_host()->snapshot(control_host()->current());
    struct text t;
    json_t *schema;

    text_init(&t, SCHEMA_MAX);
    config_write_schema(s->config->type, "maitred", &t);
    schema = t.full ? NULL : json_loadb(t.at, t.n, 0, NULL);
    text_free(&t);
    move_references(schema, "/components/schemas/Maitred");
    return schema ? schema : json_object();
}

static json_t *
schemas(void)
{
    json_t *all = json_object();

    add_schema(all, "Problem", problem_schema);
    json_object_set_new(all, "Maitred", configuration_schema());
    for (size_t i = 0; api_schemas[i]; i++)
        for (const struct api_schema *s = api_schemas[i]; s->name; s++)
            add_schema(all, s->name, s->json);
    return all;
}

static int
append(const char *at, size_t n, void *out)
{
    text_put(out, slice_of(at, n));
    return 0;
}

void
openapi_write(struct text *out)
{
    json_t *all = json_pack(
        "{s:s, s:{s:s, s:s, s:s}, s:o, s:{s:o, s:{s:{s:s, s:s}}}}", "openapi", "3.1.0", "info",
        "title", "maitred", "version", MAITRED_VERSION, "description",
        "Everything that the configuration can say and everything that runs.", "paths", paths(),
        "components", "schemas", schemas(), "securitySchemes", "token", "type", "http", "scheme",
        "bearer");

    if (json_dump_callback(all, append, out, JSON_COMPACT) != 0)
        out->full = true;
    text_byte(out, '\n');
    json_decref(all);
}
