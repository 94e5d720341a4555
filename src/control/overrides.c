/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control/overrides.c - changes while running as a JSON text, and back.
 *
 *     {"level": "debug", "changes": [
 *         {"kind": "weight", "upstream": "app", "server": "10.0.0.1:80", "weight": 5, "state": 0}]}
 *
 * The next process may be another version: what it does not know it leaves alone.
 */
#include "control/overrides.h"

#include "control/room.h"

#include <jansson.h>
#include <stdlib.h>

enum { TEXT_MAX = 64 * 1024 * 1024 };

static const char *const kinds[] = {
    [UPSTREAM_ADD] = "add",
    [UPSTREAM_REMOVE] = "remove",
    [UPSTREAM_WEIGHT] = "weight",
    [UPSTREAM_STATE] = "state",
};

static struct {
    bool           leveled;  /* the level was changed */
    bool           restored; /* ... by the process before, and is to be set */
    enum log_level level;
} kept;

/* ------------------------------------------------------------------ keeping */

static void
write_change(void *arg, struct slice upstream, const struct upstream_change *change)
{
    char address[ADDRESS_TEXT_MAX];
    size_t n = address_write(&change->server, address);

    json_array_append_new(arg, json_pack("{s:s, s:s%, s:s%, s:i, s:i}", "kind",
                                         kinds[change->kind], "upstream", upstream.at, upstream.n,
                                         "server", address, n, "weight", (int) change->weight,
                                         "state", (int) change->state));
}

static void
keep(void)
{
    json_t *all = json_object(), *changes = json_array();
    char *text;

    upstream_changes_each(write_change, changes);
    json_object_set_new(all, "changes", changes);
    if (kept.leveled)
        json_object_set_new(all, "level", json_integer(kept.level));
    text = json_dumps(all, JSON_COMPACT);
    json_decref(all);
    if (!text || !control_host()->keep(slice_str(text)))
        log_warning("what operators changed would be lost in an upgrade: it cannot be kept");
    free(text);
}

void
overrides_changed(void)
{
    struct control_upgrade now;

    keep();
    /* The next process got its text when it was started. */
    if (control_host()->upgraded(&now) && now.state == UPGRADE_RUNNING)
        log_answer(LOG_LEVEL_WARNING,
                   "an upgrade is under way: the new process does not know of this change");
}

void
overrides_set_level(enum log_level level)
{
    kept.leveled = true;
    kept.level = level;
    log_set_level(level);
    overrides_changed();
}

/* ------------------------------------------------------------------ restoring */

static struct slice
string_of(const json_t *item, const char *key)
{
    const json_t *value = json_object_get(item, key);

    return slice_of(json_string_value(value), json_string_length(value));
}

/* False: another version's. */
static bool
read_change(const json_t *item, struct upstream_change *out)
{
    json_int_t weight = json_integer_value(json_object_get(item, "weight"));
    json_int_t state = json_integer_value(json_object_get(item, "state"));
    size_t kind = 0;

    while (kind < countof(kinds) && !slice_eq(string_of(item, "kind"), slice_str(kinds[kind])))
        kind++;
    if (kind == countof(kinds) || weight < 0 || weight > LB_WEIGHT_MAX || state < 0 ||
        state > SERVER_MAINTENANCE)
        return false;
    *out = (struct upstream_change){.kind = (enum upstream_change_kind) kind,
                                    .weight = (uint32_t) weight,
                                    .state = (enum server_state) state};
    return address_parse(string_of(item, "server"), &out->server);
}

/* False: it has no place any more. */
static bool
restore_change(const json_t *item)
{
    struct upstream *u = upstream_find(string_of(item, "upstream"));
    struct upstream_change change;

    return u && read_change(item, &change) && upstream_restore(u, &change) == OK;
}

static void
restore_changes(const json_t *changes)
{
    size_t i, good = 0;
    json_t *item;

    json_array_foreach (changes, i, item)
        good += restore_change(item);
    if (good)
        log_answer(LOG_LEVEL_INFO, "servers are as operators had changed them changes=%zu", good);
    if (good < json_array_size(changes))
        log_answer(LOG_LEVEL_WARNING,
                   "changes of servers are lost: their upstreams are not there any more, or "
                   "another version made them changes=%zu",
                   json_array_size(changes) - good);
}

static void
restore_level(const json_t *level)
{
    if (!json_is_integer(level) || json_integer_value(level) < LOG_LEVEL_ERROR ||
        json_integer_value(level) > LOG_LEVEL_DEBUG)
        return;
    kept.level = (enum log_level) json_integer_value(level);
    kept.restored = true;
}

void
overrides_restore(void)
{
    struct text t;
    json_t *all;

    text_init(&t, TEXT_MAX);
    control_host()->recall(&t);
    all = t.n ? json_loadb(t.at, t.n, 0, NULL) : NULL;
    text_free(&t);
    restore_changes(json_object_get(all, "changes"));
    restore_level(json_object_get(all, "level"));
    json_decref(all);
}

void
overrides_follow(void)
{
    kept.leveled = kept.restored;
    if (kept.restored)
        log_set_level(kept.level);
    kept.restored = false;
    keep();
}
