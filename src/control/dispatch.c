/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control/dispatch.c - from a request to an operation: who asks, may he, what does he send, and a
 * line in the audit log when something was changed.
 */
#include "control/admin.h"
#include "control/dashboard.h"
#include "control/operations.h"
#include "control/revisions.h"
#include "control/room.h"
#include "http/uri.h"
#include "runtime/fiber.h"

#include <stdio.h>

enum {
    WRONG_TOKEN_US = 300000,
    LONG_BYTES = 1024 * 1024,
    LONG_MOST = 8, /* bodies longer than that which are in memory at a time */
};

/* ------------------------------------------------------------------ who asks */

/* Takes as long whatever is in them. */
static bool
same_secret(struct slice a, struct slice b)
{
    unsigned char differs = a.n != b.n;

    for (size_t i = 0; i < a.n && b.n; i++)
        differs |= (unsigned char) a.at[i] ^ (unsigned char) b.at[i % b.n];
    return !differs;
}

static bool
bearer(struct api_call *c, const struct admin_config *admin)
{
    struct slice field = fields_value(&c->x->request.fields, FIELD_AUTHORIZATION), token;
    const struct admin_token *tokens = admin->tokens.at;
    bool found = false;

    if (!slice_starts_nocase(field, SLICE("bearer ")))
        return false;
    token = slice_trim(slice_from(field, 7));
    for (size_t i = 0; i < admin->tokens.n; i++)
        if (same_secret(token, tokens[i].token)) {
            c->who = (struct api_identity){tokens[i].name, (enum api_right) tokens[i].right};
            found = true;
        }
    /* The change that it asks for may end the configuration that names it. */
    if (found)
        c->who.name = arena_copy(&c->x->arena, c->who.name);
    return found && c->who.name.at;
}

/* Root, and whoever started the process, may do everything over a Unix socket. */
static bool
local_user(struct api_call *c)
{
    const struct exchange *x = c->x;
    uint32_t uid;

    if (!x->ops->client_user || !x->ops->client_user(x, &uid) ||
        (uid != 0 && uid != control_host()->owner))
        return false;
    c->who = (struct api_identity){arena_printf(&c->x->arena, "socket:%u", uid), API_ADMIN};
    return true;
}

static bool
may(struct api_call *c)
{
    const struct admin_config *admin = control_admin();

    if (!bearer(c, admin) && (fields_has(&c->x->request.fields, FIELD_AUTHORIZATION) ||
                              !local_user(c))) {
        (void) fiber_sleep_until(loop_now_us() + WRONG_TOKEN_US);
        api_problem(c, 401, "unauthorized",
                    fields_has(&c->x->request.fields, FIELD_AUTHORIZATION)
                        ? "there is no such token in admin.tokens"
                        : "say who you are: Authorization: Bearer TOKEN, with one of admin.tokens");
        fields_add(&c->x->response.fields, FIELD_WWW_AUTHENTICATE,
                   SLICE("Bearer realm=\"maitred\""));
        return false;
    }
    if (c->who.right >= c->operation->right)
        return true;
    api_problem(c, 403, "forbidden", "`%.*s` has the right `%s`; this needs `%s`",
                SLICE_ARG(c->who.name), api_rights[c->who.right],
                api_rights[c->operation->right]);
    return false;
}

/* ------------------------------------------------------------------ what is sent */

static bool
decode_parameters(struct api_call *c)
{
    for (size_t i = 0; i < API_PARAMETERS_MAX; i++) {
        struct slice *p = &c->parameters[i];
        char *out;
        size_t n;

        if (p->n == 0 || p->at[0] == '/') /* {rest} is decoded by whoever cuts it */
            continue;
        out = arena_alloc(&c->x->arena, p->n + 1);
        if (!out || percent_decode(*p, false, out, &n) != OK) {
            api_problem(c, 400, "bad_path", "`%.*s` is not a part of a path", SLICE_ARG(*p));
            return false;
        }
        out[n] = '\0';
        *p = slice_of(out, n);
    }
    return true;
}

static unsigned long_bodies; /* that are in memory, or come there */

/* What does not say its length may become long. */
static bool
is_long(const struct body *b)
{
    return b && (b->length == BODY_LENGTH_UNKNOWN || b->length > LONG_BYTES);
}

static struct body *
body_of(const struct api_call *c)
{
    return c->operation->body ? c->x->request.body : NULL;
}

