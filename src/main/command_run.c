/* SPDX-License-Identifier: Apache-2.0 */
/* main/command_run.c - the commands that serve: run, proxy, demo. */
#include "main/arguments.h"
#include "main/supervisor.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

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

/* What run, proxy and demo share.  0, or the exit status after a complaint. */
static int
take_common(const struct arguments *a, struct run_options *options)
{
    const char *io = arguments_value(a, "--io"), *workers = arguments_value(a, "--workers");

    if (io && !take_io(io, options))
        return command_usage(a->command, "--io takes epoll or auto");
    if (workers && !take_workers(workers, options))
        return command_usage(a->command, "--workers takes a number from 1 to 127");
    options->pid_file = arguments_value(a, "--pid-file");
    options->control = arguments_value(a, "--control");
    return 0;
}

int
command_run(const struct command *self, int argc, char **argv)
{
    struct run_options options = {.source.reader = &config_source_system};
    struct arguments arguments;
    int status = arguments_read(&arguments, self, argc, argv);

    if (!status)
        status = take_common(&arguments, &options);
    if (status)
        return status;
    options.source.path = arguments_value(&arguments, "-c");
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
    struct arguments arguments;
    struct text t;
    int status = arguments_read(&arguments, self, argc, argv);

    if (!status)
        status = take_common(&arguments, &options);
    if (status)
        return status;
    text_init(&t, 1024 * 1024);
    text_literal(&t, "listeners: [");
    put_items(&t, arguments_value(&arguments, "--from"));
    text_literal(&t, "]\nupstreams: {servers: {servers: [");
    put_items(&t, arguments_value(&arguments, "--to"));
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
    struct arguments arguments;
    const char *from, *port;
    struct text config, hello;
    int id = (int) getpid(), status = arguments_read(&arguments, self, argc, argv);

    if (!status)
        status = take_common(&arguments, &options);
    if (status)
        return status;
    from = arguments_value(&arguments, "--from");
    if (!from)
        from = ":8080";
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
