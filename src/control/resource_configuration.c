/* SPDX-License-Identifier: Apache-2.0 */
/* control/resource_configuration.c - /v1/config, plans, trials. */
#include "config/units.h"
#include "control/changing.h"
#include "control/operations.h"
#include "control/plan.h"
#include "control/room.h"
#include "http/accept.h"
#include "http/condition.h"
#include "http/uri.h"

#include <stdio.h>

enum { ANSWER_MAX = 64 * 1024 * 1024, CONFIRM_S_MAX = 86400 };

/* ------------------------------------------------------------------ what is common */

static const unsigned statuses[] = {
    [CONFIGURATION_DONE] = 200,     [CONFIGURATION_BAD] = 400,
    [CONFIGURATION_NOT_FOUND] = 404, [CONFIGURATION_CONFLICT] = 409,
    [CONFIGURATION_WRONG] = 422,    [CONFIGURATION_UNKEPT] = 503,
    [CONFIGURATION_FAILED] = 500,   [CONFIGURATION_FORBIDDEN] = 403,
};

static const char *const words[] = {
    [CONFIGURATION_DONE] = "",           [CONFIGURATION_BAD] = "bad_change",
    [CONFIGURATION_NOT_FOUND] = "not_found", [CONFIGURATION_CONFLICT] = "conflict",
    [CONFIGURATION_WRONG] = "configuration", [CONFIGURATION_UNKEPT] = "state",
    [CONFIGURATION_FAILED] = "failed",   [CONFIGURATION_FORBIDDEN] = "forbidden",
};

static void
answer_failure(struct api_call *c, const struct configuration_result *r)
{
    if (r->report.errors)
        api_problem_report(c, statuses[r->outcome], &r->report, words[r->outcome], r->why);
    else
        api_problem(c, statuses[r->outcome], words[r->outcome], "%s", r->why);
}

static json_t *
trial_json(void)
{
    static const char *const states[] = {"none", "running", "kept", "reverted",
                                         "failed"};
    static const char *const verdicts[] = {"too_early", "holds", "broken"};
    const struct trial *t = configuration_trial();

    return json_pack("{s:s, s:I, s:o, s:s, s:o, s:o, s:o}", "state", states[t->state], "until",
                     (json_int_t) t->until_s, "guard", api_text(slice_str(t->guard)), "verdict",
                     verdicts[t->verdict], "why", api_text(slice_str(t->why)), "who",
                     api_text(slice_str(t->who)), "revision",
                     t->revision ? json_integer(t->revision) : json_null());
}

static void
answer_done(struct api_call *c, unsigned status, const struct configuration_result *r)
{
    bool running = configuration_trial()->state == TRIAL_RUNNING;
    char hash[20];

    snprintf(hash, sizeof(hash), "%016llx", (unsigned long long) r->hash);
    api_answer_json(c, status,
                    json_pack("{s:o, s:s, s:o, s:o}", "revision",
                              r->revision ? json_integer(r->revision) : json_null(), "hash", hash,
                              "warnings", api_complaints(&r->report, CONFIG_WARNING), "trial",
                              running ? trial_json() : json_null()));
}

/* Who, why, and whether it is on trial.  False after answering. */
static bool
take_common(struct api_call *c, struct configuration_change *change)
{
    struct slice confirm = api_query(c, "confirm");
    uint64_t us;

    change->who = c->who.name;
    change->comment = api_query(c, "comment");
    change->guard = api_query(c, "guard");
    if (slice_is_present(change->guard) && change->guard.n == 0) {
        api_problem(c, 400, "bad_query",
                    "guard is what must hold, such as errors < 1%%, p99 < +20%%");
        return false;
    }
    if (!slice_is_present(confirm))
        return true;
    if (!units_read_duration(confirm, &us) || us == 0 ||
        us > (uint64_t) CONFIRM_S_MAX * 1000000) {
        api_problem(c, 400, "bad_query",
                    "confirm is how long to wait for a confirmation, such as 60s, at most a day");
        return false;
    }
    change->confirm_us = us;
    return true;
}

