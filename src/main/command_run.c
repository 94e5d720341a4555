/* SPDX-License-Identifier: Apache-2.0 */
/* main/command_run.c - the commands that serve: run, proxy, demo. */
#include "main/commands.h"
#include "main/supervisor.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

const char *
command_value(const char *name, int argc, char **argv, int *i, bool *missing)
{
    size_t n = strlen(name);

    if (strncmp(argv[*i], name, n) != 0)
        return NULL;
    if (argv[*i][n] == '=')
        return argv[*i] + n + 1;
    if (argv[*i][n] != '\0')
        return NULL;
    if (*i + 1 == argc) {
        *missing = true;
        return NULL;
    }
    return argv[++*i];
}

static bool
take_io(const char *value, struct run_options *options)
{
    if (strcmp(value, "epoll") == 0)
        options->io = &loop_epoll;
    return strcmp(value, "epoll") == 0 || strcmp(value, "auto") == 0;
}

static bool
take_workers(const char *value, struct run_options *options)
{
    uint64_t n;

    if (!slice_to_u64(slice_str(value), 127, &n) || n == 0)
        return false;
    options->workers = (unsigned) n;
    return true;
}

/* What run, proxy and demo share.  0: taken; 1: not one of these; 2: wrong (said). */
static int
take_common(const struct command *self, int argc, char **argv, int *i, struct run_options *options)
{
    bool missing = false;
    const char *v;

    if ((v = command_value("--io", argc, argv, i, &missing)))
        return take_io(v, options) ? 0 : command_usage(self, "--io takes epoll or auto");
    if (missing)
        return command_usage(self, "--io needs a value");
    if ((v = command_value("--workers", argc, argv, i, &missing)))
        return take_workers(v, options)
                   ? 0
                   : command_usage(self, "--workers takes a number from 1 to 127");
    if (missing)
        return command_usage(self, "--workers needs a value");
    if ((v = command_value("--pid-file", argc, argv, i, &missing)))
        return (options->pid_file = v) ? 0 : 1;
    if (!missing && (v = command_value("--control", argc, argv, i, &missing)))
        return (options->control = v) ? 0 : 1;
    return missing ? command_usage(self, "--pid-file and --control need a value") : 1;
}

int
command_run(const struct command *self, int argc, char **argv)
{
    struct run_options options = {.source.reader = &config_source_system};

    for (int i = 0; i < argc; i++) {
        bool missing = false;
        const char *v = command_value("-c", argc, argv, &i, &missing);
        int common;

        if (!v && !missing)
            v = command_value("--config", argc, argv, &i, &missing);
        if (v) {
            options.source.path = v;
            continue;
        }
        if (missing)
            return command_usage(self, "-c needs a file");
        common = take_common(self, argc, argv, &i, &options);
        if (common)
            return common == 2 ? 2 : command_unknown(self, argv[i]);
    }
    if (!options.source.path)
        return command_usage(self, "-c FILE is missing");
    return supervisor_run(&options);
}

/* "a,b" as YAML items, each in single quotes. */
static void
put_items(struct text *t, const char *list)
{
    struct slice rest = slice_str(list);
    bool first = true;

    while (slice_is_present(rest)) {
        struct slice item = slice_cut(&rest, ',');

        text_printf(t, "%s'", first ? "" : ", ");
        for (size_t i = 0; i < item.n; i++)
            text_put(t, item.at[i] == '\'' ? SLICE("''") : slice_of(item.at + i, 1));
        text_byte(t, '\'');
        first = false;
    }
}

int
command_proxy(const struct command *self, int argc, char **argv)
{
    struct run_options options = {.source.reader = &config_source_system};
    const char *from = NULL, *to = NULL, *v;
    struct text t;
    int status;

    for (int i = 0; i < argc; i++) {
        bool missing = false;
        int common;

        if ((v = command_value("--from", argc, argv, &i, &missing))) {
            from = v;
            continue;
        }
        if (!missing && (v = command_value("--to", argc, argv, &i, &missing))) {
            to = v;
            continue;
        }
        if (missing)
            return command_usage(self, "--from and --to need a value");
        common = take_common(self, argc, argv, &i, &options);
        if (common)
            return common == 2 ? 2 : command_unknown(self, argv[i]);
    }
    if (!from || !to)
        return command_usage(self, "--from and --to are needed");
    text_init(&t, 1024 * 1024);
    text_literal(&t, "listeners: [");
    put_items(&t, from);
    text_literal(&t, "]\nupstreams: {servers: {servers: [");
    put_items(&t, to);
    text_literal(&t, "]}}\nroutes: [{to: servers}]\n");
    options.source.text = text_slice(&t);
    status = supervisor_run(&options);
    text_free(&t);
    return status;
}

/* ------------------------------------------------------------------ demo */

static const char greeting[] =
    "\nmaitred stands at http://localhost%s in front of two small servers. Try:\n\n"
    "  curl -i http://localhost%s/            # which server answers? ask again\n"
    "  curl -i http://localhost%s/old         # a redirect\n"
    "  curl -i -H 'Accept: text/html' http://localhost%s/nothing-here  # an error page\n"
    "  curl -i -X POST -d hello http://localhost%s/api/echo\n\n"
    "Ctrl-C ends it.\n\n";

/* The servers are listeners of the same process, on Unix sockets, whose routes answer by
 * themselves. */
static const char demo_config[] =
    "listeners:\n"
    "  - {address: '%s', name: public}\n"
    "  - {address: 'unix:/tmp/maitred-demo-%d-1.sock', name: server-1, trusted_proxies: [unix]}\n"
    "  - {address: 'unix:/tmp/maitred-demo-%d-2.sock', name: server-2, trusted_proxies: [unix]}\n"
    "upstreams:\n"
    "  demo: {servers: ['unix:/tmp/maitred-demo-%d-1.sock', 'unix:/tmp/maitred-demo-%d-2.sock']}\n"
    "routes:\n"
    "  - {name: not-found, listener: public, path: /nothing-here, use: [{respond: {status: "
    "404}}]}\n  - {name: old, listener: public, path: /old, use: [{redirect: /}]}\n"
    "  - {name: public, listener: public, to: demo, use: [request_id]}\n"
    "  - {name: servers, use: [{respond: {text: \"Hello from ${listener}: ${method} ${uri}, asked "
    "for by ${header('x-forwarded-for')}.\\n\", type: 'text/plain; charset=utf-8'}}]}\n"
    "access_log: {to: stdout, format: combined, when: \"listener == 'public'\"}\n";

int
command_demo(const struct command *self, int argc, char **argv)
{
    struct run_options options = {.source.reader = &config_source_system};
    const char *from = ":8080", *port, *v;
    struct text config, hello;
    int id = (int) getpid(), status;

    for (int i = 0; i < argc; i++) {
        bool missing = false;
        int common;

        if ((v = command_value("--from", argc, argv, &i, &missing))) {
            from = v;
            continue;
        }
        common = missing ? command_usage(self, "--from needs a value")
                         : take_common(self, argc, argv, &i, &options);
        if (common)
            return common == 2 ? 2 : command_unknown(self, argv[i]);
    }
    port = strrchr(from, ':');
    if (!port)
        return command_usage(self, "--from takes an address such as :8080");
    text_init(&config, 64 * 1024);
    text_init(&hello, 64 * 1024);
    text_printf(&config, demo_config, from, id, id, id, id);
    text_printf(&hello, greeting, port, port, port, port, port);
    text_byte(&hello, '\0');
    options.source.text = text_slice(&config);
    options.greeting = hello.at;
    status = supervisor_run(&options);
    text_free(&config);
    text_free(&hello);
    return status;
}
