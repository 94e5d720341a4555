/* SPDX-License-Identifier: Apache-2.0 */
/* main/command_check.c - the commands that only look: check, explain, schema, reference,
 * version. */
#include "base/map.h"
#include "main/app.h"
#include "main/commands.h"
#include "main/supervisor.h"
#include "runtime/dns.h"
#include "runtime/fiber.h"
#include "runtime/loop.h"
#include "runtime/quiesce.h"

#include <stdio.h>
#include <stdlib.h>

static void
print_text(const struct text *t, FILE *out)
{
    if (t->n)
        fwrite(t->at, 1, t->n, out);
}

/* Runs body(arg) where configurations can be built: with a loop, though nothing ever waits in
 * it. */
static int
with_loop(int (*body)(void *arg), void *arg)
{
    struct loop loop;
    int status;

    hash_seed(random_u64());
    if (loop_init(&loop, NULL, 0) != OK)
        return 1;
    upstreams_init(1);
    status = body(arg);
    loop_once(&loop, loop_now_us());
    dns_exit();
    upstreams_exit();
    loop_exit(&loop);
    return status;
}

static struct app *
load(const char *path)
{
    struct app_source source = {.path = path, .reader = &config_source_system};
    struct config_report report;
    struct text t;
    struct app *a;

    config_report_init(&report);
    text_init(&t, 4 * 1024 * 1024);
    a = app_load(&source, &report);
    config_report_print(&report, &t);
    print_text(&t, stderr);
    text_free(&t);
    config_report_free(&report);
    return a;
}

/* ------------------------------------------------------------------ check */

static int
check(void *arg)
{
    const char *path = arg;
    struct app *a = load(path);

    if (!a)
        return EXIT_CONFIGURATION;
    printf("%s is good: %zu listeners, %zu upstreams, %zu routes\n", path, a->settings->listeners.n,
           a->settings->upstreams.n, a->settings->routes.n);
    app_free(a);
    return 0;
}

int
command_check(const struct command *self, int argc, char **argv)
{
    if (argc != 2 || (strcmp(argv[0], "-c") != 0 && strcmp(argv[0], "--config") != 0))
        return command_usage(self, "-c FILE is needed");
    return with_loop(check, argv[1]);
}

/* ------------------------------------------------------------------ explain */

struct question {
    const char   *path;
    struct slice  method, url, client;
    struct slice  fields[64];
    size_t        n_fields;
};

/* An exchange as the edge would make it. */
struct imagined {
    struct exchange x;
    struct client   facts;
};

static bool
imagine(const struct question *q, struct imagined *i, const struct app *a)
{
    struct exchange *x = &i->x;
    struct authority authority;
    const struct listener_config *l = a->snapshot.listeners.at;

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
    i->facts.local = l[0].address;
    i->facts.listener = l[0].name;
    x->client_address = i->facts.peer;
    return true;
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

static int
explain(void *arg)
{
    const struct question *q = arg;
    struct app *a = load(q->path);
    struct imagined i;
    struct text out;
    int status = EXIT_CONFIGURATION;

    if (!a)
        return status;
    text_init(&out, 4 * 1024 * 1024);
    if (imagine(q, &i, a)) {
        app_apply(a);
        explain_answer(a, &i.x, &out);
        print_text(&out, stdout);
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

int
command_explain(const struct command *self, int argc, char **argv)
{
    struct question q = {.client = SLICE("127.0.0.1")};

    for (int i = 0; i < argc; i++) {
        bool more = i + 1 < argc;

        if (more && (strcmp(argv[i], "-c") == 0 || strcmp(argv[i], "--config") == 0))
            q.path = argv[++i];
        else if (more && strcmp(argv[i], "-H") == 0 && q.n_fields < countof(q.fields))
            q.fields[q.n_fields++] = slice_str(argv[++i]);
        else if (more && strcmp(argv[i], "--client") == 0)
            q.client = slice_str(argv[++i]);
        else if (argv[i][0] == '-')
            return command_unknown(self, argv[i]);
        else if (!q.method.n)
            q.method = slice_str(argv[i]);
        else if (!q.url.n)
            q.url = slice_str(argv[i]);
        else
            return command_unknown(self, argv[i]);
    }
    if (!q.path || !q.method.n || !q.url.n)
        return command_usage(self, "-c FILE, METHOD and URL are needed");
    if (!is_token(q.method))
        return command_usage(self, "METHOD is not a method");
    return with_loop(explain, &q);
}

/* ------------------------------------------------------------------ generated texts */

static int
print_generated(void (*write)(struct text *out))
{
    struct text t;

    text_init(&t, 16 * 1024 * 1024);
    write(&t);
    print_text(&t, stdout);
    text_free(&t);
    return fflush(stdout) == 0 ? 0 : 1;
}

static void
write_schema(struct text *out)
{
    config_write_schema(&settings_object, "maitred configuration", out);
}

static void
write_reasons(struct text *out)
{
    text_literal(
        out,
        "\n## Reasons\n\nWhy maitred answered by itself: `reason` in the access log, on error "
        "pages, and as the error type in `Proxy-Status` (RFC 9209).\n\n"
        "| reason | fault of | Proxy-Status error | meaning |\n|---|---|---|---|\n");
    for (int r = 0; r < REASON_COUNT; r++)
        text_printf(out, "| `%s` | %s | %s | %s |\n", reason_code((enum reason) r),
                    blame_name(reason_blame((enum reason) r)), reason_proxy_status((enum reason) r),
                    reason_sentence((enum reason) r));
}

static void
write_variables(struct text *out)
{
    static const char *const types[] = {[EXPR_BOOL] = "bool",
                                        [EXPR_INT] = "integer",
                                        [EXPR_STRING] = "string",
                                        [EXPR_IP] = "address"};

    text_literal(out,
                 "\n## Variables of expressions\n\n| name | type | meaning |\n|---|---|---|\n");
    for (const struct expr_variable *v = expr_variables; v->name; v++)
        text_printf(out, "| `%s%s` | %s | %s |\n", v->name, v->takes_name ? "('name')" : "",
                    types[v->type], v->doc);
}

static void
write_reference(struct text *out)
{
    text_literal(out, "<!-- Generated by `maitred reference`; `make docs` writes it anew. -->\n\n"
                      "# Reference\n\n");
    config_write_reference(&settings_object, out);
    text_literal(out, "\n## Fields of the access log\n\n");
    access_log_reference(out);
    write_reasons(out);
    write_variables(out);
}

int
command_schema(const struct command *self, int argc, char **argv)
{
    return argc ? command_unknown(self, argv[0]) : print_generated(write_schema);
}

int
command_reference(const struct command *self, int argc, char **argv)
{
    return argc ? command_unknown(self, argv[0]) : print_generated(write_reference);
}

int
command_version(const struct command *self, int argc, char **argv)
{
    if (argc)
        return command_unknown(self, argv[0]);
    puts("maitred " MAITRED_VERSION);
    return 0;
}