/* Only looks: what would be wrong, or the hash that it would have. */
static void
rehearse(struct api_call *c, const struct configuration_change *change)
{
    struct configuration_result r;
    struct config_document *d;
    struct app *a = configuration_prepare(change, &d, &r);

    if (a) {
        control_host()->drop(a);
        config_document_free(d);
        answer_done(c, 200, &r);
    } else {
        answer_failure(c, &r);
    }
    config_report_free(&r.report);
}

/* With the lock held. */
static void
make(struct api_call *c, const struct configuration_change *change, unsigned status)
{
    struct configuration_result r;

    if (api_query_flag(c, "dry_run")) {
        rehearse(c, change);
        return;
    }
    configuration_apply(change, &r);
    if (r.outcome == CONFIGURATION_DONE)
        answer_done(c, status, &r);
    else
        answer_failure(c, &r);
    config_report_free(&r.report);
}

/* ------------------------------------------------------------------ looking before changing */

/* The conditions of a request are about what stands at a place.  With the lock held; false after
 * answering. */
static bool
still_the_same(struct api_call *c, struct slice pointer)
{
    const struct fields *f = &c->x->request.fields;
    const struct config_document *d = configuration_now();
    const struct config_node *node = d ? config_document_find(d, pointer) : NULL;

    if (node)
        return api_match(c, config_document_hash(d, node));
    if (condition_check(f, c->x->request.method, NULL, 0) != CONDITION_FAILED)
        return true;
    api_problem(c, 412, "changed", "there is nothing at `%.*s` (any more)", SLICE_ARG(pointer));
    return false;
}

void
api_change(struct api_call *c, struct configuration_change *change)
{
    if (!take_common(c, change))
        return;
    configuration_lock();
    if (still_the_same(c, SLICE("")))
        make(c, change, 200);
    configuration_unlock();
}

/* ------------------------------------------------------------------ /v1/config */

/* The pointer that a path stands for: percent-decoded, RFC 6901's escapes as they are. */
static bool
take_pointer(struct api_call *c, struct slice *pointer)
{
    struct slice rest = c->parameters[0];
    char *out;
    size_t n = 0;

    if (slice_eq(rest, SLICE("/")))
        rest = SLICE("");
    out = arena_alloc(&c->x->arena, rest.n + 1);
    if (!out || percent_decode(rest, false, out, &n) != OK) {
        api_problem(c, 400, "bad_path", "`%.*s` is not a JSON Pointer", SLICE_ARG(rest));
        return false;
    }
    *pointer = slice_of(out, n);
    return true;
}

static bool
wants_yaml(const struct api_call *c)
{
    const struct fields *f = &c->x->request.fields;

    return accept_q(f, SLICE("application/yaml")) > accept_q(f, SLICE("application/json"));
}

static const struct config_node *
find(struct api_call *c, struct slice pointer)
{
    const struct config_document *d = configuration_now();
    const struct config_node *node = d ? config_document_find(d, pointer) : NULL;

    if (!node)
        api_problem(c, 404, "not_found", "the configuration has nothing at `%.*s`",
                    SLICE_ARG(pointer));
    return node;
}

static void
config_get(struct api_call *c)
{
    const struct config_node *node;
    struct slice pointer;
    uint64_t hash;
    struct text t;

    if (!take_pointer(c, &pointer) || !(node = find(c, pointer)))
        return;
    hash = config_document_hash(configuration_now(), node);
    if (!api_match(c, hash))
        return;
    text_init(&t, ANSWER_MAX);
    config_document_write(configuration_now(), node, wants_yaml(c) ? CONFIG_YAML : CONFIG_JSON,
                          true, &t);
    api_answer(c, 200, &t);
    if (wants_yaml(c))
        fields_set(&c->x->response.fields, FIELD_CONTENT_TYPE, SLICE("application/yaml"));
    api_tag(c, hash);
}

static void
edit(struct api_call *c, enum config_edit how, unsigned status)
{
    struct configuration_change change = {.source = CONFIGURATION_EDIT,
                                          .cause = REVISION_CHANGE,
                                          .how = how,
                                          .text = c->body};

    if (!take_pointer(c, &change.pointer) || !take_common(c, &change))
        return;
    if (how != CONFIG_EDIT_REMOVE && c->body.n == 0) {
        api_problem(c, 400, "bad_change", "the request has no body");
        return;
    }
    configuration_lock();
    if (still_the_same(c, change.pointer)) {
        make(c, &change, status);
        if (c->x->response.status < 300 && how != CONFIG_EDIT_REMOVE &&
            config_document_find(configuration_now(), change.pointer))
            api_tag(c, config_document_hash(
                           configuration_now(),
                           config_document_find(configuration_now(), change.pointer)));
    }
    configuration_unlock();
}

