/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/probe_http.c - a check by one HTTP/1.1 request.
 *
 * The status decides, and the body too when the configuration wants something of it; then its first
 * 64 KiB are read and searched.  The answer is parsed as strictly as those to clients' requests: a
 * server that garbles its health page is not well.
 */
#include "exchange/expr.h"
#include "http/h1.h"
#include "http/uri.h"
#include "upstream/probe_talk.h"

enum {
    REQUEST_MAX = 4096,
    HEAD_MAX = 16 * 1024,
    BODY_MAX = 64 * 1024,
    ARENA_MAX = 256 * 1024,
    INFORMATIONAL_MAX = 8,
    STATUS_LOW = 200, /* when the configuration does not say */
    STATUS_HIGH = 399,
};

static const struct h1_limits limits = {
    .head_bytes = HEAD_MAX,
    .target_bytes = HEAD_MAX,
    .fields = 200,
};

/* One probe. */
struct asking {
    const struct health_config *config;
    struct probe_talk          *talk;
    struct probe_answer        *answer;
    struct arena                arena;
    struct h1_head              head;  /* its slices are gone when more was received */
    size_t                      used;  /* of what has come */
    struct text                 body;
    uint64_t                    left;  /* of a body with a length */
    struct h1_chunked           chunked;
};

/* ------------------------------------------------------------------ the configuration */

static bool
check_target(struct config_bind *b, struct health_config *h)
{
    struct target target;

    if (target_parse(h->path, false, false, config_bind_arena(b), &target) == OK)
        return true;
    return config_bind_error(b, &h->path, "as in /healthz", "`%.*s` is not a path",
                             SLICE_ARG(h->path));
}

static bool
check_http(struct config_bind *b, struct health_config *h)
{
    enum method method;

    if (!slice_is_present(h->path))
        h->path = SLICE("/");
    if (!slice_is_present(h->method))
        h->method = SLICE("GET");
    method = method_from(h->method);
    if (!is_token(h->method) || method == METHOD_CONNECT)
        return config_bind_error(b, &h->method, "GET and HEAD are usual",
                                 "`%.*s` is no method to check with", SLICE_ARG(h->method));
    if (slice_is_present(h->host) && !authority_is_valid(h->host))
        return config_bind_error(b, &h->host, "as in example.com or example.com:8080",
                                 "`%.*s` is not a host", SLICE_ARG(h->host));
    if (h->body && method == METHOD_HEAD)
        return config_bind_error(b, &h->body, "use GET", "an answer to HEAD has no body");
    return check_target(b, h);
}

/* ------------------------------------------------------------------ the request */

static bool
send_request(struct asking *a, const struct server *server)
{
    char memory[REQUEST_MAX];
    struct text out;

    text_fixed(&out, memory, sizeof(memory));
    text_printf(&out, "%.*s %.*s HTTP/1.1\r\nHost: ", SLICE_ARG(a->config->method),
                SLICE_ARG(a->config->path));
    probe_write_host(&out, a->config, server);
    text_literal(&out, "\r\nUser-Agent: maitred\r\nAccept: */*\r\n");
    if (!method_is_safe(method_from(a->config->method)))
        text_literal(&out, "Content-Length: 0\r\n");
    text_literal(&out, "Connection: close\r\n\r\n");
    if (out.full) {
        probe_fail(a->answer, "the request would be longer than %d bytes", REQUEST_MAX);
        return false;
    }
    return probe_send(a->talk, text_slice(&out), a->answer);
}

/* ------------------------------------------------------------------ the answer */

static bool
fail(struct asking *a, const char *doing, enum err e)
{
    probe_fail_with(a->answer, doing, e);
    return false;
}

static bool
malformed(struct asking *a, enum h1_fault fault)
{
    probe_fail(a->answer, "malformed answer: %s", h1_fault_words(fault));
    return false;
}

static struct slice
unread(const struct asking *a)
{
    return slice_from(text_slice(&a->talk->got), a->used);
}

/* One head, informational or final. */
static bool
read_head(struct asking *a)
{
    enum method method = method_from(a->config->method);
    size_t scanned = 0, used = 0;

    for (;;) {
        enum h1_fault fault = H1_OK;
        enum h1_result result = H1_MORE;
        enum err e;

        if (unread(a).n)
            result = h1_parse_response(unread(a), &scanned, &limits, &a->arena, method, &a->head,
                                       &used, &fault);
        if (result == H1_BAD)
            return malformed(a, fault);
        if (result == H1_DONE) {
            a->used += used;
            return true;
        }
        e = probe_receive(a->talk);
        if (e != OK)
            return fail(a, a->talk->got.n ? "in the middle of the head" : "no answer", e);
    }
}

