/* SPDX-License-Identifier: Apache-2.0 */
/* control/resource_revisions.c - what was served before, going back to it, and who did what. */
#include "control/changing.h"
#include "control/operations.h"
#include "control/room.h"

#include <stdio.h>

enum { MEMORY_MAX = 128 * 1024 * 1024, MOST = 100, MOST_MAX = 1000 };

static json_t *
revision_json(const struct revision *r)
{
    char hash[20];

    snprintf(hash, sizeof(hash), "%016llx", (unsigned long long) r->hash);
    return json_pack("{s:I, s:I, s:s, s:o, s:o, s:s, s:b}", "number", (json_int_t) r->number, "at",
                     (json_int_t) r->at_s, "cause", revision_causes[r->cause], "who",
                     api_text(r->who), "comment", api_text(r->comment), "hash", hash, "current",
                     r->number == configuration_revision());
}

static void
revisions_get_all(struct api_call *c)
{
    uint64_t before, most;
    struct revision *list;
    struct arena arena;
    json_t *all;
    size_t n = 0;

    if (!api_number(c, "before", 0, INT64_MAX, &before) ||
        !api_number(c, "most", MOST, MOST_MAX, &most))
        return;
    all = json_array();
    arena_init(&arena, NULL, 0, MEMORY_MAX);
    list = revisions_list(configuration_source(), (int64_t) before, most, &arena, &n);
    for (size_t i = 0; list && i < n; i++)
        json_array_append_new(all, revision_json(&list[i]));
    arena_free(&arena);
    api_answer_json(c, 200, json_pack("{s:o}", "revisions", all));
}

/* The number in the path.  False after answering 404. */
static bool
take_number(struct api_call *c, struct slice text, int64_t *out)
{
    uint64_t n;

    if (slice_to_u64(text, INT64_MAX, &n)) {
        *out = (int64_t) n;
        return true;
    }
    api_problem(c, 404, "not_found", "`%.*s` is not the number of a revision", SLICE_ARG(text));
    return false;
}

/* The document that a revision was, without replacing or checking anything.  NULL after
 * answering. */
static struct config_document *
document_of(struct api_call *c, int64_t which, struct arena *arena, struct revision *r)
{
    struct config_report report;
    struct config_document *d = NULL;

    if (!revisions_get(which, r, arena)) {
        api_problem(c, 404, "not_found", "there is no revision %lld", (long long) which);
        return NULL;
    }
    config_report_init(&report);
    d = configuration_now() ? config_document_copy(configuration_now()) : NULL;
    if (!d || config_document_edit(d, CONFIG_EDIT_PUT, SLICE(""), "revision", r->text, &report) !=
                  CONFIG_EDIT_OK) {
        api_problem(c, 500, "failed", "revision %lld cannot be read", (long long) which);
        config_document_free(take(&d));
    }
    config_report_free(&report);
    return d;
}

static void
revision_get(struct api_call *c)
{
    struct config_document *d = NULL;
    struct revision r;
    struct arena arena;
    struct text t;
    int64_t which;

    if (!take_number(c, c->parameters[0], &which))
        return;
    arena_init(&arena, NULL, 0, MEMORY_MAX);
    d = document_of(c, which, &arena, &r);
    if (d) {
        json_t *o = revision_json(&r);

        text_init(&t, MEMORY_MAX);
        config_document_write(d, config_document_find(d, SLICE("")), CONFIG_YAML, true, &t);
        json_object_set_new(o, "text", api_text(text_slice(&t)));
        text_free(&t);
        api_answer_json(c, 200, o);
    }
    config_document_free(d);
    arena_free(&arena);
}

static void
diff_get(struct api_call *c)
{
    struct config_document *from = NULL, *to = NULL;
    struct slice other = api_query(c, "to");
    struct revision r;
    struct arena arena;
    struct text t;
    int64_t a, b = 0;

    if (!take_number(c, c->parameters[0], &a) || (other.n && !take_number(c, other, &b)))
        return;
    arena_init(&arena, NULL, 0, MEMORY_MAX);
    text_init(&t, MEMORY_MAX);
    from = document_of(c, a, &arena, &r);
    if (from)
        to = b ? document_of(c, b, &arena, &r) : config_document_copy(configuration_now());
    if (to) {
        text_literal(&t, "{\"patch\":");
        t.full |= !config_document_diff(from, to, true, &t);
        text_literal(&t, "}\n");
        api_answer(c, 200, &t);
    }
    text_free(&t);
    config_document_free(from);
    config_document_free(to);
    arena_free(&arena);
}

/* ------------------------------------------------------------------ going back */

/* The newest one before the current whose meaning is another; 0: none. */
static int64_t
one_before(void)
{
    struct revision *list, *current = NULL;
    struct arena arena;
    int64_t found = 0;
    size_t n = 0;

    arena_init(&arena, NULL, 0, MEMORY_MAX);
    list = revisions_list(configuration_source(), 0, MOST_MAX, &arena, &n);
    for (size_t i = 0; list && i < n && !found; i++) {
        if (list[i].number == configuration_revision())
            current = &list[i];
        else if (current && list[i].hash != current->hash)
            found = list[i].number;
    }
    arena_free(&arena);
    return found;
}