static void
config_put(struct api_call *c)
{
    edit(c, CONFIG_EDIT_PUT, 200);
}

static void
config_post(struct api_call *c)
{
    edit(c, CONFIG_EDIT_ADD, 201);
}

static void
config_delete(struct api_call *c)
{
    edit(c, CONFIG_EDIT_REMOVE, 200);
}

static bool
is_json_patch(const struct api_call *c)
{
    return slice_starts_nocase(fields_value(&c->x->request.fields, FIELD_CONTENT_TYPE),
                               SLICE("application/json-patch+json"));
}

static bool
is_merge_patch(const struct api_call *c)
{
    return slice_starts_nocase(fields_value(&c->x->request.fields, FIELD_CONTENT_TYPE),
                               SLICE("application/merge-patch+json"));
}

static void
config_patch(struct api_call *c)
{
    edit(c, is_json_patch(c) ? CONFIG_EDIT_PATCH : CONFIG_EDIT_MERGE, 200);
}

static void
sources_get(struct api_call *c)
{
    const struct snapshot *s = control_host()->snapshot(control_host()->current());
    struct text patch;
    json_t *files = json_array(), *changes = NULL;

    for (size_t i = 0; i < s->config->n_files; i++) {
        if (s->config->files[i].base.at) /* a change, which is no file */
            continue;
        json_array_append_new(files, json_stringn(s->config->files[i].path.at,
                                                  s->config->files[i].path.n));
    }
    text_init(&patch, ANSWER_MAX);
    if (configuration_now() &&
        config_document_diff(configuration_files(), configuration_now(), true, &patch))
        changes = json_loadb(patch.at, patch.n, 0, NULL);
    text_free(&patch);
    api_answer_json(c, 200,
                    json_pack("{s:o, s:o}", "files", files, "patch",
                              changes ? changes : json_array()));
}

/* ------------------------------------------------------------------ whole configurations */

/* What a body means by its type: a whole configuration, or a patch of what is in force. */
static struct configuration_change
change_of_body(const struct api_call *c)
{
    struct configuration_change change = {.source = CONFIGURATION_WHOLE,
                                          .cause = REVISION_CHANGE,
                                          .pointer = SLICE(""),
                                          .text = c->body};

    if (is_json_patch(c) || is_merge_patch(c)) {
        change.source = CONFIGURATION_EDIT;
        change.how = is_json_patch(c) ? CONFIG_EDIT_PATCH : CONFIG_EDIT_MERGE;
    }
    return change;
}

static void
plan_post(struct api_call *c)
{
    struct configuration_change change = change_of_body(c);
    struct configuration_result r;
    struct config_document *d;
    struct app *a;
    struct text t;

    change.asks_nothing = c->who.right < API_ADMIN;
    configuration_lock();
    a = configuration_prepare(&change, &d, &r);
    if (a) {
        text_init(&t, ANSWER_MAX);
        plan_write(control_host(), control_host()->current(), a, configuration_now(), d, &t);
        control_host()->drop(a);
        config_document_free(d);
        api_answer(c, 200, &t);
    } else {
        answer_failure(c, &r);
    }
    configuration_unlock();
    config_report_free(&r.report);
}

static void
apply_post(struct api_call *c)
{
    struct configuration_change change = change_of_body(c);

    api_change(c, &change);
}

static void
reload_post(struct api_call *c)
{
    struct configuration_change change = {.source = CONFIGURATION_RELOAD,
                                          .cause = REVISION_RELOAD};

    api_change(c, &change);
}

static void
reset_post(struct api_call *c)
{
    struct configuration_change change = {.source = CONFIGURATION_FILES,
                                          .cause = REVISION_ROLLBACK};

    api_change(c, &change);
}

/* ------------------------------------------------------------------ trials */

static void
trial_get(struct api_call *c)
{
    if (configuration_trial()->state == TRIAL_NONE)
        api_problem(c, 404, "not_found", "nothing has been on trial since the process began");
    else
        api_answer_json(c, 200, trial_json());
}

