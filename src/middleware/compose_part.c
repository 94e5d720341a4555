/* SPDX-License-Identifier: Apache-2.0 */
/* middleware/compose_part.c - each part is a request of our own, on a fiber of its own. */
#include "middleware/compose_part.h"

#include "base/check.h"
#include "exchange/child.h"
#include "middleware/compose_json.h"
#include "observe/log.h"
#include "runtime/quiesce.h"

struct compose_counts *
compose_counts(unsigned worker)
{
    static struct compose_counts counts[WORKERS_MAX];

    return &counts[worker];
}

static bool
say(struct compose_fetch *f, const char *problem)
{
    f->problem = f->late ? "it took too long" : problem;
    return false;
}

/* ------------------------------------------------------------------ one part */

static bool
keep(struct compose_fetch *f, struct slice chunk)
{
    struct compose_work *w = f->work;

    w->bytes += chunk.n;
    if (w->bytes > w->config->bytes)
        return say(f, "the parts are longer than `bytes` together");
    text_put(&f->json, chunk);
    return !f->json.full || say(f, "out of memory");
}

static bool
is_json(struct compose_fetch *f)
{
    struct slice text = compose_json_trim(text_slice(&f->json));

    if (!compose_json_is_valid(text))
        return say(f, "its content is not JSON");
    if (f->work->config->shape == COMPOSE_FLAT && text.at[0] != '{')
        return say(f, "its content is no object, which `shape: flat` needs");
    return true;
}

static bool
is_usable(struct compose_fetch *f)
{
    const struct response *r = &f->child->response;
    struct slice coding = fields_value(&r->fields, FIELD_CONTENT_ENCODING);

    f->status = r->status;
    if (r->status < 200 || r->status > 299 || r->status == 206)
        return say(f, reason_sentence(f->child->fault.reason));
    if (coding.n && !slice_eq_nocase(coding, SLICE("identity")))
        return say(f, "its content is encoded");
    return true;
}

static bool
pull(struct compose_fetch *f)
{
    struct body *b = f->child->response.body;
    struct slice chunk;
    enum err e = ERR_END;

    while (b && (e = body_next(b, &chunk)) == OK)
        if (!keep(f, chunk))
            return false;
    if (e != ERR_END)
        return say(f, "it broke off");
    return is_json(f);
}

static bool
fetch(struct compose_fetch *f)
{
    const struct compose *config = f->work->config;
    struct exchange *x = f->work->x;
    struct slice url = compose_url_render(f->part->url, x);

    if (!slice_is_present(url))
        return say(f, "a value does not fit into its URL");
    f->child = exchange_child(x, &config->keeper);
    if (!f->child)
        return say(f, "out of memory");
    if (!compose_aim(f->child, x, url, (enum compose_credentials) config->credentials) ||
        !fields_set(&f->child->request.fields, FIELD_ACCEPT, SLICE("application/json")))
        return say(f, "its URL is malformed");
    exchange_child_run(f->child);
    return is_usable(f) && pull(f);
}

/* ------------------------------------------------------------------ all of them */

static void
on_late(struct timer *t)
{
    struct compose_fetch *f = container_of(t, struct compose_fetch, timer);

    f->late = true;
    fiber_cancel(f->fiber, ERR_CANCELLED);
}

static void
run(void *arg)
{
    struct compose_fetch *f = arg;
    struct compose_work *w = f->work;

    f->timer.fire = on_late;
    timer_set(&loop_self()->timers, &f->timer, loop_now_us() + f->part->timeout_us);
    f->good = fetch(f);
    timer_clear(&loop_self()->timers, &f->timer);
    if (f->child) /* its connection is free; of the answer, the fields are still needed */
        body_close(take(&f->child->response.body));
    if (!f->good) {
        compose_counts(loop_self()->number)->failed++;
        log_debug("compose: part failed part=%.*s status=%u problem=%s", SLICE_ARG(f->part->name),
                  f->status, f->problem);
    }
    f->fiber = NULL;
    w->running--;
    fiber_resume(w->waiter);
}

static void
start(struct compose_work *w, struct compose_fetch *f, const struct compose_part *part)
{
    f->part = part;
    f->work = w;
    text_init(&f->json, w->config->bytes);
    f->fiber = fiber_start("compose", run, f);
    if (f->fiber) {
        w->running++;
        compose_counts(loop_self()->number)->parts++;
    } else {
        say(f, "out of memory");
    }
}

const struct compose_fetch *
compose_missing(const struct compose_work *w)
{
    for (size_t i = 0; i < w->config->parts.n; i++) {
        const struct compose_fetch *f = &w->fetches[i];

        if (!f->fiber && !f->good && !f->part->optional)
            return f;
    }
    return NULL;
}

static void
end_all(struct compose_work *w)
{
    for (size_t i = 0; i < w->config->parts.n; i++)
        if (w->fetches[i].fiber)
            fiber_cancel(w->fetches[i].fiber, ERR_CANCELLED);
    while (w->running)
        fiber_suspend();
}

enum err
compose_fetch_all(struct compose_work *w)
{
    const struct compose_part *parts = w->config->parts.at;
    enum err e = OK;

    w->waiter = fiber_self();
    for (size_t i = 0; i < w->config->parts.n; i++)
        start(w, &w->fetches[i], &parts[i]);
    while (w->running && e == OK && !compose_missing(w))
        e = fiber_sleep_until(TIMER_NEVER);
    return e;
}

void
compose_work_free(struct compose_work *w)
{
    end_all(w);
    for (size_t i = 0; i < w->config->parts.n; i++) {
        text_free(&w->fetches[i].json);
        if (w->fetches[i].child)
            exchange_child_end(take(&w->fetches[i].child));
    }
}
