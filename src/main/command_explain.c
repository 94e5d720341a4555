/* SPDX-License-Identifier: Apache-2.0 */
/* main/command_explain.c - what would happen to a request, said without sending one. */
#include "edge/tls_explain.h"
#include "main/app.h"
#include "main/client/trace.h"
#include "main/supervisor.h"
#include "runtime/fiber.h"

#include <stdio.h>

enum { RESOLVE_US = 2000000 };

struct question {
    const char      *path;
    struct slice     method, url, client;
    struct slice     fields[64];
    size_t           n_fields;
    struct tls_facts tls; /* what was said of the connection */
};

/* An exchange as the edge would make it. */
struct imagined {
    struct exchange  x;
    struct client    facts;
    struct tls_facts tls;
    const struct listener_config *listener;
};

/* Where such a request would arrive: the first listener with or without TLS, as it needs. */
static const struct listener_config *
listener_for(const struct app *a, bool secure)
{
    const struct listener_config *l = a->snapshot.listeners.at;

    for (size_t i = 0; i < a->snapshot.listeners.n; i++)
        if ((l[i].tls != NULL) == secure)
            return &l[i];
    return l;
}

/* A client without anything special. */
static void
imagine_tls(const struct question *q, struct imagined *i)
{
    struct tls_facts *t = &i->tls;

    *t = q->tls;
    if (!slice_is_present(t->sni))
        t->sni = i->x.request.host;
    if (!slice_is_present(t->version))
        t->version = SLICE("1.3");
    if (!slice_is_present(t->cipher))
        t->cipher = SLICE("TLS_AES_128_GCM_SHA256");
    if (!slice_is_present(t->alpn))
        t->alpn = SLICE("http/1.1");
    t->client_verified = slice_is_present(t->client_subject);
    i->facts.tls = t;
}

static bool
imagine(const struct question *q, struct imagined *i, const struct app *a)
{
    struct exchange *x = &i->x;
    struct authority authority;
    bool secure;

    memset(i, 0, sizeof(*i));
    arena_init(&x->arena, NULL, 0, 1024 * 1024);
    x->client = &i->facts;
    x->config = a->snapshot.config;
    x->timeouts = &exchange_default_timeouts;
    x->request.method = method_from(q->method);
    x->request.method_token = q->method;
    x->request.version = 11;
    fields_init(&x->request.fields, &x->arena, 8, 100);
    fields_init(&x->response.fields, &x->arena, 8, 100);
    if (target_parse(q->url, false, x->request.method == METHOD_OPTIONS, &x->arena,
                     &x->request.target) != OK) {
        fprintf(stderr, "maitred explain: `%.*s` is not a URL or path\n", SLICE_ARG(q->url));
        return false;
    }
    x->scheme = slice_is_present(x->request.target.scheme) ? x->request.target.scheme
                                                           : SLICE("http");
    secure = slice_eq(x->scheme, SLICE("https"));
    x->request.authority = x->request.target.authority;
    for (size_t n = 0; n < q->n_fields; n++) {
        struct slice value = q->fields[n], name = slice_cut(&value, ':');
        bool whole = slice_is_present(value);

        value = slice_trim(value);
        if (!whole || !is_token(name) || !is_field_value(value)) {
            fprintf(stderr, "maitred explain: -H takes 'Name: value'\n");
            return false;
        }
        fields_add_named(&x->request.fields, name, value);
        if (slice_eq_nocase(name, SLICE("host")))
            x->request.authority = value;
    }
    if (x->request.authority.n &&
        authority_parse(x->request.authority, &x->arena, &authority) == OK) {
        x->request.host = authority.host;
        x->request.port = authority.port;
        if (!fields_has(&x->request.fields, FIELD_HOST))
            fields_add(&x->request.fields, FIELD_HOST, x->request.authority);
    }
    if (!address_parse_ip(q->client, 0, &i->facts.peer)) {
        fprintf(stderr, "maitred explain: --client takes an IP address\n");
        return false;
    }
    i->facts.peer_text = x->client_ip = q->client;
    i->listener = listener_for(a, secure);
    i->facts.local = i->listener->address;
    i->facts.listener = i->listener->name;
    i->facts.secure = secure;
    x->client_address = i->facts.peer;
    if (i->listener->tls && secure)
        imagine_tls(q, i);
    return true;
}

static void
explain_listener(const struct imagined *i, struct text *out)
{
    const struct listener_config *l = i->listener;

    text_printf(out, "listener %.*s", SLICE_ARG(l->name));
    if (i->facts.tls)
        tls_explain(l->tls, l->http2.enabled, i->tls.sni, out);
    else if (i->facts.secure)
        text_literal(out, ": no listener has TLS, somebody in front of it must have");
    text_byte(out, '\n');
}

static void
explain_chain(struct exchange *x, struct text *out)
{
    const struct route *r = x->route;

    for (size_t i = 0; i + 1 < r->chain_length; i++) {
        const struct middleware *m = &r->chain[i];

        text_printf(out, "  middleware %s", m->ops->options.name);
        if (m->ops->explain) {
            text_literal(out, ": ");
            m->ops->explain(m, x, out);
        }
        text_byte(out, '\n');
    }
}

