/* SPDX-License-Identifier: Apache-2.0 */
/* main/client/command_server.c - commands of daily work on what runs: server, purge, log-level. */
#include "main/client/lists.h"

enum { PATH_MAX_BYTES = 4096, BODY_MAX = 64 * 1024, WEIGHT_MAX = 1000000 };

/* Asks for a change of which only success counts; the exit status. */
static int
order(struct admin *a, enum method method, struct text *path, const struct text *body)
{
    json_t *answer;

    text_byte(path, '\0');
    if (path->full || (body && body->full))
        return command_usage(a->arguments->command, "an argument is too long");
    answer = admin_change(a, method, path->at, body ? text_slice(body) : (struct slice){NULL, 0});
    if (!answer)
        return a->status;
    json_decref(answer);
    return 0;
}

/* ------------------------------------------------------------------ server */

struct server_action {
    const char *name;
    enum method method;
    const char *state; /* NULL: none */
    const char *query;
    bool        weighs, adds;
    const char *outcome; /* "server ADDRESS of UPSTREAM ..." */
};

static const struct server_action server_actions[] = {
    {"drain", METHOD_PATCH, .state = "draining", .outcome = "gets no new work"},
    {"ready", METHOD_PATCH, .state = "ready", .outcome = "is in use"},
    {"maintenance", METHOD_PATCH, .state = "maintenance", .outcome = "is out of use"},
    {"weight", METHOD_PATCH, .weighs = true, .outcome = "has another weight"},
    {"add", METHOD_POST, .adds = true, .outcome = "was added"},
    {"remove", METHOD_DELETE, .outcome = "was removed"},
    {"forget", METHOD_DELETE, .query = "?forget", .outcome = "is as the configuration says"},
};

static const struct server_action *
find_action(const char *name)
{
    for (size_t i = 0; name && i < countof(server_actions); i++)
        if (strcmp(server_actions[i].name, name) == 0)
            return &server_actions[i];
    return NULL;
}

static void
put_server_body(const struct server_action *action, const char *address, const char *weight,
                struct text *out)
{
    text_byte(out, '{');
    if (action->adds) {
        text_literal(out, "\"address\":\"");
        text_json(out, slice_str(address));
        text_literal(out, "\"");
    }
    if (action->state)
        text_printf(out, "\"state\":\"%s\"", action->state);
    if (weight)
        text_printf(out, "%s\"weight\":%s", action->adds ? "," : "", weight);
    text_byte(out, '}');
}

static int
change_server(struct admin *a, const struct server_action *action, const char *upstream,
              const char *address, const char *weight)
{
    struct text path, body;
    int status;

    text_init(&path, PATH_MAX_BYTES);
    text_init(&body, BODY_MAX);
    text_literal(&path, "/v1/upstreams/");
    admin_put_segment(&path, slice_str(upstream));
    text_literal(&path, "/servers");
    if (!action->adds) {
        text_byte(&path, '/');
        admin_put_segment(&path, slice_str(address));
    }
    text_put(&path, slice_str(action->query));
    put_server_body(action, address, weight, &body);
    status = order(a, action->method, &path, action->method == METHOD_DELETE ? NULL : &body);
    if (status == 0)
        printf("server %s of %s %s\n", address, upstream, action->outcome);
    text_free(&path);
    text_free(&body);
    return status;
}

static int
server(struct admin *a)
{
    const struct command *self = a->arguments->command;
    const struct server_action *action = find_action(arguments_word(a->arguments, 0));
    const char *upstream = arguments_word(a->arguments, 1);
    const char *address = arguments_word(a->arguments, 2);
    const char *weight = arguments_word(a->arguments, 3);
    uint64_t n;

    if (!action)
        return command_usage(self, "say what to do, such as drain");
    if (!upstream || !address)
        return command_usage(self, "UPSTREAM and ADDRESS are needed");
    if (weight && !action->weighs && !action->adds)
        return command_unknown(self, weight);
    if (weight ? !slice_to_u64(slice_str(weight), WEIGHT_MAX, &n) : action->weighs)
        return command_usage(self, "WEIGHT is a number");
    return change_server(a, action, upstream, address, weight);
}