static bool
read_body(struct api_call *c, struct text *memory)
{
    struct body *b = body_of(c);
    enum err e;

    if (!b)
        return true;
    if (b->length > API_BODY_MAX) {
        api_problem(c, 413, "too_large", "at most %d bytes are read", API_BODY_MAX);
        return false;
    }
    if (is_long(b) && long_bodies > LONG_MOST) {
        api_problem(c, 503, "busy", "%d long bodies are being read already", LONG_MOST);
        return false;
    }
    e = body_read(b, API_BODY_MAX, memory);
    c->body = memory->n ? text_slice(memory) : SLICE("");
    if (e == OK)
        return true;
    if (e == ERR_LIMIT)
        api_problem(c, 413, "too_large", "at most %d bytes are read", API_BODY_MAX);
    else
        api_problem(c, 400, "bad_body", "the body broke off: %s", err_sentence(e));
    return false;
}

/* ------------------------------------------------------------------ what was done */

static void
note(const struct api_call *c)
{
    char outcome[16];
    struct audit_entry e = {
        .at_s = clock_wall_us() / 1000000,
        .who = c->who.name.n ? c->who.name : SLICE("-"),
        .from = c->x->client_ip,
        .action = c->x->request.method_token,
        .target = c->x->request.target.raw,
        .outcome = slice_of(outcome, (size_t) snprintf(outcome, sizeof(outcome), "%u",
                                                       c->x->response.status)),
    };

    (void) audit_add(&e);
}

struct work {
    struct api_call *call;
    struct fiber    *waiter;
    bool             done;
};

static void
work(void *arg)
{
    struct work *w = arg;

    w->call->operation->handle(w->call);
    w->done = true;
    fiber_resume(w->waiter);
}

/* What has begun comes to its end: the fiber of an exchange is cancelled when its client hangs up,
 * and from then on each of its waits would fail, in the middle of a change too. */
static void
handle(struct api_call *c)
{
    struct work w = {.call = c, .waiter = fiber_self()};

    if (c->operation->method == METHOD_GET || !fiber_start("admin", work, &w))
        c->operation->handle(c);
    else
        (void) fiber_wait_for(&w.done, TIMER_NEVER);
}

static void
call(struct api_call *c)
{
    bool counts = is_long(body_of(c));
    struct text memory;

    text_init(&memory, API_BODY_MAX + 1);
    long_bodies += counts;
    if (decode_parameters(c) && api_take_query(c) && read_body(c, &memory))
        handle(c);
    text_free(&memory);
    long_bodies -= counts;
    if (c->operation->writes)
        note(c);
}

/* ------------------------------------------------------------------ where it goes */

static void
method_not_allowed(struct api_call *c, uint32_t allowed)
{
    struct text list;
    char memory[128];
    const char *before = "";

    text_fixed(&list, memory, sizeof(memory));
    for (enum method m = METHOD_GET; m <= METHOD_QUERY; m++)
        if (allowed >> m & 1) {
            text_printf(&list, "%s%.*s", before, SLICE_ARG(method_name(m)));
            before = ", ";
        }
    api_problem(c, 405, "method_not_allowed", "this takes %.*s", (int) list.n, list.at);
    fields_set(&c->x->response.fields, FIELD_ALLOW, arena_copy(&c->x->arena, text_slice(&list)));
}

static void
terminal_handle(const struct middleware *self, struct exchange *x)
{
    struct api_call c = {.x = x};
    struct slice path = x->request.target.path;
    uint32_t allowed;

    (void) self;
    if (!control_admin()) { /* a connection from before the configuration lost its API */
        exchange_refuse(x, 404, REASON_NO_ROUTE, "there is no API any more");
        return;
    }
    c.operation = operation_find(x->request.method, path, c.parameters, &allowed);
    if (c.operation) {
        if (may(&c))
            call(&c);
    } else if (allowed) {
        method_not_allowed(&c, allowed);
    } else if (slice_eq(path, SLICE("/v1")) || slice_starts(path, SLICE("/v1/")) ||
               !control_admin()->dashboard || !dashboard_answer(&c)) {
        api_problem(&c, 404, "not_found", "there is nothing at %.*s; GET /v1 lists what there is",
                    SLICE_ARG(path));
    }
}

const struct middleware_ops control_terminal = {
    .options = {.name = "control", .doc = "Answers for the admin listeners.",
                .ops = &control_terminal},
    .handle = terminal_handle,
    .answers = true,
};