static void
explain_timeouts(const struct exchange *x, struct text *out)
{
    const struct exchange_timeouts *t = x->timeouts;

    text_printf(out, "time-outs: connect %llu ms, response %llu ms, send %llu ms, body %llu ms\n",
                (unsigned long long) t->connect_us / 1000,
                (unsigned long long) t->response_us / 1000, (unsigned long long) t->send_us / 1000,
                (unsigned long long) t->body_us / 1000);
}

static void
explain_answer(const struct app *a, struct exchange *x, struct text *out)
{
    const struct middleware *last;
    struct config_mark place;

    text_literal(out, "routes tried, in their order:\n");
    route_explain(a->snapshot.routes, x, out);
    x->route = route_find(a->snapshot.routes, x);
    if (!x->route) {
        text_literal(out, "no route matches: 404 (no_route)\n");
        return;
    }
    place = config_where_object(a->snapshot.config, x->route);
    text_printf(out, "route %.*s (%.*s:%u:%u)\n", SLICE_ARG(x->route->name),
                SLICE_ARG(a->snapshot.config->files[place.file].path), place.line, place.column);
    x->chain = x->next = x->route->chain;
    explain_chain(x, out);
    explain_timeouts(x, out);
    last = &x->route->chain[x->route->chain_length - 1];
    if (last->ops->explain)
        last->ops->explain(last, x, out);
}

/* Names of servers, for a moment: that is all that explaining ever waits for. */
static void
resolve(void)
{
    uint64_t until_us = clock_monotonic_us() + RESOLVE_US;

    while (!upstreams_settled() && clock_monotonic_us() < until_us)
        loop_once(loop_self(), clock_monotonic_us() + 10000);
}

static int
explain(void *arg)
{
    const struct question *q = arg;
    struct app *a = command_load(q->path);
    struct imagined i;
    struct text out;
    int status = EXIT_CONFIGURATION;

    if (!a)
        return status;
    text_init(&out, 4 * 1024 * 1024);
    if (imagine(q, &i, a)) {
        app_apply(a);
        resolve();
        explain_listener(&i, &out);
        explain_answer(a, &i.x, &out);
        command_print(&out, stdout);
        status = 0;
    }
    app_retire(a, NULL);
    while (fiber_count() > 0)
        loop_once(loop_self(), loop_now_us() + 1000);
    arena_free(&i.x.arena);
    text_free(&out);
    app_free(a);
    return status;
}

/* "ja4=t13d1516h2_..." */
static bool
take_tls(struct question *q, struct slice said)
{
    struct slice value = said, name = slice_cut(&value, '=');
    const struct {
        struct slice  name;
        struct slice *to;
    } known[] = {
        {SLICE("sni"), &q->tls.sni},
        {SLICE("version"), &q->tls.version},
        {SLICE("cipher"), &q->tls.cipher},
        {SLICE("alpn"), &q->tls.alpn},
        {SLICE("ja4"), &q->tls.ja4},
        {SLICE("client.subject"), &q->tls.client_subject},
        {SLICE("client.san"), &q->tls.client_san},
        {SLICE("client.fingerprint"), &q->tls.client_fingerprint},
    };

    if (slice_eq(said, SLICE("resumed"))) {
        q->tls.resumed = true;
        return true;
    }
    for (size_t i = 0; i < countof(known) && slice_is_present(value); i++)
        if (slice_eq(name, known[i].name)) {
            *known[i].to = value;
            return true;
        }
    return false;
}

static int
explain_live(struct admin *a)
{
    return trace_print(a, arguments_value(a->arguments, "--live"));
}

/* What the request is made of; 0, or the exit status. */
static int
take_question(struct question *q, const struct arguments *a)
{
    const char *client = arguments_value(a, "--client");

    for (size_t i = 0; i < a->n_given; i++) {
        const struct argument *given = &a->given[i];

        if (strcmp(given->option->name, "-H") == 0) {
            if (q->n_fields == countof(q->fields))
                return command_usage(a->command, "too many fields");
            q->fields[q->n_fields++] = slice_str(given->value);
        } else if (strcmp(given->option->name, "--tls") == 0 &&
                   !take_tls(q, slice_str(given->value))) {
            return command_usage(a->command, "--tls takes resumed, or sni=, version=, cipher=, "
                                             "alpn=, ja4=, client.subject=, client.san=, "
                                             "client.fingerprint= with a value");
        }
    }
    q->path = arguments_value(a, "-c");
    q->method = slice_str(arguments_word(a, 0));
    q->url = slice_str(arguments_word(a, 1));
    if (client)
        q->client = slice_str(client);
    if (!q->path || !q->method.n || !q->url.n)
        return command_usage(a->command, "-c FILE, METHOD and URL are needed");
    return is_token(q->method) ? 0 : command_usage(a->command, "METHOD is not a method");
}

int
command_explain(const struct command *self, int argc, char **argv)
{
    struct question q = {.client = SLICE("127.0.0.1")};
    struct arguments arguments;
    int status = arguments_read(&arguments, self, argc, argv);

    if (status)
        return status;
    if (arguments_has(&arguments, "--live"))
        return arguments.n_words ? command_unknown(self, arguments.words[0])
                                 : admin_run(self, argc, argv, explain_live);
    status = take_question(&q, &arguments);
    return status ? status : command_with_loop(explain, &q);
}
