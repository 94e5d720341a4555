/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control/plan_parts.h - a plan while it is made.  Private to plan*.c.
 *
 * What is compared are the bound structs, led by their tables: defaults, units and replacements
 * count as what they mean.  What is told are the texts of the documents, as somebody wrote them and
 * with secrets masked.
 */
#ifndef CONTROL_PLAN_PARTS_H
#define CONTROL_PLAN_PARTS_H

#include "base/map.h"
#include "config/document.h"
#include "config/option.h"
#include "edge/edge.h"

enum {
    PLAN_DEPTH_MAX = 24,     /* options within options */
    PLAN_CHANGES_MAX = 2000, /* the rest is counted */
    PLAN_TEXT_MAX = 300,     /* bytes of what is shown of a value */
    PLAN_WARNINGS_MAX = 16,
    PLAN_DIFFERENCES_MAX = 200,
    PLAN_MEMORY_MAX = 256 * 1024 * 1024,
};
#define PLAN_NONE SIZE_MAX

enum plan_side { PLAN_BEFORE, PLAN_AFTER, PLAN_SIDES };

enum plan_kind {
    PLAN_ADDED,
    PLAN_REMOVED,
    PLAN_CHANGED,
    PLAN_MOVED,       /* a route among the routes, a middleware in its chain */
    PLAN_UNREACHABLE, /* a route that could match before */
    PLAN_KINDS
};
extern const char *const plan_kinds[];

/* Texts are absent where they say nothing. */
struct plan_change {
    struct plan_change *next;
    enum plan_kind      kind;
    struct slice        what;  /* "route", "server", "host", "middleware", ... */
    struct slice        name;  /* "shop", "app/10.0.0.1:80", "shop/rate_limit" */
    struct slice        about; /* of a route without a name: "example.com /api/" */
    struct slice        path;  /* of the option in it */
    struct slice        before, after, where;
};

/* What options belong to. */
struct plan_entity {
    struct slice what, name, about;
    size_t       depth; /* of the path: its own options begin there */
};

struct plan_segment {
    struct slice key;
    bool         indexed;        /* an item of a list, which in the documents is: */
    size_t       at[PLAN_SIDES];
};

struct plan_difference {
    struct plan_difference *next;
    struct slice            method, url, before, after; /* those two: JSON */
    size_t                  count;
};

struct plan {
    struct arena                  arena;
    const struct snapshot        *snapshot[PLAN_SIDES];
    const struct config_document *document[PLAN_SIDES]; /* may be NULL */
    struct plan_change           *changes, **last;
    size_t                        n, left_out, counts[PLAN_KINDS];
    struct plan_segment           path[PLAN_DEPTH_MAX];
    size_t                        depth;
    struct plan_entity            entity;
    const struct option_object   *defaults; /* whose `defaults:` may hold the options under way */
    size_t                        defaults_depth;
    struct slice                  warnings[PLAN_WARNINGS_MAX];
    size_t                        n_warnings;
    size_t                        n_routes[PLAN_SIDES];
    size_t                       *routes_before; /* for each route after: which it was, or
                                                  * PLAN_NONE */
    size_t                        replayed, different;
    struct map                    differences_by_key;
    struct plan_difference       *differences, **last_difference;
    size_t                        n_differences;
    bool                          no_memory;
};

/* ------------------------------------------------------------------ plan.c */

/* About the entity under way, at the path under way.  Texts live in the plan's arena. */
void plan_note(struct plan *p, enum plan_kind kind, struct slice before, struct slice after,
               struct slice where);
void plan_warn(struct plan *p, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ------------------------------------------------------------------ plan_text.c */

/* What the option under way is in that document; node: in the tree that was bound, NULL: it has its
 * default. */
struct slice plan_value_text(struct plan *p, enum plan_side side, const struct option *o,
                             const struct config_node *node);
/* What stands at the path under way, whole, secrets masked; absent when that is not known. */
struct slice plan_whole_text(struct plan *p, enum plan_side side);
/* Of the path under way, from the entity on: "use/rate_limit/rate". */
struct slice plan_path_text(struct plan *p);
/* Cut to PLAN_TEXT_MAX bytes; in the arena. */
struct slice plan_copy(struct plan *p, struct slice s);

/* ------------------------------------------------------------------ plan_values.c */

/* Everything, from the top; a and b are of config->type. */
void plan_compare(struct plan *p);
/* Options of an object; nodes may be NULL. */
void plan_compare_object(struct plan *p, const struct option_object *type, const void *a,
                         const void *b, const struct config_node *na,
                         const struct config_node *nb);
/* An item of a list or map becomes the entity, and its key the path; the entity that was. */
struct plan_entity plan_enter(struct plan *p, struct slice what, struct plan_segment segment);
void plan_leave(struct plan *p, struct plan_entity outer);
/* "site.yaml:12:5" of an object or item; absent when it stands in no file. */
struct slice plan_where_object(struct plan *p, enum plan_side side, const void *object);

/* ------------------------------------------------------------------ plan_routes.c */

/* The path is at `routes`. */
void plan_compare_routes(struct plan *p, const struct config_node *na,
                         const struct config_node *nb);
/* "example.com, www.example.com /api/ GET": what a person would call it. */
struct slice plan_route_title(const struct route *r, struct arena *arena);

/* ------------------------------------------------------------------ plan_replay.c */

/* Requests that came lately, put to both. */
void plan_replay(struct plan *p, unsigned workers);
/* One of them. */
void plan_replay_head(struct plan *p, struct slice head);

#endif