static void
answer_trial(struct api_call *c, enum trial_answer a, unsigned trouble)
{
    if (a == TRIAL_DONE)
        api_answer_json(c, 200, trial_json());
    else if (a == TRIAL_NOT_THERE)
        api_problem(c, 409, "conflict", "nothing is on trial (any more)");
    else
        api_problem(c, trouble, trouble == 503 ? "state" : "failed", "%s",
                    configuration_trial()->why);
}

static void
trial_confirm(struct api_call *c)
{
    answer_trial(c, configuration_confirm(), 503);
}

static void
trial_abort(struct api_call *c)
{
    answer_trial(c, configuration_abort(c->who.name), 500);
}

/* ------------------------------------------------------------------ the tables */

const struct api_operation operations_configuration[] = {
    {METHOD_GET, "/v1/config{rest}", API_READ, config_get,
     .summary = "What the configuration says at a JSON Pointer.",
     .doc = "Items of lists are found by index, or by name or address. Secrets are shown as `***`. "
            "With Accept: application/yaml, YAML.",
     .answer = "Configuration"},
    {METHOD_PUT, "/v1/config{rest}", API_ADMIN, config_put,
     .summary = "Put a value there.", .query = CONFIGURATION_QUERY, .body = "Configuration",
     .answer = "Change", .writes = true},
    {METHOD_PATCH, "/v1/config{rest}", API_ADMIN, config_patch,
     .summary = "Change what is there, by a merge patch (RFC 7396) or a JSON patch (RFC 6902).",
     .query = CONFIGURATION_QUERY, .body = "Patch", .answer = "Change", .writes = true},
    {METHOD_POST, "/v1/config{rest}", API_ADMIN, config_post,
     .summary = "Add an item to the list there.", .query = CONFIGURATION_QUERY,
     .body = "Configuration", .answer = "Change", .success = 201, .writes = true},
    {METHOD_DELETE, "/v1/config{rest}", API_ADMIN, config_delete,
     .summary = "Remove what is there.", .query = CONFIGURATION_QUERY, .answer = "Change",
     .writes = true},
    {METHOD_GET, "/v1/config-sources", API_READ, sources_get,
     .summary = "The files, and what the API has changed over them.", .answer = "Sources"},
    /* For readers too: what they send may not say `${file:...}`, nor move a secret to where it
     * would be told (configuration_change.asks_nothing, edit_patch.c). */
    {METHOD_POST, "/v1/plan", API_READ, plan_post,
     .summary = "What another configuration would change.",
     .doc = "The body is a whole configuration in YAML or JSON, or a patch by its Content-Type. "
            "Requests that were seen lately are put to both.",
     .body = "Configuration", .answer = "Plan"},
    {METHOD_POST, "/v1/apply", API_ADMIN, apply_post, .summary = "Serve another configuration.",
     .query = CONFIGURATION_QUERY, .body = "Configuration", .answer = "Change", .writes = true},
    {METHOD_POST, "/v1/reload", API_OPERATE, reload_post,
     .summary = "Read the files again.", .query = CONFIGURATION_QUERY, .answer = "Change",
     .writes = true},
    {METHOD_POST, "/v1/reset", API_ADMIN, reset_post,
     .summary = "Drop what the API has changed: the files alone count.",
     .query = CONFIGURATION_QUERY, .answer = "Change", .writes = true},
    {METHOD_GET, "/v1/trial", API_READ, trial_get,
     .summary = "The change that is on trial, or was last.", .answer = "Trial"},
    {METHOD_POST, "/v1/trial/confirm", API_ADMIN, trial_confirm,
     .summary = "Keep the change that is on trial.", .answer = "Trial", .writes = true},
    {METHOD_POST, "/v1/trial/abort", API_ADMIN, trial_abort,
     .summary = "Go back to what was before the trial.", .answer = "Trial", .writes = true},
    {0},
};

