/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream/fetch.c - resolve, connect, shake hands, ask, read; each step straight after the other
 * on the caller's fiber.
 */
#include "upstream/fetch.h"

#include "http/h1.h"
#include "http/uri.h"
#include "runtime/dns.h"
#include "runtime/fiber.h"

#include <stdlib.h>

enum {
    REQUEST_HEAD_MAX = 8 * 1024,
    HEAD_MAX = 16 * 1024,
    FIELDS_MAX = 100,
    ARENA_MAX = 64 * 1024,
    INFORMATIONAL_MAX = 8,
    CONNECT_LEAST_US = 1000000, /* what each of several addresses gets, if there is that long */
};

static const struct h1_limits limits = {
    .head_bytes = HEAD_MAX,
    .target_bytes = HEAD_MAX,
    .fields = FIELDS_MAX,
};

/* The loop may know a socket until the end of its round: so it does not lie on the stack. */
struct fetch_line {
    struct sock sock;
};

struct fetching {
    const struct fetch  *f;
    struct fetch_answer *a;
    struct fetch_line   *line;
    bool                 secure;
    struct slice         authority, target;
    struct authority     to;
    enum method          method;
    struct h1_head       head;
    struct slice         early; /* the body's first bytes, which came with the head */
};

/* ------------------------------------------------------------------ complaints */

static enum err fail(struct fetching *g, enum err e, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static enum err
fail(struct fetching *g, enum err e, const char *format, ...)
{
    struct text t;
    va_list args;

    text_fixed(&t, g->a->why, sizeof(g->a->why) - 1);
    va_start(args, format);
    text_vprintf(&t, format, args);
    va_end(args);
    g->a->why[t.n] = '\0';
    return e;
}

static enum err
fail_at(struct fetching *g, const char *doing, enum err e)
{
    struct slice peer = g->f->socket ? slice_str(g->f->socket) : g->authority;

    return fail(g, e, "%s `%.*s`: %s", doing, (int) (peer.n < 80 ? peer.n : 80), peer.at,
                err_sentence(e));
}

/* ------------------------------------------------------------------ the URL */

static enum err
read_url(struct fetching *g)
{
    struct slice scheme, rest;
    enum err e;

    if (!target_split_absolute(g->f->url, &scheme, &g->authority, &rest) || g->f->url.n > 4096 ||
        (rest.n && slice_find(rest, '#') != SLICE_NOT_FOUND))
        return fail(g, ERR_MALFORMED, "`%.*s` is not a URL",
                    (int) (g->f->url.n < 80 ? g->f->url.n : 80), g->f->url.at);
    for (size_t i = 0; i < rest.n; i++)
        if (rest.at[i] <= ' ' || rest.at[i] == 0x7F)
            return fail(g, ERR_MALFORMED, "a byte of the URL is not allowed there");
    g->secure = slice_eq_nocase(scheme, SLICE("https"));
    e = authority_parse(g->authority, &g->a->arena, &g->to);
    if (e != OK)
        return fail(g, e, "the URL names no host");
    if (g->to.port == 0)
        g->to.port = g->secure ? 443 : 80;
    g->target = rest;
    g->method = g->f->method;
    if (g->method == METHOD_OTHER)
        g->method = slice_is_present(g->f->body) ? METHOD_POST : METHOD_GET;
    return OK;
}

/* ------------------------------------------------------------------ the connection */

static void
line_free(struct sock *sock)
{
    free(container_of(sock, struct fetch_line, sock));
}

/* Whom the system trusts; made once for the process. */
static struct tls_client *
trust_of_system(void)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static struct tls_client *client;
    const struct tls_client_options options = {.offer_h1 = true};
    char room[200];
    struct text why;

    pthread_mutex_lock(&lock);
    text_fixed(&why, room, sizeof(room));
    if (!client)
        client = tls_client_new(&options, &why);
    pthread_mutex_unlock(&lock);
    return client;
}

static enum err
connect_to(struct fetching *g, const union address *to, uint64_t deadline_us)
{
    enum err e;

    g->line = calloc(1, sizeof(*g->line));
    if (!g->line)
        return ERR_NO_MEMORY;
    e = sock_connect(&g->line->sock, to, NULL, deadline_us);
    if (e == OK)
        return OK;
    if (g->line->sock.closing.next)
        g->line->sock.release = line_free;
    else
        free(g->line);
    g->line = NULL;
    return e;
}

/* One address after the other, each with its share of the time that is left. */
static enum err
connect_to_any(struct fetching *g, const struct dns_answer *found)
{
    enum err e = ERR_NOT_FOUND;

    for (size_t i = 0; i < found->n; i++) {
        uint64_t now_us = loop_now_us(), left_us;

        if (now_us >= g->f->deadline_us)
            return ERR_TIMEOUT;
        left_us = g->f->deadline_us - now_us;
        if (left_us / (found->n - i) > CONNECT_LEAST_US)
            left_us /= found->n - i;
        else if (left_us > CONNECT_LEAST_US)
            left_us = CONNECT_LEAST_US;
        e = connect_to(g, &found->addresses[i], now_us + left_us);
        if (e == OK || e == ERR_CANCELLED || e == ERR_NO_MEMORY)
            return e;
    }
    return e;
}