int
command_server(const struct command *self, int argc, char **argv)
{
    return admin_run(self, argc, argv, server);
}

/* ------------------------------------------------------------------ purge */

/* One of --tag, --url, --prefix, --host, --all.  False: none, or several. */
static bool
put_purge_body(const struct arguments *a, struct text *out)
{
    static const char *const by[] = {"tag", "url", "prefix", "host"};
    bool all = arguments_has(a, "--all");
    size_t said = all;

    text_literal(out, "{");
    if (all)
        text_literal(out, "\"all\":true");
    for (size_t i = 0; i < countof(by); i++) {
        char option[16];

        snprintf(option, sizeof(option), "--%s", by[i]);
        if (!arguments_has(a, option))
            continue;
        said++;
        text_printf(out, "\"%s\":\"", by[i]);
        text_json(out, slice_str(arguments_value(a, option)));
        text_byte(out, '"');
    }
    text_printf(out, ",\"soft\":%s}", arguments_has(a, "--soft") ? "true" : "false");
    return said == 1;
}

static int
purge_store(struct admin *a, struct slice store, const struct text *body)
{
    struct text path;
    int status;

    text_init(&path, PATH_MAX_BYTES);
    text_literal(&path, "/v1/caches/");
    admin_put_segment(&path, store);
    text_literal(&path, "/purge");
    status = order(a, METHOD_POST, &path, body);
    if (status == 0)
        printf("store %.*s: purged\n", SLICE_ARG(store));
    text_free(&path);
    return status;
}

static int
purge_all_stores(struct admin *a, const struct text *body)
{
    json_t *answer = admin_get(a, "/v1/caches"), *stores = json_object_get(answer, "stores");
    int status = answer ? 0 : a->status;
    json_t *store;
    size_t i;

    if (answer && json_array_size(stores) == 0) {
        fputs("maitred purge: there is no store\n", stderr);
        status = 1;
    }
    json_array_foreach (stores, i, store)
        if (status == 0)
            status = purge_store(a, admin_string(store, "name"), body);
    json_decref(answer);
    return status;
}

static int
purge(struct admin *a)
{
    const char *store = arguments_value(a->arguments, "--store");
    struct text body;
    int status;

    text_init(&body, BODY_MAX);
    if (!put_purge_body(a->arguments, &body))
        status = command_usage(a->arguments->command,
                               "one of --tag, --url, --prefix, --host, --all is needed");
    else if (store)
        status = purge_store(a, slice_str(store), &body);
    else
        status = purge_all_stores(a, &body);
    text_free(&body);
    return status;
}

int
command_purge(const struct command *self, int argc, char **argv)
{
    return admin_run(self, argc, argv, purge);
}

/* ------------------------------------------------------------------ log-level */

static int
log_level(struct admin *a)
{
    const char *level = arguments_word(a->arguments, 0);
    struct text path, body;
    json_t *answer;
    int status;

    if (!level) {
        answer = admin_get(a, "/v1/log");
        if (!answer)
            return a->status;
        puts(admin_string(answer, "level").n ? admin_string(answer, "level").at : "");
        json_decref(answer);
        return 0;
    }
    text_init(&path, PATH_MAX_BYTES);
    text_init(&body, BODY_MAX);
    text_literal(&path, "/v1/log");
    text_literal(&body, "{\"level\":\"");
    text_json(&body, slice_str(level));
    text_literal(&body, "\"}");
    status = order(a, METHOD_PUT, &path, &body);
    text_free(&path);
    text_free(&body);
    return status;
}

int
command_log_level(const struct command *self, int argc, char **argv)
{
    return admin_run(self, argc, argv, log_level);
}