static bool
read_final_head(struct asking *a)
{
    for (int i = 0; i < INFORMATIONAL_MAX; i++) {
        if (!read_head(a))
            return false;
        if (a->head.status >= 200)
            return true;
    }
    probe_fail(a->answer, "too many informational answers");
    return false;
}

static bool
status_fits(const struct asking *a)
{
    const struct status_range *r = a->config->status.at;
    unsigned status = a->head.status;

    if (a->config->status.n == 0)
        return status >= STATUS_LOW && status <= STATUS_HIGH;
    for (size_t i = 0; i < a->config->status.n; i++)
        if (status >= r[i].low && status <= r[i].high)
            return true;
    return false;
}

/* ------------------------------------------------------------------ its body */

static void
keep(struct asking *a, struct slice bytes)
{
    text_put(&a->body, slice_first(bytes, BODY_MAX - a->body.n));
}

/* Content of a chunked body; true at its end, or when it is malformed (*fault). */
static bool
take_chunks(struct asking *a, struct slice bytes, enum h1_fault *fault)
{
    enum h1_result result = H1_DONE;

    while (bytes.n) {
        struct slice data;
        size_t used;

        result = h1_chunked_next(&a->chunked, bytes, &data, &used, fault);
        if (result != H1_MORE)
            return true;
        keep(a, data);
        bytes = slice_from(bytes, used);
    }
    return false;
}

/* Takes what has come; true when that is all that is wanted. */
static bool
take_body(struct asking *a, struct slice bytes, enum h1_fault *fault)
{
    switch (a->head.framing) {
    case H1_NO_BODY: return true;
    case H1_CHUNKED:
        if (take_chunks(a, bytes, fault))
            return true;
        break;
    case H1_LENGTH:
        bytes = slice_first(bytes, a->left);
        a->left -= bytes.n;
        keep(a, bytes);
        if (a->left == 0)
            return true;
        break;
    case H1_UNTIL_CLOSE: keep(a, bytes); break;
    }
    return a->body.n == BODY_MAX;
}

static bool
read_body(struct asking *a)
{
    enum h1_fault fault = H1_OK;

    a->left = a->head.length;
    while (!take_body(a, unread(a), &fault)) {
        enum err e;

        a->talk->got.n = a->used = 0;
        e = probe_receive(a->talk);
        if (e == ERR_END && a->head.framing == H1_UNTIL_CLOSE)
            break;
        if (e != OK)
            return fail(a, "in the middle of the body", e);
    }
    if (fault != H1_OK)
        return malformed(a, fault);
    if (a->body.full)
        return fail(a, "reading the body", ERR_NO_MEMORY);
    return true;
}

static bool
body_fits(struct asking *a)
{
    text_init(&a->body, BODY_MAX);
    if (!read_body(a))
        return false;
    if (regex_matches(a->config->body, text_slice(&a->body)))
        return true;
    probe_fail(a->answer, "status %u, but the body does not match", a->head.status);
    return false;
}

static bool
ask(struct asking *a, const struct server *server)
{
    if (!send_request(a, server) || !read_final_head(a))
        return false;
    if (!status_fits(a)) {
        probe_fail(a->answer, "status %u is not one of those that pass", a->head.status);
        return false;
    }
    return !a->config->body || body_fits(a);
}

static void
run_http(const struct health_config *config, const struct server *server, uint64_t deadline_us,
         struct probe_answer *answer)
{
    struct asking a = {.config = config, .answer = answer, .chunked = H1_CHUNKED_START};

    a.talk = probe_connect(config, server, deadline_us, HEAD_MAX + BODY_MAX, answer);
    if (!a.talk)
        return;
    arena_init(&a.arena, NULL, 0, ARENA_MAX);
    if (ask(&a, server))
        probe_pass(answer);
    probe_close(a.talk, a.head.status != 0);
    text_free(&a.body);
    arena_free(&a.arena);
}

const struct probe_kind probe_http = {
    .name = "http",
    .takes = PROBE_PORT | PROBE_HTTP | PROBE_HOST | PROBE_TLS,
    .rise = 2,
    .fall = 3,
    .check = check_http,
    .run = run_http,
};
