/* SPDX-License-Identifier: Apache-2.0 */
/* control/plan.c - a plan from its beginning to its JSON. */
#include "control/plan.h"

#include "base/check.h"
#include "control/plan_parts.h"

#include <stdlib.h>

const char *const plan_kinds[] = {
    [PLAN_ADDED] = "added", [PLAN_REMOVED] = "removed",         [PLAN_CHANGED] = "changed",
    [PLAN_MOVED] = "moved", [PLAN_UNREACHABLE] = "unreachable", NULL,
};

void
plan_note(struct plan *p, enum plan_kind kind, struct slice before, struct slice after,
          struct slice where)
{
    struct plan_change *c;

    p->counts[kind]++;
    if (p->n == PLAN_CHANGES_MAX) {
        p->left_out++;
        return;
    }
    c = arena_new(&p->arena, struct plan_change);
    if (!c) {
        p->no_memory = true;
        return;
    }
    *c = (struct plan_change){.kind = kind,
                              .what = p->entity.what,
                              .name = p->entity.name,
                              .about = p->entity.about,
                              .path = plan_path_text(p),
                              .before = before,
                              .after = after,
                              .where = where};
    *p->last = c;
    p->last = &c->next;
    p->n++;
}

void
plan_warn(struct plan *p, const char *format, ...)
{
    struct slice text;
    va_list args;

    va_start(args, format);
    text = arena_vprintf(&p->arena, format, args);
    va_end(args);
    if (text.at && p->n_warnings < PLAN_WARNINGS_MAX)
        p->warnings[p->n_warnings++] = text;
}

/* ------------------------------------------------------------------ JSON */

static void
put_member(struct text *out, const char *name, struct slice value)
{
    text_printf(out, "\"%s\":", name);
    if (!slice_is_present(value)) {
        text_literal(out, "null");
        return;
    }
    text_byte(out, '"');
    text_json(out, value);
    text_byte(out, '"');
}

static void
put_change(struct text *out, const struct plan_change *c)
{
    const struct {
        const char  *name;
        struct slice value;
    } members[] = {
        {"kind", slice_str(plan_kinds[c->kind])},
        {"what", c->what},
        {"name", c->name},
        {"about", c->about},
        {"path", c->path},
        {"before", c->before},
        {"after", c->after},
        {"where", c->where},
    };

    text_byte(out, '{');
    for (size_t i = 0; i < countof(members); i++) {
        text_put(out, i ? SLICE(",") : SLICE(""));
        put_member(out, members[i].name, members[i].value);
    }
    text_byte(out, '}');
}

static void
put_changes(struct text *out, const struct plan *p)
{
    text_literal(out, "\"changes\":[");
    for (const struct plan_change *c = p->changes; c; c = c->next) {
        text_put(out, c == p->changes ? SLICE("") : SLICE(","));
        put_change(out, c);
    }
    text_literal(out, "],\"counts\":{");
    for (size_t i = 0; i < PLAN_KINDS; i++)
        text_printf(out, "%s\"%s\":%zu", i ? "," : "", plan_kinds[i], p->counts[i]);
    text_byte(out, '}');
}

static void
put_differences(struct text *out, const struct plan *p)
{
    text_printf(out, ",\"replayed\":%zu,\"differing\":%zu,\"different\":[", p->replayed,
                p->different);
    for (const struct plan_difference *d = p->differences; d; d = d->next) {
        text_put(out, d == p->differences ? SLICE("{") : SLICE(",{"));
        put_member(out, "method", d->method);
        text_byte(out, ',');
        put_member(out, "url", d->url);
        text_printf(out, ",\"count\":%zu,\"before\":%.*s,\"after\":%.*s}", d->count,
                    SLICE_ARG(d->before), SLICE_ARG(d->after));
    }
    text_byte(out, ']');
}

static void
put_warnings(struct text *out, const struct plan *p)
{
    text_literal(out, ",\"warnings\":[");
    for (size_t i = 0; i < p->n_warnings; i++) {
        text_put(out, i ? SLICE(",\"") : SLICE("\""));
        text_json(out, p->warnings[i]);
        text_byte(out, '"');
    }
    text_byte(out, ']');
}

/* ------------------------------------------------------------------ all of it */

static struct plan *
plan_new(const struct control_host *host, const struct app *before, const struct app *after,
         const struct config_document *old, const struct config_document *now)
{
    struct plan *p = calloc(1, sizeof(*p)); /* too large for a fiber's stack */

    if (!p)
        return NULL;
    arena_init(&p->arena, NULL, 0, PLAN_MEMORY_MAX);
    p->last = &p->changes;
    p->last_difference = &p->differences;
    p->snapshot[PLAN_BEFORE] = host->snapshot(before);
    p->snapshot[PLAN_AFTER] = host->snapshot(after);
    p->document[PLAN_BEFORE] = old;
    p->document[PLAN_AFTER] = now;
    return p;
}

static void
plan_free(struct plan *p)
{
    map_free(&p->differences_by_key);
    arena_free(&p->arena);
    free(p);
}

void
plan_write(const struct control_host *host, const struct app *before, const struct app *after,
           const struct config_document *old, const struct config_document *now, struct text *out)
{
    struct plan *p = plan_new(host, before, after, old, now);

    if (!p) {
        text_literal(out, "{\"changes\":[],\"counts\":{},\"replayed\":0,\"differing\":0,"
                          "\"different\":[],\"warnings\":[\"out of memory\"]}\n");
        return;
    }
    plan_compare(p);
    plan_replay(p, host->workers);
    if (p->left_out)
        plan_warn(p, "%zu more changes are not listed", p->left_out);
    if (p->no_memory)
        plan_warn(p, "out of memory: the plan is not complete");
    text_byte(out, '{');
    put_changes(out, p);
    put_differences(out, p);
    put_warnings(out, p);
    text_literal(out, "}\n");
    plan_free(p);
}
