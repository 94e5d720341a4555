/* SPDX-License-Identifier: Apache-2.0 */
/* control/configuration.c - one change at a time, all or nothing. */
#include "control/admin.h"
#include "control/change.h"
#include "control/events.h"
#include "control/room.h"
#include "observe/log.h"
#include "runtime/fiber.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

enum { DOCUMENT_MAX = 64 * 1024 * 1024, PATCH_MAX = 16 * 1024 * 1024, TURN_US = 1000 };

static struct {
    struct config_document *files; /* as they were read last */
    struct config_document *now;   /* with what the API has changed */
    int64_t                 revision;
    int64_t                 since_s;
    bool                    locked, retired;
    char                    source[PATH_MAX]; /* configuration_source(), once it was asked for */
} state;

/* Not fiber_sleep_until(): that returns at once to a fiber whose client has hung up, and nobody
 * else on this thread would ever run again. */
void
change_wait(uint64_t us)
{
    static const bool never;

    (void) fiber_wait_for(&never, loop_now_us() + us);
}

void
configuration_lock(void)
{
    while (state.locked)
        change_wait(TURN_US);
    state.locked = true;
}

void
configuration_unlock(void)
{
    state.locked = false;
}

const struct config_document *
configuration_now(void)
{
    return state.now;
}

const struct config_document *
configuration_files(void)
{
    return state.files;
}

int64_t
configuration_revision(void)
{
    return state.revision;
}

struct slice
configuration_source(void)
{
    struct slice path = control_host()->path;

    if (!slice_is_present(path))
        return SLICE("command line");
    if (!state.source[0] && !realpath(path.at, state.source))
        snprintf(state.source, sizeof(state.source), "%.*s", SLICE_ARG(path));
    return slice_str(state.source);
}

int64_t
configuration_since_s(void)
{
    return state.since_s;
}

static uint64_t
hash_of(const struct config_document *d)
{
    return config_document_hash(d, config_document_find(d, SLICE("")));
}

/* ------------------------------------------------------------------ results */

static void
result_init(struct configuration_result *r)
{
    *r = (struct configuration_result){.outcome = CONFIGURATION_DONE};
    config_report_init(&r->report);
}

bool
change_fail(struct configuration_result *r, enum configuration_outcome outcome, const char *format,
            ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(r->why, sizeof(r->why), format, args);
    va_end(args);
    r->outcome = outcome;
    return false;
}

static bool
edit_failed(struct configuration_result *r, enum config_edit_fault fault)
{
    switch (fault) {
    case CONFIG_EDIT_OK: return true;
    case CONFIG_EDIT_SYNTAX: return change_fail(r, CONFIGURATION_BAD, "the change cannot be read");
    case CONFIG_EDIT_NOT_FOUND:
        return change_fail(r, CONFIGURATION_NOT_FOUND,
                           "there is no such place in the configuration");
    case CONFIG_EDIT_CONFLICT:
        return change_fail(r, CONFIGURATION_CONFLICT, "what the change expects is not there");
    case CONFIG_EDIT_MEMORY: break;
    }
    return change_fail(r, CONFIGURATION_FAILED, "out of memory");
}

/* ------------------------------------------------------------------ documents */

static bool
edit(struct config_document *d, enum config_edit how, struct slice pointer, const char *name,
     struct slice text, struct configuration_result *r)
{
    return d ? edit_failed(r, config_document_edit(d, how, pointer, name, text, &r->report))
             : change_fail(r, CONFIGURATION_FAILED, "out of memory");
}

static bool
read_files(void)
{
    struct config_report report;

    config_report_init(&report);
    config_document_free(state.files);
    state.files = control_host()->read(&report);
    config_report_free(&report);
    state.now = state.files ? config_document_copy(state.files) : NULL;
    return state.now != NULL;
}

/* What the API has changed, onto files that were read anew. */
static bool
put_changes_over(struct config_document *d, struct configuration_result *r)
{
    struct text patch;
    bool good;

    text_init(&patch, PATCH_MAX);
    good = !state.now || !state.files ||
           config_document_diff(state.files, state.now, false, &patch);
    if (!good)
        change_fail(r, CONFIGURATION_FAILED, "out of memory");
    else if (patch.n)
        good = edit(d, CONFIG_EDIT_PATCH, SLICE(""), "changes of the API", text_slice(&patch), r);
    if (!good && r->outcome != CONFIGURATION_FAILED)
        change_fail(
            r, CONFIGURATION_CONFLICT,
            "what the API has changed does not fit the files any more; `maitred config reset` "
            "drops it");
    text_free(&patch);
    return good;
}

