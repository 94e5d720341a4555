/* SPDX-License-Identifier: Apache-2.0 */
/* control/answer.c - what operations read of a request (but its query), and how they answer. */
#include "base/json.h"
#include "control/api.h"
#include "http/condition.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ANSWER_MAX = 256 * 1024 * 1024, JSON_MAX = 1024 * 1024, JSON_LEVELS_MAX = 16 };

/* ------------------------------------------------------------------ the request */

json_t *
api_json(struct api_call *c)
{
    json_error_t error;
    json_t *value;

    if (c->body.n > JSON_MAX || json_levels(c->body) > JSON_LEVELS_MAX) {
        api_problem(c, 400, "bad_json", "the request body has more than %d bytes or %d levels",
                    JSON_MAX, JSON_LEVELS_MAX);
        return NULL;
    }
    value = json_loadb(c->body.n ? c->body.at : "", c->body.n,
                       JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (!value)
        api_problem(c, 400, "bad_json", "request body:%d:%d: %s", error.line, error.column,
                    error.text);
    return value;
}

bool
api_only_known(struct api_call *c, json_t *body, const char *const *known)
{
    const char *key;
    json_t *value;

    if (!json_is_object(body)) {
        api_problem(c, 400, "bad_value", "the body is an object");
        return false;
    }
    json_object_foreach (body, key, value) {
        size_t i = 0;

        while (known[i] && strcmp(known[i], key) != 0)
            i++;
        if (!known[i]) {
            api_problem(c, 400, "bad_value", "unknown key `%s`", key);
            return false;
        }
    }
    return true;
}

bool
api_match(struct api_call *c, uint64_t hash)
{
    const struct fields *f = &c->x->request.fields;
    char tag[20];
    struct validators v = {.etag = slice_of(tag, (size_t) snprintf(tag, sizeof(tag), "\"%016llx\"",
                                                                   (unsigned long long) hash))};

    switch (condition_check(f, c->x->request.method, &v, 0)) {
    case CONDITION_HOLDS: return true;
    case CONDITION_NOT_MODIFIED: api_answer_empty(c, 304); break;
    case CONDITION_FAILED:
        if (fields_has(f, FIELD_IF_MATCH))
            api_problem(c, 412, "changed",
                        "somebody has changed it since you read it: read it again, it is now %s",
                        tag);
        else
            api_problem(c, 412, "changed", "it is what If-None-Match rules out: it is %s", tag);
        break;
    }
    api_tag(c, hash);
    return false;
}

/* ------------------------------------------------------------------ the answer */

/* With U+FFFD for each byte that is no UTF-8. */
static json_t *
mended(struct slice s)
{
    json_t *value = NULL;
    struct text t;

    text_init(&t, 3 * s.n);
    while (s.n) {
        unsigned char c = (unsigned char) s.at[0];
        size_t n = c < 0x80 ? 1 : text_utf8_length(s);

        text_put(&t, n ? slice_first(s, n) : SLICE("\xEF\xBF\xBD"));
        s = slice_from(s, n ? n : 1);
    }
    if (!t.full)
        value = json_stringn(t.at, t.n);
    text_free(&t);
    return value;
}

json_t *
api_text(struct slice s)
{
    json_t *value = json_stringn(s.at ? s.at : "", s.n);

    return value || s.n == 0 ? value : mended(s);
}

static void
put_text(struct api_call *c, unsigned status, struct slice type, struct text *text)
{
    struct exchange *x = c->x;
    struct body *body;

    if (text->full || !(body = body_from_text(&x->arena, text))) {
        text_free(text);
        exchange_refuse(x, 503, REASON_OUT_OF_MEMORY, "the answer does not fit into memory");
        return;
    }
    exchange_respond(x, status, SLICE(""), SLICE(""));
    exchange_fault(x, REASON_RESPOND, OK, NULL);
    x->response.body = body;
    fields_add(&x->response.fields, FIELD_CONTENT_TYPE, type);
    fields_add(&x->response.fields, FIELD_CACHE_CONTROL, SLICE("no-store"));
}

void
api_answer(struct api_call *c, unsigned status, struct text *text)
{
    const char *type = c->operation ? c->operation->type : NULL;

    put_text(c, status, type ? slice_str(type) : SLICE("application/json"), text);
}

static int
append(const char *at, size_t n, void *out)
{
    text_put(out, slice_of(at, n));
    return ((struct text *) out)->full ? -1 : 0;
}

static void
put_json(struct api_call *c, unsigned status, struct slice type, json_t *value)
{
    struct text t;

    text_init(&t, ANSWER_MAX);
    if (!value || json_dump_callback(value, append, &t, JSON_COMPACT | JSON_ENCODE_ANY) != 0)
        t.full = true;
    text_byte(&t, '\n');
    json_decref(value);
    put_text(c, status, type, &t);
}

void
api_answer_json(struct api_call *c, unsigned status, json_t *value)
{
    put_json(c, status, SLICE("application/json"), value);
}

void
api_answer_empty(struct api_call *c, unsigned status)
{
    exchange_respond(c->x, status, SLICE(""), SLICE(""));
    exchange_fault(c->x, REASON_RESPOND, OK, NULL);
    fields_add(&c->x->response.fields, FIELD_CACHE_CONTROL, SLICE("no-store"));
}

void
api_tag(struct api_call *c, uint64_t hash)
{
    struct slice tag = arena_printf(&c->x->arena, "\"%016llx\"", (unsigned long long) hash);

    if (tag.at)
        fields_set(&c->x->response.fields, FIELD_ETAG, tag);
}

/* ------------------------------------------------------------------ problems (RFC 9457) */

static json_t *
problem(unsigned status, const char *type, const char *detail)
{
    struct slice phrase = status_phrase(status);

    return json_pack("{s:s+, s:s%, s:i, s:o}", "type", "urn:maitred:problem:", type, "title",
                     phrase.at, phrase.n, "status", (int) status, "detail",
                     api_text(slice_str(detail)));
}

void
api_problem(struct api_call *c, unsigned status, const char *type, const char *detail, ...)
{
    char text[1000];
    va_list args;

    va_start(args, detail);
    vsnprintf(text, sizeof(text), detail, args);
    va_end(args);
    put_json(c, status, SLICE("application/problem+json"), problem(status, type, text));
}

static json_t *
complaint(const struct config_report *r, const struct config_message *m)
{
    json_t *o = json_pack("{s:s, s:o}", "severity",
                          m->severity == CONFIG_ERROR ? "error" : "warning", "detail",
                          api_text(m->text));

    if (o && m->mark.line && m->mark.file < r->n_files) {
        json_object_set_new(o, "file", api_text(r->files[m->mark.file].path));
        json_object_set_new(o, "line", json_integer(m->mark.line));
        json_object_set_new(o, "column", json_integer(m->mark.column));
    }
    if (o && m->pointer.at)
        json_object_set_new(o, "pointer", api_text(m->pointer));
    if (o && m->hint.n)
        json_object_set_new(o, "hint", api_text(m->hint));
    return o;
}

json_t *
api_complaints(const struct config_report *report, enum config_severity least)
{
    json_t *list = json_array();

    for (const struct config_message *m = report->messages; m; m = m->next)
        if (m->severity <= least)
            json_array_append_new(list, complaint(report, m));
    return list;
}

/* A line of a file may have secrets in it: who may not see those gets places alone. */
static void
print(struct api_call *c, const struct config_report *report, struct text *out)
{
    struct config_report without = *report;

    if (c->who.right < API_ADMIN) {
        without.files = arena_calloc(&c->x->arena, report->n_files + 1, sizeof(*without.files));
        if (!without.files)
            return;
        for (size_t i = 0; i < report->n_files; i++)
            without.files[i] = (struct config_file){.path = report->files[i].path,
                                                    .text = SLICE("")};
    }
    config_report_print(&without, out);
}

void
api_problem_report(struct api_call *c, unsigned status, const struct config_report *report,
                   const char *type, const char *detail)
{
    json_t *p = problem(status, type, detail);
    struct text printed;

    text_init(&printed, 1024 * 1024);
    print(c, report, &printed);
    if (p) {
        json_object_set_new(p, "errors", api_complaints(report, CONFIG_WARNING));
        json_object_set_new(p, "text", api_text(text_slice(&printed)));
    }
    text_free(&printed);
    put_json(c, status, SLICE("application/problem+json"), p);
}