static void
restore_post(struct api_call *c)
{
    struct configuration_change change = {.source = CONFIGURATION_REVISION,
                                          .cause = REVISION_ROLLBACK};

    if (take_number(c, c->parameters[0], &change.revision))
        api_change(c, &change);
}

static void
rollback_post(struct api_call *c)
{
    struct configuration_change change = {.source = CONFIGURATION_REVISION,
                                          .cause = REVISION_ROLLBACK,
                                          .revision = one_before()};

    if (change.revision)
        api_change(c, &change);
    else
        api_problem(c, 409, "conflict", "there is no other revision to go back to");
}

static void
audit_get(struct api_call *c)
{
    uint64_t before, most;
    struct audit_entry *list;
    struct arena arena;
    json_t *all;
    size_t n = 0;

    if (!api_number(c, "before", 0, INT64_MAX, &before) ||
        !api_number(c, "most", MOST, MOST_MAX, &most))
        return;
    all = json_array();
    arena_init(&arena, NULL, 0, MEMORY_MAX);
    list = audit_list((int64_t) before, most, &arena, &n);
    for (size_t i = 0; list && i < n; i++)
        json_array_append_new(
            all, json_pack("{s:I, s:I, s:o, s:o, s:o, s:o, s:o}", "number",
                           (json_int_t) list[i].number, "at", (json_int_t) list[i].at_s, "who",
                           api_text(list[i].who), "from", api_text(list[i].from), "action",
                           api_text(list[i].action), "target", api_text(list[i].target),
                           "outcome", api_text(list[i].outcome)));
    arena_free(&arena);
    api_answer_json(c, 200, json_pack("{s:o}", "entries", all));
}

#define PAGE_QUERY                                                                                \
    {{"before", "integer", "Only those with smaller numbers."},                                   \
     {"most", "integer", "How many at most; 100 when absent."},                                   \
     {NULL}}

const struct api_operation operations_revision[] = {
    {METHOD_GET, "/v1/revisions", API_READ, revisions_get_all,
     .summary = "Configurations that were served, the newest first.", .query = PAGE_QUERY,
     .answer = "Revisions"},
    {METHOD_GET, "/v1/revisions/{revision}", API_READ, revision_get,
     .summary = "One of them, as YAML.", .answer = "Revision"},
    {METHOD_GET, "/v1/revisions/{revision}/diff", API_READ, diff_get,
     .summary = "What would make it into another, or into the one in force (RFC 6902).",
     .query = {{"to", "integer", "The other one."}}, .answer = "Difference"},
    {METHOD_POST, "/v1/revisions/{revision}/restore", API_ADMIN, restore_post,
     .summary = "Serve it again.", .query = CONFIGURATION_QUERY, .answer = "Change",
     .writes = true},
    {METHOD_POST, "/v1/rollback", API_ADMIN, rollback_post,
     .summary = "Serve what was served before.", .query = CONFIGURATION_QUERY, .answer = "Change",
     .writes = true},
    {METHOD_GET, "/v1/audit", API_READ, audit_get, .summary = "Who did what, the latest first.",
     .query = PAGE_QUERY, .answer = "Audit"},
    {0},
};

const struct api_schema schemas_revision[] = {
    {"Revision",
     "{\"type\":\"object\",\"required\":[\"number\",\"at\",\"cause\",\"who\",\"hash\",\"current\"],"
     "\"properties\":{\"number\":{\"type\":\"integer\"},\"at\":{\"type\":\"integer\"},"
     "\"cause\":{\"enum\":[\"start\",\"reload\",\"change\",\"rollback\"]},"
     "\"who\":{\"type\":\"string\"},\"comment\":{\"type\":\"string\"},\"hash\":{\"type\":"
     "\"string\"},\"current\":{\"type\":\"boolean\"},\"text\":{\"type\":\"string\"}}}"},
    {"Revisions", "{\"type\":\"object\",\"required\":[\"revisions\"],\"properties\":{"
                  "\"revisions\":{\"type\":\"array\",\"items\":{\"$ref\":"
                  "\"#/components/schemas/Revision\"}}}}"},
    {"Difference", "{\"type\":\"object\",\"required\":[\"patch\"],\"properties\":{\"patch\":{"
                   "\"type\":\"array\",\"items\":{\"type\":\"object\"}}}}"},
    {"Audit",
     "{\"type\":\"object\",\"required\":[\"entries\"],\"properties\":{\"entries\":{\"type\":"
     "\"array\",\"items\":{\"type\":\"object\",\"required\":[\"number\",\"at\",\"who\",\"from\","
     "\"action\",\"target\",\"outcome\"],\"properties\":{\"number\":{\"type\":\"integer\"},"
     "\"at\":{\"type\":\"integer\"},\"who\":{\"type\":\"string\"},\"from\":{\"type\":"
     "\"string\"},\"action\":{\"type\":\"string\"},\"target\":{\"type\":\"string\"},\"outcome\":"
     "{\"type\":\"string\"}}}}}}"},
    {0},
};