static bool
put_revision(struct config_document *d, int64_t number, struct configuration_result *r)
{
    struct revision found;
    struct arena arena;
    bool good;

    arena_init(&arena, NULL, 0, DOCUMENT_MAX + PATCH_MAX);
    good = revisions_get(number, &found, &arena) ||
           change_fail(r, CONFIGURATION_NOT_FOUND, "there is no revision %lld", (long long) number);
    good = good && edit(d, CONFIG_EDIT_PUT, SLICE(""), "revision", found.text, r);
    arena_free(&arena);
    return good;
}

/* The document that a change asks for, and in *files what the files say by then; NULL: see the
 * result. */
static struct config_document *
make_document(const struct configuration_change *c, struct config_document **files,
              struct configuration_result *r)
{
    bool reads = c->source == CONFIGURATION_FILES || c->source == CONFIGURATION_RELOAD;
    struct config_document *d;
    bool good;

    *files = reads ? control_host()->read(&r->report) : NULL;
    if (reads && !*files) {
        change_fail(r, CONFIGURATION_WRONG, "the files cannot be read");
        return NULL;
    }
    d = config_document_copy(reads ? *files : state.now);
    good = d != NULL || change_fail(r, CONFIGURATION_FAILED, "out of memory");
    if (good && c->source == CONFIGURATION_EDIT)
        good = edit(d, c->how, c->pointer, "request body", c->text, r);
    else if (good && c->source == CONFIGURATION_WHOLE)
        good = edit(d, CONFIG_EDIT_PUT, SLICE(""), "request body", c->text, r);
    else if (good && c->source == CONFIGURATION_REVISION)
        good = put_revision(d, c->revision, r);
    else if (good && c->source == CONFIGURATION_RELOAD)
        good = put_changes_over(d, r);
    if (good && c->asks_nothing && config_document_asks(d))
        good = change_fail(r, CONFIGURATION_FORBIDDEN,
                           "${env:...} and ${file:...} of a plan need the right `admin`");
    if (good)
        return d;
    config_document_free(d);
    config_document_free(take(files));
    return NULL;
}

static struct app *
make_ready(const struct config_document *d, struct configuration_result *r)
{
    struct app *a = control_host()->prepare(d, &r->report);

    config_document_point(d, &r->report);
    if (!a)
        change_fail(r, CONFIGURATION_WRONG, "the configuration has %zu error%s", r->report.errors,
             r->report.errors == 1 ? "" : "s");
    return a;
}

/* Its logs are open too. */
static struct app *
make_open(const struct config_document *d, struct configuration_result *r)
{
    struct app *a = make_ready(d, r);

    if (a && !control_host()->open(a, &r->report)) {
        control_host()->drop(a);
        return NULL;
    }
    return a;
}

struct app *
configuration_prepare(const struct configuration_change *change, struct config_document **document,
                      struct configuration_result *result)
{
    struct config_document *files;
    struct app *a;

    result_init(result);
    *document = NULL;
    if (!state.now) {
        change_fail(result, CONFIGURATION_FAILED, "the configuration's files are gone");
        return NULL;
    }
    *document = make_document(change, &files, result);
    config_document_free(files);
    if (!*document)
        return NULL;
    result->hash = hash_of(*document);
    a = make_ready(*document, result);
    if (!a)
        config_document_free(take(document));
    return a;
}

/* ------------------------------------------------------------------ the steps */

bool
change_serve(struct app *a, struct configuration_result *r)
{
    struct control_listening fresh;
    bool reachable = control_can_listen(a, &fresh, &r->report), served;

    if (!reachable)
        control_host()->drop(a);
    served = reachable && control_host()->apply(a, &r->report);
    control_listened(&fresh, served);
    if (!reachable)
        return change_fail(r, CONFIGURATION_WRONG, "the API could not be reached any more");
    if (!served)
        return change_fail(r, CONFIGURATION_FAILED, "it cannot be served");
    state.since_s = clock_wall_us() / 1000000;
    return true;
}

/* The app is gone in any case; NULL: it is made first. */
static bool
serve_what_was(struct app *a, const struct config_document *d, char why[CHANGE_WHY])
{
    struct configuration_result r;
    bool good;

    result_init(&r);
    if (!a)
        a = make_ready(d, &r);
    good = a && change_serve(a, &r);
    if (!good) {
        config_report_tell(&r.report);
        log_error("admin: the configuration before cannot be served: %s", r.why);
        snprintf(why, CHANGE_WHY, "%s", r.why);
    }
    config_report_free(&r.report);
    return good;
}

