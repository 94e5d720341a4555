/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control/query.c - the query of a request: it says what its operation declares, and nothing else.
 *
 * A wish that cannot be read is never passed over: with `dry-run` for `dry_run`, or with a guard
 * whose `%` is not encoded, a change would be made for good that was not meant so.
 */
#include "base/check.h"
#include "base/text.h"
#include "control/api.h"
#include "http/uri.h"

#include <string.h>

enum { NOT_DECLARED = API_QUERY_MAX, NAMES_MAX = 300 };

/* Which of the operation's parameters has this name. */
static size_t
find(const struct api_operation *o, struct slice name)
{
    for (size_t i = 0; i < API_QUERY_MAX && o->query[i].name; i++)
        if (slice_eq(slice_str(o->query[i].name), name))
            return i;
    return NOT_DECLARED;
}

static bool
read_flag(struct slice text, bool *on)
{
    static const struct {
        const char *word;
        bool        on;
    } words[] = {{"", true},   {"1", true},  {"true", true}, {"yes", true},
                 {"0", false}, {"no", false}, {"false", false}};

    for (size_t i = 0; i < countof(words); i++)
        if (slice_eq(text, slice_str(words[i].word))) {
            *on = words[i].on;
            return true;
        }
    return false;
}

/* ------------------------------------------------------------------ what it says */

/* Absent: it cannot be decoded. */
static struct slice
decoded(struct api_call *c, struct slice raw)
{
    char *out = arena_alloc(&c->x->arena, raw.n + 1);
    size_t n;

    if (!out || percent_decode(raw, true, out, &n) != OK)
        return (struct slice){NULL, 0};
    return slice_of(out, n);
}

static void
refuse_unknown(struct api_call *c, struct slice name)
{
    const struct api_parameter *known = c->operation->query;
    char memory[NAMES_MAX];
    struct text names;

    text_fixed(&names, memory, sizeof(memory));
    for (size_t i = 0; i < API_QUERY_MAX && known[i].name; i++)
        text_printf(&names, "%s`%s`", i ? ", " : "", known[i].name);
    if (!names.n)
        text_literal(&names, "none");
    api_problem(c, 400, "bad_query", "there is no parameter `%.*s` here; this takes %.*s",
                SLICE_ARG(slice_first(name, 100)), (int) names.n, names.at);
}

/* False after answering 400. */
static bool
take_parameter(struct api_call *c, struct slice raw_name, struct slice raw_value)
{
    struct slice name = decoded(c, raw_name), value = decoded(c, raw_value);
    size_t i = find(c->operation, name);
    const struct api_parameter *p = &c->operation->query[i];
    bool on;

    if (i == NOT_DECLARED) {
        refuse_unknown(c, raw_name);
    } else if (slice_is_present(c->query[i])) {
        api_problem(c, 400, "bad_query", "`%s` is said twice", p->name);
    } else if (!slice_is_present(value)) {
        api_problem(c, 400, "bad_query",
                    "`%s` cannot be decoded: in a query, %% is written %%25, + is written %%2B",
                    p->name);
    } else if (strcmp(p->type, "boolean") == 0 && !read_flag(value, &on)) {
        api_problem(c, 400, "bad_query", "`%s` is true or false", p->name);
    } else {
        c->query[i] = value;
        return true;
    }
    return false;
}

bool
api_take_query(struct api_call *c)
{
    struct slice rest = c->x->request.target.query;

    while (slice_is_present(rest)) {
        struct slice value = slice_cut(&rest, '&');
        struct slice name = slice_cut(&value, '=');

        if ((name.n || slice_is_present(value)) && !take_parameter(c, name, value))
            return false;
    }
    return true;
}

/* ------------------------------------------------------------------ what operations ask for */

struct slice
api_query(const struct api_call *c, const char *name)
{
    size_t i = find(c->operation, slice_str(name));

    CHECK(i != NOT_DECLARED);
    return c->query[i];
}

bool
api_query_flag(const struct api_call *c, const char *name)
{
    struct slice text = api_query(c, name);
    bool on = false;

    return slice_is_present(text) && read_flag(text, &on) && on;
}

bool
api_number(struct api_call *c, const char *name, uint64_t preset, uint64_t max, uint64_t *out)
{
    struct slice text = api_query(c, name);

    *out = preset;
    if (!slice_is_present(text) || slice_to_u64(text, max, out))
        return true;
    api_problem(c, 400, "bad_query", "%s is a number up to %llu", name, (unsigned long long) max);
    return false;
}