const struct api_schema schemas_configuration[] = {
    {"Configuration", "{\"description\":\"Any value of the configuration; as a whole it is what "
                      "/v1/schema.json says.\"}"},
    {"Patch", "{\"oneOf\":[{\"type\":\"object\",\"description\":\"RFC 7396\"},"
              "{\"type\":\"array\",\"description\":\"RFC 6902\","
              "\"items\":{\"type\":\"object\",\"required\":[\"op\",\"path\"]}}]}"},
    {"Change", "{\"type\":\"object\",\"required\":[\"revision\",\"hash\",\"warnings\",\"trial\"],"
               "\"properties\":{\"revision\":{\"type\":[\"integer\",\"null\"]},"
               "\"hash\":{\"type\":\"string\"},"
               "\"warnings\":{\"type\":\"array\",\"items\":{\"type\":\"object\"}},"
               "\"trial\":{\"type\":[\"object\",\"null\"]}}}"},
    {"Sources", "{\"type\":\"object\",\"required\":[\"files\",\"patch\"],\"properties\":{"
                "\"files\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}},"
                "\"patch\":{\"type\":\"array\",\"items\":{\"type\":\"object\"}}}}"},
    {"Plan",
     "{\"type\":\"object\",\"required\":[\"changes\",\"counts\",\"replayed\",\"differing\","
     "\"different\",\"warnings\"],\"properties\":{\"changes\":{\"type\":\"array\",\"items\":{"
     "\"type\":\"object\",\"required\":[\"kind\",\"what\",\"name\",\"about\",\"path\","
     "\"before\",\"after\",\"where\"],\"properties\":{\"kind\":{\"type\":\"string\"},\"what\":{"
     "\"type\":\"string\"},\"name\":{\"type\":[\"string\",\"null\"]},\"about\":{\"type\":["
     "\"string\",\"null\"]},\"path\":{\"type\":[\"string\",\"null\"]},\"before\":{\"type\":["
     "\"string\",\"null\"]},\"after\":{\"type\":[\"string\",\"null\"]},\"where\":{\"type\":["
     "\"string\",\"null\"]}}}},\"counts\":{\"type\":\"object\",\"properties\":{\"added\":{"
     "\"type\":\"integer\"},\"removed\":{\"type\":\"integer\"},\"changed\":{\"type\":"
     "\"integer\"},\"moved\":{\"type\":\"integer\"},\"unreachable\":{\"type\":\"integer\"}}},"
     "\"replayed\":{\"type\":\"integer\"},\"differing\":{\"type\":\"integer\"},\"different\":{"
     "\"type\":\"array\",\"items\":{\"type\":\"object\",\"required\":[\"method\",\"url\","
     "\"count\",\"before\",\"after\"],\"properties\":{\"method\":{\"type\":\"string\"},\"url\":{"
     "\"type\":\"string\"},\"count\":{\"type\":\"integer\"},\"before\":{\"type\":\"object\","
     "\"required\":[\"route\"],\"properties\":{\"route\":{\"type\":[\"string\",\"null\"]},"
     "\"why\":{\"type\":\"string\"},\"middleware\":{\"type\":\"array\",\"items\":{\"type\":"
     "\"string\"}},\"to\":{\"type\":[\"string\",\"null\"]},\"says\":{\"type\":\"string\"}}},"
     "\"after\":{\"type\":\"object\",\"required\":[\"route\"],\"properties\":{\"route\":{"
     "\"type\":[\"string\",\"null\"]},\"why\":{\"type\":\"string\"},\"middleware\":{\"type\":"
     "\"array\",\"items\":{\"type\":\"string\"}},\"to\":{\"type\":[\"string\",\"null\"]},"
     "\"says\":{\"type\":\"string\"}}}}}},\"warnings\":{\"type\":\"array\",\"items\":{\"type\":"
     "\"string\"}}}}"},
    {"Trial",
     "{\"type\":\"object\",\"required\":[\"state\",\"until\",\"guard\",\"verdict\","
     "\"why\"],\"properties\":{\"state\":{\"enum\":[\"running\",\"kept\",\"reverted\",\"failed\"]},"
     "\"until\":{\"type\":\"integer\"},\"guard\":{\"type\":\"string\"},\"verdict\":{"
     "\"enum\":[\"too_early\",\"holds\",\"broken\"]},\"why\":{\"type\":\"string\"},"
     "\"who\":{\"type\":\"string\"},\"revision\":{\"type\":[\"integer\",\"null\"]}}}"},
    {0},
};