bool
change_serve_again(struct app *ready, const struct config_document *d, char why[CHANGE_WHY])
{
    return (ready && serve_what_was(ready, d, why)) || serve_what_was(NULL, d, why);
}

struct app *
change_spare(struct configuration_result *r)
{
    struct configuration_result own;
    struct app *a;

    result_init(&own);
    a = make_open(state.now, &own);
    if (a) {
        config_report_free(&own.report);
        return a;
    }
    config_report_free(&r->report);
    r->report = own.report;
    change_fail(
        r, CONFIGURATION_WRONG,
        "what is served now could not be served again, so nothing can be tried in its place");
    return NULL;
}

static void
swap(struct config_document **one, struct config_document **other)
{
    struct config_document *d = *one;

    *one = *other;
    *other = d;
}

void
change_swap(struct documents *d)
{
    swap(&state.files, &d->files);
    swap(&state.now, &d->now);
}

void
change_drop(struct documents *d)
{
    config_document_free(take(&d->files));
    config_document_free(take(&d->now));
}

int64_t
change_keep(enum revision_cause cause, struct slice who, struct slice comment)
{
    struct revision r = {.at_s = clock_wall_us() / 1000000,
                         .source = configuration_source(),
                         .cause = cause,
                         .who = who,
                         .comment = comment,
                         .origin = config_document_origin(state.files),
                         .hash = hash_of(state.now)};
    struct text patch, text;
    int64_t number = 0;

    text_init(&patch, PATCH_MAX);
    text_init(&text, DOCUMENT_MAX);
    config_document_write(state.now, config_document_find(state.now, SLICE("")), CONFIG_YAML,
                          false, &text);
    if (config_document_diff(state.files, state.now, false, &patch) && !patch.full && !text.full) {
        r.patch = text_slice(&patch);
        r.text = text_slice(&text);
        number = revisions_add(&r);
    }
    text_free(&patch);
    text_free(&text);
    if (!number)
        return 0;
    state.revision = number;
    if (control_admin())
        revisions_trim(configuration_source(), (size_t) control_admin()->keep);
    return number;
}

/* ------------------------------------------------------------------ changing */

/* Served and kept, or as before.  What means the same as before is no revision of its own. */
static void
change_for_good(const struct configuration_change *c, struct documents *d, struct app *a,
                struct configuration_result *r)
{
    int64_t before = state.revision;
    char why[CHANGE_WHY];
    bool same;

    if (!change_serve(a, r))
        return;
    trial_forget();
    same = hash_of(d->now) == hash_of(state.now) &&
           config_document_origin(d->files) == config_document_origin(state.files);
    change_swap(d);
    r->revision = same && before ? before : change_keep(c->cause, c->who, c->comment);
    state.revision = r->revision;
    if (!r->revision && c->source != CONFIGURATION_RELOAD) {
        if (change_serve_again(NULL, d->now, why)) {
            change_swap(d);
            state.revision = before;
            change_fail(r, CONFIGURATION_UNKEPT, "it cannot be kept, so nothing was changed: %.*s",
                        SLICE_ARG(revisions_fault()));
            return;
        }
        change_fail(r, CONFIGURATION_UNKEPT,
                    "it is served until the process ends, but cannot be kept: %.*s; and what was "
                    "before cannot be served again: %s",
                    SLICE_ARG(revisions_fault()), why);
    }
    events_changed("configuration", c->who);
}

static bool
may_change(const struct configuration_change *c, struct configuration_result *r)
{
    const struct trial *t = configuration_trial();

    if (state.retired)
        return change_fail(r, CONFIGURATION_CONFLICT, "another process serves by now");
    if (!state.now && !read_files())
        return change_fail(r, CONFIGURATION_FAILED, "the configuration's files are gone");
    if (t->state == TRIAL_RUNNING)
        return change_fail(r, CONFIGURATION_CONFLICT,
                           "a change of `%s` is on trial: confirm or abort it first", t->who);
    if (c->source != CONFIGURATION_RELOAD && !revisions_usable())
        return change_fail(r, CONFIGURATION_UNKEPT, "it could not be kept: %.*s",
                           SLICE_ARG(revisions_fault()));
    return trial_understands(c, r);
}