static enum err
open_socket(struct fetching *g)
{
    union address to = {.un = {.sun_family = AF_UNIX}};
    struct text path;
    enum err e;

    text_fixed(&path, to.un.sun_path, sizeof(to.un.sun_path) - 1);
    text_put(&path, slice_str(g->f->socket));
    e = path.full ? ERR_LIMIT : connect_to(g, &to, g->f->deadline_us);
    return e == OK ? OK : fail_at(g, "connecting to", e);
}

static enum err
open_line(struct fetching *g)
{
    struct dns_answer *found = calloc(1, sizeof(*found)); /* large for a fiber's stack */
    enum err e = OK;

    if (!found)
        return fail_at(g, "looking up", ERR_NO_MEMORY);
    if (address_parse_ip(g->to.host, g->to.port, &found->addresses[0]))
        found->n = 1;
    else
        e = dns_resolve(g->to.host, g->to.port, found);
    if (e != OK) {
        free(found);
        return fail_at(g, "looking up", e);
    }
    e = connect_to_any(g, found);
    free(found);
    return e == OK ? OK : fail_at(g, "connecting to", e);
}

static enum err
secure_line(struct fetching *g)
{
    struct tls_client *client = g->f->tls ? g->f->tls : trust_of_system();
    struct tls_call call = {.name = g->to.host};
    enum err e;

    if (!client)
        return fail_at(g, "TLS with", ERR_NO_MEMORY);
    e = tls_connect(&g->line->sock, client, &call, g->f->deadline_us);
    if (e == OK)
        return OK;
    return fail(g, e, "TLS with `%.*s`: %s", (int) (g->authority.n < 60 ? g->authority.n : 60),
                g->authority.at, call.why[0] ? call.why : err_sentence(e));
}

/* ------------------------------------------------------------------ the request */

static void
write_head(const struct fetching *g, struct text *out)
{
    bool no_path = g->target.n == 0 || g->target.at[0] != '/';

    text_put(out, method_name(g->method));
    text_printf(out, " %s%.*s HTTP/1.1\r\nHost: %.*s\r\nUser-Agent: maitred/" MAITRED_VERSION
                     "\r\nConnection: close\r\n",
                no_path ? "/" : "", SLICE_ARG(g->target), SLICE_ARG(g->authority));
    for (size_t i = 0; i < g->f->n_fields; i++)
        text_printf(out, "%.*s: %.*s\r\n", SLICE_ARG(g->f->fields[i].name),
                    SLICE_ARG(g->f->fields[i].value));
    if (slice_is_present(g->f->body))
        text_printf(out, "Content-Length: %zu\r\n", g->f->body.n);
    text_literal(out, "\r\n");
}

static enum err
send_request(struct fetching *g)
{
    uint64_t now_us = loop_now_us();
    struct iovec iov[2];
    struct text head;
    enum err e;

    for (size_t i = 0; i < g->f->n_fields; i++)
        if (!is_token(g->f->fields[i].name) || !is_field_value(g->f->fields[i].value))
            return fail(g, ERR_MALFORMED, "a field of the request is malformed");
    if (now_us >= g->f->deadline_us)
        return fail_at(g, "asking", ERR_TIMEOUT);
    text_init(&head, REQUEST_HEAD_MAX);
    write_head(g, &head);
    iov[0] = (struct iovec){head.at, head.n};
    iov[1] = (struct iovec){(char *) g->f->body.at, g->f->body.n};
    e = head.full ? ERR_LIMIT
                  : sock_send(&g->line->sock, iov, g->f->body.n ? 2 : 1,
                              g->f->deadline_us - now_us);
    text_free(&head);
    return e == OK ? OK : fail_at(g, "asking", e);
}

/* ------------------------------------------------------------------ the answer's head */

static enum err
malformed(struct fetching *g, enum h1_fault fault)
{
    return fail(g, ERR_MALFORMED, "`%.*s` answers with malformed HTTP: %s",
                (int) (g->authority.n < 80 ? g->authority.n : 80), g->authority.at,
                h1_fault_words(fault));
}

/* One head, informational or final, from `start` on. */
static enum err
read_one_head(struct fetching *g, size_t start, size_t *used)
{
    struct text *t = &g->a->head;
    size_t scanned = 0, got = 0;

    for (;;) {
        enum h1_fault fault = H1_OK;
        enum h1_result result = H1_MORE;
        enum err e;

        if (t->n > start)
            result = h1_parse_response(slice_from(text_slice(t), start), &scanned, &limits,
                                       &g->a->arena, g->method, &g->head, used, &fault);
        if (result == H1_DONE)
            return OK;
        if (result == H1_BAD || t->n == t->room)
            return malformed(g, result == H1_BAD ? fault : H1_HEAD_TOO_LARGE);
        e = sock_recv(&g->line->sock, t->at + t->n, t->room - t->n, g->f->deadline_us, &got);
        if (e != OK)
            return fail_at(g, t->n ? "in the middle of the answer of" : "no answer from", e);
        t->n += got;
    }
}

