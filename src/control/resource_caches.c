/* SPDX-License-Identifier: Apache-2.0 */
/* control/resource_caches.c - what caches keep, and letting go of it. */
#include "control/events.h"
#include "control/operations.h"
#include "control/room.h"
#include "middleware/cache/stores.h"

#include <string.h>

enum { STATUS_MAX = 64 * 1024 * 1024 };

static void
caches_get(struct api_call *c)
{
    struct text t;

    text_init(&t, STATUS_MAX);
    text_byte(&t, '{');
    cache_stores_write_status(control_host()->snapshot(control_host()->current())->routes, &t);
    text_literal(&t, "}\n");
    api_answer(c, 200, &t);
}

/* What the body names.  False after answering 400. */
static bool
take_purge(struct api_call *c, json_t *body, enum cache_purge_kind *kind, struct slice *what,
           bool *soft)
{
    static const char *const names[] = {
        [CACHE_PURGE_URL] = "url",   [CACHE_PURGE_PREFIX] = "prefix", [CACHE_PURGE_HOST] = "host",
        [CACHE_PURGE_TAG] = "tag",   [CACHE_PURGE_ALL] = "all",
    };
    unsigned found = 0;
    const char *key;
    json_t *value;

    json_object_foreach (body, key, value) {
        bool known = strcmp(key, "soft") == 0 && json_is_boolean(value);

        if (known)
            *soft = json_is_true(value);
        for (size_t i = 0; i < countof(names); i++)
            if (strcmp(key, names[i]) == 0 &&
                (i == CACHE_PURGE_ALL ? json_is_true(value) : json_string_length(value) > 0)) {
                *kind = (enum cache_purge_kind) i;
                *what = arena_copy(&c->x->arena,
                                   slice_of(json_string_value(value), json_string_length(value)));
                known = true;
                found++;
            }
        if (!known) {
            api_problem(c, 400, "bad_value", "`%s` is not understood", key);
            return false;
        }
    }
    if (found == 1)
        return true;
    api_problem(c, 400, "bad_value",
                "say what: one of url, prefix, host or tag with a text, or all with true");
    return false;
}

/* What is wrong with what was named. */
static const char *
purge_fault(enum cache_purge_kind kind, enum err e)
{
    const char *sentence = err_sentence(e);

    if (e != ERR_MALFORMED)
        return sentence;
    switch (kind) {
    case CACHE_PURGE_URL:
        sentence = "write a URL with a host, such as http://host/path";
        break;
    case CACHE_PURGE_PREFIX:
        sentence = "write a host and how its paths begin, such as host/path";
        break;
    case CACHE_PURGE_HOST:
        sentence = "write a host without a path, such as www.example.com";
        break;
    case CACHE_PURGE_TAG:
    case CACHE_PURGE_ALL: break;
    }
    return sentence;
}

static void
purge_post(struct api_call *c)
{
    json_t *body = api_json(c);
    enum cache_purge_kind kind = CACHE_PURGE_ALL;
    struct slice what = SLICE("");
    bool soft = false;
    enum err e;

    if (!body)
        return;
    if (take_purge(c, body, &kind, &what, &soft)) {
        e = cache_stores_purge(c->parameters[0], kind, what, soft);
        if (e == ERR_NOT_FOUND)
            api_problem(c, 404, "not_found", "there is no store `%.*s`",
                        SLICE_ARG(c->parameters[0]));
        else if (e != OK)
            api_problem(c, 400, "bad_value", "`%.*s`: %s", SLICE_ARG(what), purge_fault(kind, e));
        else {
            events_changed("cache", c->who.name);
            api_answer_json(c, 200, json_pack("{s:i}", "rules", 1));
        }
    }
    json_decref(body);
}

const struct api_operation operations_cache[] = {
    {METHOD_GET, "/v1/caches", API_READ, caches_get,
     .summary = "Stores, and what each route's cache has done.", .answer = "Caches"},
    {METHOD_POST, "/v1/caches/{store}/purge", API_OPERATE, purge_post,
     .summary = "Let go of what a store keeps: by URL, prefix, host or tag, or of all.",
     .doc = "With `soft`, it counts as stale instead, and may still be served where that is "
            "allowed.",
     .body = "Purge", .answer = "Purged", .writes = true},
    {0},
};

const struct api_schema schemas_cache[] = {
    {"Caches",
     "{\"type\":\"object\",\"required\":[\"stores\",\"caches\"],\"properties\":{\"stores\":{"
     "\"type\":\"array\",\"items\":{\"type\":\"object\",\"required\":[\"name\",\"objects\","
     "\"memory_bytes\",\"memory_max\",\"disk_objects\",\"disk_bytes\",\"disk_max\",\"hits\","
     "\"misses\",\"shared\",\"evicted\",\"purged\",\"declined\",\"broken\",\"refused\"],"
     "\"properties\":{\"name\":{\"type\":\"string\"},\"objects\":{\"type\":\"integer\"},"
     "\"memory_bytes\":{\"type\":\"integer\"},\"memory_max\":{\"type\":\"integer\"},"
     "\"disk_objects\":{\"type\":\"integer\"},\"disk_bytes\":{\"type\":\"integer\"},"
     "\"disk_max\":{\"type\":\"integer\"},\"hits\":{\"type\":\"integer\"},\"misses\":{\"type\":"
     "\"integer\"},\"shared\":{\"type\":\"integer\"},\"evicted\":{\"type\":\"integer\"},"
     "\"purged\":{\"type\":\"integer\"},\"declined\":{\"type\":\"integer\"},\"broken\":{"
     "\"type\":\"integer\"},\"refused\":{\"type\":\"integer\"}}}},\"caches\":{\"type\":"
     "\"array\",\"items\":{\"type\":\"object\",\"required\":[\"name\",\"store\",\"hits\","
     "\"stale\",\"shared\",\"misses\",\"passed\",\"confirmed\",\"excused\",\"stored\","
     "\"refreshed\",\"purged\",\"hit_bytes\",\"saved_seconds\"],\"properties\":{\"name\":{"
     "\"type\":\"string\"},\"store\":{\"type\":\"string\"},\"hits\":{\"type\":\"integer\"},"
     "\"stale\":{\"type\":\"integer\"},\"shared\":{\"type\":\"integer\"},\"misses\":{\"type\":"
     "\"integer\"},\"passed\":{\"type\":\"integer\"},\"confirmed\":{\"type\":\"integer\"},"
     "\"excused\":{\"type\":\"integer\"},\"stored\":{\"type\":\"integer\"},\"refreshed\":{"
     "\"type\":\"integer\"},\"purged\":{\"type\":\"integer\"},\"hit_bytes\":{\"type\":"
     "\"integer\"},\"saved_seconds\":{\"type\":\"number\"}}}}}}"},
    {"Purge", "{\"type\":\"object\",\"properties\":{\"url\":{\"type\":\"string\"},\"prefix\":{"
              "\"type\":\"string\"},\"host\":{\"type\":\"string\"},\"tag\":{\"type\":\"string\"},"
              "\"all\":{\"type\":\"boolean\"},\"soft\":{\"type\":\"boolean\"}},"
              "\"additionalProperties\":false}"},
    {"Purged", "{\"type\":\"object\",\"required\":[\"rules\"],\"properties\":{\"rules\":{\"type\":"
               "\"integer\"}}}"},
    {0},
};