void
configuration_apply(const struct configuration_change *c, struct configuration_result *r)
{
    struct documents d = {NULL, NULL};
    struct app *a;

    result_init(r);
    if (!may_change(c, r))
        return;
    d.now = make_document(c, &d.files, r);
    if (d.now && !d.files)
        d.files = config_document_copy(state.files);
    a = d.files ? make_ready(d.now, r) : NULL;
    if (a) {
        r->hash = hash_of(d.now);
        if (c->confirm_us || c->guard.n)
            trial_begin(c, &d, a, r);
        else
            change_for_good(c, &d, a, r);
    }
    change_drop(&d);
}

bool
configuration_reload(struct slice who, struct config_report *report)
{
    struct configuration_change c = {
        .source = CONFIGURATION_RELOAD, .cause = REVISION_RELOAD, .who = who};
    struct configuration_result r;

    (void) configuration_abort(who);
    configuration_lock();
    configuration_apply(&c, &r);
    configuration_unlock();
    config_report_free(report);
    *report = r.report;
    if (r.outcome != CONFIGURATION_DONE)
        log_answer(LOG_LEVEL_ERROR, "%s", r.why);
    return r.outcome == CONFIGURATION_DONE;
}

/* ------------------------------------------------------------------ the beginning */

/* The last revision as a whole, when its changes do not fit the files any more. */
static struct app *
as_it_was(const struct revision *kept, struct config_document *d, struct configuration_result *r)
{
    log_error("admin: what the API has changed does not fit the files any more: serving revision "
              "%lld as it was; `maitred config reset` goes back to the files",
              (long long) kept->number);
    return edit(d, CONFIG_EDIT_PUT, SLICE(""), "revision", kept->text, r) ? make_open(d, r) : NULL;
}

static struct app *
with_changes(const struct revision *kept, struct config_document *d)
{
    struct configuration_result r;
    struct app *a = NULL;

    result_init(&r);
    if (edit(d, CONFIG_EDIT_PATCH, SLICE(""), "changes of the API", kept->patch, &r))
        a = make_open(d, &r);
    if (!a) { /* with a report of its own: the errors in this one would fail it */
        config_report_tell(&r.report);
        config_report_free(&r.report);
        result_init(&r);
        a = as_it_was(kept, d, &r);
    }
    if (!a)
        log_error("admin: revision %lld cannot be served either: serving the files alone",
                  (long long) kept->number);
    config_report_tell(&r.report);
    config_report_free(&r.report);
    return a;
}

struct app *
configuration_restore(struct app *a)
{
    struct revision kept;
    struct config_document *d;
    struct arena arena;
    struct app *changed = NULL;

    arena_init(&arena, NULL, 0, DOCUMENT_MAX + PATCH_MAX);
    if (read_files() && revisions_current(configuration_source(), &kept, &arena)) {
        state.revision = kept.number;
        d = slice_eq(slice_trim(kept.patch), SLICE("[]")) ? NULL
                                                          : config_document_copy(state.now);
        changed = d ? with_changes(&kept, d) : NULL;
        if (changed)
            swap(&state.now, &d);
        config_document_free(d);
    }
    arena_free(&arena);
    if (!changed)
        return a;
    control_host()->drop(a);
    return changed;
}

/* A start is a revision of its own when something else is served than when the process ended. */
static void
keep_start(void)
{
    struct revision kept;
    struct arena arena;
    bool same;

    arena_init(&arena, NULL, 0, DOCUMENT_MAX + PATCH_MAX);
    same = revisions_current(configuration_source(), &kept, &arena) &&
           kept.hash == hash_of(state.now) && kept.origin == config_document_origin(state.files);
    state.revision = same ? kept.number
                          : change_keep(REVISION_START, SLICE("start"), SLICE(""));
    arena_free(&arena);
}

void
configuration_follow(const struct app *a)
{
    (void) a;
    if (state.since_s)
        return;
    state.since_s = clock_wall_us() / 1000000;
    if (!state.now && !read_files())
        log_error("admin: the configuration cannot be shown: its files are gone");
    if (state.now)
        keep_start();
}

void
configuration_retire(void)
{
    (void) configuration_abort(SLICE("the end of the process"));
    configuration_lock(); /* a change that is under way comes to its end */
    trial_forget();
    state.retired = true;
    configuration_unlock();
}

void
configuration_forget(void)
{
    trial_forget();
    configuration_stop();
    state.since_s = 0;
    state.revision = 0;
}

void
configuration_stop(void)
{
    config_document_free(take(&state.files));
    config_document_free(take(&state.now));
}