/* The memory of the head does not move any more: the fields point into it. */
static enum err
read_head(struct fetching *g)
{
    size_t start = 0, used = 0;

    text_init(&g->a->head, HEAD_MAX + INFORMATIONAL_MAX * 1024);
    if (!text_reserve(&g->a->head, HEAD_MAX + INFORMATIONAL_MAX * 1024))
        return fail_at(g, "asking", ERR_NO_MEMORY);
    for (int i = 0; i < INFORMATIONAL_MAX; i++) {
        enum err e = read_one_head(g, start, &used);

        if (e != OK)
            return e;
        start += used;
        if (g->head.status >= 200) {
            g->early = slice_from(text_slice(&g->a->head), start);
            return OK;
        }
    }
    return fail(g, ERR_MALFORMED, "too many informational answers");
}

/* ------------------------------------------------------------------ the answer's body */

/* Where the reading of a body is. */
struct body_reading {
    uint64_t          left;
    struct h1_chunked chunked;
    bool              done;
    enum h1_fault     fault;
};

static void
take_data(struct body_reading *r, const struct fetching *g, struct slice bytes)
{
    if (!g->f->receive)
        text_put(&g->a->content, bytes);
    else if (bytes.n && !g->f->receive(g->f->receive_arg, g->a, bytes))
        r->done = true;
}

static void
take_chunks(struct body_reading *r, const struct fetching *g, struct slice bytes)
{
    while (bytes.n && !r->done) {
        struct slice data;
        size_t used;
        enum h1_result result = h1_chunked_next(&r->chunked, bytes, &data, &used, &r->fault);

        /* Trailers and the end of the connection follow, and say nothing to us. */
        if (result == H1_DONE)
            r->done = true;
        if (result == H1_BAD)
            return;
        take_data(r, g, data);
        bytes = slice_from(bytes, used);
    }
}

static void
take_bytes(struct body_reading *r, const struct fetching *g, struct slice bytes)
{
    switch (g->head.framing) {
    case H1_NO_BODY: r->done = true; break;
    case H1_CHUNKED: take_chunks(r, g, bytes); break;
    case H1_LENGTH:
        bytes = slice_first(bytes, r->left);
        r->left -= bytes.n;
        r->done = r->left == 0;
        take_data(r, g, bytes);
        break;
    case H1_UNTIL_CLOSE: take_data(r, g, bytes); break;
    }
}

static enum err
read_rest(struct fetching *g, struct body_reading *r, char *buffer)
{
    while (!r->done) {
        size_t got = 0;
        enum err e = sock_recv(&g->line->sock, buffer, BUFFER_SMALL_BYTES, g->f->deadline_us, &got);

        if (e == ERR_END && g->head.framing == H1_UNTIL_CLOSE)
            return OK;
        if (e != OK)
            return fail_at(g, "in the middle of the answer of", e);
        take_bytes(r, g, slice_of(buffer, got));
        if (r->fault != H1_OK)
            return malformed(g, r->fault);
        if (g->a->content.full)
            return fail(g, ERR_LIMIT, "the answer is longer than %zu bytes", g->f->max_bytes);
    }
    return OK;
}

static enum err
read_body(struct fetching *g)
{
    struct body_reading r = {.left = g->head.length, .chunked = H1_CHUNKED_START};
    char *buffer = buffer_take(BUFFER_SMALL);
    enum err e;

    if (!buffer)
        return fail_at(g, "asking", ERR_NO_MEMORY);
    g->a->status = g->head.status;
    g->a->fields = g->head.fields;
    text_init(&g->a->content, g->f->max_bytes);
    take_bytes(&r, g, g->early);
    if (r.fault != H1_OK)
        e = malformed(g, r.fault);
    else if (g->a->content.full)
        e = fail(g, ERR_LIMIT, "the answer is longer than %zu bytes", g->f->max_bytes);
    else
        e = read_rest(g, &r, buffer);
    buffer_give(BUFFER_SMALL, buffer);
    return e;
}

/* ------------------------------------------------------------------ all together */

static enum err
ask(struct fetching *g)
{
    enum err e = read_url(g);

    if (e == OK)
        e = g->f->socket ? open_socket(g) : open_line(g);
    if (e == OK && g->secure)
        e = secure_line(g);
    if (e == OK)
        e = send_request(g);
    if (e == OK)
        e = read_head(g);
    return e == OK ? read_body(g) : e;
}

enum err
http_fetch(const struct fetch *f, struct fetch_answer *a)
{
    struct fetching g = {.f = f, .a = a};
    enum err e;

    *a = (struct fetch_answer){0};
    arena_init(&a->arena, NULL, 0, ARENA_MAX);
    e = ask(&g);
    if (g.line) {
        (void) sock_finish(&g.line->sock);
        g.line->sock.release = line_free;
        sock_close(&g.line->sock);
    }
    if (e == OK)
        a->body = text_slice(&a->content);
    return e;
}

void
fetch_answer_free(struct fetch_answer *a)
{
    text_free(&a->head);
    text_free(&a->content);
    arena_free(&a->arena);
}
